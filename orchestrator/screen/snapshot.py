"""How far a study is at one moment, from its ledger in this process or from the records alone."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any

from results.metric import ACCURACY, Metric
from results.phrases import STANDARD_FACTORS, cell_name, level_label, model_labels, split_levels
from results.records import IDENTITY_COLUMNS, RECIPE_COLUMNS, Status
from results.store.store import Store

if TYPE_CHECKING:  # a look at a run does not wait for what judges one
    from orchestrator.ledger.ledger import Ledger

Row = Mapping[str, Any]
"""A trial record, with the columns of the trial table."""


@dataclass(frozen=True)
class CellView:
    """What is known of one cell, or of all together."""

    counts: Mapping[str, int] = field(default_factory=dict)
    epochs_done: int = 0
    epochs_asked: int = 0
    """Sums over wanted trials; one that was stopped or failed asks for no more than it has done."""
    saved: int = 0
    value: float | None = None
    """What the metric is on the validation set: mean of measured trials that are complete, else the
    best so far; None before any."""
    best: float | None = None
    """The best that a trial stands at; None before any."""
    is_measured: bool = False
    errors: Sequence[str] = ()
    name: str = ""
    """Its levels, such as `resnet18 × none × 1/16`."""
    labels: Sequence[str] = ()
    """Its level of each factor that tells cells apart."""

    @property
    def state(self) -> Status:
        """The status of a trial that says most of the cell: what failed, then what is open."""
        telling = (Status.FAILED, Status.RUNNING, Status.PLANNED)
        return next((status for status in telling if self.counts.get(status)), Status.COMPLETED)

    @property
    def ended(self) -> int:
        """Trials that are completed or stopped."""
        return self.counts.get(Status.COMPLETED, 0) + self.counts.get(Status.STOPPED, 0)

    @property
    def share_done(self) -> float:
        """Share of the epochs asked for that is done, 0 to 1."""
        return self.epochs_done / self.epochs_asked if self.epochs_asked else 0.0


@dataclass(frozen=True)
class SlotView:
    """One place for a trial, and what runs there."""

    slot: int
    trial: str
    """The trial in words: its cell, seed and what is tuned."""
    epochs_done: int
    epochs_budget: int
    value: float | None
    """What the metric is on the validation set after the last interval."""
    silence: str = ""
    """For how long it has given no row, in words, where that is long."""


@dataclass(frozen=True)
class Snapshot:
    """A study at one moment."""

    name: str
    metric: Metric = ACCURACY
    factors: Sequence[str] = ()
    """The factors that tell cells apart, and `fraction` as the last."""
    cells: Sequence[CellView] = ()
    """In the order of the study, and from few data to many."""
    total: CellView = field(default_factory=CellView)
    common: Mapping[str, str] = field(default_factory=dict)
    """The factors that have one level in all cells, with that level."""
    slots: Sequence[SlotView] = ()
    seconds_left: float | None = None
    """Estimated seconds until all that is known is trained; None where nothing runs, or nothing is
    known yet."""


def snapshot(source: "Ledger | Store", at_work: bool = True) -> Snapshot:
    """Return how far a study is, from its ledger or from its run directory.

    Where no run is `at_work` on that, nothing counts as running, whatever was recorded last.
    Raises StoreError where there is no run directory, or it cannot be read.
    """
    if not isinstance(source, Store):
        study, trials = source.study, [*source.rows.values()]
        tuned = list(study.search.fields) if study.search else []
        return snapshot_of(study.name, trials, list(study.factors), tuned, study.metric)
    declared, rows = source.study(), source.read("trials").to_pylist()
    factors = [factor for factor in declared.get("factors") or () if factor in IDENTITY_COLUMNS]
    tuned = [name for name in declared.get("search") or () if name in RECIPE_COLUMNS]
    for row in rows:
        if row["status"] == Status.RUNNING and not at_work:
            row["status"] = Status.PLANNED.value
    name, metric = str(declared.get("name", source.root.name)), Metric.read(declared.get("metric"))
    return snapshot_of(name, rows, factors or STANDARD_FACTORS, tuned, metric)


def snapshot_of(
    name: str,
    trials: Sequence[Row],
    factors: Sequence[str],
    tuned: Sequence[str] = (),
    metric: Metric = ACCURACY,
) -> Snapshot:
    """Return how far a study with these factors, in its order, is by its trial records.

    `tuned` are the recipe fields that it searches.
    """
    labels = model_labels({trial["model"] for trial in trials})
    wanted = [{**trial, "model": labels[trial["model"]]} for trial in trials if trial["wanted"]]
    others = [factor for factor in factors if factor != "fraction"]
    lines: dict[tuple[Any, ...], dict[float, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for trial in wanted:
        lines[tuple(trial[factor] for factor in others)][trial["fraction"]].append(trial)
    cells = [line[fraction] for line in lines.values() for fraction in sorted(line)]
    varying, common = split_levels(others, [rows[0] for rows in cells])
    shown = [*varying, "fraction"]
    running = (trial for trial in wanted if trial["status"] == Status.RUNNING)
    slots = [_slot(trial, metric, shown, tuned) for trial in running]
    return Snapshot(
        name,
        metric,
        factors=shown,
        cells=[_cell(rows, metric, factors, shown) for rows in cells],
        total=_cell(wanted, metric),
        common=common,
        slots=sorted(slots, key=lambda slot: slot.slot),
        seconds_left=_seconds_left(wanted),
    )


def _cell(
    trials: Sequence[Row], metric: Metric, factors: Sequence[str] = (), shown: Sequence[str] = ()
) -> CellView:
    done, asked, saved = 0, 0, 0
    known, measured = list[float](), list[float]()
    for trial in trials:
        status, budget = Status(trial["status"]), trial["epochs_budget"] or 0
        own = min(trial["epochs_done"] or 0, budget)
        done += own
        asked += own if status in (Status.STOPPED, Status.FAILED) else budget
        saved += budget - own if status is Status.STOPPED else 0
        value = metric.latest(trial)
        if value is not None and not math.isnan(value):
            known.append(value)
            if status is Status.COMPLETED and trial["measured"]:
                measured.append(value)
    best = min(known, key=metric.rank, default=None)
    return CellView(
        counts=Counter(str(trial["status"]) for trial in trials),
        epochs_done=done,
        epochs_asked=asked,
        saved=saved,
        value=fmean(measured) if measured else best,
        best=best,
        is_measured=bool(measured),
        errors=[trial["error"] or "failed" for trial in trials if trial["status"] == Status.FAILED],
        name=cell_name(trials[0], factors) if factors else "",
        labels=[level_label(factor, trials[0][factor], bare=True) for factor in shown],
    )


def _slot(trial: Row, metric: Metric, shown: Sequence[str], tuned: Sequence[str]) -> SlotView:
    words = [cell_name(trial, shown)]
    for name in (*tuned, "seed"):
        short = f"{trial[name]:.3g}" if isinstance(trial[name], float) else trial[name]
        words.append(f"{name}\N{NO-BREAK SPACE}{short}")
    slot, done, budget = (trial[name] or 0 for name in ("slot", "epochs_done", "epochs_budget"))
    said, silence = ", ".join(words), trial.get("error") or ""
    return SlotView(slot, said, done, budget, metric.latest(trial), silence)


def _seconds_left(trials: Sequence[Row]) -> float | None:
    """Return the seconds that trials at work need for what is left; None before any has a row.

    An interval of a trial takes what those of its cell took, else as long per image as the others.
    Measure trials that are not known yet, because their cell has no winner, are not in it.
    """
    seconds: dict[tuple[str, int], float] = defaultdict(float)
    intervals: dict[tuple[str, int], int] = defaultdict(int)
    for trial in trials:
        if trial["epochs_done"] and trial["seconds"]:
            kind = (trial["model"], trial["n_train"])
            seconds[kind] += trial["seconds"]
            intervals[kind] += trial["epochs_done"]
    images = sum(number * n_train for (_, n_train), number in intervals.items())
    at_once = sum(trial["status"] == Status.RUNNING for trial in trials)
    if not images or not at_once:
        return None
    per_image = sum(seconds.values()) / images
    left = 0.0
    for trial in trials:
        if trial["status"] in (Status.RUNNING, Status.PLANNED):
            kind = (trial["model"], trial["n_train"])
            each = seconds[kind] / intervals[kind] if kind in seconds else per_image * kind[1]
            left += each * max(0, (trial["epochs_budget"] or 0) - (trial["epochs_done"] or 0))
    return float(left / at_once)
