"""Tables as a running study writes them: one that rows are added to, and one whose rows change."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from results.records import SCHEMAS
from results.store.store import Store

_TRIALS_PER_PART = 1_000


class GrowingTable:
    """A table that only gains rows: every flush adds a part, and no part is ever touched again.

    Polars and DuckDB open a file twice; a part that was replaced in between would not be read.

    Parameters
    ----------
    store
        The run directory.
    table
        Name of the table, such as `epochs`.
    prefix
        Beginning of the parts' names, unique to the pass.
    """

    def __init__(self, store: Store, table: str, prefix: str) -> None:
        self._store, self._table, self._prefix = store, table, prefix
        self.parts = 0
        """Number of parts written so far."""
        self._rows: list[Mapping[str, Any]] = []
        self._tables: list[pa.Table] = []

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row; it is safe only after `flush`."""
        self._rows.append(row)

    def append_table(self, rows: pa.Table) -> None:
        """Add many rows at once; they are safe only after `flush`."""
        self._tables.append(rows)

    def flush(self) -> None:
        """Write what was added since the last flush.

        Raises
        ------
        StoreError
            The disk refuses; the rows stay and the next flush tries again.
        """
        if not self._rows and not self._tables:
            return
        fresh = pa.concat_tables([*self._tables, table_of(self._table, self._rows)])
        self._store.write_part(self._table, f"{self._prefix}-{self.parts:05d}", [fresh])
        self._rows, self._tables, self.parts = [], [], self.parts + 1


class TrialTable:
    """The table of trials: one row per `trial_id`, in one part however often the row changes.

    Parameters
    ----------
    store
        The run directory; the trials that it records are read at once.
    prefix
        Beginning of the new parts' names, unique to the pass.
    """

    def __init__(self, store: Store, prefix: str) -> None:
        self._store, self._prefix = store, prefix
        self._parts: dict[str, dict[str, dict[str, Any]]] = {}
        self._part_of: dict[str, str] = {}
        self._written: dict[str, dict[str, Any] | None] = {}
        """Rows changed since the last flush, as they were then; None where they are new."""
        for part in store.parts("trials"):
            rows = store.read_part("trials", part)
            self._parts[part.stem] = {row["trial_id"]: row for row in rows.to_pylist()}
            self._part_of |= dict.fromkeys(self._parts[part.stem], part.stem)

    def __contains__(self, trial_id: str) -> bool:
        return trial_id in self._part_of

    def __iter__(self) -> Iterator[str]:
        return iter(self._part_of)

    def get(self, trial_id: str) -> dict[str, Any] | None:
        """Return a trial's row as it stands, or None where the trial is not known."""
        part = self._part_of.get(trial_id)
        return None if part is None else self._parts[part][trial_id]

    def update(self, trial_id: str, values: Mapping[str, Any]) -> None:
        """Change some columns of a trial's row, or add the row."""
        part = self._part_of.get(trial_id) or self._new_part(trial_id)
        row = self._parts[part].setdefault(trial_id, {"trial_id": trial_id})
        if any(_differ(row.get(key), value) for key, value in values.items()):
            self._written.setdefault(trial_id, dict(row) if row.keys() - {"trial_id"} else None)
            row.update(values)

    def flush(self) -> None:
        """Write the parts whose rows are not as they were at the last flush."""
        for part in sorted({self._part_of[name] for name in self._written if self._changed(name)}):
            rows = list(self._parts[part].values())
            self._store.replace_part("trials", part, table_of("trials", rows))
        self._written.clear()

    def _changed(self, trial_id: str) -> bool:
        written, row = self._written[trial_id], self.get(trial_id) or {}
        return written is None or any(_differ(written.get(key), row[key]) for key in row)

    def _new_part(self, trial_id: str) -> str:
        number = len(self._part_of) // _TRIALS_PER_PART
        part = f"{self._prefix}-{number:05d}"
        self._parts.setdefault(part, {})
        self._part_of[trial_id] = part
        return part


def _differ(one: Any, other: Any) -> bool:
    # NaN is the one value that is unlike itself.
    return bool(one != other and (one == one or other == other))


def table_of(table: str, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return rows as an Arrow table with the table's full schema, null where a key is absent."""
    return pa.Table.from_pylist(list(rows), schema=SCHEMAS[table])
