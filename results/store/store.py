"""A run directory: all its paths, and its tables as they are read and merged.

Parts of a table are whole Parquet files in one folder per table, so that any tool can read the
folder while a study runs.
"""

import io
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import compress, count, repeat
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from results.errors import ResultsError, StoreError
from results.records import SCHEMAS
from results.store import merging
from results.store.files import move, write_whole
from results.store.invariants import contradictions, heads, needed, once, wrong
from results.store.objects import Location, located
from results.store.parts import is_sound, read_parts, replacement, sealed

MERGE_ABOVE = 8
"""Number of small parts that a table may have before `merge` makes fewer, larger ones."""
_READ_ATTEMPTS = 5
_READ_PAUSE = 0.2
_WRITING_SECONDS = 60.0  # a scrap of a report that is older is none that is being written
_SCRAP = re.compile(r"\..+\.[0-9a-f]{8}")
_READERS = 8
"""Parts that are looked at together: what takes time is the way to an object store and back."""


def refuse_run(folder: Location) -> None:
    """Raise ResultsError where a folder is a run directory, or lies at the top of one."""
    for place in (folder, folder.parent):
        if (place / "study.yaml").exists() and (place / "trials").is_dir():
            raise ResultsError(f"{folder} belongs to the run directory {place}; name another.")


