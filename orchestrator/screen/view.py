"""How far a study is, in numbers: its cells, its slots and the time that is left."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from results.analysis.occupancy import busy_share
from results.phrases import duration, fraction_label
from results.records import Status


@dataclass
class CellView:
    """What is known of one cell.

    Parameters
    ----------
    counts
        Wanted trials by status.
    epochs_done, epochs_asked
        Sums over wanted trials; what was stopped counts as asked for no more.
    accuracy
        Mean validation accuracy of measured trials, else the best so far; None before any.
    best
        Highest validation accuracy that a trial stands at, 0 to 1; None before any.
    is_measured
        Whether `accuracy` is of measured trials that are complete.
    """

    counts: dict[str, int] = field(default_factory=dict)
    epochs_done: int = 0
    epochs_asked: int = 0
    saved: int = 0
    accuracy: float | None = None
    best: float | None = None
    is_measured: bool = False
    errors: list[str] = field(default_factory=list)

    @property
    def state(self) -> str:
        """Return the status that says most of the cell."""
        for status in ("failed", "running", "planned"):
            if self.counts.get(status):
                return status
        return "completed"

    @property
    def ended(self) -> int:
        """Trials that are completed or stopped."""
        return self.counts.get("completed", 0) + self.counts.get("stopped", 0)


@dataclass
class StudyView:
    """All cells of a study.

    Parameters
    ----------
    rows, columns
        Labels of the rows (all factors but `fraction`) and columns (`fraction`).
    cells
        By (row, column).
    short
        Labels of the rows without the factors that have one level.
    common
        Those factors, and their level.
    """

    rows: list[str]
    columns: list[str]
    cells: dict[tuple[str, str], CellView]
    short: dict[str, str] = field(default_factory=dict)
    common: dict[str, str] = field(default_factory=dict)

    def total(self, name: str) -> int:
        """Return a sum over cells: `epochs_done`, `epochs_asked` or `saved`."""
        return sum(getattr(cell, name) for cell in self.cells.values())

    def counts(self) -> dict[str, int]:
        """Return the trials of all cells by status."""
        counts: dict[str, int] = {}
        for cell in self.cells.values():
            for status, number in cell.counts.items():
                counts[status] = counts.get(status, 0) + number
        return counts

    @property
    def share_done(self) -> float:
        """Return the share of the epochs asked for that is done, 0 to 1."""
        asked = self.total("epochs_asked")
        return self.total("epochs_done") / asked if asked else 0.0


def view_of(trials: Iterable[Mapping[str, Any]], factors: Sequence[str]) -> StudyView:
    """Return the view of trial records.

    Parameters
    ----------
    trials
        Rows of the trial table.
    factors
        The study's factors, in its order.
    """
    rows: dict[str, list[str]] = {}
    columns: dict[float, str] = {}
    cells: dict[tuple[str, str], CellView] = {}
    measured: dict[tuple[str, str], list[float]] = {}
    named = [factor for factor in factors if factor != "fraction"]
    for trial in trials:
        if not trial["wanted"]:
            continue
        levels = [str(trial[factor]) for factor in named]
        row = " × ".join(levels)
        column = fraction_label(trial["fraction"], trial["n_train"])
        rows[row], columns[trial["fraction"]] = levels, column
        key = (row, column)
        _add(cells.setdefault(key, CellView()), trial, measured.setdefault(key, []))
    for key, values in measured.items():
        if values:
            cells[key].accuracy, cells[key].is_measured = sum(values) / len(values), True
    varying, common = split_levels(named, list(rows.values()))
    return StudyView(
        list(rows),
        [columns[share] for share in sorted(columns)],
        cells,
        {row: " × ".join(levels[place] for place in varying) for row, levels in rows.items()},
        common,
    )


@dataclass(frozen=True)
class SlotView:
    """One place for a trial, and what runs there.

    Parameters
    ----------
    slot
        Its number, from 0.
    trial
        The trial in words: its cell, seed and what is tuned.
    epochs_done, epochs_budget
        Evaluation intervals.
    images_per_second, memory_bytes
        Of its last interval; None before the first has ended.
    """

    slot: int
    trial: str
    epochs_done: int
    epochs_budget: int
    val_accuracy: float | None
    images_per_second: float | None
    memory_bytes: int | None


def slots_of(
    trials: Iterable[Mapping[str, Any]],
    paces: Mapping[str, tuple[float | None, int | None]],
    view: StudyView,
    factors: Sequence[str],
    tuned: Sequence[str],
) -> list[SlotView]:
    """Return what runs where.

    Parameters
    ----------
    trials
        Rows of the trial table.
    paces
        By trial_id: images per second and peak memory in bytes of its last interval.
    view
        The study's cells.
    factors, tuned
        The study's factors, and the recipe fields that it searches.
    """
    slots = []
    for trial in trials:
        if trial["status"] != Status.RUNNING.value or not trial["wanted"]:
            continue
        row = " × ".join(str(trial[factor]) for factor in factors if factor != "fraction")
        words = [
            f"{view.short.get(row, row)} × {fraction_label(trial['fraction'], trial['n_train'])}"
        ]
        words += [f"{field}\N{NO-BREAK SPACE}{_short(trial[field])}" for field in tuned]
        pace, memory = paces.get(trial["trial_id"], (None, None))
        slots.append(
            SlotView(
                trial["slot"] or 0,
                ", ".join([*words, f"seed\N{NO-BREAK SPACE}{trial['seed']}"]),
                trial["epochs_done"] or 0,
                trial["epochs_budget"] or 0,
                trial["latest_val_accuracy"],
                pace,
                memory,
            )
        )
    return sorted(slots, key=lambda slot: slot.slot)


def seconds_left(trials: Iterable[Mapping[str, Any]]) -> float | None:
    """Return the time that the trials at work need for what is left, None before any has a row.

    An interval of a trial takes what those of its cell took, else as long per image as the others.
    Measure trials that are not known yet, because their cell has no winner, are not in it.

    Parameters
    ----------
    trials
        Rows of the trial table.
    """
    rows = [trial for trial in trials if trial["wanted"]]
    seconds: dict[tuple[str, int], float] = {}
    intervals: dict[tuple[str, int], int] = {}
    images = 0.0
    for trial in rows:
        done = trial["epochs_done"] or 0
        if done and trial["seconds"]:
            kind = (trial["model"], trial["n_train"])
            seconds[kind] = seconds.get(kind, 0.0) + trial["seconds"]
            intervals[kind] = intervals.get(kind, 0) + done
            images += done * trial["n_train"]
    at_once: int = sum(trial["status"] == Status.RUNNING.value for trial in rows)
    if not images or not at_once:
        return None
    per_image = sum(seconds.values()) / images
    left = 0.0
    for trial in rows:
        if trial["status"] in (Status.RUNNING.value, Status.PLANNED.value):
            kind = (trial["model"], trial["n_train"])
            each = seconds[kind] / intervals[kind] if kind in seconds else per_image * kind[1]
            left += each * max(0, (trial["epochs_budget"] or 0) - (trial["epochs_done"] or 0))
    return float(left / at_once)


def slots_busy(trials: Iterable[Mapping[str, Any]]) -> float | None:
    """Return the share of the slots' time, from the first start on, that trials held; 0 to 1.

    A trial that runs counts up to the latest start or end.

    Parameters
    ----------
    trials
        Rows of the trial table.
    """
    started = [trial for trial in trials if trial.get("started_at") is not None]
    ends = [trial.get("ended_at") for trial in started]
    latest = max([*(trial["started_at"] for trial in started), *filter(None, ends)], default=None)
    if latest is None:
        return None
    return busy_share(
        (
            (trial.get("host"), trial.get("slot")),
            trial["started_at"].timestamp(),
            (ended or latest).timestamp(),
        )
        for trial, ended in zip(started, ends, strict=True)
    )


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def split_levels(
    factors: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[list[int], dict[str, str]]:
    """Part factors into those that tell rows apart and those that are alike in all.

    Returns
    -------
    varying
        Positions of the factors that rows are told apart by; the first where none is.
    common
        The others, with their level.
    """
    kinds = [{row[place] for row in rows} for place in range(len(factors))]
    varying = [place for place, levels in enumerate(kinds) if len(levels) > 1] or [0]
    common = {
        factor: next(iter(levels))
        for place, (factor, levels) in enumerate(zip(factors, kinds, strict=True))
        if place not in varying and levels
    }
    return varying, common


def titled(name: str, common: Mapping[str, str]) -> str:
    """Return a table's title: the study, and what is alike in all cells."""
    if not common:
        return name
    return f"{name} · {', '.join(f'{factor} {level}' for factor, level in common.items())}"


