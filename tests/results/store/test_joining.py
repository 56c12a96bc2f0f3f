"""What lies beside the rows of trials, copied between run directories."""

from pathlib import Path

import pyarrow as pa

from results.records import SCHEMAS
from results.store.joining import lend
from results.store.store import Store


def test_what_two_directories_lend_stays_side_by_side(tmp_path: Path) -> None:
    target = Store(tmp_path / "target")
    target.root.mkdir()
    schema = SCHEMAS["predictions"]
    for trial_id in ("one", "two"):
        source = Store(tmp_path / trial_id)
        source.root.mkdir()
        row = {"trial_id": trial_id, "epoch": 1, "example": 0}
        source.write_part("predictions", "part", [pa.Table.from_pylist([row], schema)])
        lend(source, target, f"lent-by-{trial_id}", [trial_id], "the data")
    assert sorted(target.read("predictions")["trial_id"].to_pylist()) == ["one", "two"]
    assert {file.stem for file in target.folder("predictions").glob("*")} == {
        "lent-by-one",
        "lent-by-two",
    }
