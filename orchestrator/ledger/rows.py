"""The rows of a study's trials and epochs as they stand, in memory, whoever writes them."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from orchestrator.ledger.history import COMPARED, KEPT, History, Row, with_test
from orchestrator.ledger.stages import Outcome, Wanted
from orchestrator.placement.shares import Share
from results.records import TRIAL_SCHEMA, Status
from results.store.store import Store
from trainables.training.scores import Predictions
from trainables.work.reports import EpochDone

_OPEN = dict.fromkeys(
    name
    for name in TRIAL_SCHEMA.names
    if name.startswith(("best_", "final_")) or name in ("stopped_at_epoch", "stopped_cutoff")
)
"""What is not known of a trial that has more to train, whatever was known before."""


@dataclass
class _Begun:
    """A trial that has been started: identity columns, rows of its epochs, and where it runs."""

    identity: Row
    epochs: list[Row]
    slot: int | None = None


class Rows(Mapping[str, Row]):
    """The row of every trial that was ever planned, by `trial_id`, from what was recorded on."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._trials: dict[str, Row] = dict(history.trials)
        self._before: dict[str, Row | None] = {}
        """Rows changed since they were last written, as they were then; None where new."""
        self._begun: dict[str, _Begun] = {}
        self._sequence = history.last_sequence
        self.epochs: list[Row] = []
        """Rows of the table of epochs that were not yet taken to be written, in their order."""
        self.predictions: list[tuple[str, int, Predictions]] = []
        """Likewise: trial, its final epoch, and what it predicts of every test example."""
        self.ended: list[str] = []
        """Trials that have ended and whose rows are not yet written."""
        self.lent: defaultdict[Store, list[str]] = defaultdict(list)
        """Borrowed trials, by run directory, of which more than these rows is yet to be copied."""
        self.saved: set[str] = set()
        """Trials with a checkpoint, which goes once they have ended and their rows are written."""
        self.places = 1
        """Most trials at a time so far."""
        self.problems: list[str] = []
        """A sentence for each thing that was noticed and mended or left."""

    def __getitem__(self, trial_id: str) -> Row:
        return self._trials[trial_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._trials)

    def __len__(self) -> int:
        return len(self._trials)

    def update(self, trial_id: str, values: Row) -> None:
        """Change some columns of a trial's row, or add the row."""
        row = self._trials.get(trial_id)
        if row is None or any(_differ(row.get(key), value) for key, value in values.items()):
            self._before.setdefault(trial_id, row)
            self._trials[trial_id] = {"trial_id": trial_id, **(row or {}), **values}

    def changed(self) -> list[str]:
        """Return the trials whose rows are not as they were written last."""
        return [
            trial_id
            for trial_id, before in self._before.items()
            if before is None
            or any(_differ(before.get(key), value) for key, value in self[trial_id].items())
        ]

    def written(self) -> list[str]:
        """Take note that all rows are written as they stand; return the trials that have ended."""
        self._before.clear()
        safe, self.ended = self.ended, []
        self.saved.difference_update(safe)
        return safe

    def declare(self, wanted: Wanted, outcome: Outcome | None, *, measured: bool) -> None:
        """Make sure that a wanted trial has its row, up to date with the study as it is now.

        `outcome` is what the records say became of it, None where training is left; `measured` says
        whether comparisons use it.
        """
        trial = wanted.trial
        row = self._trials.get(trial.trial_id, {})
        epochs = self._history.rows(trial.trial_id)
        values = {
            **trial.columns(),
            "stage": (epochs and row.get("stage")) or wanted.stage.value,
            "wanted": True,
            "measured": measured,
            "epochs_budget": trial.recipe.intervals,
            "attempts": row.get("attempts", 0),
        }
        if outcome is None:
            values |= {**_OPEN, **_progress(epochs)}
            if row.get("status") != Status.FAILED:
                values["status"] = Status.PLANNED.value
        elif outcome.status is Status.COMPLETED:
            finals = self._finals(epochs[: trial.recipe.intervals])
            values |= {**_OPEN, **finals, "status": Status.COMPLETED.value, "error": None}
        self.update(trial.trial_id, values)

    def borrow(self, wanted: Wanted, lender: History) -> None:
        """Take a trial's rows from another run directory, as if it were trained for this study."""
        trial_id, row = wanted.trial.trial_id, lender.trials[wanted.trial.trial_id]
        own = {**wanted.trial.columns(), "stage": wanted.stage.value, "origin": row["origin"]}
        self.update(trial_id, {**row, "stage": wanted.stage.value, "error": None})
        for epoch in lender.rows(trial_id):
            if not self._history.holds(trial_id, epoch["epoch"]):
                self.epochs.append({**epoch, **own})
        self.lent[lender.store].append(trial_id)

    def disown(self, trial_ids: Iterable[str]) -> None:
        """Mark trials that the study no longer asks for; nothing is deleted."""
        for trial_id in trial_ids:
            status = self[trial_id]["status"]
            status = Status.PLANNED.value if status == Status.RUNNING else status
            self.update(trial_id, {"wanted": False, "measured": False, "status": status})

    def start(self, wanted: Wanted, share: Share) -> None:
        """Note that a trial has been given a place."""
        trial_id = wanted.trial.trial_id
        row = self[trial_id]
        begun = self._begun.get(trial_id)
        if begun is None:
            # The rows of a trial that starts again in the same pass stay as they are.
            identity = {**wanted.trial.columns(), "stage": row["stage"]}
            begun = self._begun[trial_id] = _Begun(identity, self._history.rows(trial_id))
        if begun.slot is None:
            taken = {other.slot for other in self._begun.values()}
            begun.slot = next(slot for slot in range(len(taken)) if slot not in taken)
        self.places = max(self.places, begun.slot + 1)
        values = {
            "status": Status.RUNNING.value,
            "attempts": (row["attempts"] or 0) + 1,
            "slot": begun.slot,
            "cpu": share.cpu,
            "gpu": share.gpu,
            "gpu_speed": share.speed if share.gpu else None,
            "started_at": _now(),
        }
        self.update(trial_id, values | dict.fromkeys(("host", "ended_at", "error")))

    def take(self, trial_id: str, report: EpochDone) -> None:
        """Take what a worker reports of an epoch; one that is recorded already is only compared."""
        begun, row, epoch = self._begun[trial_id], report.row, report.epoch
        known = begun.epochs[epoch - 1 : epoch]
        # Recorded beyond a gap that a damaged part left: it must not be written twice.
        if recorded := known[0] if known else self._history.strays.get((trial_id, epoch)):
            self._compare(trial_id, row, recorded)
            begun.epochs[epoch - 1 : epoch] = [with_test(recorded, row, self._history.metric)]
            self.update(trial_id, _progress(begun.epochs))
        else:
            self._sequence += 1
            begun.epochs.append({key: row.get(key) for key in KEPT})
            own = {"sequence": self._sequence, "recorded_at": _now()}
            self.epochs.append({**row, **begun.identity, **own})
            seen = {"device": row.get("device"), "host": row.get("host")}
            self.update(trial_id, {**_progress(begun.epochs), **seen})
        if report.saved:
            self.saved.add(trial_id)
        if report.facts is not None:
            self.update(trial_id, report.facts)
        if report.predictions is not None:
            self.predict(trial_id, report.predictions)

    def predict(self, trial_id: str, found: Predictions) -> None:
        """Take what a trial predicts of every test example at the end of its budget, once."""
        budget = self[trial_id]["epochs_budget"]
        if budget not in self._history.predicted.get(trial_id, ()):
            self.predictions.append((trial_id, budget, found))

    def end(self, trial_id: str, status: Status, **values: Any) -> None:
        """Note whether a trial is completed, stopped or failed.

        Further columns say more: `stopped_at_epoch` and `stopped_cutoff`, or `error`.
        """
        begun = self._begun.pop(trial_id, None)
        if status is not Status.FAILED:
            epochs = begun.epochs if begun else self._history.rows(trial_id)
            # More may be recorded, of a study that asked for more.
            values |= self._finals(epochs[: self[trial_id]["epochs_budget"]])
        self.ended.append(trial_id)
        # One that ended elsewhere did so then, and one that waited when it gave its place back.
        ended = None if begun and begun.slot is not None else self[trial_id].get("ended_at")
        self.update(trial_id, {**values, "status": status.value, "ended_at": ended or _now()})

    def requeue(self, trial_id: str, reason: str | None) -> None:
        """Note that a trial goes back to the plan; where it failed, for a reason."""
        if trial_id in self._begun:  # else its worker was lost as it started
            self._begun[trial_id].slot = None
        values = {"status": Status.PLANNED.value, "error": reason, "ended_at": _now()}
        self.update(trial_id, values)

    def interrupt(self) -> None:
        """Note that all trials under way go back to the plan."""
        for trial_id, begun in self._begun.items():
            if begun.slot is not None:
                self.requeue(trial_id, None)

    def _compare(self, trial_id: str, row: Row, recorded: Row) -> None:
        for name in COMPARED:
            now, then = row.get(name), recorded.get(name)
            # An earlier version recorded less; the test set is not evaluated each time.
            if then is not None and now is not None and _differ(now, then):
                self.problems.append(
                    f"trial {trial_id}, epoch {row['epoch']}: {name} was recorded as {then} and "
                    f"came out as {now} when trained again; the recorded row stays. Other "
                    "hardware, library versions, CPUs or GPUs per trial explain this."
                )
                return

    def _finals(self, epochs: Sequence[Row]) -> dict[str, Any]:
        """Return the trial columns that sum up its epochs; none where a forecast trained none."""
        if not epochs:
            return {}
        metric, last = self._history.metric, epochs[-1]
        best = min(epochs, key=lambda row: (metric.rank(row["val_metric"]), row["epoch"]))
        ends = {"final": last, "best": best}
        parts = [(name, *name.partition("_")[::2]) for name in _OPEN]
        return {
            **_progress(epochs),
            "evaluation_images_per_second": last["evaluation_images_per_second"],
            **{name: ends[at][column] for name, at, column in parts if at in ends},
        }


def _progress(epochs: Sequence[Row]) -> dict[str, Any]:
    return {
        "epochs_done": len(epochs),
        "latest_val_accuracy": epochs[-1]["val_accuracy"] if epochs else None,
        "latest_val_metric": epochs[-1]["val_metric"] if epochs else None,
        "seconds": math.fsum(row["seconds"] for row in epochs) if epochs else None,
    }


def _differ(one: Any, other: Any) -> bool:
    # NaN is the one value that is unlike itself.
    return bool(one != other and (one == one or other == other))


def _now() -> datetime:
    return datetime.now(UTC)