def _add(cell: CellView, trial: Mapping[str, Any], measured: list[float]) -> None:
    status, done = trial["status"], trial["epochs_done"] or 0
    budget = trial["epochs_budget"] or 0
    cell.counts[status] = cell.counts.get(status, 0) + 1
    cell.epochs_done += min(done, budget)
    ended_early = status in (Status.STOPPED.value, Status.FAILED.value)
    cell.epochs_asked += min(done, budget) if ended_early else budget
    if status == Status.STOPPED.value:
        cell.saved += budget - done
    accuracy = trial.get("latest_val_accuracy")
    if status == Status.COMPLETED.value and trial["measured"] and accuracy is not None:
        measured.append(accuracy)
    if accuracy is not None and (cell.best is None or accuracy > cell.best):
        cell.accuracy = cell.best = accuracy
    if status == Status.FAILED.value:
        cell.errors.append(trial["error"] or "failed")


def plain_table(title: str, first: str, *others: str) -> Table:
    """Return an empty table with little between its columns; the first may be folded."""
    table = Table(
        # As text: a name with brackets is no markup.
        title=Text(title),
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def summary(view: StudyView, eta_seconds: float | None = None, busy: float | None = None) -> str:
    """Return one line: share done, trials by status, saved epochs, use of the slots, time left."""
    counts = view.counts()
    order = [s.value for s in Status if counts.get(s.value)]
    parts = [f"{100 * view.share_done:.0f} %", *(f"{counts[s]} {s}" for s in order)]
    saved = view.total("saved")
    if saved:
        parts.append(f"{saved} epochs saved by stopping")
    if busy is not None:
        parts.append(f"slots {100 * busy:.0f} % busy")
    if eta_seconds is not None:
        parts.append(f"about {duration(eta_seconds)} left")
    return ", ".join(parts)
