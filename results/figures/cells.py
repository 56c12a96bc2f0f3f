"""What became of every cell: heat map, and accuracy over epochs. Frames in, a figure out.

Whatever was stopped, failed or is missing is marked and named.
"""

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from results.analysis.cells import Cells, State, combinations, records_of, where
from results.analysis.estimates import by_cell
from results.figures.style import (
    COLOURS,
    FAULT,
    INK,
    MAX_PANELS,
    PALE,
    SEQUENTIAL,
    common_range,
    empty,
    legend,
    new_figure,
    new_grid,
    plain,
    same_limits,
    tidy,
)
from results.phrases import cell_key, fraction_label
from results.records import Stage, Status

_MAX_REASONS = 14
_MAX_COURSES = 30  # panels of a figure in which curves can still be told apart
_MANY_LINES = 40  # in one panel, beyond which a vector per line makes files of megabytes
_SEARCHED = "#B0B0B0"


def epochs(
    cells: Cells, trials: pd.DataFrame, curves: pd.DataFrame, name: str, metric: str = "accuracy"
) -> Figure:
    """Draw accuracy over epochs, one panel per cell, with stopped trials marked.

    Parameters
    ----------
    cells
        One panel each: a row per series, a column per data size.
    trials
        One row per trial.
    curves
        One row per trial and epoch.
    name
        Of the study.
    metric
        `accuracy` or `loss`.
    """
    title = f"{plain(name)}: {metric} over epochs"
    if curves.empty:
        return empty(title, "No epoch is recorded yet.")
    fractions = cells.levels["fraction"]
    rows = combinations(cells.frame, cells.series)
    drawn = rows[: max(1, _MAX_COURSES // max(len(fractions), 1))]
    note = f"Validation {metric} solid, train {metric} dashed."
    if cells.race:
        note += " Search, not comparison: what fell behind was stopped."
    if len(drawn) < len(rows):
        note += f" {len(rows) - len(drawn)} more rows are left out; the page shows all."
    columns = max(len(fractions), 2)
    figure, grid = new_grid(len(drawn), columns, (2.4, 1.75), title, note, 1)
    for unused in grid[:, len(fractions) :].flat:
        unused.set_axis_off()
    fates = trials.set_index("trial_id")[["status", "measured", "stopped_at_epoch"]]
    joined = curves.join(fates, on="trial_id", how="inner")
    joined = joined[joined["trial_id"].isin(trials.loc[trials["wanted"], "trial_id"])]
    shown = [f"{part}_{metric}" for part in ("train", "val")]
    kept = [*cells.factors, "trial_id", "epoch", "stage", "status", "measured", *shown]
    groups = by_cell(joined[kept], cells.factors)
    _set_limits(grid, joined, metric)
    for row, series in enumerate(drawn):
        for column, fraction in enumerate(fractions):
            axes: Axes = grid[row, column]
            tidy(axes)
            cell = {**series, "fraction": fraction}
            group = groups.get(cell_key(cell, cells.factors))
            if group is None:
                _say_absent(axes, where(cells.frame, cell))
            else:
                _draw_courses(axes, group, metric, cells.race)
            if row == 0:
                axes.set_title(f"fraction {fraction_label(fraction)}", fontsize=9, color=INK)
            if column == 0:
                label = plain(cells.name(series, cells.series), 60).replace(" × ", "\n× ")
                axes.set_ylabel(label, fontsize=8)
            if row == len(drawn) - 1:
                axes.set_xlabel("epoch", fontsize=9)
    ends = joined["status"].isin([Status.STOPPED, Status.FAILED])
    grey: dict[str, Any] = {"color": PALE, "linestyle": "none"}
    handles = [Line2D([], [], color=COLOURS[0], label="measured: one line per seed")]
    if (joined["stage"] == Stage.SEARCH).any():
        handles.append(Line2D([], [], color=_SEARCHED, label="search: one line per recipe"))
    if (joined["status"] == Status.STOPPED).any():
        handles.append(Line2D([], [], marker="x", label="stopped early", **grey))
    if (ends & (joined["status"] == Status.FAILED)).any():
        handles.append(Line2D([], [], marker="X", color=FAULT, linestyle="none", label="failed"))
    legend(figure, handles)
    return figure


def _set_limits(grid: np.ndarray, curves: pd.DataFrame, metric: str) -> None:
    values = curves[[f"val_{metric}", f"train_{metric}"]].to_numpy(float)
    finite = values[np.isfinite(values)]
    # A diverged trial must not flatten all others.
    most = 3 * float(np.percentile(finite, 95)) if finite.size else 1.0
    last = float(curves["epoch"].max())
    same_limits(grid, (1 - 0.04 * last, last + 0.04 * last), common_range(finite.clip(max=most)))
    for axes in grid.flat:
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _draw_courses(axes: Axes, group: pd.DataFrame, metric: str, race: bool) -> None:
    measured = group["measured"].fillna(False).astype(bool) | race
    for kept, colour, width in ((~measured, _SEARCHED, 0.7), (measured, COLOURS[0], 1.4)):
        part = group[kept]
        if part.empty:
            continue
        parts = (
            (("val", "-", 1.0), ("train", "--", 0.55))
            if colour == COLOURS[0]
            else (("val", "-", 1.0),)
        )
        for of, dashes, alpha in parts:
            lines = _polylines(part, f"{of}_{metric}")
            collection = LineCollection(
                lines,
                colors=colour,
                linewidths=width,
                linestyles=dashes,
                alpha=alpha,
                rasterized=len(lines) > _MANY_LINES,
            )
            axes.add_collection(collection)
    last = group.sort_values("epoch").groupby("trial_id", sort=False).tail(1)
    for status, marker, colour in ((Status.STOPPED, "x", PALE), (Status.FAILED, "X", FAULT)):
        ended = last[last["status"] == status]
        if ended.empty:
            continue
        axes.scatter(
            ended["epoch"],
            ended[f"val_{metric}"],
            marker=marker,
            s=26,
            color=colour,
            zorder=3,
            linewidths=1.2 if marker == "x" else 0,
        )
    single = last[last["epoch"] == 1]
    if len(single):
        axes.scatter(single["epoch"], single[f"val_{metric}"], s=5, color=_SEARCHED)


def _polylines(frame: pd.DataFrame, metric: str) -> list[np.ndarray]:
    ordered = frame.sort_values(["trial_id", "epoch"])
    xy = ordered[["epoch", metric]].to_numpy(float)
    names = ordered["trial_id"].to_numpy()
    starts = np.flatnonzero(names[1:] != names[:-1])
    return np.split(xy, starts + 1)


def _say_absent(axes: Axes, cell: pd.DataFrame) -> None:
    text = (
        "not in this study" if cell.empty else f"{cell.iloc[0]['state']}:\n{cell.iloc[0]['reason']}"
    )
    axes.set_facecolor("#F4F4F4")
    axes.text(
        0.5,
        0.5,
        "\n".join(textwrap.wrap(plain(text, 110), 30)),
        transform=axes.transAxes,
        ha="center",
        va="center",
        fontsize=7.5,
        color=PALE,
    )


def cell_map(cells: Cells, name: str, metric: str = "test_accuracy") -> Figure:
    """Draw every cell as a heat map; cells without a value are named with the reason.

    Parameters
    ----------
    cells
        Rows are series, columns data sizes.
    name
        Of the study.
    metric
        Column of the cells' frame that gives the colour.
    """
    title = f"{plain(name)}: {metric.replace('_', ' ')} of every cell"
    if cells.frame.empty:
        return empty(title, "No trial is planned yet.")
    fractions = cells.levels["fraction"]
    rows = combinations(cells.frame, cells.series)
    values = np.full((len(rows), len(fractions)), np.nan)
    states = np.full(values.shape, "", dtype=object)
    reasons = np.full(values.shape, "", dtype=object)
    row_of = {tuple(map(str, row.values())): place for place, row in enumerate(rows)}
    column_of = {fraction: place for place, fraction in enumerate(fractions)}
    for record in records_of(cells.frame):
        place = (
            row_of[tuple(str(record[factor]) for factor in cells.series)],
            column_of[record["fraction"]],
        )
        values[place], states[place] = record[metric], record["state"]
        reasons[place] = record["reason"]
    counts = ", ".join(f"{number} {state}" for state, number in cells.counts.items() if number)
    lost = [(row, column) for row, column in np.argwhere(np.isnan(values) & (states != ""))]
    written = len(rows) <= MAX_PANELS
    foot = _reasons_text(cells, rows, fractions, states, reasons) if written else []
    height = max(0.8 + (0.42 if written else 0.05) * len(rows), 2.0)
    note = f"{len(cells.frame)} cells: {counts}."
    if cells.race:
        note += " Search, not comparison."
    width = 3.6 + 1.05 * max(len(fractions), 4)
    figure = new_figure(width, height + 0.17 * len(foot), title, note)
    axes = figure.subplots()
    colours = matplotlib.colormaps[SEQUENTIAL]
    image = axes.imshow(np.ma.masked_invalid(values), aspect="auto", cmap=colours)
    axes.set_facecolor("#F0F0F0")
    axes.set_xticks(range(len(fractions)), [fraction_label(f) for f in fractions])
    axes.set_xlabel("share of the training pool", fontsize=9)
    if written:
        axes.set_yticks(
            range(len(rows)), [plain(cells.name(row, cells.series), 40) for row in rows]
        )
        for row, column in np.argwhere(states != ""):
            _write_cell(axes, row, column, values, states, image)
    else:
        axes.set_ylabel(f"{len(rows)} combinations of {', '.join(cells.series)}", fontsize=9)
    for row, column in lost:
        hatch = "xxx" if states[row, column] == State.FAILED else "///"
        axes.add_patch(
            Rectangle(
                (column - 0.5, row - 0.5), 1, 1, fill=False, hatch=hatch, edgecolor="#BBBBBB", lw=0
            )
        )
    axes.tick_params(length=0, labelsize=8.5)
    axes.spines[:].set_visible(False)
    if not np.isnan(values).all():
        bar = figure.colorbar(image, ax=axes, shrink=min(1.0, 3.0 / height), pad=0.02)
        bar.set_label(metric.replace("_", " "), fontsize=9)
        bar.ax.tick_params(labelsize=8)
        bar.outline.set_visible(False)
    if foot:
        axes.set_xlabel(
            "\n".join(["share of the training pool", "", *foot]), fontsize=8.5, loc="left"
        )
    return figure


def _write_cell(
    axes: Axes, row: int, column: int, values: np.ndarray, states: np.ndarray, image: Any
) -> None:
    value, state = values[row, column], states[row, column]
    if np.isnan(value):
        text, colour = str(state), FAULT if state == State.FAILED else INK
    else:
        text = f"{value:.3f}" + ("*" if state == State.PARTIAL else "")
        colour = "white" if image.norm(value) < 0.55 else "black"
    back = {"facecolor": "#F0F0F0", "edgecolor": "none", "pad": 1.5} if np.isnan(value) else None
    axes.text(column, row, text, ha="center", va="center", fontsize=8.5, color=colour, bbox=back)


def _reasons_text(
    cells: Cells,
    rows: list[dict[str, Any]],
    fractions: Sequence[float],
    states: np.ndarray,
    reasons: np.ndarray,
) -> list[str]:
    unfinished = np.argwhere((states != "") & (states != State.COMPLETE))
    lines = []
    for row, column in unfinished[:_MAX_REASONS]:
        cell = cells.name({**rows[row], "fraction": fractions[column]})
        mark = "* " if states[row, column] == State.PARTIAL else ""
        text = f"{mark}{plain(cell, 50)}: {plain(reasons[row, column], 160)}"
        lines.extend(textwrap.wrap(text, 76, subsequent_indent="    "))
    if len(unfinished) > _MAX_REASONS:
        lines.append(f"and {len(unfinished) - _MAX_REASONS} more, listed on the page")
    return lines
