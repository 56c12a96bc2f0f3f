from typing import Any

from ray.tune.experiment import Trial as TuneTrial

from orchestrator.drivers.tuner import Rungs, _forget


def waiting(number: int) -> TuneTrial:
    return TuneTrial("a", stub=True, trial_id=str(number), config={"task": "long" * 1000})


def test_the_trial_that_waits_longest_starts_first() -> None:
    work: Any = None  # the pass is asked for nothing here
    rungs = Rungs(work)
    trials = [waiting(number) for number in range(3)]
    for trial in trials:
        rungs.on_trial_add(None, trial)
    assert rungs.choose_trial_to_run(None) is trials[0]
    assert rungs.choose_trial_to_run(None) is trials[0]
    trials[0].set_status(TuneTrial.RUNNING)
    assert rungs.choose_trial_to_run(None) is trials[1]
    for trial in trials:
        trial.set_status(TuneTrial.TERMINATED)
    assert rungs.choose_trial_to_run(None) is None


def test_ended_trials_are_forgotten_where_tune_keeps_them() -> None:
    trials = [waiting(number) for number in range(3)]
    ended, running, _ = trials
    ended.set_status(TuneTrial.TERMINATED)
    ended.run_metadata.update_metric("val_accuracy", 0.5)
    running.set_status(TuneTrial.RUNNING)
    _forget(trials)
    assert [trial.trial_id for trial in trials] == ["1", "2"]
    assert not ended.config
    assert not ended.run_metadata.metric_analysis
    assert running.config
    assert ended.get_json_state()  # as Tune asks for at the end of a pass
