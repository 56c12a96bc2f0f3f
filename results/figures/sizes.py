"""The main figure: accuracy against the amount of training data."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from results.analysis.analysis import Analysis
from results.analysis.cells import Cells, State
from results.analysis.runs import (
    by_cell,
    combinations,
    compared_trials,
    model_sizes,
    records_of,
)
from results.figures import style
from results.metric import ACCURACY
from results.phrases import cell_key, described, fraction_label
from results.records import Status

_MANY_POINTS = 500  # beyond which a vector per point makes files of megabytes
_MAX_PANEL_ROWS = 8
_LABEL_WIDTH = 0.12  # of the axes' width


def data_size(study: Analysis, log: bool = False) -> Figure:
    """Draw data size, on request on a logarithmic axis, against test and train accuracy.

    One line per model, one row of panels per level of `weights` (and of any further factor), with
    the means of cells and each compared seed as a point.
    """
    cells, name = study.cells, style.plain(study.design.name)
    title = f"{name}: {study.metric.name} against the amount of training data"
    parts = _parts(study)
    points = compared_trials(study.trials, cells.race)
    points = points.assign(
        train_accuracy=points["final_train_accuracy"],
        **{f"{part}_metric": study.metric.of(points, f"final_{part}") for part in ("val", "test")},
    )
    if points.empty:
        return style.empty(title, "No cell has a value yet.")
    if len(cells.levels["fraction"]) < 2:
        return _one_size(study, points, name)
    panels = combinations(cells.frame, cells.panels)
    drawn = panels[:_MAX_PANEL_ROWS]
    models = style.kept(cells.levels["model"], study.best_level("model"))
    note = (
        _seed_note(cells)
        + style.left_out(len(panels) - len(drawn), "rows of panels")
        + style.left_out(len(cells.levels["model"]) - len(models), "models")
    )
    handles = _handles(cells, models, points)
    figure, grid = style.new_grid(len(drawn), len(parts), (4.0, 2.5), title, note, handles)
    sizes = cells.frame.groupby("fraction", observed=True)["n_train"].max().sort_index()
    _share_sizes(grid, sizes, log)
    style.same_limits(grid, y=_limits(cells, points, parts))
    of_cells, of_points = (by_cell(frame, cells.series) for frame in (cells.summary, points))
    for row, panel in zip(grid, drawn, strict=True):
        for axes, (part, words) in zip(row, parts.items(), strict=True):
            axes.set_ylabel(words)
            for model, place in models.items():
                key = cell_key({**panel, "model": model}, cells.series)
                if key in of_cells:
                    _draw_cells(axes, of_cells[key], part, place)
                    _draw_absent(axes, of_cells[key], place)
                if key in of_points:
                    _draw_seeds(axes, of_points[key], part, place)
        if panel:
            row[0].set_title(
                style.plain(described(panel), 90), fontsize=9.5, color=style.INK, loc="left"
            )
    for axes in grid[-1]:
        kind = "logarithmic axis" if log else "below: images"
        axes.set_xlabel(f"share of the training pool ({kind})")
    return figure


def _share_sizes(grid: np.ndarray, sizes: pd.Series, log: bool) -> None:
    """Put data sizes on the x axis of all panels: shares, with the number of images below each.

    Labels that would run into one another are left out, the largest size first to stay; every
    size keeps its tick.
    """
    shares = sizes.index.to_numpy(float)
    low, high = shares.min(), shares.max()
    if log:
        spread = max(high / low, 2.0) ** 0.06
        limits = (low / spread, high * spread)
    else:
        room = 0.05 * max(high - low, 0.1 * high)
        limits = (low - room, high + room)
    begin, end = np.log(limits) if log else limits
    places = ((np.log(shares) if log else shares) - begin) / (end - begin)
    labels = [""] * len(shares)
    nearest = np.inf
    for index in reversed(range(len(shares))):
        if nearest - places[index] >= _LABEL_WIDTH:
            nearest = places[index]
            labels[index] = f"{fraction_label(shares[index])}\n{style.count(sizes.iloc[index])}"
    for axes in grid.flat:
        if log:
            axes.set_xscale("log", base=2)
        axes.set_xlim(limits)
        axes.set_xticks(shares, labels)
        axes.minorticks_off()


def _parts(study: Analysis) -> dict[str, str]:
    """Return the columns of the summary that are drawn, in words."""
    words = {"test_metric": study.measure}
    if study.metric == ACCURACY:
        return words | {"train_accuracy": "train accuracy"}
    return words | {"val_metric": f"validation {study.metric.name}"}


def _limits(
    cells: Cells, points: pd.DataFrame, parts: Mapping[str, str]
) -> tuple[float, float] | None:
    """Return limits for all that is drawn; intervals are cut where values end."""
    columns = [f"{part}{end}" for part in parts for end in ("_low", "_high")]
    both = (cells.summary[columns], points[[*parts]])
    drawn = np.concatenate([frame.to_numpy(float).ravel() for frame in both])
    return style.common_range(drawn.clip(0.0, 1.0) if cells.board.metric.scale == 100 else drawn)


def _draw_cells(axes: Axes, cells: pd.DataFrame, part: str, place: int) -> None:
    """Draw the means of one model's cells, joined by a line, with their intervals."""
    looks, metric = style.look(place), part
    colour = looks["color"]
    known = cells[cells["seeds"] > 0]
    sizes, means = known["fraction"], known[metric]
    if len(known) > 1:
        # A gap is bridged by a pale dotted line, so that no missing size looks measured.
        axes.plot(sizes, means, color=colour, alpha=0.35, linestyle=":")
        line = {"color": colour, "linestyle": looks["linestyle"], "lw": 1.8}
        axes.plot(cells["fraction"], cells[metric], **line)
    axes.plot(sizes, means, looks["marker"], color=colour, markersize=6, zorder=3)
    style.draw_intervals(
        axes, sizes, means, known[f"{metric}_low"], known[f"{metric}_high"], colour
    )


