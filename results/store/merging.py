"""Many small Parquet parts on a file system made into few, so that a crash harms nothing."""

import os
import shutil
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from results.errors import StoreError
from results.records import SCHEMAS
from results.store.files import explained, sync

_MERGED_ROWS = dict.fromkeys(SCHEMAS, 2_000_000) | {"trials": 1_000}
"""Rows of a merged part, about; parts of half as many stay as they are. Trials change, and a part
is rewritten whole whenever one of its rows does."""
_GROUP_ROWS = 2**18


def parts(root: Path, table: str) -> list[Path]:
    """Return the parts of a table in a run directory, oldest name first."""
    folder = root / table
    if not folder.is_dir():
        # A merge was cut between its two renames: the old parts are whole.
        folder = _replaced(root, table)
    return sorted(folder.glob("[!.]*.parquet"))


def merge(root: Path, table: str, name: str, above: int) -> None:
    """Merge the small parts of a table where it has more than `above` of them.

    Two renames replace the folder, so that no reader ever sees a row twice. Large parts, and files
    that are no parts, go along as they are. New parts begin with a name unique to this merge.
    """
    finish(root, table)
    limit = _MERGED_ROWS[table]
    small = [part for part in parts(root, table) if _rows(part) < limit // 2]
    if len(small) <= above:
        return
    folder, fresh = root / table, _merging(root, table)
    try:
        with explained(fresh):
            fresh.mkdir()
            for file in sorted(folder.iterdir()):
                if file not in small:
                    _carry(file, fresh / file.name)
            free = (fresh / f"{name}-merged-{number:03d}.parquet" for number in count())
            unused = (path for path in free if not path.exists())
            for batch in _batches(small, limit):
                _write_merged(next(unused), table, batch)
            sync(fresh)
            folder.rename(_replaced(root, table))
    except StoreError:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    finish(root, table)


def finish(root: Path, table: str) -> None:
    """Bring a merge that was cut short to its end, or undo it."""
    folder, fresh, replaced = root / table, _merging(root, table), _replaced(root, table)
    if not folder.is_dir() and replaced.is_dir():
        # `replaced` exists only once `fresh` is complete.
        with explained(folder):
            (fresh if fresh.is_dir() else replaced).rename(folder)
            sync(root)
    for leftover in (fresh, replaced):
        shutil.rmtree(leftover, ignore_errors=True)


def _merging(root: Path, table: str) -> Path:
    return root / f".{table}.merging"


def _replaced(root: Path, table: str) -> Path:
    return root / f".{table}.replaced"


def _rows(part: Path) -> int:
    rows: int = pq.read_metadata(part).num_rows
    return rows


def _batches(parts: Sequence[Path], limit: int) -> Iterator[list[Path]]:
    """Yield neighbours whose rows together just reach the limit."""
    batch: list[Path] = []
    held = 0
    for part in parts:
        batch.append(part)
        held += _rows(part)
        if held >= limit:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _write_merged(file: Path, table: str, parts: Sequence[Path]) -> None:
    """Write the rows of many parts as one, a row group in memory at a time."""
    with pq.ParquetWriter(file, SCHEMAS[table], compression="zstd") as writer:
        held: list[pa.RecordBatch] = []
        # One part after another, with nothing read far ahead: parts may be larger than memory.
        for part in parts:
            rows = ds.dataset([part], schema=SCHEMAS[table], format="parquet")
            for batch in rows.to_batches(batch_readahead=1):
                held.append(batch)
                if sum(batch.num_rows for batch in held) >= _GROUP_ROWS:
                    writer.write_table(pa.Table.from_batches(held))
                    held = []
        if held:
            writer.write_table(pa.Table.from_batches(held))
    sync(file)


def _carry(file: Path, target: Path) -> None:
    """Put a file into another folder as well, without copying it where that can be had."""
    if file.is_dir():
        shutil.copytree(file, target)
        return
    try:
        os.link(file, target)
    except OSError:
        # Not every file system knows two names for one file.
        shutil.copy2(file, target)
        sync(target)
