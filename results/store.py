"""A run directory: all its paths, and its tables as they are read and merged.

Parts of a table are whole Parquet files in one folder per table, so that any tool can read the
folder while a study runs. Files are merged only under the run's lock, when no pass runs.
"""

import io
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import yaml

from results.errors import StoreError
from results.files import explained, sync, write_whole
from results.records import SCHEMAS
from results.replacement import replacement

MERGE_ABOVE = 8
"""Number of small parts that a table may have before `merge` makes fewer, larger ones."""
_MERGED_ROWS = dict.fromkeys(SCHEMAS, 2_000_000) | {"trials": 1_000}
"""Rows of a merged part, about; parts of half as many stay as they are. Trials change, and a part
is rewritten whole whenever one of its rows does."""
_GROUP_ROWS = 2**18


@dataclass(frozen=True)
class Store:
    """One run directory, which need not exist yet.

    Parameters
    ----------
    root
        The folder that `--out` names.
    """

    root: Path

    @property
    def study_file(self) -> Path:
        """The study as last run, with every default filled in."""
        return self.root / "study.yaml"

    @property
    def checkpoints(self) -> Path:
        """One folder per trial that has a checkpoint."""
        return self.root / "checkpoints"

    @property
    def report(self) -> Path:
        """Page, figures and summary."""
        return self.root / "report"

    @property
    def damaged(self) -> Path:
        """Where parts that cannot be read are set aside."""
        return self.root / "damaged"

    @property
    def lock(self) -> Path:
        """Held by the one `run` that may write."""
        return self.root / "run.lock"

    @property
    def names(self) -> set[str]:
        """What a run directory holds: anything else is not ours."""
        files = (self.study_file, self.checkpoints, self.report, self.damaged, self.lock)
        return {*SCHEMAS, *(file.name for file in files)}

    def folder(self, table: str) -> Path:
        """Return the folder of a table's parts."""
        return self.root / table

    def parts(self, table: str) -> list[Path]:
        """Return the parts of a table, oldest name first."""
        folder = self.folder(table)
        if not folder.is_dir():
            # A merge was cut between its two renames: the old parts are whole.
            folder = self._replaced(table)
        return sorted(folder.glob("[!.]*.parquet"))

    def read(
        self,
        table: str,
        columns: Sequence[str] | None = None,
        where: pc.Expression | None = None,
    ) -> pa.Table:
        """Return the rows of a table.

        Parameters
        ----------
        table
            `trials`, `epochs`, `predictions` or `environments`.
        columns
            Those to read; all by default.
        where
            Which rows; all by default.

        Returns
        -------
        pyarrow.Table
            With the table's full schema, also when there is no row yet.

        Raises
        ------
        StoreError
            There is no run directory, or a part is damaged.
        """
        if not self.root.is_dir():
            raise StoreError(f"{self.root}: no run directory is there; `scalestudy run` makes one.")
        schema = SCHEMAS[table]
        parts = self.parts(table)
        if not parts:
            empty = schema.empty_table()
            return empty.select(list(columns)) if columns else empty
        wanted = list(columns) if columns else None
        while True:
            try:
                return _dataset(parts, table).to_table(wanted, filter=where)
            except (pa.ArrowException, OSError) as error:
                now = self.parts(table)
                # Parts that were merged while they were read are there under other names.
                if now == parts:
                    raise self._unreadable(table, parts, error) from error
                parts = now

    def study(self) -> dict[str, Any]:
        """Return the resolved study, as last run.

        Raises
        ------
        StoreError
            There is none, or it cannot be read.
        """
        try:
            study = yaml.safe_load(self.study_file.read_text())
        except NotADirectoryError:
            raise StoreError(
                f"{self.root}: a file, where a run directory is expected: the folder that "
                "`scalestudy run` was given as --out, runs/<name> by default."
            ) from None
        except FileNotFoundError:
            raise StoreError(
                f"{self.root}: no study has run here (study.yaml is absent). "
                "Name the folder that `scalestudy run` was given as --out."
            ) from None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise StoreError(f"{self.study_file} cannot be read: {error}") from error
        if not isinstance(study, dict):
            raise StoreError(f"{self.study_file} does not hold a study.")
        return study

    def write_study(self, study: dict[str, Any]) -> None:
        """Replace the resolved study."""
        text = yaml.safe_dump(study, sort_keys=False, allow_unicode=True, width=100)
        write_whole(self.study_file, text.encode())

    def write_part(self, table: str, name: str, groups: Sequence[pa.Table]) -> None:
        """Write one part; each of `groups` becomes a row group."""
        buffer = io.BytesIO()
        with pq.ParquetWriter(buffer, SCHEMAS[table], compression="zstd") as writer:
            for group in groups:
                writer.write_table(group)
        write_whole(self._part(table, name), buffer.getvalue())

    def replace_part(self, table: str, name: str, rows: pa.Table) -> None:
        """Write a part again, or for the first time, so that whoever is reading it reads on."""
        file = self._part(table, name)
        try:
            old = file.read_bytes()
        except OSError:
            old = b""
        write_whole(file, replacement(old, rows))

    def _part(self, table: str, name: str) -> Path:
        return self.folder(table) / f"{name}.parquet"

    def repair(self) -> list[str]:
        """Finish a merge that was cut short and set damaged parts aside; needs the lock.

        Returns
        -------
        list of str
            A sentence for each part that was set aside.

        Raises
        ------
        StoreError
            A part may be sound, but the file system does not let it be read.
        """
        messages = []
        for table in SCHEMAS:
            self._finish_merge(table)
            for scrap in self.folder(table).glob(".*.parquet.*"):
                scrap.unlink(missing_ok=True)
            for part in self.parts(table):
                if _is_sound(part, table):
                    continue
                aside = self.damaged / f"{table}-{part.name}"
                with explained(aside):
                    self.damaged.mkdir(exist_ok=True)
                    part.replace(aside)
                messages.append(
                    f"{part} is damaged and was set aside as {aside}; "
                    "what only it held is trained again."
                )
        return messages

    def merge(self, name: str, above: int = MERGE_ABOVE) -> None:
        """Merge the small parts of every table that has many; needs the lock, and no running pass.

        Two renames replace the folder, so that no reader ever sees a row twice. Large parts, and
        files that are no parts, go along as they are.

        Parameters
        ----------
        name
            Beginning of the new parts' names.
        above
            Number of small parts that a table may keep.
        """
        for table in SCHEMAS:
            self._finish_merge(table)
            limit = _MERGED_ROWS[table]
            small = [part for part in self.parts(table) if _rows(part) < limit // 2]
            if len(small) <= above:
                continue
            folder, fresh = self.folder(table), self._merging(table)
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
                    folder.rename(self._replaced(table))
            except StoreError:
                shutil.rmtree(fresh, ignore_errors=True)
                raise
            self._finish_merge(table)

    def _finish_merge(self, table: str) -> None:
        folder, fresh, replaced = self.folder(table), self._merging(table), self._replaced(table)
        if not folder.is_dir() and replaced.is_dir():
            # `replaced` exists only once `fresh` is complete.
            with explained(folder):
                (fresh if fresh.is_dir() else replaced).rename(folder)
                sync(self.root)
        for leftover in (fresh, replaced):
            shutil.rmtree(leftover, ignore_errors=True)

    def _unreadable(self, table: str, parts: Sequence[Path], error: Exception) -> StoreError:
        broken = [part.name for part in parts if not _is_sound(part, table)]
        return StoreError(
            f"{self.folder(table)}: {', '.join(broken) or error} cannot be read. "
            "`scalestudy run` sets damaged parts aside and trains again what they held."
        )

    def _merging(self, table: str) -> Path:
        return self.root / f".{table}.merging"

    def _replaced(self, table: str) -> Path:
        return self.root / f".{table}.replaced"


def _dataset(parts: Sequence[Path], table: str) -> ds.Dataset:
    return ds.dataset(parts, schema=SCHEMAS[table], format="parquet")


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
            for batch in _dataset([part], table).to_batches(batch_readahead=1):
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


def _is_sound(part: Path, table: str) -> bool:
    """Return whether every row can be read, with this table's columns.

    Raises
    ------
    StoreError
        The file system does not let the part be read, whatever it holds.
    """
    try:
        file = pq.ParquetFile(part)
        ours = SCHEMAS[table]
        known = [field for field in file.schema_arrow if field.name in ours.names]
        if ours.names[0] not in file.schema_arrow.names or any(
            not field.type.equals(ours.field(field.name).type) for field in known
        ):
            return False
        # Only a full read finds damage between the magic bytes.
        for _ in file.iter_batches():
            pass
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise StoreError(f"{part} cannot be read: {error.strerror}.") from error
        return False
    return True
