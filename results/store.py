"""A run directory: all its paths, and its tables as they are read and merged.

Parts of a table are whole Parquet files in one folder per table, so that any tool can read the
folder while a study runs. Files are merged only under the run's lock, when no pass runs.
"""

import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import yaml

from results.errors import StoreError
from results.files import explained, sync_folder, write_whole
from results.records import SCHEMAS

MERGE_ABOVE = 8
"""Number of parts that a table may have before `merge` makes fewer, larger ones."""
_MERGED_ROWS = 2_000_000


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

    def read(self, table: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return all rows of a table.

        Parameters
        ----------
        table
            `trials`, `epochs`, `predictions` or `environments`.
        columns
            Those to read; all by default.

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
        try:
            wanted = list(columns) if columns else None
            return ds.dataset(parts, schema=schema, format="parquet").to_table(wanted)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
            broken = [part.name for part in parts if not _is_readable(part)]
            raise StoreError(
                f"{self.folder(table)}: {', '.join(broken) or error} cannot be read. "
                "`scalestudy run` sets damaged parts aside and trains again what they held."
            ) from error

    def study(self) -> dict[str, Any]:
        """Return the resolved study, as last run.

        Raises
        ------
        StoreError
            There is none, or it cannot be read.
        """
        try:
            study = yaml.safe_load(self.study_file.read_text())
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
        """Write or replace one part; each of `groups` becomes a row group.

        A growing part that keeps its earlier groups keeps their bytes too, so that a reader which
        holds the old footer still reads the right rows.
        """
        buffer = io.BytesIO()
        with pq.ParquetWriter(buffer, SCHEMAS[table], compression="zstd") as writer:
            for group in groups:
                writer.write_table(group)
        write_whole(self.folder(table) / f"{name}.parquet", buffer.getvalue())

    def repair(self) -> list[str]:
        """Finish a merge that was cut short and set damaged parts aside; needs the lock.

        Returns
        -------
        list of str
            A sentence for each part that was set aside.
        """
        messages = []
        for table in SCHEMAS:
            self._finish_merge(table)
            for scrap in self.folder(table).glob(".*.parquet.*"):
                scrap.unlink(missing_ok=True)
            for part in self.parts(table):
                if _is_readable(part):
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
        """Merge the parts of every table that has many; needs the lock, and no pass under way.

        Two renames replace the folder, so that no reader ever sees a row twice.

        Parameters
        ----------
        name
            Beginning of the new parts' names.
        above
            Number of parts that a table may keep.
        """
        for table in SCHEMAS:
            parts = self.parts(table)
            if len(parts) <= above:
                continue
            rows = self.read(table)
            if "sequence" in rows.column_names:
                rows = rows.sort_by("sequence")
            fresh = self._merging(table)
            with explained(fresh):
                shutil.rmtree(fresh, ignore_errors=True)
                fresh.mkdir()
            for number, start in enumerate(range(0, max(rows.num_rows, 1), _MERGED_ROWS)):
                buffer = io.BytesIO()
                pq.write_table(
                    rows.slice(start, _MERGED_ROWS),
                    buffer,
                    compression="zstd",
                    row_group_size=2**18,
                )
                write_whole(fresh / f"{name}-merged-{number:03d}.parquet", buffer.getvalue())
            with explained(self.folder(table)):
                self.folder(table).rename(self._replaced(table))
            self._finish_merge(table)

    def _finish_merge(self, table: str) -> None:
        folder, fresh, replaced = self.folder(table), self._merging(table), self._replaced(table)
        if not folder.is_dir() and replaced.is_dir():
            # `replaced` exists only once `fresh` is complete.
            with explained(folder):
                fresh.rename(folder)
                sync_folder(self.root)
        for leftover in (fresh, replaced):
            shutil.rmtree(leftover, ignore_errors=True)

    def _merging(self, table: str) -> Path:
        return self.root / f".{table}.merging"

    def _replaced(self, table: str) -> Path:
        return self.root / f".{table}.replaced"


def _is_readable(part: Path) -> bool:
    # Only a full read finds damage between the magic bytes.
    try:
        pq.read_table(part, partitioning=None)
    except (pa.ArrowException, OSError):
        return False
    return True
