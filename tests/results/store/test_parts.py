"""A part that is replaced while it is being read: the old footer still finds the old rows."""

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from results.store.parts import replacement


def table(seed: int, rows: int) -> pa.Table:
    generator = np.random.default_rng(seed)
    return pa.table(
        {
            "name": [f"row-{seed}-{number}" for number in range(rows)],
            "value": generator.normal(size=rows),
            "none": pa.nulls(rows, pa.string()),
        }
    )


def read(file: bytes, footer_of: bytes | None = None) -> pa.Table:
    """Read a file, with the footer of another as one does that opened it before."""
    metadata = pq.read_metadata(io.BytesIO(footer_of or file))
    return pq.ParquetFile(io.BytesIO(file), metadata=metadata).read()


@pytest.mark.parametrize("growth", [0, 1, 40, -7])
def test_each_version_reads_right_with_its_own_footer_and_with_the_one_before(growth: int) -> None:
    old, before = b"", None
    for version in range(12):
        rows = table(version, 300 + growth * version)
        new = replacement(old, rows)
        assert read(new).equals(rows)
        assert new[:4] == new[-4:] == b"PAR1"
        if before is not None:
            assert read(new, footer_of=old).equals(before)
        old, before = new, rows


def test_it_does_not_grow_without_end() -> None:
    alone = len(replacement(b"", table(0, 300)))
    file, sizes = b"", []
    for version in range(60):
        file = replacement(file, table(version, 300))
        sizes.append(len(file))
    assert max(sizes) < 4 * alone
    assert sizes[-1] <= max(sizes[:10])


@pytest.mark.parametrize("old", [b"", b"PAR1", b"no parquet at all", b"PAR1" + bytes(20) + b"PAR1"])
def test_what_nobody_can_be_reading_is_forgotten(old: bytes) -> None:
    assert replacement(old, table(1, 5)) == replacement(b"", table(1, 5))


@pytest.mark.parametrize("counts", [(0, 3, 0, 0, 5)])
def test_empty_tables(counts: tuple[int, ...]) -> None:
    old, before = b"", None
    for version, count in enumerate(counts):
        rows = table(version, count)
        new = replacement(old, rows)
        assert read(new).equals(rows)
        if before is not None:
            assert read(new, footer_of=old).equals(before)
        old, before = new, rows


def test_files_of_other_writers_are_read_on_too() -> None:
    rows = table(3, 1000)
    sink = io.BytesIO()
    pq.write_table(rows, sink, compression="snappy", row_group_size=100)
    old: Any = sink.getvalue()
    new = replacement(old, table(4, 10))
    assert read(new).equals(table(4, 10))
    assert read(new, footer_of=old).equals(rows)
