"""From what workers report to rows on disk."""

import math
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from studies import a_pass, recorder_of, study

from orchestrator.errors import RunError
from orchestrator.ledger.history import COMPARED, History
from orchestrator.ledger.rows import Rows
from orchestrator.ledger.stages import Outcome, Stages, Wanted
from orchestrator.placement.shares import Share
from orchestrator.run.events import Progress
from orchestrator.run.recorder import Recorder
from orchestrator.run.runner import _Watch
from orchestrator.run.signals import Signals
from orchestrator.study.inputs import find_inputs
from results.errors import StoreError, Unreachable
from results.records import EPOCH_SCHEMA, TRIAL_SCHEMA, Status
from results.store.store import Store
from trainables.training.scores import Predictions
from trainables.work.reports import EpochDone

ONE = study(factors={"model": ["a"]}, seeds=[0, 1, 2])
LABELS = np.array([0, 1, 1, 2])


def wanted_trials(epochs: int = 3) -> list[Wanted]:
    declared = ONE.model_copy(update={"recipe": {"epochs": epochs}})
    return [*Stages(declared, find_inputs(declared)).wanted.values()]


class Kept:
    """Rows in memory, and what writes them."""

    def __init__(self, out: Path, pass_id: str, labels: Any) -> None:
        self.rows = Rows(History(Store(out)))
        self.flush = Recorder(Store(out), self.rows, pass_id, labels).flush
        self._wanted: dict[str, Wanted] = {}

    def declare(self, wanted: Wanted, outcome: Outcome | None = None) -> str:
        self._wanted[wanted.trial.trial_id] = wanted
        self.rows.declare(wanted, outcome, measured=True)
        return wanted.trial.trial_id

    def start(self, trial_id: str) -> None:
        self.rows.start(self._wanted[trial_id], Share(1.0, 0.0))

    def add_row(self, trial_id: str, row: dict[str, Any]) -> bool:
        """Take an epoch; return whether its row is new."""
        before = len(self.rows.epochs)
        self.rows.take(trial_id, EpochDone(row, finished=False))
        return len(self.rows.epochs) > before

    def complete(self, trial_id: str, predictions: Any) -> None:
        if predictions is not None:
            self.rows.predict(trial_id, Predictions(predictions))
        self.rows.end(trial_id, Status.COMPLETED)


def recorder(out: Path, pass_id: str = "p1", labels: Any = LABELS) -> Kept:
    return Kept(out, pass_id, labels)


def row(epoch: int, accuracy: float = 0.5, **values: Any) -> dict[str, Any]:
    metrics: dict[str, Any] = dict.fromkeys(COMPARED, 0.25)
    counts = dict.fromkeys(("step", "examples_seen", "train_correct", "train_seen"), 10 * epoch)
    return {
        **metrics,
        **counts,
        "epoch": epoch,
        "val_accuracy": accuracy,
        "val_metric": accuracy,
        "seconds": 2.0,
        "device": "cpu",
        "host": "here",
        **values,
    }


def declare(made: Kept, wanted: Wanted, outcome: Outcome | None = None) -> str:
    return made.declare(wanted, outcome)


