"""Figures of what became of every cell: a heat map, and accuracy over epochs.

Whatever was stopped, failed or is missing is marked and named.
"""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from results.analysis.analysis import Analysis
from results.analysis.cells import Cells, State
from results.analysis.runs import by_cell, combinations, records_of, where
from results.figures import style
from results.phrases import cell_key, fraction_label
from results.records import Stage, Status

_MAX_REASONS = 14
_MAX_COURSES = 30  # panels of a figure in which curves can still be told apart
_MANY_LINES = 40  # in one panel, beyond which a vector per line makes files of megabytes
_SEARCHED = "#B0B0B0"
_BLANK = "#F0F0F0"


def epochs(study: Analysis, metric: str = "metric") -> Figure:
    """Draw the metric or the loss over epochs, one panel per cell, with stopped trials marked.

    A row per series, a column per data size.
    """
    cells, name = study.cells, study.metric.name if metric == "metric" else metric
    title = f"{style.plain(study.design.name)}: {name} over epochs"
    fates = study.wanted.set_index("trial_id")[["status", "measured"]]
    table = study.table("epochs")
    if metric == "metric":
        train = table.get(f"train_{study.metric.column}", np.nan)
        table = table.assign(val_metric=study.metric.of(table, "val"), train_metric=train)
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
    shown = [f"{part}_{metric}" for part in ("train", "val")]
    _set_limits(grid, joined["epoch"], joined[shown].to_numpy(float))
    kept = [*cells.factors, "trial_id", "epoch", "status", "measured", *shown]
    groups = by_cell(joined[kept], cells.factors)
    for row, series in zip(grid, drawn, strict=True):
        for axes, fraction in zip(row, fractions, strict=False):
            cell = {**series, "fraction": fraction}
            group = groups.get(cell_key(cell, cells.factors))
            if group is None:
                _say_absent(axes, where(cells.frame, cell))
            else:
                _draw_courses(axes, group, metric, cells.race)
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


def _draw_courses(axes: Axes, curves: pd.DataFrame, metric: str, race: bool) -> None:
    """Draw one cell's trials over epochs: those measured in colour, with their train values."""
    measured = curves["measured"].fillna(False).astype(bool) | race
    for part, own, colour, width, dashes, alpha in (
        ("val", ~measured, _SEARCHED, 0.7, "-", 1.0),
        ("val", measured, style.COLOURS[0], 1.4, "-", 1.0),
        ("train", measured, style.COLOURS[0], 1.4, "--", 0.55),
    ):
        lines = _polylines(curves[own], f"{part}_{metric}")
        axes.add_collection(
            LineCollection(
                lines,
                colors=colour,
                linewidths=width,
                linestyles=dashes,
                alpha=alpha,
                rasterized=len(lines) > _MANY_LINES,
            )
        )
    last = curves.sort_values("epoch").groupby("trial_id", sort=False).tail(1)
    for status, marker, colour, width in (
        (Status.STOPPED, "x", style.PALE, 1.2),
        (Status.FAILED, "X", style.FAULT, 0),
    ):
        ended = last[last["status"] == status]
        axes.scatter(
            ended["epoch"],
            ended[f"val_{metric}"],
            marker=marker,
            s=26,
            color=colour,
            zorder=3,
            linewidths=width,
        )
    single = last[last["epoch"] == 1]
    axes.scatter(single["epoch"], single[f"val_{metric}"], s=5, color=_SEARCHED)


def _polylines(curves: pd.DataFrame, metric: str) -> list[np.ndarray]:
    """Return a line of shape (epochs, 2) for each trial."""
    ordered = curves.sort_values(["trial_id", "epoch"])
    names = ordered["trial_id"].to_numpy()
    starts = np.flatnonzero(names[1:] != names[:-1]) + 1
    return np.split(ordered[["epoch", metric]].to_numpy(float), starts) if len(names) else []


def _say_absent(axes: Axes, cell: pd.DataFrame) -> None:
    text = "not in this study"
    for state, reason in zip(cell["state"], cell["reason"], strict=True):
        text = f"{state}:\n{reason}"
    axes.set_facecolor("#F4F4F4")
    axes.text(
        0.5,
        0.5,
        "\n".join(textwrap.wrap(style.plain(text, 110), 30)),
        transform=axes.transAxes,
        ha="center",
        va="center",
        fontsize=7.5,
        color=style.PALE,
    )


