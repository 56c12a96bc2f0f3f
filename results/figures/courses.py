"""The figure of accuracy over epochs in every cell; what was stopped or failed is marked."""

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from results.analysis.analysis import Analysis
from results.analysis.runs import by_cell, combinations, records_of, where
from results.figures import style
from results.phrases import cell_key, fraction_label
from results.records import Stage, Status

_MAX_COURSES = 30  # panels of a figure in which curves can still be told apart
_MANY_LINES = 40  # in one panel, beyond which a vector per line makes files of megabytes
_SEARCHED = "#B0B0B0"


def epochs(study: Analysis) -> Figure:
    """Draw the metric over epochs, one panel per cell, with stopped trials marked.

    A row per series, a column per data size.
    """
    cells, name = study.cells, study.metric.name
    title = f"{style.plain(study.design.name)}: {name} over epochs"
    fates = study.wanted.set_index("trial_id")[["status", "measured"]]
    table = study.table("epochs")
    train = table.get(f"train_{study.metric.column}", np.nan)
    table = table.assign(val=study.metric.of(table, "val"), train=train)
    joined = table.join(fates, on="trial_id", how="inner")
    if joined.empty:
        return style.empty(title, "No epoch is recorded yet.")
    fractions = cells.levels["fraction"]
    rows = combinations(cells.frame, cells.series)
    drawn = rows[: max(1, _MAX_COURSES // max(len(fractions), 1))]
    note = f"Validation {name} solid, train {name} dashed."
    if cells.race:
        note += " Search, not comparison: what fell behind was stopped."
    note += style.left_out(len(rows) - len(drawn), "rows")
    columns = max(len(fractions), 2)
    figure, grid = style.new_grid(
        len(drawn), columns, (2.4, 1.75), title, note, _course_handles(joined)
    )
    _set_limits(grid, joined["epoch"], joined[["train", "val"]].to_numpy(float))
    kept = [*cells.factors, "trial_id", "epoch", "status", "measured", "train", "val"]
    groups = by_cell(joined[kept], cells.factors)
    for row, series in zip(grid, drawn, strict=True):
        for axes, fraction in zip(row, fractions, strict=False):
            cell = {**series, "fraction": fraction}
            group = groups.get(cell_key(cell, cells.factors))
            if group is None:
                _say_absent(axes, where(cells.frame, cell))
            else:
                _draw_courses(axes, group, cells.race)
        label = style.plain(cells.name(series, cells.series), 60).replace(" × ", "\n× ")
        row[0].set_ylabel(label, fontsize=8)
    for axes, fraction in zip(grid[0], fractions, strict=False):
        axes.set_title(f"fraction {fraction_label(fraction)}", fontsize=9, color=style.INK)
    for axes in grid[-1]:
        axes.set_xlabel("epoch")
    for axes in grid[:, len(fractions) :].flat:
        axes.set_axis_off()
    return figure


def _course_handles(curves: pd.DataFrame) -> list[Line2D]:
    handles = [style.mark("measured: one line per seed", color=style.COLOURS[0], linestyle="-")]
    if (curves["stage"] == Stage.SEARCH).any():
        handles.append(style.mark("search: one line per recipe", color=_SEARCHED, linestyle="-"))
    if (curves["status"] == Status.STOPPED).any():
        handles.append(style.mark("stopped early", color=style.PALE, marker="x"))
    if (curves["status"] == Status.FAILED).any():
        handles.append(style.mark("failed", color=style.FAULT, marker="X"))
    return handles


def _set_limits(grid: np.ndarray, epoch: pd.Series, values: np.ndarray) -> None:
    finite = values[np.isfinite(values)]
    # A diverged trial must not flatten all others.
    most = 3 * float(np.percentile(finite, 95)) if finite.size else 1.0
    last = float(epoch.max())
    style.same_limits(
        grid, (1 - 0.04 * last, last + 0.04 * last), style.common_range(finite.clip(max=most))
    )
    for axes in grid.flat:
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _draw_courses(axes: Axes, curves: pd.DataFrame, race: bool) -> None:
    curves = curves.sort_values("epoch")
    measured = curves["measured"].fillna(False).astype(bool) | race
    for part, own, colour, width, dashes, alpha in (
        ("val", ~measured, _SEARCHED, 0.7, "-", 1.0),
        ("val", measured, style.COLOURS[0], 1.4, "-", 1.0),
        ("train", measured, style.COLOURS[0], 1.4, "--", 0.55),
    ):
        lines = [run[["epoch", part]].to_numpy(float) for _, run in curves[own].groupby("trial_id")]
        looks: dict[str, Any] = {"colors": colour, "linewidths": width, "linestyles": dashes}
        is_many = len(lines) > _MANY_LINES
        axes.add_collection(LineCollection(lines, rasterized=is_many, alpha=alpha, **looks))
    last = curves.groupby("trial_id", sort=False).tail(1)
    for status, marker, colour, width in (
        (Status.STOPPED, "x", style.PALE, 1.2),
        (Status.FAILED, "X", style.FAULT, 0),
    ):
        ended = last[last["status"] == status]
        marks: dict[str, Any] = {"marker": marker, "s": 26, "color": colour, "linewidths": width}
        axes.scatter(ended["epoch"], ended["val"], zorder=3, **marks)
    single = last[last["epoch"] == 1]
    axes.scatter(single["epoch"], single["val"], s=5, color=_SEARCHED)


def _say_absent(axes: Axes, cell: pd.DataFrame) -> None:
    reasons = [f"{row['state']}:\n{row['reason']}" for row in records_of(cell)]
    text = "\n".join(textwrap.wrap(style.plain([*reasons, "not in this study"][0], 110), 30))
    axes.set_facecolor("#F4F4F4")
    style.write(axes, 0.5, 0.5, text, axes.transAxes)
