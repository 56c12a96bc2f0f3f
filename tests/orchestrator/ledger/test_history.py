"""What earlier passes recorded, read back."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from studies import epochs, run, searched, study, trials

from orchestrator.ledger.history import COMPARED, History
from orchestrator.study.study import Study
from results.records import PREDICTION_SCHEMA, Status
from results.store.store import Store
from results.store.tables import GrowingTable, table_of
from trainables.trial import Trial


def epoch_row(trial_id: str, epoch: int, sequence: int, accuracy: float = 0.5) -> dict[str, Any]:
    return {
        "trial_id": trial_id,
        "epoch": epoch,
        "sequence": sequence,
        "seconds": 1.0,
        "val_accuracy": accuracy,
    }


def store_of(out: Path, rows: list[dict[str, Any]], **facts: Any) -> Store:
    store = Store(out)
    store.write_part("epochs", "one", [table_of("epochs", rows)])
    ids = dict.fromkeys(row["trial_id"] for row in rows)
    known = [{"trial_id": name, "status": "running", "n_parameters": 9, **facts} for name in ids]
    store.write_part("trials", "one", [table_of("trials", known)])
    return store


def has(history: History, trial_id: str, budget: int) -> bool:
    """Return whether all of a trial of such a budget is recorded, which need not be tested."""
    recipe = SimpleNamespace(intervals=budget)
    trial = SimpleNamespace(trial_id=trial_id, recipe=recipe, seed=0)
    own = SimpleNamespace(all_seeds=[0], trainable="own:Trainable")
    return history.has(cast(Trial, trial), cast(Study, own))


def test_a_directory_that_is_not_there_has_no_history(tmp_path: Path) -> None:
    history = History(Store(tmp_path / "none"))
    assert len(history.trials) == history.last_sequence == history.epochs_done("a") == 0
    assert history.status("a") is None
    assert history.rows("a") == []
    assert not has(history, "a", 0)


def test_an_empty_directory_has_none_either(tmp_path: Path) -> None:
    assert not History(Store(tmp_path)).trials


def test_rows_by_trial_and_epoch_whatever_their_order(tmp_path: Path) -> None:
    rows = [
        epoch_row("b", 1, 1, 0.1),
        epoch_row("a", 1, 2, 0.2),
        epoch_row("b", 2, 4, 0.4),
        epoch_row("a", 2, 3, 0.3),
    ]
    history = History(store_of(tmp_path, rows[::-1]))
    assert (history.last_sequence, history.epochs_done("a"), history.epochs_done("b")) == (4, 2, 2)
    np.testing.assert_array_equal(history.column("b", "val_accuracy"), [0.1, 0.4])
    np.testing.assert_array_equal(history.column("a", "seconds"), [1.0, 1.0])
    assert [row["val_accuracy"] for row in history.rows("a")] == [0.2, 0.3]
    assert [history.score("b", epoch) for epoch in (1, 2)] == [0.1, 0.4]
    assert history.status("a") is Status.RUNNING


def test_nothing_after_a_gap_counts(tmp_path: Path) -> None:
    rows = [epoch_row("a", epoch, epoch) for epoch in (1, 2, 4)] + [epoch_row("b", 2, 9)]
    history = History(store_of(tmp_path, rows))
    assert history.epochs_done("a") == 2
    assert len(history.rows("a")) == len(history.column("a", "val_accuracy")) == 2
    assert history.epochs_done("b") == 0


def test_complete_is_what_has_its_epochs_and_its_facts(tmp_path: Path) -> None:
    rows = [epoch_row("a", epoch, epoch) for epoch in (1, 2, 3)]
    history = History(store_of(tmp_path / "one", rows))
    assert has(history, "a", 3)
    assert has(history, "a", 2)
    assert not has(history, "a", 4)
    # A crash between the first row and the facts that come with it.
    assert not has(History(store_of(tmp_path / "two", rows, n_parameters=None)), "a", 3)
    # A part of the trial table was damaged: the epochs alone do not say enough.
    (tmp_path / "one" / "trials" / "one.parquet").unlink()
    assert not has(History(Store(tmp_path / "one")), "a", 3)


def predictions(trial_id: str, epoch: int) -> Any:
    import pyarrow as pa

    rows = [
        {
            "trial_id": trial_id,
            "epoch": epoch,
            "example": example,
            "label": 1,
            "prediction": 1,
            "correct": True,
        }
        for example in range(4)
    ]
    return pa.Table.from_pylist(rows, schema=PREDICTION_SCHEMA)


def test_where_some_trials_have_predictions_those_without_theirs_are_open(
    tmp_path: Path,
) -> None:
    pairs = enumerate((name, epoch) for name in ("a", "b", "c") for epoch in (1, 2, 3))
    rows = [epoch_row(name, epoch, number) for number, (name, epoch) in pairs]
    store = store_of(tmp_path, rows)
    table = GrowingTable(store, "predictions", "one")
    table.append(predictions("a", 3))
    table.append(predictions("b", 2))
    table.flush()
    history = History(store)
    assert history.predicted == {"a": {3}, "b": {2}}
    assert [has(history, name, 3) for name in ("a", "b", "c")] == [True, False, False]
    # Predictions of a later epoch mean that those asked for were never to be had.
    assert has(history, "a", 2)
    assert has(history, "b", 2)
    # Where there are none at all, a trainable need not predict: unless they were lost.
    store.parts("predictions")[0].unlink()
    assert all(has(History(store), name, 3) for name in ("a", "b", "c"))
    store.damaged.mkdir()
    (store.damaged / "predictions-one.parquet").touch()
    assert not has(History(store), "a", 3)


def test_a_whole_study_is_read_back(tmp_path: Path) -> None:
    declared = searched()
    run(declared, tmp_path)
    history, rows, recorded = History(Store(tmp_path)), epochs(tmp_path), trials(tmp_path)
    assert len(history.trials) == len(recorded)
    assert history.last_sequence == len(rows) == rows.sequence.max()
    for trial_id, curve in rows.groupby("trial_id"):
        assert history.epochs_done(str(trial_id)) == len(curve)
        np.testing.assert_array_equal(
            history.column(str(trial_id), "val_accuracy"), curve.val_accuracy
        )
        first, row = history.rows(str(trial_id))[0], curve.iloc[0][[*COMPARED]].dropna()
        assert [first[name] for name in row.index] == row.tolist()


@pytest.mark.parametrize("status", [*Status])
def test_every_status_is_known(tmp_path: Path, status: Status) -> None:
    store = store_of(tmp_path, [epoch_row("a", 1, 1)], status=status.value)
    assert History(store).status("a") is status


def test_a_study_without_rows_yet(tmp_path: Path) -> None:
    store = Store(tmp_path)
    planned = [{"trial_id": "a", "status": "planned"}]
    store.write_part("trials", "one", [table_of("trials", planned)])
    store.write_study(study().written())
    history = History(store)
    assert history.status("a") is Status.PLANNED
    assert history.epochs_done("a") == 0
