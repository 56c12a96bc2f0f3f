"""A flipped bit of a part is noticed, or changes nothing."""

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness import flipped

from results.errors import StoreError
from results.store.parts import is_intact, seal, sealed
from results.store.store import Store
from results.store.tables import table_of


def rows(count: int) -> pa.Table:
    generator = random.Random(0)
    return table_of(
        "epochs",
        [
            {"trial_id": f"t{n}", "epoch": 1, "sequence": n, "val_loss": generator.random()}
            for n in range(count)
        ],
    )


def test_what_is_sealed_is_read_as_before_and_by_any_reader(tmp_path: Path) -> None:
    file = tmp_path / "part.parquet"
    pq.write_table(rows(50), file)
    content = file.read_bytes()
    with file.open("r+b") as opened:
        seal(opened)
    assert file.read_bytes() == sealed(content)
    assert pq.read_table(file).equals(rows(50))
    assert is_intact(file)


def test_what_has_no_checksum_is_not_checked(tmp_path: Path) -> None:
    file = tmp_path / "part.parquet"
    pq.write_table(rows(5), file)
    assert is_intact(file)
    for content in (b"", b"PAR1", b"PAR1\xff\xff\xff\xffPAR1"):
        file.write_bytes(content)
        assert is_intact(file)


def noticed(store: Store, expected: pa.Table) -> bool:
    """Return whether damage is said, before and by a repair; what is not changes no value."""
    try:
        found = store.read("epochs")
    except StoreError:
        assert len(store.repair()) == 1
        return True
    assert found.equals(expected)
    return False


@pytest.mark.parametrize("how", ["written", "replaced"])
def test_a_flipped_bit_is_noticed_or_harmless(tmp_path: Path, how: str) -> None:
    store, table = Store(tmp_path), rows(40)
    if how == "written":
        store.write_part("epochs", "p", [table])
    else:
        for count in (20, 30, 40):
            store.replace_part("epochs", "p", rows(count))
    (part,) = store.parts("epochs")
    content = part.read_bytes()
    places = random.Random(how).sample(range(8 * len(content)), 60)
    seen = 0
    for place in places:
        part.write_bytes(flipped(content, place))
        seen += noticed(store, table)
        store.folder("epochs").mkdir(exist_ok=True)
        part.write_bytes(content)
    assert seen >= 55
