"""What earlier passes recorded, as a new pass needs it: the results are the state."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orchestrator.errors import StudyError
from orchestrator.study.study import TRAINABLES, Study
from results.metric import ACCURACY, Metric
from results.records import SCORES, Status
from results.store.joining import taken
from results.store.store import Store
from trainables.trial import Trial

Row = Mapping[str, Any]
"""Values by column, as `results.records` names and types them; a row is replaced, never changed."""

_TESTED = ("test_loss", "test_accuracy", *(f"test_{name}" for name in SCORES))
COMPARED = (
    "step",
    "examples_seen",
    "train_loss",
    "train_accuracy",
    "train_correct",
    "train_seen",
    "val_loss",
    "val_accuracy",
    *(f"val_{name}" for name in SCORES),
    *_TESTED,
    "lr_last",
)
"""Epoch columns that training the same trial again must give to the last digit."""

_METRIC = ("val_metric", "test_metric")
KEPT = ("epoch", "seconds", "evaluation_images_per_second", *COMPARED, *_METRIC)
"""Epoch columns that are known of a trial's earlier epochs."""
_READ = ("trial_id", "sequence", *KEPT)


class History:
    """Recorded epochs and trials of a run directory; one that is not there yet has no history.

    Further run directories lend trials to it: of one that is borrowed, it tells what is recorded
    there, and what became of it but for a stop, which the races of this study decide.
    """

    def __init__(
        self,
        store: Store,
        metric: Metric = ACCURACY,
        lenders: Iterable[Store] = (),
        behind: int | None = None,
    ) -> None:
        self.store, self.metric = store, metric
        self.borrowed: dict[str, History] = {}
        """The lenders of borrowed trials."""
        self.trials: dict[str, Row] = {}
        self._epochs = pa.table({name: [] for name in _READ})
        self._spans: dict[str, tuple[int, int]] = {}
        """First row and number of rows of each trial, up to a gap."""
        self.strays: dict[tuple[str, int], Row] = {}
        """Rows beyond a gap, by trial and epoch."""
        self.last_sequence = behind or 0
        self.predicted: dict[str, set[int]] = {}
        """Epochs whose predictions are recorded, by trial."""
        self._predicts = False
        if store.root.is_dir():
            self._read(behind)
        self.lenders: list[History] = []
        """Histories of the run directories that lend; their sequences go on behind those before."""
        for lender in lenders:
            self.lenders.append(History(lender, metric, behind=self.last_sequence))
            self.last_sequence = self.lenders[-1].last_sequence

    def _read(self, behind: int | None) -> None:
        """Read what is recorded; of a lender all, its sequence going on behind a number."""
        store = self.store
        if behind is None:
            trials, epochs = store.read("trials"), store.read("epochs", _READ)
        else:
            trials, epochs = taken(store, "trials"), taken(store, "epochs", behind)
        self.trials = {row["trial_id"]: row for row in trials.to_pylist()}
        if self.metric.is_built_in:
            # Recorded without it, or by a study that had another one.
            for name in _METRIC:
                named = epochs[name.replace("metric", self.metric.column)]
                epochs = epochs.set_column(epochs.column_names.index(name), name, named)
        if epochs.num_rows:
            self.last_sequence = pc.max(epochs["sequence"]).as_py()
            self._enter(epochs)
        first = store.read("predictions", ["trial_id", "epoch"], where=pc.field("example") == 0)
        for row in first.to_pylist():
            self.predicted.setdefault(row["trial_id"], set()).add(row["epoch"])
        self._predicts = bool(self.predicted) or any(store.damaged.glob("predictions-*"))

    def borrow(self, trial: Trial, study: Study, *, unfinished: bool) -> "History | None":
        """Return the lender of a trial of which training is left here; None where none saves any.

        It is the first that has all that is needed of it or, where `unfinished` ones are of use
        and nothing is recorded here, that has begun it.
        """
        trial_id = trial.trial_id
        for lender in () if trial_id in self.borrowed else self.lenders:
            is_of_use = unfinished and lender.is_begun(trial_id) and not self.epochs_done(trial_id)
            is_judged = not lender._span(trial_id)["val_metric"].null_count
            if is_judged and (lender.has(trial, study) or is_of_use):
                self.borrowed[trial_id] = lender
                break
        return self.borrowed.get(trial_id)

    def holds(self, trial_id: str, epoch: int) -> bool:
        """Return whether an epoch is recorded in this run directory itself."""
        return epoch <= self._spans.get(trial_id, (0, 0))[1] or (trial_id, epoch) in self.strays

    def read(self, table: str, trial_ids: Iterable[str]) -> pa.Table:
        """Return the rows of some trials, of those that are borrowed from where they lie."""
        homes: defaultdict[History, list[str]] = defaultdict(list)
        for trial_id in trial_ids:
            homes[self.borrowed.get(trial_id, self)].append(trial_id)
        return pa.concat_tables(
            home.store.read(table, where=pc.field("trial_id").isin(own))
            for home, own in homes.items()
        )

    def _span(self, trial_id: str) -> pa.Table:
        """Return the recorded epochs of a trial up to a gap."""
        home = self.borrowed.get(trial_id, self)
        return home._epochs.slice(*home._spans.get(trial_id, (0, 0)))

    def epochs_done(self, trial_id: str) -> int:
        """Return how many epochs from the first on are recorded without a gap."""
        return self.borrowed.get(trial_id, self)._spans.get(trial_id, (0, 0))[1]

    def column(self, trial_id: str, name: str) -> NDArray[np.float64]:
        """Return one recorded column of a trial, (epochs_done,)."""
        values: NDArray[np.float64] = self._span(trial_id)[name].to_numpy()
        return values

    def score(self, trial_id: str, epoch: int) -> float:
        """Return a trial's score at a recorded epoch, of which more is better, or NaN."""
        value = self.column(trial_id, "val_metric")[epoch - 1]
        return math.nan if value is None else self.metric.score(float(value))

    def rows(self, trial_id: str) -> list[Row]:
        """Return the recorded metrics of a trial, first epoch first."""
        rows: list[Row] = self._span(trial_id).to_pylist()
        trial = self.borrowed.get(trial_id, self).trials.get(trial_id, {})
        last = trial.get("epochs_budget") or 0
        if 0 < last <= len(rows) and rows[last - 1]["test_accuracy"] is None:
            # An epoch's row is never written again: what the test set told later is the trial's.
            found = {name: trial[f"final_{name}"] for name in _TESTED}
            rows[last - 1] = with_test(rows[last - 1], found, self.metric)
        return rows

    def status(self, trial_id: str) -> Status | None:
        """Return what became of a trial, or None where it was never planned."""
        home = self.borrowed.get(trial_id, self)
        status = home.trials.get(trial_id, {}).get("status")
        is_undecided = home is not self and status == Status.STOPPED
        return Status(status) if status and not is_undecided else None

    def is_begun(self, trial_id: str) -> bool:
        """Return whether epochs of a trial are recorded that did not end in a failure."""
        return self.epochs_done(trial_id) > 0 and self.status(trial_id) is not Status.FAILED

    def is_tested(self, trial_id: str, budget: int) -> bool:
        """Return whether what the test set says at the end of a budget is recorded."""
        row = self.borrowed.get(trial_id, self).trials.get(trial_id, {})
        if row.get("epochs_budget") == budget and row.get("final_test_accuracy") is not None:
            return True
        done = self.epochs_done(trial_id) >= budget
        return done and not np.isnan(self.column(trial_id, "test_accuracy")[budget - 1])

    def has(self, trial: Trial, study: Study) -> bool:
        """Return whether all that a study needs of a trial is recorded, up to its budget.

        That is its epochs and facts; of a trial that is compared also what it predicted, and what
        the test set says at its end.
        """
        trial_id, budget = trial.trial_id, trial.recipe.intervals
        home = self.borrowed.get(trial_id, self)
        row = home.trials.get(trial_id, {})
        # Facts come with the last row; a trainable of one's own need not count its parameters.
        if row.get("n_parameters") is None and row.get("status") != Status.COMPLETED.value:
            return False
        compared = trial.seed in study.all_seeds
        if compared and home._predicts and max(home.predicted.get(trial_id, {0})) < budget:
            return False
        is_whole = home.epochs_done(trial_id) >= budget
        is_tested = compared and study.trainable in TRAINABLES
        return is_whole and (not is_tested or home.is_tested(trial_id, budget))

    def _enter(self, epochs: pa.Table) -> None:
        """Take the first row of each trial and epoch, apart from those beyond a gap."""
        rows = epochs.sort_by([(key, "ascending") for key in ("trial_id", "epoch", "sequence")])
        rows = rows.filter(_is_new(rows["trial_id"]) | _is_new(rows["epoch"]))
        starts = np.flatnonzero(_is_new(rows["trial_id"]))
        first = np.repeat(starts, np.diff(starts, append=rows.num_rows))
        is_gapless = rows["epoch"].to_numpy() == np.arange(1, rows.num_rows + 1) - first
        for row in rows.filter(~is_gapless).to_pylist():
            self.strays[row["trial_id"], row["epoch"]] = row
        self._epochs = rows.filter(is_gapless)
        trials = self._epochs["trial_id"]
        starts = np.flatnonzero(_is_new(trials))
        counts = np.diff(starts, append=len(trials))
        names = trials.take(starts).to_pylist()
        spans = zip(starts.tolist(), counts.tolist(), strict=True)
        self._spans = dict(zip(names, spans, strict=True))


