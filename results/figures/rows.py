"""Figures with a named row for each cell: its recipes, or its scores in two studies."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from results.analysis.analysis import Analysis
from results.analysis.runs import measured_trials, records_of
from results.figures import style
from results.metric import ACCURACY, Metric
from results.phrases import level_label
from results.records import Stage, Status

_RECIPES = {
    Status.COMPLETED: ("trained to its end", "o", "#7FA8C9"),
    Status.STOPPED: ("stopped early: last value", "x", style.PALE),
    Status.FAILED: ("failed: last value", "X", style.FAULT),
}
"""Words, marker and colour of recipes by what became of them."""


def search(study: Analysis) -> Figure:
    """Draw what each cell's recipes came to, and the one that was chosen."""
    title = f"{style.plain(study.design.name)}: recipes tried in each cell"
    cells, wanted, tuned = study.cells, study.wanted, study.design.tuned
    wanted = wanted.assign(value=study.metric.of(wanted, "final_val"))
    tried = wanted[(wanted["stage"] == Stage.SEARCH) & wanted["value"].notna()]
    if tried.empty or not tuned:
        return style.empty(title, "No recipe was searched.")
    frame = cells.frame.head(style.MAX_ROWS)
    note = f"Each mark is one recipe ({', '.join(tuned)}), trained with the search seed."
    note += style.left_out(len(cells.frame) - len(frame), "cells")
    tried = cells.placed(tried, "row")
    tried = tried[tried["row"] < len(frame)]
    handles = [
        style.mark(words, marker=marker, color=colour)
        for status, (words, marker, colour) in _RECIPES.items()
        if (tried["status"] == status).any()
    ]
    handles.append(style.mark("chosen recipe", marker="*", color=style.COLOURS[1], ms=10))
    names = [style.plain(cells.name(row), 44) for row in records_of(frame)]
    figure, (axes,) = style.new_rows(names, (9.5,), title, note, handles)
    for status, (_, marker, colour) in _RECIPES.items():
        own = tried[tried["status"] == status]
        axes.plot(own["value"], own["row"], marker, color=colour, ms=5, alpha=0.85)
    # Winners are most often measured with other seeds than the search's.
    measured = cells.placed(measured_trials(wanted), "row")[["row", *tuned]].drop_duplicates()
    chosen = tried.merge(measured, on=["row", *tuned])
    best, at = chosen["value"], chosen["row"]
    axes.plot(best, at, "*", color=style.COLOURS[1], ms=11.5, mec="white", mew=0.6, zorder=3)
    axes.set_xlabel(f"validation {study.metric.axis} at the last epoch")
    _write_recipes(axes, len(frame), chosen, tuned)
    return figure


def _write_recipes(axes: Axes, rows: int, chosen: pd.DataFrame, tuned: Sequence[str]) -> None:
    """Write each cell's chosen recipe at the right of its row."""
    recipes = ["none chosen"] * rows
    for row in records_of(chosen):
        fields = (f"{field} {level_label(field, row[field], bare=True)}" for field in tuned)
        recipes[row["row"]] = style.plain(", ".join(fields), 44)
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(rows), recipes)
    right.tick_params(length=0, labelsize=8)
    right.spines[:].set_visible(False)


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
    figure, (left, right) = style.new_rows(labels, (5.2, 4.4), title, note, handles)
    places = np.arange(len(shown))
    for colour, (side, _, marker, offset) in zip(style.COLOURS, sides, strict=False):
        mean, low, high = (
            metric.sign * shown[f"accuracy{end}_{side}"] for end in ("", "_low", "_high")
        )
        left.hlines(places + offset, low, high, color=colour, lw=1.4, alpha=0.7)
        left.plot(mean, places + offset, marker, color=colour, ms=5.5)
    unit = "%" if metric.is_percent else metric.unit
    left.set_xlabel(f"test {metric.name} ({unit})" if unit else f"test {metric.name}")
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
            style.write_in_row(right, height, 0.5, str(row["basis"]), style.PALE)
    right.set_xlabel(f"difference ({metric.points})" if metric.points else "difference")
    return figure
