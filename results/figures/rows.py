"""The figure of two studies: a named row for each cell that both have."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from results.analysis.runs import records_of
from results.figures import style
from results.metric import ACCURACY, Metric


def studies(
    cells: pd.DataFrame, rows: Sequence[str], names: tuple[str, str], metric: Metric = ACCURACY
) -> Figure:
    """Draw both studies' accuracies and their difference, one named row per cell that both have."""
    first, second = (style.plain(name) for name in names)
    title = f"{second} against {first}"
    if cells.empty:
        return style.empty(title, "No cell has a value in both studies.")
    shown = cells.head(style.MAX_ROWS)
    note = (
        f"Left: test {metric.name}, bars are 95 % t intervals over seeds. Right: what the second "
        "gains; filled where the interval leaves 0 out, hollow where it does not or there is none."
        + style.left_out(len(cells) - len(shown), "cells", "the table")
    )
    sides = (("first", first, "o", -0.13), ("second", second, "s", 0.13))
    handles = [
        style.mark(name, color=colour, marker=marker)
        for colour, (_, name, marker, _) in zip(style.COLOURS, sides, strict=False)
    ]
    labels = [style.plain(row, 44) for row in rows[: style.MAX_ROWS]]
    room, size = 0.4 + 0.07 * max(map(len, labels)), (4.4, 0.4 + 0.32 * len(labels))
    figure, grid = style.new_grid(1, 2, size, title, note, handles, room)
    left, right = grid[0]
    places = np.arange(len(shown))
    style.same_limits(grid, y=(len(labels) - 0.4, -0.6))
    for axes in grid[0]:
        axes.set_yticks(places, labels)
        axes.grid(visible=False, axis="y")
    for colour, (side, _, marker, offset) in zip(style.COLOURS, sides, strict=False):
        mean, low, high = (
            metric.sign * shown[f"accuracy{end}_{side}"] for end in ("", "_low", "_high")
        )
        left.hlines(places + offset, low, high, color=colour, lw=1.4, alpha=0.7)
        left.plot(mean, places + offset, marker, color=colour, ms=5.5)
    unit = "%" if metric.is_percent else metric.unit
    left.set_xlabel(f"test {metric.name}" + (f" ({unit})" if unit else ""))
    right.axvline(0, color=style.PALE, lw=1)
    right.hlines(places, shown["low"], shown["high"], color=style.INK, lw=1.4)
    decided = shown["decided"].to_numpy(bool)
    for chosen, face in ((decided, style.INK), (~decided, "white")):
        gains = shown["difference"][chosen]
        right.plot(gains, places[chosen], "D", color=style.INK, mfc=face, markersize=6)
    if shown["difference"].isna().all():
        right.set_xlim(-1, 1)
    # Drawn last, once the limits are known.
    for place, row in enumerate(records_of(shown)):
        compared = not np.isnan(row["difference"])
        # The very same trials have an interval of no width.
        if not compared or row["low"] == row["high"]:
            height = place - 0.25 if compared else place
            style.write(right, 0.5, height, str(row["basis"]), right.get_yaxis_transform())
    right.set_xlabel(f"difference ({metric.points})" if metric.points else "difference")
    return figure
