"""What earlier passes recorded, as a new pass needs it: the results are the state."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from results.records import Status
from results.store.store import Store

COMPARED = (
    "step",
    "examples_seen",
    "train_loss",
    "train_accuracy",
    "train_correct",
    "train_seen",
    "val_loss",
    "val_accuracy",
    "test_loss",
    "test_accuracy",
    "lr_last",
)
"""Epoch columns that training the same trial again must give to the last digit."""

_READ = ("trial_id", "sequence", "epoch", "seconds", *COMPARED)


class History:
    """Recorded epochs and trials of a run directory.

    Parameters
    ----------
    store
        The run directory; one that does not exist yet has no history.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.trials: dict[str, dict[str, Any]] = {}
        self._epochs = pa.table({name: [] for name in _READ})
        self._spans: dict[str, tuple[int, int]] = {}
        self._strays: dict[tuple[str, int], int] = {}
        self.last_sequence = 0
        self.predicted: dict[str, set[int]] = {}
        """Epochs whose predictions are recorded, by trial."""
        self._lost_predictions = False
        if not store.root.is_dir():
            return
        self.trials = {row["trial_id"]: row for row in store.read("trials").to_pylist()}
        epochs = store.read("epochs", _READ)
        if epochs.num_rows:
            self.last_sequence = pc.max(epochs["sequence"]).as_py()
            keys = [(key, "ascending") for key in ("trial_id", "epoch", "sequence")]
            self._epochs = _first_of_each(epochs.sort_by(keys))
            self._spans = _spans(self._epochs)
            self._strays = _strays(self._epochs, self._spans)
        first = store.read("predictions", ["trial_id", "epoch"], where=pc.field("example") == 0)
        for trial_id, epoch in zip(*(column.to_pylist() for column in first.columns), strict=True):
            self.predicted.setdefault(trial_id, set()).add(epoch)
        self._lost_predictions = any(store.damaged.glob("predictions-*"))

    def __len__(self) -> int:
        return len(self.trials)

    def epochs_done(self, trial_id: str) -> int:
        """Return how many epochs from the first on are recorded without a gap."""
        return self._spans.get(trial_id, (0, 0))[1]

    def curve(self, trial_id: str) -> NDArray[np.float64]:
        """Return the recorded validation accuracies, (epochs_done,)."""
        return self.column(trial_id, "val_accuracy")

    def column(self, trial_id: str, name: str) -> NDArray[np.float64]:
        """Return one recorded column of a trial, (epochs_done,)."""
        start, count = self._spans.get(trial_id, (0, 0))
        values: NDArray[np.float64] = self._epochs[name].slice(start, count).to_numpy()
        return values

    def stray(self, trial_id: str, epoch: int) -> dict[str, Any] | None:
        """Return the metrics of an epoch recorded beyond a gap, or None."""
        place = self._strays.get((trial_id, epoch))
        if place is None:
            return None
        rows: list[dict[str, Any]] = self._epochs.slice(place, 1).to_pylist()
        return rows[0]

    def rows(self, trial_id: str) -> list[dict[str, Any]]:
        """Return the recorded metrics of a trial, first epoch first."""
        start, count = self._spans.get(trial_id, (0, 0))
        rows: list[dict[str, Any]] = self._epochs.slice(start, count).to_pylist()
        return rows

    def arrivals(self) -> Iterator[tuple[str, int, float]]:
        """Yield (trial_id, epoch, val_accuracy) in the order in which they were recorded."""
        order = self._epochs.sort_by("sequence")
        for batch in order.select(["trial_id", "epoch", "val_accuracy"]).to_batches():
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

    def status(self, trial_id: str) -> Status | None:
        """Return what became of a trial, or None where it was never planned."""
        row = self.trials.get(trial_id)
        return Status(row["status"]) if row and row["status"] else None

    def is_complete(self, trial_id: str, budget: int) -> bool:
        """Return whether a trial's epochs, facts and predictions are recorded up to a budget."""
        row = self.trials.get(trial_id)
        if row is None:
            return False
        # Facts come with the last row; a trainable of one's own need not count its parameters.
        if row.get("n_parameters") is None and row.get("status") != Status.COMPLETED.value:
            return False
        if self._lost_predictions and max(self.predicted.get(trial_id, {0})) < budget:
            return False
        return self.epochs_done(trial_id) >= budget


def _first_of_each(epochs: pa.Table) -> pa.Table:
    """Return the sorted rows without any that repeats the trial and epoch before it."""
    identifiers = epochs["trial_id"].to_numpy(zero_copy_only=False)
    numbers = epochs["epoch"].to_numpy()
    fresh = (identifiers[1:] != identifiers[:-1]) | (numbers[1:] != numbers[:-1])
    return epochs.filter(pa.array(np.r_[True, fresh].astype(bool)))


def _strays(epochs: pa.Table, spans: dict[str, tuple[int, int]]) -> dict[tuple[str, int], int]:
    """Return the places of rows beyond a gap, by trial and epoch."""
    inside = np.zeros(epochs.num_rows, bool)
    for start, count in spans.values():
        inside[start : start + count] = True
    places = np.flatnonzero(~inside).tolist()
    identifiers, numbers = epochs["trial_id"], epochs["epoch"]
    return {(identifiers[place].as_py(), numbers[place].as_py()): place for place in places}


def _spans(epochs: pa.Table) -> dict[str, tuple[int, int]]:
    """Return for each trial the first row and the number of rows before a gap."""
    identifiers = epochs["trial_id"].to_numpy(zero_copy_only=False)
    numbers = epochs["epoch"].to_numpy()
    starts = np.flatnonzero(np.r_[True, identifiers[1:] != identifiers[:-1]])
    ends = np.r_[starts[1:], len(identifiers)]
    spans = {}
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        expected = np.arange(1, end - start + 1)
        gaps = np.flatnonzero(numbers[start:end] != expected)
        spans[identifiers[start]] = (start, int(gaps[0]) if len(gaps) else end - start)
    return spans
