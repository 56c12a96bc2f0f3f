"""From rows in memory to Parquet on disk: nothing is lost, nothing is written twice."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orchestrator.ledger.history import Row
from orchestrator.ledger.rows import Rows
from orchestrator.run.lock import Check
from results.errors import StoreError, Unreachable
from results.records import PREDICTION_SCHEMA
from results.store.store import Store
from results.store.tables import GrowingTable, TrialTable, table_of

FLUSH_SECONDS = 1.0
"""Seconds between two flushes, at least."""
_SECONDS_PER_PART = 0.02
_FLUSH_SHARE = 20
"""A flush may take one part in so many of the time."""
OUTAGE_SECONDS = 600.0
"""Seconds that training goes on without an object store that does not answer."""


class Recorder:
    """Writes what is new among rows, now and then, to a run directory whose lock is held.

    `test_labels` has the class of every test image, (n_test,), None where nothing is predicted;
    `still_held` raises once the lock is lost; `copy_lent` copies what lies beside borrowed rows.
    """

    def __init__(
        self,
        store: Store,
        rows: Rows,
        pass_id: str,
        test_labels: NDArray[np.int64] | None = None,
        still_held: Check = lambda **_: None,
        copy_lent: Callable[[], None] = lambda: None,
    ) -> None:
        self.still_held = still_held
        self._store, self._rows, self._pass_id = store, rows, pass_id
        self._test_labels, self._copy_lent = test_labels, copy_lent
        self._trials = TrialTable(store, pass_id)
        self._epochs = GrowingTable(store, "epochs", pass_id)
        self._predictions = GrowingTable(store, "predictions", pass_id)
        self._flushed_at = self._reached_at = time.monotonic()
        self._flush_seconds = 0.0
        self._environment: Row = {}

    def write_environment(self, row: Row) -> None:
        """Write what the pass runs on, as a row of the table of environments."""
        row = self._environment = {"pass_id": self._pass_id, **row}
        self._store.write_part("environments", self._pass_id, [table_of("environments", [row])])

    def write_end(self, asked_by: str, left_open: str | None = None) -> None:
        """Write what asked the pass to end, once, and what a budget left open."""
        if self._environment and "ended_by" not in self._environment:
            end = {"ended_by": asked_by, "ended_at": datetime.now(UTC), "left_open": left_open}
            self.write_environment({**self._environment, **end})

    def write_examples(self, fingerprint: str, rows: Callable[[], Sequence[Row]]) -> None:
        """Write what is known of each test image, once for a test set with this fingerprint."""
        if not any(part.stem.startswith(fingerprint) for part in self._store.parts("examples")):
            self._store.write_part("examples", fingerprint, [table_of("examples", rows())])

    def flush(self, *, force: bool = False) -> list[str]:
        """Write what is new about once a second; return ended trials whose rows are now safe.

        Raises StoreError if the disk refuses, or an object store does not answer for ten minutes.
        """
        rows = self._rows
        # Long runs flush less often, so that their parts stay few.
        pause = FLUSH_SECONDS + _SECONDS_PER_PART * self._epochs.parts
        pause = max(pause, _FLUSH_SHARE * self._flush_seconds)
        started = time.monotonic()
        # As many checkpoints as places: those of ended trials go before the next one is written.
        crowded = len(rows.saved) >= rows.places and not rows.saved.isdisjoint(rows.ended)
        if not (force or crowded) and started - self._flushed_at < pause:
            return []
        self.still_held(look=True)
        self._take()
        # Cut short between two of these, nothing is claimed that is not there: a trial is complete
        # by its last epoch, which comes with its predictions.
        try:
            self._copy_lent()
            self._predictions.flush()
            self._epochs.flush()
            self._trials.write(rows, rows.changed())
        except Unreachable as error:
            self._flushed_at = time.monotonic()
            if force or self._flushed_at - self._reached_at > OUTAGE_SECONDS:
                raise
            # All rows stay in memory, and the next flush tries again.
            waited = f"rows had to wait for a while: {error}"
            rows.problems.extend({waited}.difference(rows.problems))
            return []
        self._flushed_at = self._reached_at = time.monotonic()
        self._flush_seconds = self._flushed_at - started
        return rows.written()

    def keep_beside(self) -> str:
        """Write what is new beside a lost run directory; return a sentence on it, if any is."""
        self._take()
        root = self._store.root
        beside = Store(root.parent / f"{root.name}.unwritten-{self._pass_id}")
        try:
            wrote = [table.flush(beside) for table in (self._predictions, self._epochs)]
        except StoreError:
            return " What it trained since its last write is lost."
        return f" What it could not write is in {beside.root}." if any(wrote) else ""

    def _take(self) -> None:
        if self._rows.epochs:
            self._epochs.append(table_of("epochs", self._rows.epochs))
        labels = self._test_labels
        for trial_id, epoch, found in self._rows.predictions if labels is not None else ():
            is_right, each = labels == found.classes, len(found.classes)
            told = (found.of_label, found.of_class, found.in_first_five)
            columns = [
                pa.repeat(trial_id, each),
                pa.repeat(pa.scalar(epoch, pa.int64()), each),
                *(np.arange(each), labels, found.classes, is_right),
                *(pa.nulls(each) if values is None else values for values in told),
            ]
            self._predictions.append(pa.table(columns, schema=PREDICTION_SCHEMA))
        self._rows.epochs.clear()
        self._rows.predictions.clear()
