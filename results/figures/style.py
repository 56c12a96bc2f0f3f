"""How figures look: colours, marks, words. No global state of matplotlib is touched."""

import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox, BboxBase, Transform
from numpy.typing import ArrayLike

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F3C8D", "#4D4D4D")
"""Colours of series, told apart with any common colour blindness (after Okabe and Ito, 2008)."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
INK, PALE, GRID, FAULT, QUIET = "#222222", "#767676", "#DDDDDD", "#B3261E", "#555555"
MAX_ROWS = 60
"""Rows that a figure has at most, since more are not read; it says how many it leaves out."""
MAX_LINES = 8
"""Lines that a panel has at most, since more are not told apart at a glance."""
_LEGEND_COLUMNS = 4
_LETTER = 0.07  # inches, of a legend
_ROOM = 0.05  # of a range, at each of its ends
_TALLEST = 200.0  # inches; matplotlib cannot draw much beyond

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]+")


def plain(text: Any, width: int = 48) -> str:
    """Return user text as one printable line taken literally, without the middle beyond `width`."""
    line = " ".join(_UNPRINTABLE.sub(" ", str(text)).split())
    if len(line) > width:
        keep = width - 1
        line = f"{line[: keep - keep // 2]}…{line[len(line) - keep // 2 :]}"
    # A pair of dollar signs would be read as mathematics.
    return line.replace("$", r"\$")


def look(place: int) -> dict[str, Any]:
    """Return a series' colour, marker and dashes by its place from 0; the first 56 are distinct."""
    return {
        "color": COLOURS[place % len(COLOURS)],
        "marker": MARKERS[place % len(MARKERS)],
        "linestyle": DASHES[(place // len(COLOURS)) % len(DASHES)],
    }


def kept(series: Sequence[Any], best: Any) -> dict[Any, int]:
    """Return the series a panel has room for and their places: best, first, last, some between."""
    last = len(series) - 1
    kept = {0, series.index(best) if best in series else last, last}
    spread = np.linspace(0, last, min(len(series), MAX_LINES)).round().astype(int).tolist()
    others = [place for place in spread if place not in kept]
    return {series[place]: place for place in sorted({*kept, *others[: MAX_LINES - len(kept)]})}


def mark(label: str, **look: Any) -> Line2D:
    """Return a legend's entry: a marker, and a line only where `linestyle` is given."""
    return Line2D([], [], label=label, **{"linestyle": "none", **look})


def left_out(number: int, what: str, holder: str = "the page") -> str:
    """Return a sentence on how many things a figure has no room for; empty where it has all."""
    return f" {number} more {what} are left out; {holder} lists all." if number > 0 else ""


def new_grid(
    rows: int,
    columns: int,
    panel: tuple[float, float],
    title: str,
    note: str,
    handles: Sequence[Artist],
    left: float = 0.75,
) -> tuple[Figure, np.ndarray]:
    """Return a figure of panels with a title, a line on how to read it, and a legend below them.

    It is laid out without measuring any text. Measuring, as matplotlib's own layout does, takes
    seconds with dozens of panels; so does sharing axes, since each artist that is added then has
    all limits worked out anew. Callers give all panels the same limits with `same_limits`.

    A panel's width and height are in inches, with the gap to the next, as is the room at their
    left; the axes have the shape (rows, columns). Title and note are plain already; the note is
    wrapped.
    """
    right, top, gap = 0.2, 0.3, (0.3, 0.35)
    width = left + columns * panel[0] + right
    longest = max((len(str(handle.get_label())) for handle in handles), default=0)
    beside = max(1, min(len(handles), _LEGEND_COLUMNS, int(width / (0.6 + _LETTER * longest))))
    foot = 0.65 + 0.22 * -(-len(handles) // beside)
    figure, head = _with_head(width, top + rows * panel[1] + foot, title, note)
    height = figure.get_figheight()
    if handles:
        looks: dict[str, Any] = {"ncols": beside, "fontsize": 8.5, "frameon": False}
        figure.legend(handles=list(handles), loc="lower left", **looks)
    places = {
        "left": left / width,
        "right": 1 - right / width,
        "top": 1 - head - top / height,
        "bottom": foot / height,
        "wspace": gap[0] / (panel[0] - gap[0]),
        "hspace": gap[1] / (panel[1] - gap[1]),
    }
    grid = figure.subplots(rows, columns, squeeze=False, gridspec_kw=places)
    # Drawn quietly: no box, small letters, a pale grid behind the data.
    for axes in grid.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(PALE)
        for label in (axes.xaxis.label, axes.yaxis.label):
            label.set_fontsize(9)
        axes.tick_params(colors=INK, labelsize=8.5)
        axes.grid(color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
    return figure, grid


def same_limits(
    grid: np.ndarray, x: tuple[float, float] | None = None, y: tuple[float, float] | None = None
) -> None:
    """Fix the limits of all panels before anything is drawn; number the outer ones only."""
    for (row, column), axes in np.ndenumerate(grid):
        if x is not None:
            axes.set_xlim(x)
        if y is not None:
            axes.set_ylim(y)
        axes.tick_params(labelbottom=row == len(grid) - 1, labelleft=column == 0)


def common_range(values: np.ndarray, log: bool = False) -> tuple[float, float] | None:
    """Return limits that hold all finite values, with some room at both ends."""
    finite = values[np.isfinite(values) & ((values > 0) | (not log))].astype(float)
    if not finite.size:
        return None
    low, high = float(finite.min()), float(finite.max())
    if log:
        spread = max(high / low, 1.1) ** _ROOM
        return low / spread, high * spread
    margin = _ROOM * max(high - low, 1e-3)
    return low - margin, high + margin


def _with_head(width: float, height: float, title: str, note: str) -> tuple[Figure, float]:
    """Return a figure with its title and note above charts of a height in inches, and the share of
    its height that they take."""
    lines = textwrap.wrap(note, int(13 * width))
    head = 0.38 + 0.17 * len(lines)
    height = min(height + head, _TALLEST)
    figure = Figure(figsize=(width, height), facecolor="white")
    left, top, below = 0.1 / width, 1 - 0.1 / height, 1 - 0.33 / height
    figure.text(left, top, title, va="top", fontsize=12, fontweight="bold", color=INK)
    figure.text(left, below, "\n".join(lines), va="top", fontsize=8.5, color=QUIET, linespacing=1.3)
    return figure, head / height


def for_column(figure: Figure, width: float) -> Figure:
    """Lay a figure out anew, for a column of a paper of a width in inches; return it.

    Text is 8 points high, two panels stand one below the other, and labels that would run into
    others go, as do title and note, which belong into the caption there.
    """
    for text in [*figure.texts][:2]:
        text.remove()
    panels = [axes for axes in figure.axes if axes.axison and axes.get_subplotspec()]
    first = panels[0].get_subplotspec() if panels else None
    shape = first.get_geometry()[:2] if first else (1, 1)
    if shape[1] == 2:
        shape = (len(panels), 1)
        grid = figure.add_gridspec(*shape)
        for row, axes in enumerate(panels):
            axes.set_subplotspec(grid[row, 0])
            axes.tick_params(labelleft=True, labelbottom=True)
    height = 0.3 + shape[0] * 0.62 * width / shape[1] ** 0.5
    for legend in [*figure.legends]:
        legend.remove()
        handles = [handle for handle in legend.legend_handles if handle]
        labels = [text.get_text() for text in legend.get_texts()]
        columns = max(1, int(width / (0.5 + _LETTER * max(map(len, labels)))))
        height += 0.16 * -(-len(labels) // columns)
        figure.legend(handles, labels, loc="outside lower left", ncols=columns, frameon=False)
    figure.set_size_inches(width, min(height, _TALLEST))
    figure.set_layout_engine("constrained")
    for axes in panels:
        axes.tick_params(labelsize=8)
    for text in figure.findobj(Text):
        text.set_fontsize(8)
    figure.draw_without_rendering()
    for axes in panels:
        room = axes.get_window_extent().width / figure.dpi
        lines = textwrap.wrap(axes.get_xlabel(), max(10, int(14 * room)))
        axes.set_xlabel("\n".join(lines))
        height += 0.15 * max(0, len(lines) - 2)
    figure.set_size_inches(width, min(height, _TALLEST))
    figure.draw_without_rendering()
    for axes in panels:
        _thin_out([tick.label1 for tick in reversed(axes.xaxis.get_major_ticks())])
        _thin_out([tick.label1 for tick in reversed(axes.yaxis.get_major_ticks())])
        drawn = [axes.transData.transform(line.get_xydata()) for line in axes.lines]
        marks = np.concatenate([*drawn, np.zeros((0, 2))])
        _thin_out(axes.texts, marks, axes.get_window_extent().padded(1))
    return figure


def _thin_out(texts: Iterable[Text], marks: ArrayLike = (), frame: BboxBase | None = None) -> None:
    """Hide texts that would run into one before them, into marks, (n, 2), or out of a frame."""
    kept = [Bbox([point, point]).padded(3) for point in np.asarray(marks)]
    for text in texts:
        if text.get_text():
            box = text.get_window_extent()
            is_out = frame is not None and frame.count_contains(box.corners()) < 4
            text.set_visible(not (is_out or box.count_overlaps(kept)))
            kept += [box] if text.get_visible() else []


def name_panel(axes: Axes, name: str, width: int = 60) -> None:
    """Write above a panel, at its left, what it is of."""
    axes.set_title(plain(name, width), fontsize=9.5, color=INK, loc="left")


def draw_intervals(
    axes: Axes, x: ArrayLike, mean: ArrayLike, low: ArrayLike, high: ArrayLike, colour: str
) -> None:
    """Draw vertical bars from low to high, arrays of the shape (n), where neither is NaN."""
    table = np.array([x, mean, low, high], dtype=float)
    places, middle, down, up = table[:, ~np.isnan(table[2])]
    if places.size:
        looks: dict[str, Any] = {"fmt": "none", "ecolor": colour, "elinewidth": 1.2, "capsize": 3}
        axes.errorbar(places, middle, yerr=[middle - down, up - middle], **looks)


def write(axes: Axes, across: float, height: float, text: str, place: Transform) -> None:
    """Write a few pale words at a place, in the coordinates of a transform."""
    looks: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7.5, "color": PALE}
    axes.text(across, height, text, transform=place, **looks)


def empty(title: str, message: str) -> Figure:
    """Return a figure that says why there is nothing to draw."""
    figure, _ = _with_head(7.0, 2.2, title, "")
    figure.text(0.5, 0.4, message, ha="center", va="center", fontsize=10, color=PALE)
    return figure


def count(number: float) -> str:
    """Return a count as people write it: 2,812, or 1.3 M from a million on."""
    if number != number:
        return "?"
    return f"{number / 1e6:.3g} M" if abs(number) >= 1e6 else f"{number:,.0f}"
