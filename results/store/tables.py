"""Tables as a running study writes them: one that rows are added to, and one whose rows change."""

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from results.records import SCHEMAS
from results.store.merging import TRIALS_PER_PART
from results.store.parts import read_parts
from results.store.store import Store


class GrowingTable:
    """A table that only gains rows: every flush adds a part, and no part is ever touched again.

    Polars and DuckDB open a file twice; a part that was replaced in between would not be read.
    Parts' names begin with a prefix that is the pass's own.
    """

    def __init__(self, store: Store, table: str, prefix: str) -> None:
        self._store, self._table, self._prefix = store, table, prefix
        self.parts = 0
        """Number of parts written so far."""
        self._tables: list[pa.Table] = []

    def append(self, rows: pa.Table) -> None:
        """Add rows; they are safe only after `flush`."""
        self._tables.append(rows)

    def flush(self, elsewhere: Store | None = None) -> bool:
        """Write what was added since the last flush, where named to another run directory.

        Returns whether there was anything. Where the disk refuses, StoreError is raised; rows stay.
        """
        if not self._tables:
            return False
        fresh, store = pa.concat_tables(self._tables), elsewhere or self._store
        store.write_part(self._table, f"{self._prefix}-{self.parts:05d}", [fresh])
        self._tables, self.parts = [], self.parts + 1
        return True


class TrialTable:
    """The table of trials: one row per `trial_id`, in one part however often the row changes.

    Which part each trial is in is read at once; new parts begin with a prefix of the pass's own.
    """

    def __init__(self, store: Store, prefix: str) -> None:
        self._store, self._prefix = store, prefix
        self._trials: dict[str, list[str]] = {}
        self._part_of: dict[str, str] = {}
        for part in store.parts("trials"):
            held = read_parts([part], "trials", ["trial_id"])["trial_id"].to_pylist()
            self._trials[part.stem] = held
            self._part_of |= dict.fromkeys(held, part.stem)

    def write(self, rows: Mapping[str, Mapping[str, Any]], changed: Iterable[str]) -> None:
        """Write every part that holds a changed row, or is to hold a new one.

        `rows` has the row of every trial of these parts, by `trial_id`; `changed` the trials whose
        rows are not as they were written last. Raises StoreError where the disk refuses.
        """
        for part in sorted({self._part_of.get(name) or self._new(name) for name in changed}):
            table = table_of("trials", (rows[trial_id] for trial_id in self._trials[part]))
            self._store.replace_part("trials", part, table)

    def _new(self, trial_id: str) -> str:
        number = len(self._part_of) // TRIALS_PER_PART
        part = f"{self._prefix}-{number:05d}"
        self._trials.setdefault(part, []).append(trial_id)
        self._part_of[trial_id] = part
        return part


def table_of(table: str, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return rows as an Arrow table with the table's full schema, null where a key is absent."""
    return pa.Table.from_pylist(list(rows), schema=SCHEMAS[table])
