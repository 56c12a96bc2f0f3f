"""How far a study is, as a table of cells: the same live, in `status`, and in a log line."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from results.records import Status

_STYLES = {
    "failed": "red",
    "running": "cyan",
    "completed": "green",
    "planned": "dim",
    "stopped": "yellow",
}


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
    is_measured
        Whether `accuracy` is of measured trials that are complete.
    """

    counts: dict[str, int] = field(default_factory=dict)
    epochs_done: int = 0
    epochs_asked: int = 0
    saved: int = 0
    accuracy: float | None = None
    is_measured: bool = False
    errors: list[str] = field(default_factory=list)

    @property
    def state(self) -> str:
        """Return the status that says most of the cell."""
        for status in ("failed", "running", "planned"):
            if self.counts.get(status):
                return status
        return "completed"


@dataclass
class StudyView:
    """All cells of a study.

    Parameters
    ----------
    rows, columns
        Labels of the rows (all factors but `fraction`) and columns (`fraction`).
    cells
        By (row, column).
    """

    rows: list[str]
    columns: list[str]
    cells: dict[tuple[str, str], CellView]

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


def fraction_label(share: float, n_train: int | None = None) -> str:
    """Return a share of the data as people write it: 1/16, 1/2, 1, else the number of images."""
    near = Fraction(share).limit_denominator(1024)
    if near.numerator == 1 and abs(float(near) - share) < 1e-9:
        return str(near)
    return f"{share:.3g}" if n_train is None else f"{n_train} images"


def view_of(trials: Iterable[Mapping[str, Any]], factors: Sequence[str]) -> StudyView:
    """Return the view of trial records.

    Parameters
    ----------
    trials
        Rows of the trial table.
    factors
        The study's factors, in its order.
    """
    rows: dict[str, None] = {}
    columns: dict[float, str] = {}
    cells: dict[tuple[str, str], CellView] = {}
    measured: dict[tuple[str, str], list[float]] = {}
    for trial in trials:
        if not trial["wanted"]:
            continue
        row = " × ".join(str(trial[factor]) for factor in factors if factor != "fraction")
        column = fraction_label(trial["fraction"], trial["n_train"])
        rows[row], columns[trial["fraction"]] = None, column
        key = (row, column)
        _add(cells.setdefault(key, CellView()), trial, measured.setdefault(key, []))
    for key, values in measured.items():
        if values:
            cells[key].accuracy, cells[key].is_measured = sum(values) / len(values), True
    return StudyView(list(rows), [columns[share] for share in sorted(columns)], cells)


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
    if accuracy is not None and (cell.accuracy is None or accuracy > cell.accuracy):
        cell.accuracy = accuracy
    if status == Status.FAILED.value:
        cell.errors.append(trial["error"] or "failed")


def cells_table(view: StudyView, *, title: str | None = None) -> Table:
    """Return the table of cells: rows model × weights, columns fractions."""
    table = Table(title=title, title_justify="left", header_style="bold", expand=False)
    table.add_column("cell", overflow="fold")
    for column in view.columns:
        table.add_column(column, justify="right", no_wrap=True)
    for row in view.rows:
        texts = [_cell_text(view.cells.get((row, column))) for column in view.columns]
        table.add_row(row, *texts)
    return table


def _cell_text(cell: CellView | None) -> Text:
    if cell is None:
        return Text("·", style="dim")
    state = cell.state
    done = cell.counts.get("completed", 0) + cell.counts.get("stopped", 0)
    total = sum(cell.counts.values())
    text = Text(style=_STYLES[state])
    accuracy = "  –  " if cell.accuracy is None else f"{100 * cell.accuracy:.1f} %"
    text.append(accuracy if cell.is_measured or cell.accuracy is None else f"({accuracy})")
    text.append(f" {done}/{total}", style="dim")
    if cell.counts.get("failed"):
        text.append(f" ✗{cell.counts['failed']}", style="red bold")
    elif state == "running" and cell.epochs_asked:
        text.append(f" {100 * cell.epochs_done // cell.epochs_asked}%", style="cyan")
    elif state == "completed":
        text.append(" ✓", style="green")
    return text


def overall(view: StudyView, eta_seconds: float | None, notes: Sequence[str]) -> RenderableType:
    """Return the line under the table: a bar, counts, time left."""
    line = Table.grid(padding=(0, 1))
    line.add_row(
        ProgressBar(total=1.0, completed=view.share_done, width=30),
        Text(summary(view, eta_seconds)),
    )
    return Group(line, *(Text(note, style="dim") for note in notes))


def summary(view: StudyView, eta_seconds: float | None = None) -> str:
    """Return one line: share done, trials by status, saved epochs, time left."""
    counts = view.counts()
    order = [s.value for s in Status if counts.get(s.value)]
    parts = [f"{100 * view.share_done:.0f} %", *(f"{counts[s]} {s}" for s in order)]
    saved = view.total("saved")
    if saved:
        parts.append(f"{saved} epochs saved by stopping")
    if eta_seconds is not None:
        parts.append(f"about {duration(eta_seconds)} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
