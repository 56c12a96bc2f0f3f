"""From what workers report to rows on disk: nothing is lost, nothing is written twice."""

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orchestrator.ledger.history import COMPARED, History
from orchestrator.ledger.stages import Wanted
from orchestrator.ledger.stopping import Stop
from results.errors import Unreachable
from results.ranking import rank
from results.records import PREDICTION_SCHEMA, Status
from results.store.store import Store
from results.store.tables import GrowingTable, TrialTable

FLUSH_SECONDS = 1.0
_SECONDS_PER_PART = 0.02
_FLUSH_SHARE = 20
"""A flush may take one part in so many of the time."""
OUTAGE_SECONDS = 600.0
"""For so long training goes on without an object store that does not answer."""

_MEASURES = [
    f"{split}_{kind}" for split in ("train", "val", "test") for kind in ("loss", "accuracy")
]
_OPEN = dict.fromkeys(
    ["best_epoch", "stopped_at_epoch", "stopped_cutoff"]
    + [f"{which}_{name}" for which in ("final", "best") for name in _MEASURES]
)
"""What is not known of a trial that has more to train, whatever was known before."""


class Recorder:
    """Writes a pass's rows.

    Parameters
    ----------
    store
        The run directory; its lock is held.
    history
        What was recorded before.
    pass_id
        Beginning of the new parts' names.
    test_labels
        Of the test images, (n_test,); None where a trainable predicts nothing.
    """

    def __init__(
        self,
        store: Store,
        history: History,
        pass_id: str,
        test_labels: NDArray[np.int64] | None = None,
    ) -> None:
        self._store, self._history, self._test_labels = store, history, test_labels
        self._trials = TrialTable(store, pass_id)
        self._epochs = GrowingTable(store, "epochs", pass_id)
        self._predictions = GrowingTable(store, "predictions", pass_id)
        self._sequence = history.last_sequence
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._identities: dict[str, dict[str, Any]] = {}
        self._paces: dict[str, tuple[float | None, int | None]] = {}
        self._slots: dict[str, int] = {}
        self._finished: list[str] = []
        self._saved: set[str] = set()
        self._places = 1
        self._flushed_at = self._reached_at = time.monotonic()
        self._flush_seconds = 0.0
        self.problems: list[str] = []

    def declare(self, wanted: Wanted, *, measured: bool, complete: bool, stopped: bool) -> None:
        """Make sure a wanted trial has its row, up to date with the study as it is now."""
        trial = wanted.trial
        trial_id = trial.trial_id
        row = self._trials.get(trial_id) or {}
        trained = self._history.epochs_done(trial_id)
        stage = row["stage"] if trained and row.get("stage") else wanted.stage.value
        values: dict[str, Any] = {
            **trial.columns(),
            "stage": stage,
            "wanted": True,
            "measured": measured,
            "epochs_budget": trial.recipe.intervals,
        }
        if complete:
            rows = self._history.rows(trial_id)[: trial.recipe.intervals]
            values |= {**_OPEN, **_finals(rows), "status": Status.COMPLETED.value, "error": None}
        elif not stopped:
            values |= {**_OPEN, **_progress(self._history.rows(trial_id))}
            if row.get("status") != Status.FAILED.value:
                values["status"] = Status.PLANNED.value
        if not row:
            values["attempts"] = 0
        self._identities[trial_id] = {**trial.columns(), "stage": stage}
        self._trials.update(trial_id, values)

    def measure(self, trial_id: str, measured: bool) -> None:
        """Say whether comparisons use a trial."""
        self._trials.update(trial_id, {"measured": measured})

    def disown(self, trial_ids: Iterable[str]) -> None:
        """Mark trials that the study no longer asks for; nothing is deleted."""
        for trial_id in trial_ids:
            values: dict[str, Any] = {"wanted": False, "measured": False}
            if self.trial(trial_id).get("status") == Status.RUNNING.value:
                values["status"] = Status.PLANNED.value
            self._trials.update(trial_id, values)

    def start(
        self, trial_id: str, host: str | None, cpu: float, gpu: float, speed: float | None
    ) -> None:
        """Note that a trial has been given a place."""
        row = self._trials.get(trial_id) or {}
        # The rows of a trial that starts again in the same pass stay as they are.
        self._rows.setdefault(trial_id, self._history.rows(trial_id))
        taken = set(self._slots.values())
        slot = self._slots.get(trial_id)
        if slot is None:
            slot = next(number for number in range(len(taken) + 1) if number not in taken)
        self._slots[trial_id] = slot
        self._places = max(self._places, slot + 1)
        self._trials.update(
            trial_id,
            {
                "status": Status.RUNNING.value,
                "attempts": (row.get("attempts") or 0) + 1,
                "host": host,
                "slot": slot,
                "cpu": cpu,
                "gpu": gpu,
                "gpu_speed": speed if gpu else None,
                "started_at": _now(),
                "ended_at": None,
                "error": None,
            },
        )

    def add_row(self, trial_id: str, row: dict[str, Any]) -> bool:
        """Take an epoch's row; return False where it was recorded already and only compared."""
        rows = self._rows.setdefault(trial_id, [])
        if row["epoch"] <= len(rows):
            self._compare(trial_id, row, rows[row["epoch"] - 1])
            return False
        stray = self._history.stray(trial_id, row["epoch"])
        if stray:
            # Recorded beyond a gap that a damaged part left: it must not be written twice.
            self._compare(trial_id, row, stray)
            rows.append(stray)
            self._trials.update(trial_id, _progress(rows))
            return False
        self._sequence += 1
        self._paces[trial_id] = row.get("images_per_second"), row.get("peak_memory_bytes")
        rows.append({key: row.get(key) for key in ("epoch", "seconds", *COMPARED)})
        self._epochs.append(
            {
                **row,
                **self._identities[trial_id],
                "sequence": self._sequence,
                "recorded_at": _now(),
            }
        )
        self._trials.update(
            trial_id,
            {**_progress(rows), "device": row.get("device"), "host": row.get("host")},
        )
        return True

    def note_checkpoint(self, trial_id: str) -> None:
        """Take note that a trial has a checkpoint, which goes once its rows are safe."""
        self._saved.add(trial_id)

    def add_facts(self, trial_id: str, facts: Mapping[str, Any]) -> None:
        """Take what is known once per trial."""
        self._trials.update(trial_id, facts)

    def complete(self, trial_id: str, predictions: NDArray[np.int64] | None) -> None:
        """Note that a trial is trained to its budget."""
        budget = self.trial(trial_id)["epochs_budget"]
        # More may be recorded, of a study that asked for more.
        rows = self._rows[trial_id][:budget]
        recorded = budget in self._history.predicted.get(trial_id, ())
        if predictions is not None and self._test_labels is not None and not recorded:
            self._predictions.append_table(
                _prediction_rows(trial_id, budget, self._test_labels, predictions)
            )
        self._end(trial_id, {"status": Status.COMPLETED.value, **_finals(rows)})

    def stop(self, trial_id: str, stop: Stop) -> None:
        """Note that a trial was stopped at a rung."""
        rows = self._rows.get(trial_id) or self._history.rows(trial_id)
        self._end(
            trial_id,
            {
                "status": Status.STOPPED.value,
                "stopped_at_epoch": stop.epoch,
                "stopped_cutoff": stop.cutoff,
                **_finals(rows),
            },
        )

    def fail(self, trial_id: str, error: str) -> None:
        """Note that a trial cannot be trained, and why."""
        self._end(trial_id, {"status": Status.FAILED.value, "error": error})

    def requeue(self, trial_id: str, reason: str | None) -> None:
        """Note that a trial will be tried again."""
        self._slots.pop(trial_id, None)
        values = {"status": Status.PLANNED.value, "error": reason, "ended_at": _now()}
        self._trials.update(trial_id, values)

    def interrupt(self) -> None:
        """Return the trials under way to the plan."""
        for trial_id in list(self._slots):
            self._trials.update(trial_id, {"status": Status.PLANNED.value, "ended_at": _now()})
            self._slots.pop(trial_id)

    def trial(self, trial_id: str) -> dict[str, Any]:
        """Return a trial's row as it stands."""
        return self._trials.get(trial_id) or {}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield every trial's row as it stands."""
        return (self._trials.get(trial_id) or {} for trial_id in self._trials)

    def paces(self) -> dict[str, tuple[float | None, int | None]]:
        """Return images per second and peak memory in bytes of the last row of running trials."""
        return {trial_id: pace for trial_id, pace in self._paces.items() if trial_id in self._slots}

    def flush(self, *, force: bool = False) -> list[str]:
        """Write what is new, about once a second, or once there is a checkpoint per place.

        Returns
        -------
        list of str
            Trials that have ended and whose rows are now safe.

        Raises
        ------
        StoreError
            The disk refuses, or an object store does not answer for ten minutes.
        """
        # Long runs flush less often, so that their parts stay few.
        pause = FLUSH_SECONDS + _SECONDS_PER_PART * self._epochs.parts
        pause = max(pause, _FLUSH_SHARE * self._flush_seconds)
        started = time.monotonic()
        # As many checkpoints as places: those of ended trials go before the next one is written.
        crowded = len(self._saved) >= self._places and not self._saved.isdisjoint(self._finished)
        if not (force or crowded) and started - self._flushed_at < pause:
            return []
        # Cut short between two of these, nothing is claimed that is not there: a trial is complete
        # by its last epoch, which comes with its predictions.
        try:
            self._predictions.flush()
            self._epochs.flush()
            self._trials.flush()
        except Unreachable as error:
            self._flushed_at = time.monotonic()
            if force or self._flushed_at - self._reached_at > OUTAGE_SECONDS:
                raise
            # All rows stay in memory, and the next flush tries again.
            waited = f"rows had to wait for a while: {error}"
            self.problems.extend({waited}.difference(self.problems))
            return []
        self._flushed_at = self._reached_at = time.monotonic()
        self._flush_seconds = self._flushed_at - started
        safe, self._finished = self._finished, []
        self._saved.difference_update(safe)
        return safe

    def _end(self, trial_id: str, values: Mapping[str, Any]) -> None:
        self._slots.pop(trial_id, None)
        self._rows.pop(trial_id, None)
        self._paces.pop(trial_id, None)
        self._finished.append(trial_id)
        self._trials.update(trial_id, {**values, "ended_at": _now()})

    def _compare(self, trial_id: str, row: Mapping[str, Any], recorded: Mapping[str, Any]) -> None:
        for name in COMPARED:
            now, then = row.get(name), recorded.get(name)
            both_nan = now != now and then != then
            if now != then and not both_nan:
                self.problems.append(
                    f"trial {trial_id}, epoch {row['epoch']}: {name} was recorded as {then} and "
                    f"came out as {now} when trained again; the recorded row stays. Other "
                    "hardware, library versions, CPUs or GPUs per trial explain this."
                )
                return


def _progress(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the trial columns that say how far it is."""
    return {
        "epochs_done": len(rows),
        "latest_val_accuracy": rows[-1]["val_accuracy"] if rows else None,
        "seconds": math.fsum(row["seconds"] for row in rows) if rows else None,
    }


def _finals(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the trial columns that sum up its epochs."""
    best = min(rows, key=lambda row: (rank(row["val_accuracy"]), row["epoch"]))
    return {
        **_progress(rows),
        "best_epoch": best["epoch"],
        **{f"final_{name}": rows[-1][name] for name in _MEASURES},
        **{f"best_{name}": best[name] for name in _MEASURES},
    }


def _now() -> datetime:
    return datetime.now(UTC)


def _prediction_rows(
    trial_id: str, epoch: int, labels: NDArray[np.int64], predictions: NDArray[np.int64]
) -> pa.Table:
    count = len(labels)
    return pa.table(
        {
            "trial_id": pa.repeat(trial_id, count),
            "epoch": pa.repeat(pa.scalar(epoch, pa.int64()), count),
            "example": np.arange(count),
            "label": labels,
            "prediction": predictions,
            "correct": labels == predictions,
        },
        schema=PREDICTION_SCHEMA,
    )
