"""Rows that are there twice count once, are said, and are set aside by a repair."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from results.errors import StoreError
from results.store.store import Store
from results.store.tables import table_of

Rows = list[dict[str, Any]]


def epoch_rows(trial: str, first: int, last: int, sequence: int) -> Rows:
    return [
        {"trial_id": trial, "epoch": epoch, "sequence": sequence + epoch, "val_accuracy": 0.5}
        for epoch in range(first, last + 1)
    ]


def predicted(trial: str) -> Rows:
    return [
        {"trial_id": trial, "epoch": 3, "example": n, "label": 1, "prediction": 1, "correct": True}
        for n in range(4)
    ]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return two completed trials of three epochs."""
    store = Store(tmp_path)
    trials = [{"trial_id": t, "status": "completed", "epochs_done": 3} for t in "ab"]
    write(store, "trials", "p", trials)
    write(store, "epochs", "p0", [*epoch_rows("a", 1, 3, 0), *epoch_rows("b", 1, 1, 3)])
    write(store, "epochs", "p1", epoch_rows("b", 2, 3, 3))
    write(store, "predictions", "p0", predicted("a"))
    write(store, "predictions", "p1", predicted("b"))
    return store


def write(store: Store, table: str, name: str, rows: Rows) -> None:
    store.write_part(table, name, [table_of(table, rows)])


def everything(store: Store) -> dict[str, Rows]:
    keys = {"trials": "trial_id", "epochs": "sequence", "predictions": "trial_id"}
    return {name: store.read(name).sort_by(key).to_pylist() for name, key in keys.items()}


def test_a_search_need_not_have_seen_the_test_set(store: Store) -> None:
    searched = {"trial_id": "c", "status": "completed", "epochs_done": 0, "measured": False}
    write(store, "trials", "p1", [searched])
    assert store.problems() == []


def test_sound_tables_have_no_problems(store: Store) -> None:
    assert store.problems() == []
    assert store.repair() == []


@pytest.mark.parametrize("table", ["trials", "epochs", "predictions"])
@pytest.mark.parametrize("name", ["p (copy)", "p0.sync-conflict-2026", "a"])
def test_a_copied_part_counts_once_and_is_set_aside(store: Store, table: str, name: str) -> None:
    before = everything(store)
    part = store.parts(table)[0]
    shutil.copy(part, part.with_name(f"{name}.parquet"))
    assert everything(store) == before
    (said,) = store.problems()
    assert said.startswith(f"{table}: ")
    assert "there twice" in said
    (message,) = store.repair()
    assert "set aside" in message
    assert everything(store) == before
    assert len([*store.damaged.iterdir()]) == 1
    assert store.problems() == store.repair() == []


def test_of_an_older_copy_of_a_trial_the_row_that_is_further_counts(store: Store) -> None:
    write(store, "trials", "a", [{"trial_id": "b", "status": "running", "epochs_done": 1}])
    rows = store.read("trials", ["trial_id", "status"]).to_pylist()
    assert [row["status"] for row in rows] == ["completed", "completed"]
    assert len(store.repair()) == 1
    assert [part.name for part in store.parts("trials")] == ["p.parquet"]


def test_a_part_that_is_double_in_part_keeps_the_rest(store: Store) -> None:
    rows = [*epoch_rows("a", 3, 3, 20), *epoch_rows("c", 1, 2, 30)]
    write(store, "epochs", "p2", rows)
    (said,) = store.problems()
    assert "1 row is" in said
    assert len(store.repair()) == 1
    found = store.read("epochs").filter(table_filter("c"))
    assert found["epoch"].to_pylist() == [1, 2]
    assert (store.damaged / "epochs-p2.parquet").exists()
    assert store.read("epochs").num_rows == 8


def table_filter(trial: str) -> Any:
    import pyarrow.compute as pc

    return pc.field("trial_id") == trial


@pytest.mark.parametrize(
    "wrong",
    [
        {"trial_id": None, "epoch": 1, "sequence": 90},
        {"trial_id": "c", "epoch": None, "sequence": 90},
        {"trial_id": "c", "epoch": 0, "sequence": 90},
        {"trial_id": "c", "epoch": 1, "sequence": None},
        {"trial_id": "c", "epoch": 1, "sequence": 2},
    ],
)
def test_a_row_without_a_name_counts_never(store: Store, wrong: dict[str, Any]) -> None:
    before = everything(store)
    write(store, "epochs", "p9", [wrong])
    assert everything(store) == before
    assert "no name" in store.problems()[0]
    assert len(store.repair()) == 1
    assert everything(store) == before
    assert store.problems() == []


def test_what_is_unreadable_beside_the_names_is_no_sound_table(store: Store) -> None:
    # As another program writes a part, without a checksum.
    rows = table_of("trials", [{"trial_id": "c", "status": "planned"}])
    place = rows.column_names.index("measured")
    odd = rows.set_column(place, "measured", pa.array(["perhaps"]))
    pq.write_table(odd, str(store.folder("trials") / "odd.parquet"))
    with pytest.raises(StoreError, match="cannot be read"):
        store.problems()


def test_claims_that_nothing_bears_out_are_said(store: Store) -> None:
    store.parts("epochs")[1].unlink()
    store.parts("predictions")[1].unlink()
    assert store.problems() == [
        "epochs: rows are missing of trial b",
        "predictions: rows are missing of trial b",
    ]
    write(store, "epochs", "p1", epoch_rows("b", 3, 4, 3))
    assert store.problems()[0] == "epochs: there is a gap in the rows of trial b"


def test_of_two_rows_of_a_trial_the_completed_counts_else_the_latest(tmp_path: Path) -> None:
    times = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3)]
    store = Store(tmp_path)
    for name, (done, failed) in {"p": (0, 1), "q": (1, 0), "r": (2, 2)}.items():
        rows = [
            {"trial_id": "a", "started_at": times[done], "epochs_done": 1, "status": "failed"},
            {"trial_id": "b", "started_at": times[failed], "epochs_done": 9, "status": name},
        ]
        write(store, "trials", name, rows)
    complete = {"trial_id": "b", "started_at": times[0], "epochs_done": 3, "status": "completed"}
    write(store, "trials", "s", [complete])
    found = {row["trial_id"]: row for row in store.read("trials").to_pylist()}
    assert found["a"]["started_at"] == times[2]
    assert found["b"]["status"] == "completed"
