"""Many small Parquet parts on a file system made into few, so that a crash harms nothing."""

import ctypes
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from results.errors import StoreError
from results.records import SCHEMAS
from results.store.files import explained, sync
from results.store.parts import seal

TRIALS_PER_PART = 1_000
"""Trials change, and a part is rewritten whole whenever one of its rows does."""
_MERGED_ROWS = dict.fromkeys(SCHEMAS, 2_000_000) | {"trials": TRIALS_PER_PART}
"""Rows of a merged part, about; parts of half as many stay as they are."""
_GROUP_ROWS = 2**18
_LISTED = 10.0  # seconds in which whoever has begun to list a folder has come to the end
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE, of Linux's renameat2


def parts(root: Path, table: str) -> list[Path]:
    """Return a table's parts, oldest name first; StoreError where its folder is a dead link."""
    folder = root / table
    if not folder.is_dir():
        if folder.is_symlink():
            raise StoreError(
                f"{folder} is a link to {folder.readlink()}, which is not there; mount that disk, "
                "or put a folder in the link's place."
            )
        # A merge was cut between two renames: the old parts are whole.
        folder = _beside(folder, "replaced")
    return sorted(folder.glob("[!.]*.parquet"))


def merge(root: Path, table: str, name: str, above: int) -> None:
    """Merge the small parts of a table where it has more than `above` of them.

    A new folder takes the place of the old one at once, so that no reader ever sees a row twice, or
    too few; the old one waits beside it. Large parts, and files that are no parts, go along as they
    are. New parts begin with a name unique to this merge.
    """
    finish(root, table)
    limit = _MERGED_ROWS[table]
    small = [part for part in parts(root, table) if _rows(part) < limit // 2]
    if len(small) <= above:
        return
    # Where the folder is a link, all is done where it leads.
    folder = (root / table).resolve()
    fresh, small = _beside(folder, "merging"), [folder / part.name for part in small]
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
            old = fresh
            if not _exchange(fresh, folder):
                old = folder.rename(_beside(folder, "replaced"))
                fresh.rename(folder)
            sync(folder.parent)
            old.rename(_beside(folder, f"{old.stat().st_ino}.old"))
    except StoreError:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def finish(root: Path, table: str) -> None:
    """Bring a merge that was cut short to its end, or undo it; remove what it replaced."""
    folder = (root / table).resolve()
    fresh, replaced = (_beside(folder, fate) for fate in ("merging", "replaced"))
    if not folder.is_dir() and replaced.is_dir():
        # `replaced` has its name only once `fresh` is complete.
        with explained(folder):
            (fresh if fresh.is_dir() else replaced).rename(folder)
            sync(folder.parent)
    # A reader may have begun to list what was replaced a moment ago.
    past = [old for old in asides(root, table) if time.time() - old.stat().st_ctime > _LISTED]
    for leftover in (fresh, replaced, *past):
        shutil.rmtree(leftover, ignore_errors=True)


def asides(root: Path, table: str) -> list[Path]:
    """Return the folders that merges put others in the place of, and that nobody needs any more."""
    folder = (root / table).resolve()
    return sorted(folder.parent.glob(f".{folder.name}.*.old"))


def _beside(folder: Path, fate: str) -> Path:
    return folder.with_name(f".{folder.name}.{fate}")


def _exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two folders in one instant, where the system knows how."""
    try:
        exchange = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    return int(exchange(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE)) == 0


def _rows(part: Path) -> int:
    return int(pq.read_metadata(part).num_rows)


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
    with file.open("r+b") as opened:
        seal(opened)
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
