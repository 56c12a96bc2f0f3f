"""A study as people see it in a terminal: cells, slots and a bar, at any width and height."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.screen.snapshot import Snapshot
from orchestrator.screen.view import CellView, SlotView, StudyView, plain_table, summary, titled
from results.phrases import byte_size

_STYLES = {
    "failed": "red",
    "running": "cyan",
    "completed": "green",
    "planned": "dim",
    "stopped": "yellow",
}
_MOST_LONG = 24
"""Cells that are shown with a row each where there is room; more make a grid."""
_FRAME_LINES = 16
"""Titles, headings, rules and the lines below the tables."""
_FEWEST_ROWS = 3
_MOST_ERRORS = 3
_BAR_WIDTH = 30


@dataclass(frozen=True)
class Picture:
    """Cells, slots, what failed, and the bar.

    Parameters
    ----------
    snapshot
        What is shown.
    notes
        Lines below.
    fitted
        Whether all is made to fit the terminal's height: what is redrawn in place has to.
    """

    snapshot: Snapshot
    notes: Sequence[str] = ()
    fitted: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the parts that fit."""
        shot, cells, slots = self.snapshot, None, None
        errors = _errors(shot.view)
        if self.fitted:
            rows = max(2 * _FEWEST_ROWS, options.size.height - _FRAME_LINES - len(errors))
            slots = min(len(shot.slots), max(_FEWEST_ROWS, rows // 3))
            cells = rows - slots
        yield CellsTable(shot.view, shot.name, cells)
        if shot.slots:
            yield SlotsTable(shot.slots, slots)
        yield from (
            Text(e.plain, e.style, no_wrap=self.fitted, overflow="ellipsis") for e in errors
        )
        yield overall(shot.view, shot.seconds_left, self.notes, options.max_width, shot.slots_busy)


def _errors(view: StudyView) -> list[Text]:
    found = {
        f"{_name(view, *key)}: {e}": None for key, cell in view.cells.items() for e in cell.errors
    }
    lines = [Text(f"failed: {line}", style="red") for line in list(found)[:_MOST_ERRORS]]
    if len(found) > _MOST_ERRORS:
        lines.append(Text(f"… and {len(found) - _MOST_ERRORS} more failures", style="red"))
    return lines


def _name(view: StudyView, row: str, column: str) -> str:
    return f"{view.short.get(row, row)} × {column}"


@dataclass(frozen=True)
class CellsTable:
    """The cells: a row each with all that is known, else a grid, else a narrow list.

    Parameters
    ----------
    view
        What is shown.
    title
        The study's name.
    most
        Rows that there is room for; any number by default.
    """

    view: StudyView
    title: str = ""
    most: int | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the layout that fits."""
        count, room = len(self.view.cells), self.most or _MOST_LONG
        layouts = [self._long()] if count <= min(room, _MOST_LONG) else []
        layouts += [self._grid()] if self.most is None or len(self.view.rows) <= self.most else []
        for layout in layouts:
            width = Measurement.get(console, options.update(width=10_000), layout).maximum
            if width <= options.max_width:
                yield layout
                return
        yield self._narrow(options.max_width)

    def _long(self) -> Table:
        names = ("data", "state", "trials", "epochs", "best", "mean", "stopped")
        table = plain_table(titled(self.title, self.view.common), "cell", *names)
        previous = None
        for row, column in self._keys():
            cell = self.view.cells[row, column]
            label = self.view.short.get(row, row)
            table.add_row(
                Text(label, style="dim" if label == previous else ""),
                column,
                Text(cell.state, style=_STYLES[cell.state]),
                f"{cell.ended}/{sum(cell.counts.values())}",
                f"{cell.epochs_done}/{cell.epochs_asked}",
                _percent(cell.best),
                _percent(cell.accuracy if cell.is_measured else None),
                _number(cell.counts.get("stopped", 0), "yellow"),
            )
            previous = label
        return table

    def _grid(self) -> Table:
        table = plain_table(titled(self.title, self.view.common), "cell")
        for column in self.view.columns:
            table.add_column(column, justify="right", no_wrap=True)
        for row in self.view.rows:
            cells = (self.view.cells.get((row, column)) for column in self.view.columns)
            table.add_row(Text(self.view.short.get(row, row)), *map(cell_text, cells))
        return table

    def _narrow(self, width: int) -> Table:
        table = plain_table(titled(self.title, self.view.common), "cell", "data", "trials")
        keys = self._keys()
        if self.most is not None and len(keys) > self.most:
            # What is under way or went wrong is what one looks for.
            order = list(_STYLES)
            keys.sort(key=lambda key: order.index(self.view.cells[key].state))
            hidden = len(keys) - self.most + 1
            keys = keys[: self.most - 1]
            table.caption = f"… and {hidden} more cells"
        for row, column in keys:
            table.add_row(
                Text(self.view.short.get(row, row)),
                column,
                cell_text(self.view.cells[row, column]),
            )
        if self.most is not None:
            _keep_to_one_line(table, 0, width)
        return table

    def _keys(self) -> list[tuple[str, str]]:
        view = self.view
        return [(row, col) for row in view.rows for col in view.columns if (row, col) in view.cells]


@dataclass(frozen=True)
class SlotsTable:
    """Places for trials, with what runs on each.

    Parameters
    ----------
    slots
        What is shown.
    most
        Rows that there is room for; any number by default.
    """

    slots: Sequence[SlotView]
    most: int | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the layout that fits."""
        wide = self._table(("epoch", "val", "images/s", "memory"), 10_000)
        fits = Measurement.get(console, options.update(width=10_000), wide).maximum
        if fits <= options.max_width:
            yield wide
        else:
            yield self._table(("epoch", "images/s"), options.max_width)

    def _table(self, names: Sequence[str], width: int) -> Table:
        table = plain_table("", "slot")
        table.title = None
        table.add_column("trains", overflow="fold")
        for name in names:
            table.add_column(name, justify="right", no_wrap=True)
        shown = self.slots if self.most is None else self.slots[: self.most]
        for slot in shown:
            values: dict[str, RenderableType] = {
                "epoch": f"{slot.epochs_done}/{slot.epochs_budget}",
                "val": _percent(slot.val_accuracy),
                "images/s": _number(slot.images_per_second),
                "memory": _memory(slot.memory_bytes),
            }
            table.add_row(str(slot.slot), Text(slot.trial), *(values[name] for name in names))
        if self.most is not None:
            _keep_to_one_line(table, 1, width)
        if len(shown) < len(self.slots):
            table.caption = f"… and {len(self.slots) - len(shown)} more slots at work"
        return table


def _keep_to_one_line(table: Table, column: int, width: int) -> None:
    """Cut what is too long in one column, where lines are counted; the others stay whole."""
    left = width - 2 - 2 * len(table.columns)
    for place, other in enumerate(table.columns):
        if place != column:
            left -= max(cell_len(str(text)) for text in (other.header, *other.cells))
    table.columns[column].no_wrap = True
    table.columns[column].overflow = "ellipsis"
    table.columns[column].max_width = max(1, left)


def _percent(share: float | None) -> Text:
    return Text("–", style="dim") if share is None else Text(f"{100 * share:.1f} %")


def _number(value: float | None, style: str = "") -> Text:
    return Text(f"{value:,.0f}", style=style) if value else Text("–", style="dim")


def _memory(size: int | None) -> Text:
    return Text("–", style="dim") if size is None else Text(byte_size(size))


def cell_text(cell: CellView | None) -> Text:
    """Return a cell in a few characters: accuracy, trials ended, stopped, failed, share done."""
    if cell is None:
        return Text("·", style="dim")
    state = cell.state
    text = Text(style=_STYLES[state])
    accuracy = "  –  " if cell.accuracy is None else f"{100 * cell.accuracy:.1f} %"
    text.append(accuracy if cell.is_measured or cell.accuracy is None else f"({accuracy})")
    text.append(f" {cell.ended}/{sum(cell.counts.values())}", style="dim")
    if cell.counts.get("stopped"):
        text.append(f" ⊘{cell.counts['stopped']}", style="yellow")
    if cell.counts.get("failed"):
        text.append(f" ✗{cell.counts['failed']}", style="red bold")
    elif state == "running" and cell.epochs_asked:
        text.append(f" {100 * cell.epochs_done // cell.epochs_asked}%", style="cyan")
    elif state == "completed":
        text.append(" ✓", style="green")
    return text


def overall(
    view: StudyView,
    eta_seconds: float | None,
    notes: Sequence[str] = (),
    width: int = 80,
    busy: float | None = None,
) -> RenderableType:
    """Return the lines under the tables: a bar, counts, what stopping saved, time left."""
    words = Text(summary(view, eta_seconds, busy))
    bar = ProgressBar(total=1.0, completed=view.share_done, width=min(_BAR_WIDTH, width))
    line = Table.grid(padding=(0, 1))
    if words.cell_len + _BAR_WIDTH + 4 <= width:
        line.add_row(bar, words)
    else:
        line.add_row(bar)
        line.add_row(words)
    return Group(line, *(Text(note, style="dim") for note in notes))