def history_of(study: Study, store: Store) -> History:
    """Return what is recorded for a study, in its run directory and in those that it reuses.

    Raises StudyError where one of those is no run directory, or measured another metric.
    """
    lenders = [Store(place) for place in study.reuse or ()]
    for lender in lenders:
        if not lender.study_file.exists():
            raise StudyError(
                f"reuse: {lender.root}: no run directory is there. Name one, or leave it out: what "
                "was taken from it before is recorded here."
            )
        theirs = Metric.read(lender.study().get("metric"))
        if not study.metric.is_built_in and theirs != study.metric:
            raise StudyError(
                f"reuse: {lender.root}: it recorded the metric {theirs.written}, and this study "
                f"has {study.metric.written}; leave it out."
            )
    return History(store, study.metric, lenders)


def with_test(row: Row, found: Row, metric: Metric) -> Row:
    """Return an epoch's row with what was found on the test set, where the row knows nothing."""
    if row["test_accuracy"] is not None:
        return row
    tested = {name: found.get(name) for name in (*_TESTED, "test_metric")}
    if metric.is_built_in:
        tested["test_metric"] = tested[f"test_{metric.column}"]
    return {**row, **tested}


def _is_new(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Return where a column's value is not the one before it, (rows,)."""
    values = column.to_numpy()
    new = np.ones(len(values), bool)
    new[1:] = values[1:] != values[:-1]
    return new