class Store:
    """One run directory, which need not exist yet: a folder, or an address (`s3://bucket/run`).

    Raises StoreError where it is an address that cannot be used.
    """

    def __init__(self, place: str | Location) -> None:
        root = self.root = located(place)
        """What `--out` names: a folder, or a place in an object store."""
        self.study_file = root / "study.yaml"
        """The file of the study as last run, with every default filled in."""
        self.checkpoints = root / "checkpoints"
        """The folder that holds one folder per trial with a checkpoint."""
        self.report = root / "report"
        """The folder of page, figures and summary."""
        self.damaged = root / "damaged"
        """The folder that parts are set aside in when they cannot be read."""
        self.lock = root / "run.lock"
        """The lock file, held by the one `run` that may write."""
        files = (self.study_file, self.checkpoints, self.report, self.damaged, self.lock)
        self.names = {*SCHEMAS, *(file.name for file in files)}
        """Names of all that a run directory holds; anything else in it is not ours."""

    def folder(self, table: str) -> Location:
        """Return the folder of a table's parts."""
        return self.root / table

    def parts(self, table: str) -> list[Location]:
        """Return the parts of a table, oldest name first."""
        if isinstance(self.root, Path):
            return [*merging.parts(self.root, table)]
        return sorted(self.folder(table).glob("[!.]*.parquet"))

    def read(
        self, table: str, columns: Sequence[str] | None = None, where: pc.Expression | None = None
    ) -> pa.Table:
        """Return the rows of a table, all or where a condition holds, with its full schema.

        Columns are all by default. Raises StoreError without a run directory, or for damage.
        """
        wanted = list(columns or SCHEMAS[table].names)
        rows = self._held(table, [*dict.fromkeys([*wanted, *needed(table)])], where)
        return once(table, rows).select(wanted)

    def _held(
        self, table: str, columns: Sequence[str], where: pc.Expression | None = None
    ) -> pa.Table:
        """Return the rows of all parts of one moment, those that are wrong too."""
        for attempt in count(1):
            generation, parts = self._generation(table), self.parts(table)
            try:
                rows = read_parts(parts, table, columns, where)
            except Exception as error:
                # Whatever damaged bytes make of a reader. But parts that were merged while they
                # were read are there under other names.
                if self.parts(table) != parts or self._generation(table) != generation:
                    continue
                broken = [part.name for part in parts if not is_sound(part, table)]
                # An object that is replaced while it is read looks broken, and is not.
                if isinstance(self.root, Path) or attempt >= _READ_ATTEMPTS:
                    raise StoreError(
                        f"{self.folder(table)}: {', '.join(broken) or error} cannot be read. "
                        "`scalestudy run` sets damaged parts aside and trains again what they held."
                    ) from error
                time.sleep(_READ_PAUSE)
                continue
            if self._generation(table) != generation:
                continue
            if not (parts or self.root.is_dir()):
                raise StoreError(
                    f"{self.root}: no run directory is there; `scalestudy run` makes one."
                )
            return rows
        raise AssertionError("a table is read, or it is said why not")

    def _generation(self, table: str) -> int:
        """Return a number that changes when parts are merged; in an object store none ever are."""
        with suppress(OSError):
            return (self.root / table).stat().st_ino if isinstance(self.root, Path) else 0
        return 0

    def study(self) -> dict[str, Any]:
        """Return the resolved study as last run; StoreError where there is none, or unreadable."""
        try:
            study = yaml.safe_load(self.study_file.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise StoreError(
                f"{self.root}: no study has run here (study.yaml is absent). Name the folder that "
                "`scalestudy run` was given as --out, runs/<name> by default."
            ) from None
        except StoreError:
            raise
        except Exception as error:
            # An edited file may hold anything: no text, no YAML, days that there are not.
            raise StoreError(f"{self.study_file} cannot be read: {error}") from error
        blocks = ("data", "factors", "recipe", "search")
        if not isinstance(study, dict) or any(
            not isinstance(study.get(name) or {}, dict) for name in blocks
        ):
            raise StoreError(
                f"{self.study_file} does not hold a study any more; remove it, and "
                "`scalestudy run` writes it anew."
            )
        return study

    def write_study(self, study: dict[str, Any]) -> None:
        """Replace the resolved study."""
        text = yaml.safe_dump(study, sort_keys=False, allow_unicode=True, width=100)
        write_whole(self.study_file, text.encode())

    def write_part(self, table: str, name: str, groups: Sequence[pa.Table]) -> None:
        """Write one part; each table of `groups` becomes a row group of the file."""
        buffer = io.BytesIO()
        with pq.ParquetWriter(buffer, SCHEMAS[table], compression="zstd") as writer:
            for group in groups:
                writer.write_table(group)
        write_whole(self._part(table, name), sealed(buffer.getvalue()))

    def replace_part(self, table: str, name: str, rows: pa.Table) -> None:
        """Write a part, for the first time or again; whoever is reading it reads on undisturbed."""
        file = self._part(table, name)
        try:
            old = file.read_bytes()
        except OSError:
            old = b""
        write_whole(file, replacement(old, rows))

    def _part(self, table: str, name: str) -> Location:
        return self.folder(table) / f"{name}.parquet"

    def problems(self) -> list[str]:
        """Return a sentence for each thing that is wrong with the tables, and what `run` does.

        Every row that can be read counts once all the same, and none without a name.
        """
        said, unreadable = [], False
        for table in SCHEMAS:
            try:
                held = self._held(table, needed(table))
            except StoreError as error:
                said.append(str(error))
                unreadable = True
                continue
            if bad := int(wrong(table, heads(table, held)).sum()):
                what = "row is there twice, or has" if bad == 1 else "rows are there twice, or have"
                if table == "predictions":
                    whose = "trial's" if bad == 1 else "trials'"
                    what = f"{whose} predictions are there twice, or have"
                said.append(f"{table}: {bad} {what} no name")
        if unreadable:
            return said
        # In the order in which nothing is claimed before it is there.
        trials = self.read("trials", ["trial_id", "status", "epochs_done", "measured"])
        epochs = self.read("epochs", ["trial_id", "epoch"])
        predicted = self.read("predictions", ["trial_id"], where=pc.field("example") == 0)
        return said + contradictions(trials, epochs, predicted)

    def scraps(self) -> list[Path]:
        """Return the files and folders that a killed process left of what it was writing."""
        if not isinstance(self.root, Path):
            return []
        folders = [self.root, *(self.root / name for name in ("report", *SCHEMAS))]
        hidden = [file for folder in folders for file in folder.glob(".*.*")]
        # A report may be written right now: that needs no lock.
        recent = time.time() - _WRITING_SECONDS
        found = [
            file
            for file in hidden
            if _SCRAP.fullmatch(file.name)
            and (file.parent != self.report or file.stat().st_mtime < recent)
        ]
        return found + [folder for table in SCHEMAS for folder in merging.asides(self.root, table)]

    def repair(self) -> list[str]:
        """Finish a merge that was cut short and set aside what is damaged; needs the lock.

        Set aside are unreadable parts, and rows that are there twice or have no name; of each such
        part a sentence is returned. Raises StoreError where a part may be sound, but cannot be had.
        """
        messages = []
        for table in SCHEMAS:
            if isinstance(self.root, Path):
                merging.finish(self.root, table)
            parts = self.parts(table)
            with ThreadPoolExecutor(_READERS) as readers:
                sound = list(readers.map(is_sound, parts, repeat(table)))
            for part in compress(parts, (not good for good in sound)):
                move(part, aside := self._aside(table, part))
                messages.append(
                    f"{part} is damaged and was set aside as {aside}; "
                    "what only it held is trained again."
                )
            messages += self._separate(table)
        for scrap in self.scraps():
            if scrap.is_file():
                scrap.unlink(missing_ok=True)
        return messages

    def _separate(self, table: str) -> list[str]:
        """Set aside the rows that are wrong; return a sentence for each part that had some."""
        parts = self.parts(table)
        held = [heads(table, read_parts([part], table, needed(table))) for part in parts]
        bad = wrong(table, pa.concat_tables(held)) if held else np.zeros(0, bool)
        if not bad.any():
            return []
        if table == "predictions":
            # A trial's rows lie together; only where some are double, all are looked at.
            held = [read_parts([part], table, needed(table)) for part in parts]
            bad = wrong(table, pa.concat_tables(held))
        messages, ends = [], np.cumsum([len(rows) for rows in held])
        for part, own in zip(parts, np.split(bad, ends[:-1]), strict=True):
            if not own.any():
                continue
            aside = self._aside(table, part)
            if own.all():
                move(part, aside)
            else:
                # The good rows are never out of their place.
                write_whole(aside, part.read_bytes())
                kept = read_parts([part], table, SCHEMAS[table].names)
                self.write_part(table, part.stem, [kept.filter(pa.array(~own))])
            words = "rows that are elsewhere too, or have no name, were"
            if own.sum() == 1:
                words = "row that is elsewhere too, or has no name, was"
            messages.append(
                f"{part}: {int(own.sum())} {words} set aside with it as {aside}; what is missing "
                "is trained again."
            )
        return messages

    def _aside(self, table: str, part: Location) -> Location:
        names = (f"{table}-{part.stem}{'-' * number}.parquet" for number in count())
        return next(place for name in names if not (place := self.damaged / name).exists())

    def merge(self, name: str, above: int = MERGE_ABOVE) -> None:
        """Merge the small parts of every table that has many; needs the lock, and no running pass.

        At most `above` small parts stay; new ones begin with a name unique to this merge. In an
        object store nothing is merged: until the deletions every reader would meet rows twice.
        """
        if isinstance(self.root, Path):
            for table in SCHEMAS:
                merging.merge(self.root, table, name, above)
