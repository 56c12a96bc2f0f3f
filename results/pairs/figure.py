"""The figure of two studies side by side. Frames in, figure out."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from results.analysis.cells import records_of
from results.figures.style import COLOURS, INK, PALE, empty, legend, new_figure, plain, tidy
from results.pairs.pair import Basis, Pair
from results.phrases import cell_name

_MAX_ROWS = 60
_ALT = (
    "One row per cell that both studies have: at the left the test accuracy of each with 95 % t "
    "intervals, at the right the difference, second minus first, with its interval. The table of "
    "cells holds all values."
)


def differences(pair: Pair) -> tuple[Figure, str]:
    """Draw both accuracies and their difference, a row per cell; return it with its description."""
    names = [plain(name) for name in pair.names]
    title = f"{names[1]} against {names[0]}"
    both = pair.cells[pair.cells["where"] == "both"]
    both = both[both[["accuracy_first", "accuracy_second"]].notna().any(axis=1)]
    if both.empty:
        return empty(title, "No cell has a value in both studies."), _ALT
    shown = both.head(_MAX_ROWS)
    note = (
        "Left: test accuracy, bars are 95 % t intervals over seeds. Right: second minus first in "
        "points; filled where the interval leaves 0 out, hollow where it does not or there is none."
    )
    if len(both) > len(shown):
        note += f" The first {len(shown)} of {len(both)} cells; the table holds all."
    figure = new_figure(9.6, 1.1 + 0.3 * len(shown), title, note)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.2, 1])
    varying = [name for name in pair.factors if both[name].nunique(dropna=False) > 1]
    labels = [plain(cell_name(row, varying), 44) or "the cell" for row in records_of(shown)]
    places = np.arange(len(shown))
    for axes in (left, right):
        tidy(axes, "x")
        axes.set_ylim(len(shown) - 0.4, -0.6)
    left.set_yticks(places, labels)
    for side, marker, offset in (("first", "o", -0.13), ("second", "s", 0.13)):
        colour = COLOURS[side == "second"]
        mean = shown[f"accuracy_{side}"].to_numpy(float)
        low, high = (shown[f"accuracy_{end}_{side}"].to_numpy(float) for end in ("low", "high"))
        left.hlines(places + offset, low, high, color=colour, lw=1.4, alpha=0.7)
        left.plot(mean, places + offset, marker, color=colour, ms=5.5, ls="")
    left.set_xlabel("test accuracy (%)", fontsize=9)
    _draw_differences(right, shown, places)
    right.set_xlabel("difference (points)", fontsize=9)
    legend(
        figure,
        [
            Line2D([], [], color=COLOURS[place], marker="os"[place], ls="", label=name)
            for place, name in enumerate(names)
        ],
    )
    return figure, _ALT


def _draw_differences(axes: Axes, shown: pd.DataFrame, places: np.ndarray) -> None:
    axes.axvline(0, color=PALE, lw=1)
    difference = shown["difference"].to_numpy(float)
    low, high = (shown[name].to_numpy(float) for name in ("low", "high"))
    axes.hlines(places, low, high, color=INK, lw=1.4)
    decided = shown["decided"].to_numpy(bool)
    for chosen, fill in ((decided, INK), (~decided, "white")):
        axes.plot(difference[chosen], places[chosen], "D", color=INK, mfc=fill, ms=5.5, ls="")
    if np.isnan(difference).all():
        axes.set_xlim(-1, 1)
    # Drawn last, once the limits are known.
    for place, row in zip(places, records_of(shown), strict=True):
        if Basis(row["basis"]) in (Basis.NONE, Basis.SAME):
            axes.annotate(
                str(row["basis"]),
                (0.5, place),
                xycoords=("axes fraction", "data"),
                fontsize=7.5,
                color=PALE,
                ha="center",
                va="bottom" if row["basis"] == Basis.SAME else "center",
            )