def cell_map(study: Analysis, metric: str = "test_metric") -> Figure:
    """Draw every cell as a heat map; cells without a value are named with the reason.

    A column of the summary gives the colour; series are rows, data sizes columns.
    """
    cells = study.cells
    words = study.measure if metric == "test_metric" else metric.replace("_", " ")
    title = f"{style.plain(study.design.name)}: {words} of every cell"
    if cells.frame.empty:
        return style.empty(title, "No trial is planned yet.")
    rows = combinations(cells.frame, cells.series)
    fractions = cells.levels["fraction"]
    note = f"{len(cells.frame)} cells: {cells.progress}."
    if cells.race:
        note += " Search, not comparison."
    written = len(rows) <= style.MAX_ROWS
    reasons = _reasons_text(cells) if written else []
    foot = ["share of the training pool", *([""] if reasons else []), *reasons]
    height = max(0.8 + (0.42 if written else 0.05) * len(rows), 2.0)
    width = 3.6 + 1.05 * max(len(fractions), 4)
    figure = style.new_figure(width, height + 0.17 * len(reasons), title, note)
    axes = figure.subplots()
    axes.set_facecolor(_BLANK)
    axes.set_xticks(range(len(fractions)), [fraction_label(f) for f in fractions])
    axes.tick_params(length=0, labelsize=8.5)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("\n".join(foot), fontsize=8.5, loc="left" if reasons else "center")
    values = _laid_out(cells, metric, np.nan)
    states = _laid_out(cells, "state", "")
    image = axes.imshow(np.ma.masked_invalid(values), aspect="auto", cmap=style.SEQUENTIAL)
    if written:
        names = [style.plain(cells.name(row, cells.series), 40) for row in rows]
        axes.set_yticks(range(len(rows)), names)
        _write_values(axes, values, states, image)
    else:
        axes.set_ylabel(f"{len(rows)} combinations of {', '.join(cells.series)}", fontsize=9)
    _hatch(axes, values, states)
    if not np.isnan(values).all():
        bar = figure.colorbar(image, ax=axes, shrink=min(1.0, 3.0 / height), pad=0.02)
        bar.set_label(words, fontsize=9)
        bar.ax.tick_params(labelsize=8)
        bar.outline.set_visible(False)
    return figure


def _laid_out(cells: Cells, column: str, blank: float | str) -> np.ndarray:
    """Return a column of the cells as an array of shape (series, data sizes)."""
    frame, sizes = cells.summary, pd.Index(cells.levels["fraction"])
    series = frame.groupby(list(cells.series), dropna=False, observed=True, sort=False).ngroup()
    shape = (series.max() + 1, len(sizes))
    laid_out = np.full(shape, blank, dtype=float if blank != blank else object)
    laid_out[series, sizes.get_indexer(frame["fraction"])] = frame[column]
    return laid_out


def _write_values(axes: Axes, values: np.ndarray, states: np.ndarray, image: AxesImage) -> None:
    """Write each cell's value, or its state where it has none."""
    low, high = image.get_clim()
    for row, column in np.argwhere(states != ""):
        value, state = values[row, column], states[row, column]
        back = None
        if np.isnan(value):
            text, colour = str(state), style.FAULT if state == State.FAILED else style.INK
            back = {"facecolor": _BLANK, "edgecolor": "none", "pad": 1.5}
        else:
            text = f"{value:.3f}" + ("*" if state == State.PARTIAL else "")
            colour = "white" if value <= low + 0.55 * (high - low) else "black"
        axes.text(
            column, row, text, ha="center", va="center", fontsize=8.5, color=colour, bbox=back
        )


def _hatch(axes: Axes, values: np.ndarray, states: np.ndarray) -> None:
    """Hatch the cells without a value."""
    for row, column in np.argwhere(np.isnan(values) & (states != "")):
        hatch = "xxx" if states[row, column] == State.FAILED else "///"
        corner = (column - 0.5, row - 0.5)
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, hatch=hatch, edgecolor="#BBBBBB", lw=0))


def _reasons_text(cells: Cells) -> list[str]:
    """Return lines that say why cells are not complete."""
    unfinished = cells.frame[cells.frame["state"] != State.COMPLETE]
    lines = []
    for row in records_of(unfinished.head(_MAX_REASONS)):
        mark = "* " if row["state"] == State.PARTIAL else ""
        text = f"{mark}{style.plain(cells.name(row), 50)}: {style.plain(row['reason'], 160)}"
        lines.extend(textwrap.wrap(text, 76, subsequent_indent="    "))
    if len(unfinished) > _MAX_REASONS:
        lines.append(f"and {len(unfinished) - _MAX_REASONS} more, listed on the page")
    return lines
