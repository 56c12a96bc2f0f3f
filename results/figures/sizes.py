"""The main figure: accuracy against the amount of training data."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from results.analysis.analysis import Analysis
from results.analysis.cells import Cells, State
from results.analysis.runs import by_cell, combinations, compared_trials, model_sizes
from results.figures import style
from results.metric import ACCURACY
from results.phrases import cell_key, described, fraction_label
from results.records import Status

_MANY_POINTS = 500  # beyond which a vector per point makes files of megabytes
_MAX_PANEL_ROWS = 8
_LABEL_WIDTH = 0.12  # of the axes' width
_ABSENT = [State.MISSING, State.FAILED, State.RUNNING]  # what was stopped has its own mark


def data_size(study: Analysis, log: bool = False) -> Figure:
    """Draw data size, on request on a logarithmic axis, against test and train accuracy.

    One line per model, one row of panels per level of `weights` (and of any further factor), with
    the means of cells and each compared seed as a point.
    """
    cells, series, name = study.cells, study.others("fraction"), study.metric.name
    title = f"{style.plain(study.design.name)}: {name} against the amount of training data"
    parts = {"test_metric": study.measure, "val_metric": f"validation {name}"}
    if study.metric == ACCURACY:
        parts = {"test_metric": study.measure, "train_accuracy": "train accuracy"}
    points = compared_trials(study.trials, cells.race)
    points = points.assign(
        train_accuracy=points["final_train_accuracy"],
        **{f"{part}_metric": study.metric.of(points, f"final_{part}") for part in ("val", "test")},
    )
    if points.empty:
        return style.empty(title, "No cell has a value yet.")
    panels = combinations(cells.frame, study.others("model", "fraction"))
    drawn = panels[:_MAX_PANEL_ROWS]
    models = style.kept(cells.levels["model"], study.best_level("model"))
    note = _seed_note(cells) + style.left_out(len(panels) - len(drawn), "rows of panels")
    note += style.left_out(len(cells.levels["model"]) - len(models), "models")
    handles = _handles(cells, models, points)
    figure, grid = style.new_grid(len(drawn), len(parts), (4.0, 2.5), title, note, handles)
    sizes = cells.frame.groupby("fraction", observed=True)["n_train"].max().sort_index()
    _share_sizes(grid, sizes, log)
    columns = [f"{part}{end}" for part in parts for end in ("_low", "_high")]
    both = cells.summary[columns].to_numpy(float), points[[*parts]].to_numpy(float)
    values = np.concatenate([each.ravel() for each in both])
    if study.metric.scale == 100:
        # Intervals are cut where shares end.
        values = values.clip(0.0, 1.0)
    style.same_limits(grid, y=style.common_range(values))
    of_cells, of_points = (by_cell(frame, series) for frame in (cells.summary, points))
    for row, panel in zip(grid, drawn, strict=True):
        for axes, (part, words) in zip(row, parts.items(), strict=True):
            axes.set_ylabel(words)
            for model, place in models.items():
                key = cell_key({**panel, "model": model}, series)
                if key in of_cells:
                    _draw_cells(axes, of_cells[key], part, place)
                    _draw_absent(axes, of_cells[key], place)
                if key in of_points:
                    _draw_seeds(axes, of_points[key], part, place)
        style.name_panel(row[0], described(panel), 90)
    for axes in grid[-1]:
        kind = "logarithmic axis" if log else "below: images"
        axes.set_xlabel(f"share of the training pool ({kind})")
    return figure


def _share_sizes(grid: np.ndarray, sizes: pd.Series, log: bool) -> None:
    """Put shares on the x axis of all panels, with the number of images below each; labels that
    would run into one another are left out, the largest size first to stay."""
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


def _draw_cells(axes: Axes, cells: pd.DataFrame, part: str, place: int) -> None:
    looks, known = style.look(place), cells[cells["seeds"] > 0]
    colour, sizes, means = looks["color"], known["fraction"], known[part]
    if len(known) > 1:
        # A gap is bridged by a pale dotted line, so that no missing size looks measured.
        axes.plot(sizes, means, color=colour, alpha=0.35, linestyle=":")
        axes.plot(cells["fraction"], cells[part], color=colour, ls=looks["linestyle"], lw=1.8)
    axes.plot(sizes, means, looks["marker"], color=colour, markersize=6, zorder=3)
    style.draw_intervals(axes, sizes, means, known[f"{part}_low"], known[f"{part}_high"], colour)


def _draw_seeds(axes: Axes, points: pd.DataFrame, part: str, place: int) -> None:
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
    absent = cells[cells["state"].isin(_ABSENT)]
    colour, marker = style.look(place)["color"], style.look(place)["marker"]
    height, middle = 0.04 + 0.07 * (place % 8), cells["fraction"].median()
    across = axes.get_xaxis_transform()
    for fraction, state in zip(absent["fraction"], absent["state"], strict=True):
        text, side = (f"{state}  ", "right") if fraction > middle else (f"  {state}", "left")
        looks: dict[str, Any] = {"ha": side, "va": "center", "fontsize": 7.5, "color": colour}
        axes.annotate(text, (fraction, height), xycoords=across, **looks)
        place_of: dict[str, Any] = {"transform": across, "clip_on": False}
        axes.scatter(fraction, height, 25, "white", marker=marker, ec=colour, **place_of)


def _handles(cells: Cells, models: dict[str, int], points: pd.DataFrame) -> list[Line2D]:
    parameters = model_sizes(cells.frame)
    handles = []
    for model, place in models.items():
        size = float(parameters.get(model, np.nan))
        known = f" ({style.count(size)} parameters)" if size == size else ""
        handles.append(style.mark(style.plain(model) + known, lw=1.8, **style.look(place)))
    if (points["status"] == Status.COMPLETED).sum() > (cells.frame["seeds"] > 0).sum():
        handles.append(style.mark("single seed", color=style.PALE, marker="o", markersize=3))
    if (points["status"] == Status.STOPPED).any():
        handles.append(style.mark("stopped early: last value", color=style.PALE, marker="x"))
    if cells.frame["state"].isin(_ABSENT).any():
        handles.append(style.mark("no value (see foot)", color=style.PALE, marker="o", mfc="white"))
    return handles


def _seed_note(cells: Cells) -> str:
    most = int(cells.frame["seeds"].max())
    if cells.race:
        return "Search, not comparison: unlike trials competed, and what fell behind was stopped."
    if most <= 1:
        return "One seed: no interval, and no ranking of models."
    return f"Mean of {most} seeds where all are complete, with 95 % t intervals."
