"""The main figure: accuracy against the amount of training data. Frames in, a figure out."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from results.analysis.cells import Cells, State, combinations, compared_trials, records_of, where
from results.analysis.estimates import by_cell
from results.figures.style import (
    COLOURS,
    FAULT,
    INK,
    LEGEND_COLUMNS,
    MAX_PANELS,
    PALE,
    common_range,
    count,
    empty,
    legend,
    look,
    new_figure,
    new_grid,
    plain,
    same_limits,
    size_axes,
    tidy,
)
from results.phrases import cell_key, described, fraction_label
from results.records import Status

_MAX_LINES = 8  # more would share colours
_MANY_POINTS = 500  # beyond which a vector per point makes files of megabytes
_MAX_ROWS = 8


def data_size(
    cells: Cells, trials: pd.DataFrame, name: str, log: bool = False, origin: bool = False
) -> Figure:
    """Draw data size against test and train accuracy.

    One line per model, one row of panels per level of `weights` (and of any further factor), with
    the spread over seeds.

    Parameters
    ----------
    cells
        What is drawn.
    trials
        One row per trial: every compared seed is a point.
    name
        Of the study.
    log
        Logarithmic axis of data size.
    origin
        Both axes from 0 to 1, with a dotted line to the first size; not with `log`.
    """
    title = f"{plain(name)}: accuracy against the amount of training data"
    points = compared_trials(trials, cells.race)
    if points.empty:
        return empty(title, "No cell has a value yet.")
    if len(cells.levels["fraction"]) < 2:
        return _one_size(cells, points, name)
    panels = combinations(cells.frame, cells.panels)
    drawn, left_out = panels[:_MAX_ROWS], len(panels[_MAX_ROWS:])
    models = cells.levels["model"]
    note = _seed_note(cells)
    if left_out:
        note += f" {left_out} more rows of panels are left out; the page shows all."
    if len(models) > _MAX_LINES:
        note += f" {len(models) - _MAX_LINES} more models are left out; the page shows all."
    handles = _legend_handles(cells, points, origin and not log)
    rows = -(-len(handles) // LEGEND_COLUMNS)
    figure, grid = new_grid(len(drawn), 2, (4.0, 2.5), title, note, rows)
    measures = [
        f"{part}_accuracy{end}" for part in ("test", "train") for end in ("", "_low", "_high")
    ]
    of_cells = by_cell(cells.frame[[*cells.factors, "state", "seeds", *measures]], cells.series)
    finals = [f"final_{part}_accuracy" for part in ("test", "train")]
    of_points = by_cell(points[[*cells.factors, "status", *finals]], cells.series)
    sizes = cells.frame.groupby("fraction", observed=True)["n_train"].max().sort_index()
    size_axes(grid, list(sizes.index), list(sizes), log, origin and not log)
    same_limits(grid, y=(0.0, 1.0) if origin and not log else _accuracies(cells, points))
    for row, panel in enumerate(drawn):
        for column, part in enumerate(("test", "train")):
            axes: Axes = grid[row, column]
            tidy(axes)
            for place, model in enumerate(models[:_MAX_LINES]):
                key = cell_key({**panel, "model": model}, cells.series)
                if key not in of_cells:
                    continue
                own = of_points.get(key, points.iloc[:0])
                _draw_series(axes, of_cells[key], own, part, place)
                if origin:
                    _draw_origin(axes, of_cells[key], part, place)
            if column == 0 and panel:
                axes.set_title(plain(described(panel), 90), fontsize=9.5, color=INK, loc="left")
            axes.set_ylabel(f"{part} accuracy", fontsize=9)
            if row == len(drawn) - 1:
                kind = "logarithmic axis" if log else "below: images"
                axes.set_xlabel(f"share of the training pool ({kind})", fontsize=9)
    legend(figure, handles)
    return figure


def _accuracies(cells: Cells, points: pd.DataFrame) -> tuple[float, float] | None:
    """Return limits for all that is drawn, intervals cut at 0 and 1."""
    columns = [f"{of}_accuracy{end}" for of in ("test", "train") for end in ("_low", "_high")]
    finals = points[["final_test_accuracy", "final_train_accuracy"]].to_numpy(float)
    drawn = [cells.frame[columns].to_numpy(float).ravel(), finals.ravel()]
    return common_range(np.concatenate(drawn).clip(0.0, 1.0))


def _draw_series(
    axes: Axes, cells: pd.DataFrame, points: pd.DataFrame, part: str, place: int
) -> None:
    style = look(place)
    known = cells[cells["seeds"] > 0]
    metric = f"{part}_accuracy"
    if len(known) > 1:
        # A gap is bridged by a pale dotted line, so that no missing size looks measured.
        axes.plot(known["fraction"], known[metric], color=style["color"], alpha=0.35, linestyle=":")
        axes.plot(
            cells["fraction"],
            cells[metric],
            color=style["color"],
            linestyle=style["linestyle"],
            lw=1.8,
        )
    axes.plot(
        known["fraction"],
        known[metric],
        linestyle="none",
        marker=style["marker"],
        color=style["color"],
        markersize=6,
        zorder=3,
    )
    several = known[known["seeds"] > 1]
    if not several.empty:
        mean = several[metric]
        axes.errorbar(
            several["fraction"],
            mean,
            yerr=np.vstack([mean - several[f"{metric}_low"], several[f"{metric}_high"] - mean]),
            fmt="none",
            ecolor=style["color"],
            elinewidth=1.2,
            capsize=3,
            zorder=2,
        )
    final = f"final_{metric}"
    complete = points[points["status"] == Status.COMPLETED]
    axes.scatter(
        complete["fraction"],
        complete[final],
        s=9,
        color=style["color"],
        alpha=0.45,
        linewidths=0,
        rasterized=len(complete) > _MANY_POINTS,
    )
    stopped = points[points["status"] == Status.STOPPED]
    if len(stopped):
        axes.scatter(
            stopped["fraction"],
            stopped[final],
            s=34,
            marker="x",
            color=style["color"],
            linewidths=1.4,
        )
    # What was stopped has its own mark, at its last value.
    lost = cells[~cells["state"].isin([State.COMPLETE, State.PARTIAL, State.STOPPED])]
    middle = cells["fraction"].median()
    for fraction, state in zip(lost["fraction"], lost["state"], strict=True):
        right = fraction > middle
        axes.annotate(
            f"{state}  " if right else f"  {state}",
            (fraction, 0.04 + 0.07 * (place % 8)),
            xycoords=axes.get_xaxis_transform(),
            ha="right" if right else "left",
            va="center",
            fontsize=7.5,
            color=style["color"],
        )
        axes.plot(
            fraction,
            0.04 + 0.07 * (place % 8),
            transform=axes.get_xaxis_transform(),
            marker=style["marker"],
            markersize=5,
            markerfacecolor="white",
            markeredgecolor=style["color"],
            clip_on=False,
            linestyle="none",
        )


def _one_size(cells: Cells, points: pd.DataFrame, name: str) -> Figure:
    """Draw the cells of a study with a single size: there is no axis of sizes, only a ranking."""
    fraction = fraction_label(cells.levels["fraction"][0])
    share = "all" if fraction == "1" else fraction
    title = f"{plain(name)}: accuracy on {share} of the training pool"
    frame = cells.frame.head(MAX_PANELS)
    note = _seed_note(cells)
    if len(frame) < len(cells.frame):
        note += f" {len(cells.frame) - len(frame)} more cells are left out; the page shows all."
    figure = new_figure(8.0, 1.0 + 0.34 * len(frame), title, note)
    axes = figure.subplots()
    tidy(axes, "x")
    for place, row in enumerate(records_of(frame)):
        own = where(points, {factor: row[factor] for factor in cells.factors})
        for part, colour, marker, shift in (("test", 0, "o", -0.12), ("train", 1, "s", 0.12)):
            at, metric = place + shift, f"{part}_accuracy"
            style: dict[str, Any] = {"color": COLOURS[colour], "marker": marker}
            axes.plot(row[metric], at, linestyle="none", **style)
            axes.plot([row[f"{metric}_low"], row[f"{metric}_high"]], [at, at], color=style["color"])
            values = own[f"final_{metric}"]
            axes.plot(values, np.full(len(own), at), ".", color=style["color"], ms=3, alpha=0.5)
        if not row["seeds"]:
            axes.annotate(
                f" {row['state']}",
                (0.0, place),
                xycoords=axes.get_yaxis_transform(),
                va="center",
                fontsize=8,
                color=FAULT,
            )
    axes.set_yticks(range(len(frame)), [plain(cells.name(row), 44) for row in records_of(frame)])
    axes.set_ylim(len(frame) - 0.4, -0.6)
    axes.set_xlabel("accuracy (0 to 1)", fontsize=9)
    handles = [
        Line2D([], [], linestyle="none", color=COLOURS[0], marker="o", label="test accuracy"),
        Line2D([], [], linestyle="none", color=COLOURS[1], marker="s", label="train accuracy"),
    ]
    legend(figure, handles)
    return figure


def _draw_origin(axes: Axes, cells: pd.DataFrame, part: str, place: int) -> None:
    known = cells[cells["seeds"] > 0]
    if known.empty:
        return
    first = known.sort_values("fraction").iloc[0]
    axes.plot(
        [0, first["fraction"]],
        [0, first[f"{part}_accuracy"]],
        color=COLOURS[place % len(COLOURS)],
        linestyle=":",
        linewidth=1.2,
    )


def _legend_handles(cells: Cells, points: pd.DataFrame, origin: bool) -> list[Line2D]:
    parameters = cells.frame.groupby("model", observed=True)["n_parameters"].max()
    handles = []
    for place, model in enumerate(cells.levels["model"][:_MAX_LINES]):
        size = parameters.get(model)
        known = f" ({count(float(size))} parameters)" if size is not None and size == size else ""
        handles.append(Line2D([], [], label=plain(model) + known, lw=1.8, **look(place)))
    grey: dict[str, Any] = {"color": PALE, "linestyle": "none"}
    if (points["status"] == Status.COMPLETED).sum() > (cells.frame["seeds"] > 0).sum():
        handles.append(Line2D([], [], marker="o", markersize=3, label="single seed", **grey))
    if (points["status"] == Status.STOPPED).any():
        handles.append(Line2D([], [], marker="x", label="stopped early: last value", **grey))
    if cells.frame["state"].isin([State.MISSING, State.FAILED, State.RUNNING]).any():
        handles.append(
            Line2D(
                [],
                [],
                marker="o",
                markerfacecolor="white",
                label="no value (see foot)",
                **grey,
            )
        )
    if origin:
        handles.append(
            Line2D([], [], color=PALE, linestyle=":", label="to the origin, not measured")
        )
    return handles


def _seed_note(cells: Cells) -> str:
    most = int(cells.frame["seeds"].max())
    if cells.race:
        return "Search, not comparison: unlike trials competed, and what fell behind was stopped."
    if most <= 1:
        return "One seed: no interval, and no ranking of models."
    return f"Mean of {most} seeds where all are complete, with 95 % t intervals."
