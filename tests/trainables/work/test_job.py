"""What a worker does with one trial: restored, trained, checkpointed, reported."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from digit_trials import TIMES, digits, make_trial
from simulated_trials import simulated_trial

from trainables.errors import CheckpointError
from trainables.recipe import Recipe
from trainables.training.classifier import Classifier
from trainables.training.learner import Learner
from trainables.trial import Trial
from trainables.work.actor import Actor, Rank
from trainables.work.checkpoints import Checkpoints
from trainables.work.job import Job, make_here
from trainables.work.reports import EpochDone, Failed, FailureKind, Report, Task


def task(folder: Path, recorded: int = 0, **changes: Any) -> Task:
    recipe = Recipe(**{"epochs": 4, **changes.pop("recipe", {})})
    own = {name: changes.pop(name) for name in ("trainable", "seed") if name in changes}
    trial = simulated_trial(recipe=recipe, **own)
    made = Task(
        trial=trial,
        recorded=recorded,
        cpus=1,
        checkpoint_folder=str(folder),
        checkpoint_seconds=0.0,
        keep_checkpoints="none",
        device="cpu",
        gpu=0.0,
    )
    return made.model_copy(update=changes)


def reports(job: Job) -> list[Report]:
    """Step until the job says that it is finished, or has failed."""
    found = [job.step()]
    while isinstance(found[-1], EpochDone) and not found[-1].finished:
        found.append(job.step())
        assert len(found) < 50
    return found


def finish(job: Job) -> list[EpochDone]:
    """Step through all epochs."""
    done = reports(job)
    assert all(isinstance(report, EpochDone) for report in done)
    return [report for report in done if isinstance(report, EpochDone)]


def states(folder: Path) -> list[str]:
    return sorted(file.stem for file in folder.rglob("*.state"))


def metrics(results: list[EpochDone]) -> list[tuple[int, float]]:
    return [(result.epoch, result.row["test_accuracy"]) for result in results]


def test_from_start_to_end(tmp_path: Path) -> None:
    results = finish(Job(task(tmp_path)))
    assert [result.epoch for result in results] == [1, 2, 3, 4]
    assert [result.finished for result in results] == [False] * 3 + [True]
    assert all(result.value == result.row["val_accuracy"] for result in results)
    assert all(result.row["host"] and result.row["peak_memory_bytes"] for result in results)
    assert [result.facts is not None for result in results] == [True, False, False, True]
    assert results[0].facts
    assert results[0].facts["n_parameters"] > 0


@pytest.mark.parametrize("worth", [0.0, 3600.0])
def test_where_a_trial_may_have_to_wait_its_state_is_kept_if_it_took_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worth: float
) -> None:
    monkeypatch.setattr("trainables.work.job._WORTH_SAVING", worth)
    whole = metrics(finish(Job(task(tmp_path / "whole"))))
    asked = task(tmp_path, checkpoint_seconds=3600.0, rungs=(2,))
    waiting = Job(asked)
    for kept in ([], ["000002"], ["000002"]):
        waiting.step()
        assert states(tmp_path / asked.trial.trial_id) == ([] if worth else kept)
    # With a state or without, it goes on to the same end.
    going_on = finish(Job(asked.model_copy(update={"recorded": 3})))
    assert metrics(going_on)[-1] == whole[-1]


@pytest.mark.parametrize("saved", [1, 2, 3, 4])
@pytest.mark.parametrize("recorded", [0, 1, 2, 3, 4])
def test_gone_on_from_any_checkpoint_with_any_rows_recorded(
    tmp_path: Path, saved: int, recorded: int
) -> None:
    whole = metrics(finish(Job(task(tmp_path / "whole"))))
    first = Job(task(tmp_path / "cut"))
    for _ in range(saved):
        first.step()
    results = finish(Job(task(tmp_path / "cut", recorded=recorded)))
    # Rows between the records and the checkpoint are replayed, those between the checkpoint and
    # the records trained again; the last one always comes, with what goes with it.
    begin = min(recorded, saved, 3)
    assert metrics(results) == whole[begin:]
    assert results[-1].facts


def test_without_a_checkpoint_all_is_trained_again(tmp_path: Path) -> None:
    job = Job(task(tmp_path, recorded=3, checkpoint_seconds=1e6))
    assert [result.epoch for result in finish(job)] == [1, 2, 3, 4]
    assert states(tmp_path) == []


def test_a_checkpoint_beyond_a_lower_budget_is_not_used(tmp_path: Path) -> None:
    longer = finish(Job(task(tmp_path, recipe={"epochs": 4})))
    shorter = finish(Job(task(tmp_path, recorded=1, recipe={"epochs": 2})))
    assert metrics(shorter) == metrics(longer)[:2]


def test_rows_are_the_same_where_the_test_set_is_evaluated_and_null_elsewhere(
    tmp_path: Path,
) -> None:
    every = finish(Job(task(tmp_path / "every", recipe={"epochs": 12})))
    auto = finish(Job(task(tmp_path / "auto", recipe={"epochs": 12}, tests=10)))
    for one, other in zip(every, auto, strict=True):
        known = {name for name in one.row if not name.startswith("test_")}
        if other.epoch not in (1, 7):  # floor(10 × epoch / 12) is as one epoch before
            known |= set(one.row)
        assert known == set(other.row)
        assert all(one.row[key] == other.row[key] for key in known - {*TIMES, "host"})


def test_a_state_that_was_not_evaluated_at_a_lower_budget_is_not_the_last(tmp_path: Path) -> None:
    whole = task(tmp_path, recipe={"epochs": 20}, tests=10, keep_checkpoints="all")
    finish(Job(whole))
    lower = whole.model_copy(
        update={"trial": whole.trial.changed(recipe=Recipe(epochs=15)), "recorded": 20}
    )
    (last,) = finish(Job(lower))
    assert last.epoch == 15
    assert last.row["test_accuracy"] is not None
    assert any("not evaluated on the test set" in problem for problem in last.problems)


def test_more_epochs_are_gone_on_to(tmp_path: Path) -> None:
    finish(Job(task(tmp_path)))
    more = Job(task(tmp_path, recorded=4, recipe={"epochs": 6}))
    assert [result.epoch for result in finish(more)] == [5, 6]


def test_a_longer_wsd_goes_on_from_the_stable_part_to_the_last_digit(tmp_path: Path) -> None:
    trained: list[Trial] = []

    def make(task: Task) -> Learner:
        learner = Classifier(task.trial, device="cpu", dataset=digits())
        real = learner.step
        learner.step = lambda: trained.append(task.trial) or real()  # type: ignore[method-assign,func-returns-value]
        return learner

    def trial(epochs: int, **recipe: Any) -> Task:
        of = make_trial(recipe={"schedule": "wsd", "epochs": epochs, "warmup": 1, **recipe})
        return task(tmp_path, keep_checkpoints="last").model_copy(update={"trial": of, **more})

    def rows(job: Job) -> list[dict[str, Any]]:
        known = (report.row for report in finish(job))
        return [{key: row[key] for key in row.keys() - {*TIMES, "host"}} for row in known]

    more: dict[str, Any] = {"checkpoint_folder": str(tmp_path / "whole")}
    whole = rows(Job(trial(10), make))
    more = {"checkpoint_folder": str(tmp_path / "kept")}
    rows(Job(trial(5, decay=0.4), make))
    del trained[:]
    # Three of the five epochs were stable.
    assert rows(Job(trial(10), make)) == whole
    assert len(trained) == 7
    del trained[:]
    # What decays sooner than the kept state, now of eight epochs, cannot begin there.
    rows(Job(trial(6), make))
    assert len(trained) == 6


@pytest.mark.parametrize(
    ("keep", "seconds", "left"),
    [
        ("none", 1e6, []),
        ("none", 0.0, ["000004"]),
        ("last", 1e6, ["000004"]),
        ("all", 1e6, ["000001", "000002", "000003", "000004"]),
    ],
)
def test_when_states_are_saved(tmp_path: Path, keep: str, seconds: float, left: list[str]) -> None:
    finish(Job(task(tmp_path, keep_checkpoints=keep, checkpoint_seconds=seconds)))
    assert states(tmp_path) == left


def test_the_best_state_is_kept_beside_the_last(tmp_path: Path) -> None:
    results = finish(Job(task(tmp_path, keep_checkpoints="best", checkpoint_seconds=1e6)))
    best = max(results, key=lambda result: result.value).epoch
    assert states(tmp_path) == sorted({f"{best:06d}", "000004"})


def test_a_damaged_checkpoint_is_said_once(tmp_path: Path) -> None:
    made = task(tmp_path)
    first = Job(made)
    first.step()
    folder = tmp_path / made.trial.trial_id
    (folder / "000001.state").write_bytes(b"\x00")
    results = finish(Job(made))
    assert [result.epoch for result in results] == [1, 2, 3, 4]
    assert [len(result.problems) for result in results] == [1, 0, 0, 0]
    assert Checkpoints(folder).states() == ["000004.state"]


@pytest.mark.parametrize(
    ("changes", "failure", "message"),
    [
        ({"recipe": {"lr": 0.5}}, "diverged", "epoch 2, step 1"),
        ({"trainable": "faulty:NeverEnoughMemory"}, None, ""),
        ({"trainable": "absent.module:Net"}, "refused", "absent.module"),
        ({"trainable": "faulty:Absent"}, "refused", "no function Absent"),
        ({"trainable": "faulty:ReturnsNothing"}, "refused", "returned NoneType, not a dict"),
        ({"trainable": "faulty:Unmeasured"}, "refused", "returned no val_accuracy"),
        ({"trainable": "faulty:Miscounts"}, "refused", "returned epoch 0, and its own epoch is 1"),
        ({"trainable": "faulty:Wordy"}, "refused", "str as train_loss; a number is needed"),
        ({"trainable": "faulty:Exits"}, "refused", "faulty:Exits: it called sys.exit(2)"),
        ({"trainable": "faulty:Factless"}, "refused", "facts() returned NoneType, not a dict"),
    ],
)
def test_failures_are_answers(
    tmp_path: Path, changes: dict[str, Any], failure: str | None, message: str
) -> None:
    last = reports(Job(task(tmp_path, **changes)))[-1]
    if isinstance(last, EpochDone):
        assert failure is None
        assert last.finished
    else:
        assert last.kind == failure
        assert message in last.message


def test_a_row_need_not_be_complete(tmp_path: Path) -> None:
    results = finish(Job(task(tmp_path, trainable="faulty:Brief")))
    assert len(results) == 4
    assert all(result.row["seconds"] > 0 for result in results)
    assert "test_loss" not in results[0].row


def test_an_idle_worker_that_is_asked_to_end_saves_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: ended.append(number))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    made, leave = task(tmp_path, checkpoint_seconds=1000.0), Job.leave

    def asked_again(job: Job, unheard: bool) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        leave(job, unheard)

    monkeypatch.setattr(Job, "leave", asked_again)
    try:
        worker = Actor.__new__(Actor)
        worker.setup({"task": made.model_dump_json()})
        worker.step()
        assert states(tmp_path) == []
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert states(tmp_path) == ["000001"]
    assert ended == [signal.SIGTERM]


def test_a_disk_that_refuses_a_state_is_told_as_such_by_one_of_several_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: Path) -> None:
        raise OSError(28, "No space left on device")

    rank = Rank(0, 2)
    rank._learner = make_here(task(tmp_path))
    monkeypatch.setattr(rank._learner, "save", refuse)
    with pytest.raises(CheckpointError, match=r"cannot be written \(No space left"):
        rank.call("save", tmp_path / "000001.state")


def classifier_task(folder: Path, **changes: Any) -> Task:
    trial = make_trial(recipe={"augmentation": "standard", "batch_size": 16})  # 6 updates
    return task(folder, **changes).model_copy(update={"trial": trial})


def crashing(fed: int) -> Any:
    """Return what makes a classifier whose process is lost as it begins that update, from 0."""

    def make(task: Task) -> Learner:
        learner = Classifier(task.trial, device="cpu", dataset=digits())
        feed, numbers = learner._feed, iter(range(fed))

        def fails(*given: Any) -> None:
            if next(numbers, None) is None:
                raise ConnectionError
            feed(*given)

        learner._feed = fails  # type: ignore[method-assign]
        return learner

    return make


def test_a_long_interval_has_states_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(job: Job) -> list[dict[str, Any]]:
        known = (report.row for report in finish(job))
        return [{key: row[key] for key in row.keys() - {*TIMES, "host"}} for row in known]

    expected = rows(Job(classifier_task(tmp_path / "whole"), crashing(1000)))
    monkeypatch.setattr("trainables.work.job._WORTH_SAVING", 0.0)
    monkeypatch.setattr("trainables.work.job._TRAINED_PER_SAVING", 0)
    made = classifier_task(tmp_path / "cut", keep_checkpoints="last")
    cut = Job(made, crashing(9))
    cut.step()
    with pytest.raises(ConnectionError):
        cut.step()
    assert states(tmp_path / "cut") == ["000001", "within-000001-000000003"]
    # What is left of that interval, and the next one.
    on = made.model_copy(update={"recorded": 1})
    found = rows(Job(on, crashing(3 + 6)))
    assert found == expected[1:]
    assert states(tmp_path / "cut") == ["000003"]


def test_a_state_within_the_first_interval_is_gone_on_from_and_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.work.job._WORTH_SAVING", 0.0)
    monkeypatch.setattr("trainables.work.job._TRAINED_PER_SAVING", 0)
    made = classifier_task(tmp_path)
    with pytest.raises(ConnectionError):
        Job(made, crashing(4)).step()
    assert states(tmp_path) == ["within-000000-000000004"]
    # Of a learner that cannot pause, as one of several processes, it is none.
    other = Classifier(made.trial, device="cpu", dataset=digits())
    monkeypatch.setattr("trainables.work.checkpoints.Pausable", Job)
    assert Checkpoints(tmp_path / made.trial.trial_id).restore(other, 3) == ([], [])
    monkeypatch.undo()
    # Whoever ends such a trial must know that there is a state to remove.
    report = Job(made.model_copy(update={"checkpoint_seconds": 1e6}), crashing(2)).step()
    assert isinstance(report, EpochDone)
    assert report.saved
    # The whole interval takes its place, however long the next one is.
    assert states(tmp_path) == ["000001"]


def test_a_finished_trial_leaves_no_state_to_who_ends_an_idle_worker(tmp_path: Path) -> None:
    job = Job(task(tmp_path, checkpoint_seconds=60.0))
    finish(job)
    job.leave()
    assert states(tmp_path) == []


def test_a_worker_that_is_asked_to_end_in_the_last_interval_saves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    made = task(tmp_path, checkpoint_seconds=1000.0)
    worker = Actor.__new__(Actor)
    try:
        worker.setup({"task": made.model_dump_json()})
        for _ in range(made.trial.recipe.epochs - 1):
            worker.step()
        assert states(tmp_path) == []
        # One that cannot pause, as a simulated one, trains the interval to its end.
        learner = worker._job._learner
        step = learner.step

        def asked_meanwhile() -> Any:
            os.kill(os.getpid(), signal.SIGTERM)
            return step()

        monkeypatch.setattr(learner, "step", asked_meanwhile)
        worker.step()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert states(tmp_path) == [f"{made.trial.recipe.epochs:06}"]


def test_out_of_memory(tmp_path: Path) -> None:
    made = task(tmp_path, trainable="faulty:NeverEnoughMemory", seed=1)
    assert Job(made).step() == Failed(FailureKind.OUT_OF_GPU_MEMORY, "CUDA out of memory")


def test_where_no_checkpoint_can_be_written_training_goes_on_and_it_is_said_once(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "file"
    folder.touch()
    job = Job(task(folder))
    first, second = job.step(), job.step()
    assert isinstance(first, EpochDone)
    assert isinstance(second, EpochDone)
    assert not second.saved
    (problem,) = first.problems
    assert "cannot be written" in problem
    assert problem.endswith("meanwhile trials go on without")
    assert second.problems == ()
    # It is tried again.
    folder.unlink()
    assert [report.saved for report in finish(job)] == [True, True]


def test_what_a_learner_raises_of_its_own_is_not_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(task(tmp_path, trainable="faulty:Raises", seed=1))
    job.step()
    with pytest.raises(ZeroDivisionError, match="the user's own mistake"):
        job.step()


def test_tasks_travel_as_text(tmp_path: Path) -> None:
    made = task(tmp_path, recorded=2)
    assert Task.model_validate_json(made.model_dump_json()) == made


@pytest.mark.parametrize(("gpu", "visible"), [(0.0, ""), (0.5, "0,1")])
def test_a_trial_without_a_share_of_a_gpu_sees_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpu: float, visible: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    worker = Actor.__new__(Actor)
    worker.setup({"task": task(tmp_path, gpu=gpu).model_dump_json()})
    assert os.environ["CUDA_VISIBLE_DEVICES"] == visible
