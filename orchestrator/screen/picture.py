"""A study as people see it in a terminal, at any width and height: once, or while it runs."""

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich import box
from rich.columns import Columns
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.run.events import Progress
from orchestrator.screen.snapshot import CellView, Snapshot, snapshot
from results.metric import ACCURACY, Metric
from results.phrases import count, duration
from results.records import Status
from results.store.store import Store

if TYPE_CHECKING:
    from orchestrator.ledger.ledger import Ledger

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
_LIVE_SECONDS = 0.5
_DRAWING_SHARE = 20
"""Drawing may take one part in so many of the driver's time."""
_LOG_SECONDS = (2.0, 5.0, 10.0, 30.0, 60.0)
"""Pauses between log lines: the first soon, then ever rarer."""


@dataclass(frozen=True)
class Picture:
    """What a terminal shows of a study: cells, slots, what failed, and a bar."""

    snapshot: Snapshot
    notes: Sequence[str] = ()
    live: bool = False
    """Whether it is redrawn in place, which cuts off what does not fit: what matters is on top."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shot, rows = self.snapshot, options.size.height // 2 if self.live else _MOST_ROWS
        parts: list[RenderableType] = [CellsTable(shot, rows)]
        parts += [slots_table(shot)] if shot.slots else []
        failed = [f"failed: {cell.name}: {error}" for cell in shot.cells for error in cell.errors]
        said, hidden = [*dict.fromkeys(failed)], len({*failed}) - _MOST_ERRORS
        said[_MOST_ERRORS:] = [f"… and {count(hidden, 'more failure')}"] * (hidden > 0)
        parts += [Text(sentence, "red") for sentence in said]
        bar = ProgressBar(total=1.0, completed=shot.total.share_done, width=_BAR_WIDTH)
        notes = (Text(note, "dim") for note in (_LEGEND.format(shot.metric.name), *self.notes))
        parts.append(Group(Columns([bar, summary(shot)]), *notes))
        yield from reversed(parts) if self.live else parts


@dataclass(frozen=True)
class CellsTable:
    """The cells of a study, a row each: with all that is known, or in few columns."""

    shot: Snapshot
    most: int = _MOST_ROWS
    """Rows that there is room for."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = self._table(self._known, "state", "trials", "epochs", "best", "mean", "stopped")
        measured = Measurement.get(console, options.update(width=10_000), wide)
        short = self._table(lambda cell: [cell_text(cell, self.shot.metric)], "trials")
        yield wide if measured.maximum <= options.max_width else short

    def _table(self, row: Callable[[CellView], Sequence[Text | str]], *names: str) -> Table:
        *others, fraction = self.shot.factors
        title = titled(self.shot.name, self.shot.common)
        table, cells = plain_table(title, others, fraction, *names), [*self.shot.cells]
        if len(cells) > self.most:
            # What is under way or went wrong is what one looks for.
            cells.sort(key=lambda cell: [*_STYLES].index(cell.state))
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


def slots_table(shot: Snapshot) -> Table:
    """Return the places for trials, with what runs on each."""
    table = plain_table("", ["slot", "trains"], "epoch", "val")
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
    text = Text(style=_STYLES[cell.state])
    value = "  –  " if cell.value is None else metric.shown(cell.value)
    text.append(value if cell.is_measured or cell.value is None else f"({value})")
    text.append(f" {cell.ended}/{sum(cell.counts.values())}", style="dim")
    if stopped := cell.counts.get(Status.STOPPED):
        text.append(f" ⊘{stopped}", style="yellow")
    if failed := cell.counts.get(Status.FAILED):
        text.append(f" ✗{failed}", style="red bold")
    elif cell.state is Status.RUNNING and cell.epochs_asked:
        text.append(f" {100 * cell.epochs_done // cell.epochs_asked}%", style="cyan")
    elif cell.state is Status.COMPLETED:
        text.append(" ✓", style="green")
    return text


def titled(name: str, common: Mapping[str, str]) -> str:
    """Return a table's title: the study, and what is alike in all cells."""
    levels = ", ".join(f"{factor} {level}" for factor, level in common.items())
    return f"{name} · {levels}" if levels else name


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


def say(*parts: RenderableType, style: str = "", wrapped: bool = False) -> None:
    """Print texts and tables below each other; a name with brackets is no markup."""
    if parts:
        console = Console(highlight=False, markup=False)
        console.print(*parts, sep="\n", style=style, soft_wrap=not wrapped)


def summary(shot: Snapshot) -> str:
    """Return one line: share done, trials by status, saved epochs, time left."""
    total = shot.total
    parts = [f"{100 * total.share_done:.0f} %"]
    parts += [f"{total.counts[status]} {status}" for status in Status if total.counts.get(status)]
    if total.saved:
        parts.append(f"{total.saved} epochs saved by stopping")
    if silent := sum(bool(slot.silence) for slot in shot.slots):
        parts.append(f"{silent} silent for long (status says which)")
    elif shot.seconds_left is not None:
        parts.append(f"about {duration(shot.seconds_left)} left")
    return ", ".join(parts)


class Lines(Progress):
    """A plain line now and then, for logs and pipes."""

    def __init__(self, console: Console | None = None) -> None:
        # Standard output may be a document.
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._started = self._last = time.monotonic()
        self._shown = 0

    def note(self, text: str) -> None:
        """Write a line."""
        self._last = time.monotonic()
        self._console.print(f"[{self._last - self._started:6.0f} s] {text}", markup=False)

    def decoding(self, done: int, total: int) -> None:
        """Write a line where the last one is two seconds old."""
        if time.monotonic() - self._last > 2.0:
            self.note(f"decoding images: {done} of {total}")

    def start(self, source: "Ledger | Store") -> None:
        """Write how far the study is."""
        self.note(summary(snapshot(source)))

    stop = start

    def update(self, source: "Ledger | Store") -> None:
        """Write how far the study is, if the last line is old."""
        pause = _LOG_SECONDS[min(self._shown, len(_LOG_SECONDS) - 1)]
        if time.monotonic() - self._last >= pause:
            self._shown += 1
            self.note(summary(snapshot(source)))


class LiveTable(Lines):
    """A table of cells that is redrawn in place, for terminals; lines until there is one."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(console)
        self._live = Live(console=self._console, auto_refresh=False)
        self._note, self._due = "", 0.0

    def note(self, text: str) -> None:
        """Show what is being done: on a line before the table is there, below it after."""
        self._note = text
        if not self._live.is_started:
            super().note(text)

    def start(self, source: "Ledger | Store") -> None:
        """Draw the table."""
        self._note = ""
        self._live = Live(console=self._console, auto_refresh=False)
        self._live.start()
        self._draw(source)

    def update(self, source: "Ledger | Store") -> None:
        """Draw the state anew after a pause, which is longer where drawing takes long."""
        started = time.monotonic()
        if started >= self._due:
            self._draw(source)
            ended = time.monotonic()
            self._due = ended + max(_LIVE_SECONDS, _DRAWING_SHARE * (ended - started))

    def stop(self, source: "Ledger | Store") -> None:
        """Leave the last state on the screen."""
        self._note = ""
        self._draw(source)
        self._live.stop()

    def _draw(self, source: "Ledger | Store") -> None:
        notes = [self._note] if self._note else []
        self._live.update(Picture(snapshot(source), notes, live=True), refresh=True)


def make_progress() -> Progress:
    """Return what suits the place: a live table in terminals, else plain lines."""
    console = Console(stderr=True)
    is_terminal = console.is_terminal and not console.is_jupyter and sys.stderr.isatty()
    return LiveTable(console) if is_terminal else Lines()
