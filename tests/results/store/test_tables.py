"""Tables as a running study writes them."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from results.errors import StoreError
from results.records import EPOCH_SCHEMA, TRIAL_SCHEMA
from results.store.store import Store
from results.store.tables import GrowingTable, TrialTable, table_of


def epoch(sequence: int) -> dict[str, Any]:
    return {"trial_id": "a", "epoch": sequence, "sequence": sequence, "val_accuracy": 0.5}


def test_a_part_once_written_is_never_touched_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    table = GrowingTable(store, "epochs", "pass")
    seen: dict[Path, tuple[bytes, int]] = {}
    for flush in range(5):
        for number in range(3):
            table.append(table_of("epochs", [epoch(3 * flush + number + 1)]))
        table.flush()
        for part, before in seen.items():
            assert (part.read_bytes(), part.stat().st_mtime_ns) == before
        seen = {
            part: (part.read_bytes(), part.stat().st_mtime_ns) for part in store.parts("epochs")
        }
        assert len(seen) == table.parts == flush + 1
        assert store.read("epochs")["sequence"].to_pylist() == [*range(1, 3 * flush + 4)]


def test_nothing_new_writes_nothing(tmp_path: Path) -> None:
    table = GrowingTable(Store(tmp_path), "epochs", "pass")
    table.flush()
    assert [*tmp_path.iterdir()] == []


def test_tables_that_are_appended_go_together(tmp_path: Path) -> None:
    store = Store(tmp_path)
    table = GrowingTable(store, "epochs", "pass")
    table.append(table_of("epochs", [epoch(1), epoch(2)]))
    table.append(table_of("epochs", [epoch(3)]))
    table.flush()
    assert store.read("epochs")["sequence"].to_pylist() == [1, 2, 3]


def test_rows_that_could_not_be_written_are_written_later(tmp_path: Path) -> None:
    store = Store(tmp_path)
    table = GrowingTable(store, "epochs", "pass")
    table.append(table_of("epochs", [epoch(1)]))
    store.folder("epochs").touch()
    with pytest.raises(StoreError):
        table.flush()
    store.folder("epochs").unlink()
    table.append(table_of("epochs", [epoch(2)]))
    table.flush()
    assert store.read("epochs")["sequence"].to_pylist() == [1, 2]


def test_trials_are_one_row_each_however_often_they_change(tmp_path: Path) -> None:
    store = Store(tmp_path)
    table, held = TrialTable(store, "pass"), {}
    for number in range(20):
        name = f"t{number % 4}"
        held[name] = {"trial_id": name, "epochs_done": number, "status": "running"}
        table.write(held, [name])
        rows = store.read("trials").to_pandas()
        assert rows.trial_id.is_unique
    assert dict(zip(rows.trial_id, rows.epochs_done, strict=True)) == {
        "t0": 16,
        "t1": 17,
        "t2": 18,
        "t3": 19,
    }
    assert len(store.parts("trials")) == 1
    assert store.read("trials")["trial_id"].to_pylist() == ["t0", "t1", "t2", "t3"]


def test_only_parts_whose_rows_changed_are_written(tmp_path: Path) -> None:
    store = Store(tmp_path)
    rows = {"a": {"trial_id": "a", "status": "completed"}}
    TrialTable(store, "one").write(rows, ["a"])
    second = TrialTable(store, "two")
    before = {part: part.stat().st_mtime_ns for part in store.parts("trials")}
    rows["b"] = {"trial_id": "b", "status": "planned"}
    second.write(rows, ["b"])
    after = {part: part.stat().st_mtime_ns for part in store.parts("trials")}
    assert len(after) == 2
    assert before.items() <= after.items()
    rows["a"] = {"trial_id": "a", "status": "failed"}
    second.write(rows, ["a"])
    second.write(rows, [])
    assert len(store.parts("trials")) == 2
    assert sorted(store.read("trials")["status"].to_pylist()) == ["failed", "planned"]


def test_many_trials_are_spread_over_parts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    table = TrialTable(store, "pass")
    names = [f"t{number:04d}" for number in range(2_500)]
    rows = {name: {"trial_id": name, "status": "planned"} for name in names}
    table.write(rows, names)
    assert [pq.read_metadata(part).num_rows for part in store.parts("trials")] == [1000, 1000, 500]
    before = {part: part.stat().st_mtime_ns for part in store.parts("trials")}
    rows["t0001"] = {"trial_id": "t0001", "status": "running"}
    table.write(rows, ["t0001"])
    after = {part: part.stat().st_mtime_ns for part in store.parts("trials")}
    assert sum(before[part] != after[part] for part in before) == 1
    # As pandas users do it.
    assert len(pd.read_parquet(store.folder("trials"))) == 2_500
    again = TrialTable(store, "next")
    rows["t0001"] = {"trial_id": "t0001", "status": "completed"}
    again.write(rows, ["t0001"])
    assert sum(before[part] != part.stat().st_mtime_ns for part in before) == 1


def test_columns_that_older_parts_lack_are_null(tmp_path: Path) -> None:
    store = Store(tmp_path)
    old = table_of("trials", [{"trial_id": "a", "status": "completed"}]).drop_columns(["slot"])
    store.folder("trials").mkdir()
    pq.write_table(old, store.folder("trials") / "old.parquet")
    (row,) = store.read("trials").to_pylist()
    assert row["slot"] is None
    TrialTable(store, "pass").write({"a": {**row, "slot": 3}}, ["a"])
    assert store.read("trials")["slot"].to_pylist() == [3]


def test_tables_have_every_column() -> None:
    assert table_of("epochs", [{"trial_id": "a"}]).schema == EPOCH_SCHEMA
    assert table_of("trials", []).schema == TRIAL_SCHEMA