def _draw_seeds(axes: Axes, points: pd.DataFrame, part: str, place: int) -> None:
    """Draw every seed of one model as a point, and what was stopped as a cross."""
    colour = style.look(place)["color"]
    for status, looks in (
        (Status.COMPLETED, {"s": 9, "alpha": 0.45, "linewidths": 0}),
        (Status.STOPPED, {"s": 34, "marker": "x", "linewidths": 1.4}),
    ):
        own = points[points["status"] == status]
        if len(own):
            many = len(own) > _MANY_POINTS
            axes.scatter(own["fraction"], own[part], color=colour, rasterized=many, **looks)


def _draw_absent(axes: Axes, cells: pd.DataFrame, place: int) -> None:
    """Name the state of one model's cells without a value, at the foot of the panel."""
    # What was stopped has its own mark, at its last value.
    shown = [State.COMPLETE, State.PARTIAL, State.STOPPED]
    absent = cells[~cells["state"].isin(shown)]
    colour, marker = style.look(place)["color"], style.look(place)["marker"]
    height, middle = 0.04 + 0.07 * (place % 8), cells["fraction"].median()
    across = axes.get_xaxis_transform()
    for fraction, state in zip(absent["fraction"], absent["state"], strict=True):
        right = fraction > middle
        axes.annotate(
            f"{state}  " if right else f"  {state}",
            (fraction, height),
            xycoords=across,
            ha="right" if right else "left",
            va="center",
            fontsize=7.5,
            color=colour,
        )
        axes.scatter(
            fraction, height, 25, "white", marker=marker, ec=colour, transform=across, clip_on=False
        )


def _handles(cells: Cells, models: dict[str, int], points: pd.DataFrame) -> list[Line2D]:
    parameters = model_sizes(cells.frame)
    handles = []
    for model, place in models.items():
        size = parameters.get(model)
        known = (
            f" ({style.count(float(size))} parameters)" if size is not None and size == size else ""
        )
        handles.append(style.mark(style.plain(model) + known, lw=1.8, **style.look(place)))
    if (points["status"] == Status.COMPLETED).sum() > (cells.frame["seeds"] > 0).sum():
        handles.append(style.mark("single seed", color=style.PALE, marker="o", markersize=3))
    if (points["status"] == Status.STOPPED).any():
        handles.append(style.mark("stopped early: last value", color=style.PALE, marker="x"))
    if cells.frame["state"].isin([State.MISSING, State.FAILED, State.RUNNING]).any():
        handles.append(style.mark("no value (see foot)", color=style.PALE, marker="o", mfc="white"))
    return handles


def _one_size(study: Analysis, points: pd.DataFrame, name: str) -> Figure:
    """Draw the cells of a study with a single size: there is no axis of sizes, only a ranking."""
    cells, metric = study.cells, study.metric
    fraction = fraction_label(cells.levels["fraction"][0])
    share = "all" if fraction == "1" else fraction
    title = f"{name}: {metric.name} on {share} of the training pool"
    frame = cells.summary.head(style.MAX_ROWS)
    note = _seed_note(cells) + style.left_out(len(cells.frame) - len(frame), "cells")
    parts = _parts(study)
    looks = dict(zip(parts, zip(style.COLOURS, "os", (-0.12, 0.12), strict=False), strict=True))
    handles = [
        style.mark(parts[part], color=colour, marker=marker)
        for part, (colour, marker, _) in looks.items()
    ]
    rows = records_of(frame)
    names = [style.plain(cells.name(row), 44) for row in rows]
    figure, (axes,) = style.new_rows(names, (8.0,), title, note, handles)
    places, seeds = np.arange(len(frame)), cells.placed(points, "row")
    seeds = seeds[seeds["row"] < len(frame)]
    for part, (colour, marker, shift) in looks.items():
        axes.plot(frame[part], places + shift, marker, color=colour)
        low, high = frame[f"{part}_low"], frame[f"{part}_high"]
        axes.hlines(places + shift, low, high, color=colour)
        at = seeds["row"] + shift
        axes.plot(seeds[part], at, ".", color=colour, ms=3, alpha=0.5)
    for place, row in enumerate(rows):
        if not row["seeds"]:
            style.write_in_row(axes, place, 0.0, f" {row['state']}", style.FAULT, "left")
    axes.set_xlabel(metric.axis)
    return figure


def _seed_note(cells: Cells) -> str:
    most = int(cells.frame["seeds"].max())
    if cells.race:
        return "Search, not comparison: unlike trials competed, and what fell behind was stopped."
    if most <= 1:
        return "One seed: no interval, and no ranking of models."
    return f"Mean of {most} seeds where all are complete, with 95 % t intervals."
