"""A study as people see it in a terminal: cells, slots and a bar, at any width and height."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.columns import Columns
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.screen.snapshot import CellView, Snapshot
from results.metric import ACCURACY, Metric
from results.phrases import count, duration
from results.records import Status

_STYLES = {
    Status.FAILED: "red",
    Status.RUNNING: "cyan",
    Status.COMPLETED: "green",
    Status.PLANNED: "dim",
}
"""By a cell's state, what one looks for first."""
_MOST_ROWS = 200
"""Rows that are printed at once; `--json` has all."""
_MOST_ERRORS = 3
_BAR_WIDTH = 30
_LEGEND = "validation {}: best so far, mean of measured trials; (best) where none is measured"
_NONE = Text("–", style="dim")


@dataclass(frozen=True)
class Picture:
    """What a terminal shows of a study: cells, slots, what failed, and a bar."""

    snapshot: Snapshot
    notes: Sequence[str] = ()
    live: bool = False
    """Whether it is redrawn in place, which cuts off what does not fit: what matters is on top."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the parts."""
        shot, rows = self.snapshot, options.size.height // 2 if self.live else _MOST_ROWS
        parts: list[RenderableType] = [CellsTable(shot, rows)]
        parts += [slots_table(shot)] if shot.slots else []
        parts += [Text(error, "red") for error in _errors(shot)]
        parts.append(overall(shot, [_LEGEND.format(shot.metric.name), *self.notes]))
        yield from reversed(parts) if self.live else parts


def _errors(shot: Snapshot) -> list[str]:
    said = [f"failed: {cell.name}: {error}" for cell in shot.cells for error in cell.errors]
    found = list(dict.fromkeys(said))
    hidden = len(found) - _MOST_ERRORS
    return [*found[:_MOST_ERRORS], *([f"… and {count(hidden, 'more failure')}"] * (hidden > 0))]


@dataclass(frozen=True)
class CellsTable:
    """The cells of a study, a row each: with all that is known, or in few columns."""

    shot: Snapshot
    most: int = _MOST_ROWS
    """Rows that there is room for."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the widest layout that fits."""
        wide = self._table(self._known, "state", "trials", "epochs", "best", "mean", "stopped")
        measured = Measurement.get(console, options.update(width=10_000), wide)
        yield wide if measured.maximum <= options.max_width else self._table(self._short, "trials")

    def _table(self, row: Callable[[CellView], Sequence[Text | str]], *names: str) -> Table:
        *others, fraction = self.shot.factors
        title = titled(self.shot.name, self.shot.common)
        table, cells = plain_table(title, others, fraction, *names), [*self.shot.cells]
        if len(cells) > self.most:
            # What is under way or went wrong is what one looks for.
            order = list(_STYLES)
            cells.sort(key=lambda cell: order.index(cell.state))
            table.caption = f"… and {len(cells) - self.most + 1} more cells"
            cells = cells[: self.most - 1]
        for cell in cells:
            table.add_row(*map(Text, cell.labels), *row(cell))
        return table

    def _known(self, cell: CellView) -> Sequence[Text | str]:
        stopped = cell.counts.get(Status.STOPPED)
        return (
            Text(cell.state, style=_STYLES[cell.state]),
            f"{cell.ended}/{sum(cell.counts.values())}",
            f"{cell.epochs_done}/{cell.epochs_asked}",
            _value(cell.best, self.shot.metric),
            _value(cell.value if cell.is_measured else None, self.shot.metric),
            Text(str(stopped), "yellow") if stopped else _NONE,
        )

    def _short(self, cell: CellView) -> Sequence[Text | str]:
        return (cell_text(cell, self.shot.metric),)


def slots_table(shot: Snapshot) -> Table:
    """Return the places for trials, with what runs on each."""
    table = plain_table("", ["slot", "trains"], "epoch", "val")
    table.title = None
    for slot in shot.slots:
        text = f"{slot.silence}: {slot.trial}" if slot.silence else slot.trial
        table.add_row(
            str(slot.slot),
            Text(text, "yellow" if slot.silence else ""),
            f"{slot.epochs_done}/{slot.epochs_budget}",
            _value(slot.value, shot.metric),
        )
    return table


def _value(value: float | None, metric: Metric) -> Text:
    return _NONE if value is None or math.isnan(value) else Text(metric.shown(value))


def cell_text(cell: CellView, metric: Metric = ACCURACY) -> Text:
    """Return a cell in a few characters: its value, trials ended, stopped, failed, share done."""
    state = cell.state
    text = Text(style=_STYLES[state])
    value = "  –  " if cell.value is None else metric.shown(cell.value)
    text.append(value if cell.is_measured or cell.value is None else f"({value})")
    text.append(f" {cell.ended}/{sum(cell.counts.values())}", style="dim")
    if stopped := cell.counts.get(Status.STOPPED):
        text.append(f" ⊘{stopped}", style="yellow")
    if failed := cell.counts.get(Status.FAILED):
        text.append(f" ✗{failed}", style="red bold")
    elif state is Status.RUNNING and cell.epochs_asked:
        text.append(f" {100 * cell.epochs_done // cell.epochs_asked}%", style="cyan")
    elif state is Status.COMPLETED:
        text.append(" ✓", style="green")
    return text


def overall(shot: Snapshot, notes: Sequence[str] = ()) -> RenderableType:
    """Return the lines under the tables: a bar, what `summary` says, and the notes."""
    bar = ProgressBar(total=1.0, completed=shot.total.share_done, width=_BAR_WIDTH)
    return Group(Columns([bar, summary(shot)]), *(Text(note, style="dim") for note in notes))


def titled(name: str, common: Mapping[str, str]) -> str:
    """Return a table's title: the study, and what is alike in all cells."""
    if not common:
        return name
    return f"{name} · {', '.join(f'{factor} {level}' for factor, level in common.items())}"


def plain_table(title: str, first: Sequence[str], *others: str) -> Table:
    """Return an empty table with little between its columns; the first ones may be folded."""
    table = Table(
        # As text: a name with brackets is no markup.
        title=Text(title),
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for name in first:
        table.add_column(name, overflow="fold", min_width=min(len(name) + 6, 12) // len(first))
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def summary(shot: Snapshot) -> str:
    """Return one line: share done, trials by status, saved epochs, time left."""
    total = shot.total
    parts = [f"{100 * total.share_done:.0f} %"]
    parts += [f"{total.counts[status]} {status}" for status in Status if total.counts.get(status)]
    if total.saved:
        parts.append(f"{total.saved} epochs saved by stopping")
    silent = sum(bool(slot.silence) for slot in shot.slots)
    if silent:
        parts.append(f"{silent} silent for long (status says which)")
    elif shot.seconds_left is not None:
        parts.append(f"about {duration(shot.seconds_left)} left")
    return ", ".join(parts)