def read(out: Path, table: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = Store(out).read(table).to_pylist()
    return rows


def test_a_trial_from_plan_to_completion(tmp_path: Path) -> None:
    made, wanted = recorder(tmp_path), wanted_trials()[0]
    trial_id = declare(made, wanted)
    made.flush(force=True)
    (planned,) = read(tmp_path, "trials")
    assert planned["status"] == "planned"
    assert (planned["epochs_done"], planned["epochs_budget"], planned["attempts"]) == (0, 3, 0)
    assert planned["final_val_accuracy"] is None

    made.start(trial_id)
    for epoch, accuracy in enumerate([0.4, 0.7, 0.7], start=1):
        assert made.add_row(trial_id, row(epoch, accuracy, val_loss=1 / epoch))
    made.rows.update(trial_id, {"n_parameters": 7})
    made.flush(force=True)
    (running,) = read(tmp_path, "trials")
    assert (running["status"], running["epochs_done"]) == ("running", 3)
    assert (running["latest_val_accuracy"], running["seconds"]) == (0.7, 6.0)
    assert running["final_val_accuracy"] is None

    made.complete(trial_id, np.array([0, 1, 0, 2]))
    assert made.flush(force=True) == [trial_id]
    (done,) = read(tmp_path, "trials")
    assert (done["status"], done["n_parameters"], done["attempts"]) == ("completed", 7, 1)
    # The earliest of equals is the best.
    assert (done["best_epoch"], done["best_val_loss"], done["final_val_loss"]) == (2, 0.5, 1 / 3)
    assert done["started_at"] <= done["ended_at"] <= datetime.now(UTC)
    epochs = read(tmp_path, "epochs")
    assert [each["sequence"] for each in epochs] == [1, 2, 3]
    assert {each["model"] for each in epochs} == {"a"}
    assert {each["stage"] for each in epochs} == {"measure"}
    assert {each["lr"] for each in epochs} == {1e-3}
    assert [each["correct"] for each in read(tmp_path, "predictions")] == [True, True, False, True]
    assert {each["epoch"] for each in read(tmp_path, "predictions")} == {3}


def test_the_best_epoch_is_one_with_a_number(tmp_path: Path) -> None:
    made, wanted = recorder(tmp_path), wanted_trials()[0]
    trial_id = declare(made, wanted)
    made.start(trial_id)
    for epoch, accuracy in enumerate([math.nan, 0.0, math.nan], start=1):
        made.add_row(trial_id, row(epoch, accuracy))
    made.complete(trial_id, None)
    assert made.rows[trial_id]["best_epoch"] == 2


def test_every_table_has_its_whole_schema(tmp_path: Path) -> None:
    made = recorder(tmp_path)
    trial_id = declare(made, wanted_trials()[0])
    made.start(trial_id)
    made.add_row(trial_id, row(1))
    made.flush(force=True)
    assert Store(tmp_path).read("epochs").schema == EPOCH_SCHEMA
    assert Store(tmp_path).read("trials").schema == TRIAL_SCHEMA


def test_sequence_goes_on_from_pass_to_pass(tmp_path: Path) -> None:
    wanted = wanted_trials()[0]
    for number in (1, 2, 3):
        made = recorder(tmp_path, f"p{number}")
        trial_id = declare(made, wanted)
        made.start(trial_id)
        made.add_row(trial_id, row(number))
        made.flush(force=True)
    assert [each["sequence"] for each in read(tmp_path, "epochs")] == [1, 2, 3]
    (trial,) = read(tmp_path, "trials")
    assert (trial["epochs_done"], trial["attempts"], trial["seconds"]) == (3, 3, 6.0)


def test_rows_trained_again_are_compared_and_not_written(tmp_path: Path) -> None:
    wanted = wanted_trials()[0]
    made = recorder(tmp_path)
    trial_id = declare(made, wanted)
    made.start(trial_id)
    made.add_row(trial_id, row(1, train_loss=math.nan))
    made.add_row(trial_id, row(2))
    made.flush(force=True)
    again = recorder(tmp_path, "p2")
    declare(again, wanted)
    again.start(trial_id)
    # NaN is equal to NaN, and times may differ.
    assert not again.add_row(trial_id, row(1, train_loss=math.nan, seconds=9.0))
    assert again.rows.problems == []
    assert not again.add_row(trial_id, row(2, test_loss=0.26))
    (problem,) = again.rows.problems
    assert f"trial {trial_id}, epoch 2: test_loss was recorded as 0.25 and came out as 0.26" in (
        problem
    )
    assert again.add_row(trial_id, row(3))
    again.flush(force=True)
    assert [each["test_loss"] for each in read(tmp_path, "epochs")] == [0.25, 0.25, 0.25]


def test_stopped_and_failed_trials(tmp_path: Path) -> None:
    made, (first, second, third) = recorder(tmp_path), wanted_trials()
    for wanted in (first, second, third):
        trial_id = declare(made, wanted)
        made.start(trial_id)
        made.add_row(trial_id, row(1, 0.3))
    made.rows.end(first.trial.trial_id, Status.STOPPED, stopped_at_epoch=1, stopped_cutoff=0.4)
    made.rows.end(second.trial.trial_id, Status.FAILED, error="diverged: epoch 2, step 7")
    made.flush(force=True)
    rows = {each["seed"]: each for each in read(tmp_path, "trials")}
    assert (rows[0]["status"], rows[0]["stopped_at_epoch"], rows[0]["stopped_cutoff"]) == (
        "stopped",
        1,
        0.4,
    )
    assert rows[0]["final_val_accuracy"] == 0.3
    assert (rows[1]["status"], rows[1]["error"]) == ("failed", "diverged: epoch 2, step 7")
    assert rows[1]["final_val_accuracy"] is None
    made.rows.interrupt()
    made.flush(force=True)
    rows = {each["seed"]: each for each in read(tmp_path, "trials")}
    assert [rows[seed]["status"] for seed in (0, 1, 2)] == ["stopped", "failed", "planned"]


def test_what_is_open_again_claims_no_finals(tmp_path: Path) -> None:
    first = wanted_trials(epochs=2)[0]
    made = recorder(tmp_path)
    trial_id = declare(made, first)
    made.start(trial_id)
    made.add_row(trial_id, row(1, 0.3))
    made.add_row(trial_id, row(2, 0.6))
    made.rows.update(trial_id, {"n_parameters": 7})
    made.complete(trial_id, None)
    made.flush(force=True)
    # Two epochs more are asked for: the same trial, as yet without an end.
    more = recorder(tmp_path, "p2")
    assert declare(more, wanted_trials(epochs=4)[0]) == trial_id
    more.flush(force=True)
    (row_now,) = read(tmp_path, "trials")
    assert (row_now["status"], row_now["epochs_done"], row_now["epochs_budget"]) == (
        "planned",
        2,
        4,
    )
    assert (row_now["epochs"], row_now["latest_val_accuracy"]) == (4, 0.6)
    assert row_now["final_val_accuracy"] is None
    assert row_now["best_epoch"] is None
    # One epoch less: the recorded rows up to there are all that is needed.
    fewer = recorder(tmp_path, "p3")
    declare(fewer, wanted_trials(epochs=1)[0], outcome=Outcome(Status.COMPLETED))
    fewer.flush(force=True)
    (row_now,) = read(tmp_path, "trials")
    assert (row_now["status"], row_now["epochs_done"], row_now["final_val_accuracy"]) == (
        "completed",
        1,
        0.3,
    )


def test_a_trial_claims_no_epoch_that_is_lost(tmp_path: Path) -> None:
    made, wanted = recorder(tmp_path), wanted_trials()[0]
    trial_id = declare(made, wanted)
    made.start(trial_id)
    made.add_row(trial_id, row(1))
    made.flush(force=True)
    (Store(tmp_path).parts("epochs")[0]).unlink()
    again = recorder(tmp_path, "p2")
    declare(again, wanted)
    assert again.rows[trial_id]["epochs_done"] == 0
    assert again.rows[trial_id]["latest_val_accuracy"] is None


def test_predictions_are_written_once(tmp_path: Path) -> None:
    wanted = wanted_trials(epochs=2)[0]
    for number, epochs in enumerate([2, 2, 3], start=1):
        wanted = wanted_trials(epochs)[0]
        made = recorder(tmp_path, f"p{number}")
        trial_id = declare(made, wanted)
        made.start(trial_id)
        for epoch in range(1, epochs + 1):
            made.add_row(trial_id, row(epoch))
        made.complete(trial_id, LABELS)
        made.flush(force=True)
    written = [each["epoch"] for each in read(tmp_path, "predictions")]
    # Once for the end at epoch 2, although that was reached twice; once for the end at epoch 3.
    assert written == [2] * 4 + [3] * 4


def test_completion_at_a_lower_budget_sums_up_no_more_than_that(tmp_path: Path) -> None:
    made = recorder(tmp_path)
    trial_id = declare(made, wanted_trials(epochs=3)[0])
    made.start(trial_id)
    for epoch in (1, 2, 3):
        made.add_row(trial_id, row(epoch, epoch / 10))
    made.flush(force=True)
    fewer = recorder(tmp_path, "p2")
    declare(fewer, wanted_trials(epochs=2)[0])
    fewer.start(trial_id)
    fewer.add_row(trial_id, row(2, 0.2))
    fewer.complete(trial_id, LABELS)
    fewer.flush(force=True)
    (done,) = read(tmp_path, "trials")
    assert (done["epochs_done"], done["final_val_accuracy"], done["best_epoch"]) == (2, 0.2, 2)
    assert {each["epoch"] for each in read(tmp_path, "predictions")} == {2}


@pytest.mark.parametrize(("labels", "predicted"), [(None, LABELS), (LABELS, None)])
def test_without_labels_or_predictions_none_are_written(
    tmp_path: Path, labels: Any, predicted: Any
) -> None:
    made = recorder(tmp_path, labels=labels)
    trial_id = declare(made, wanted_trials(epochs=1)[0])
    made.start(trial_id)
    made.add_row(trial_id, row(1))
    made.complete(trial_id, predicted)
    made.flush(force=True)
    assert Store(tmp_path).parts("predictions") == []


def test_rows_of_a_run_that_lost_its_directory_are_kept_beside_it(tmp_path: Path) -> None:
    (wanted, *_), out = wanted_trials(), tmp_path / "run"
    lost = []

    def still_held(look: bool = False) -> None:
        if lost:
            raise RunError("lost")

    rows = Rows(History(Store(out)))
    recorder = Recorder(Store(out), rows, "pass", LABELS, still_held)
    rows.declare(wanted, None, measured=True)
    rows.start(wanted, Share(1.0, 0.0))
    recorder.flush(force=True)
    assert recorder.keep_beside() == ""
    lost.append(True)
    rows.take(wanted.trial.trial_id, EpochDone(row(1), finished=False))
    with pytest.raises(RunError):
        recorder.flush(force=True)
    said = recorder.keep_beside()
    beside = Store(tmp_path / "run.unwritten-pass")
    assert str(beside.root) in said
    assert beside.read("epochs")["epoch"].to_pylist() == [1]
    assert Store(out).read("epochs").num_rows == 0


def test_rows_wait_for_their_turn_unless_forced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.run.recorder.FLUSH_SECONDS", 600.0)
    made = recorder(tmp_path)
    trial_id = declare(made, wanted_trials()[0])
    made.start(trial_id)
    made.add_row(trial_id, row(1))
    assert made.flush() == []
    assert Store(tmp_path).parts("epochs") == []
    made.flush(force=True)
    assert len(read(tmp_path, "epochs")) == 1


@pytest.mark.parametrize("refusing", ["epochs", "trials", "predictions"])
def test_what_the_disk_refuses_is_written_by_the_next_flush(tmp_path: Path, refusing: str) -> None:
    made = recorder(tmp_path)
    trial_id = declare(made, wanted_trials(epochs=1)[0])
    made.start(trial_id)
    made.add_row(trial_id, row(1))
    made.complete(trial_id, LABELS)
    (tmp_path / refusing).write_text("a file where a folder is needed")
    with pytest.raises(StoreError, match="a file stands where a folder is needed"):
        made.flush(force=True)
    (tmp_path / refusing).unlink()
    assert made.flush(force=True) == [trial_id]
    assert [len(read(tmp_path, name)) for name in ("epochs", "trials", "predictions")] == [1, 1, 4]


def test_slots_are_numbered_from_zero_and_used_again(tmp_path: Path) -> None:
    made, (first, second, third) = recorder(tmp_path), wanted_trials()
    ids = [declare(made, wanted) for wanted in (first, second, third)]
    made.start(ids[0])
    made.start(ids[1])
    made.add_row(ids[0], row(1))
    made.rows.end(ids[0], Status.FAILED, error="crashed")
    made.start(ids[2])
    assert [made.rows[trial_id]["slot"] for trial_id in ids] == [0, 1, 0]


def test_trials_no_longer_wanted_stay(tmp_path: Path) -> None:
    made, (first, second, _) = recorder(tmp_path), wanted_trials()
    declare(made, first)
    made.rows.disown([declare(made, second)])
    made.rows.update(first.trial.trial_id, {"measured": False})
    made.flush(force=True)
    rows = {each["seed"]: (each["wanted"], each["measured"]) for each in read(tmp_path, "trials")}
    assert rows == {0: (True, False), 1: (False, False)}


def test_a_store_that_is_away_as_places_are_left_ends_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = a_pass(ONE.model_copy(update={"seeds": [0]}), tmp_path)
    work.slots = 2
    wanted = work.next()
    assert wanted
    work.start(wanted.trial.trial_id)
    assert work.leaves_places

    def away(*_: object) -> None:
        raise Unreachable("s3://bucket: cannot be reached")

    monkeypatch.setattr("results.store.tables.TrialTable.write", away)
    nobody: Any = SimpleNamespace(nodes=[])
    inputs, prepare = work.ledger.inputs, [].clear
    _Watch(work, nobody, recorder_of(work), Signals(), Progress(), inputs, prepare).beat()
    assert [*work.running] == [wanted.trial.trial_id]
