import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.experiment import Trial as TuneTrial

from orchestrator.drivers import tuner
from orchestrator.drivers.tuner import Relay, Rungs, _forget, explain_loss
from trainables.work.reports import FailureKind


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


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        # As Ray writes them: its memory monitor, a node that is gone, a process that is gone.
        (
            "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on "
            "memory.",
            FailureKind.OUT_OF_MEMORY,
        ),
        ("The actor died because its node has died. Node Id: 4a", FailureKind.NODE_LOST),
        (
            "its worker process has died. Worker exits with an exit code 1. The process receives a "
            "SIGTERM.",
            FailureKind.NODE_LOST,
        ),
        ("The actor died because its worker process has died.", FailureKind.CRASHED),
        ("", FailureKind.CRASHED),
    ],
)
def test_a_lost_trial_is_explained_by_what_ray_wrote(
    text: str, kind: FailureKind, tmp_path: Path
) -> None:
    file = tmp_path / "error.txt"
    file.write_text(text)
    lost: Any = SimpleNamespace(error_file=str(file))
    assert explain_loss(lost)[0] == kind


def test_an_error_of_several_lines_is_told_by_its_first(tmp_path: Path) -> None:
    file = tmp_path / "error.txt"
    try:
        raise RuntimeError("CUDA error: an illegal address\nCompile with `TORCH_USE_CUDA_DSA`")
    except RuntimeError:
        file.write_text(traceback.format_exc())
    lost: Any = SimpleNamespace(error_file=str(file))
    assert explain_loss(lost)[1] == "RuntimeError: CUDA error: an illegal address"


def test_a_worker_that_the_system_ended_for_its_memory_is_one_that_ran_out_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kills = iter([3, 3, 5, 5, 5])
    monkeypatch.setattr(tuner, "memory_kills", lambda: next(kills))
    lost: list[FailureKind] = []
    work: Any = SimpleNamespace(lose=lambda _, kind, __: lost.append(kind))
    relay = Relay(work, work, lambda: None, {})
    file = tmp_path / "error.txt"
    file.write_text("The actor died because its worker process has died.")
    trial: Any = SimpleNamespace(error_file=str(file), config={"trial_id": "a"})
    for _ in range(4):
        relay.on_trial_error(trial)
    # Each death that the system counts explains one.
    short, crashed = FailureKind.OUT_OF_MEMORY, FailureKind.CRASHED
    assert lost == [crashed, short, short, crashed]


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
