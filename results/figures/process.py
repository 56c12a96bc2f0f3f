"""Figures of how a study went: its search, and its use of the slots."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from results.analysis.analysis import Analysis
from results.analysis.runs import measured_trials, records_of
from results.figures import style
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
