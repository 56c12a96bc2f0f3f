"""Figures of a study's answer: curves, effects, worth of pretraining, cost. Frames in, figure out.

Errors are in points (percentage points) of test error, sizes in images.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from results.analysis.cells import combinations, records_of, where
from results.analysis.costs import pareto_front
from results.analysis.estimates import by_cell
from results.figures.style import (
    COLOURS,
    INK,
    LEGEND_COLUMNS,
    MARKERS,
    PALE,
    common_range,
    empty,
    legend,
    look,
    new_figure,
    new_grid,
    plain,
    same_limits,
    tidy,
)
from results.phrases import cell_key, cell_name, described, level_label

_MAX_ROWS = 60
_MAX_PANELS = 24
_MAX_LINES = 8  # more would share colours
_FEWEST_TICKS = 3


def learning_curves(
    cells: pd.DataFrame, predicted: pd.DataFrame, factors: Sequence[str], name: str
) -> Figure:
    """Draw test error against images, with the fitted law and the next doubling predicted.

    Parameters
    ----------
    cells
        What `results.analysis.estimates.cell_estimates` returns.
    predicted
        What `results.analysis.series.extrapolations` returns.
    factors
        Columns that name a cell.
    name
        Of the study.
    """
    title = f"{plain(name)}: what more data would buy"
    if predicted.empty or cells["fraction"].nunique() < 2:
        return empty(title, "At least two amounts of data with a value are needed.")
    series = [factor for factor in factors if factor != "fraction"]
    every = list(dict.fromkeys(cells["model"]))
    models = every[:_MAX_LINES]
    predicted = predicted[predicted["model"].isin(models)]
    cells = cells[cells["model"].isin(models)]
    panels = combinations(predicted, [factor for factor in series if factor != "model"])
    note = (
        "Both axes logarithmic; bars: 95 % t intervals. Line: fitted power law. Diamond: predicted "
        "error with twice the data, with its interval; a prediction, not a measurement."
    )
    if len(panels) > _MAX_PANELS:
        note += f" {len(panels) - _MAX_PANELS} more panels are left out; the page lists all."
    if len(every) > len(models):
        note += f" {len(every) - len(models)} more models are left out; the page lists all."
    drawn = panels[:_MAX_PANELS]
    columns = min(len(drawn), 2)
    handles = [
        Line2D([], [], label=plain(model), **_colour_and_marker(place))
        for place, model in enumerate(models)
    ]
    handles.append(
        Line2D([], [], color=PALE, marker="D", mfc="white", ls=":", label="twice the data")
    )
    rows = -(-len(drawn) // columns)
    legend_rows = -(-len(handles) // LEGEND_COLUMNS)
    figure, grid = new_grid(rows, columns, (4.4, 3.0), title, note, legend_rows)
    for axes in grid.flat[len(drawn) :]:
        axes.set_axis_off()
    known = cells[cells["seeds"] > 0]
    ends = ["n_train", "error", "accuracy_low", "accuracy_high"]
    of_cells = by_cell(known[[*factors, *ends]], series)
    sizes = np.concatenate([known["n_train"], predicted["at"]])
    same_limits(
        grid, common_range(sizes, log=True), common_range(_errors(known, predicted), log=True)
    )
    for axes in grid.flat[: len(drawn)]:
        _logarithmic(axes, "both")
    for axes, panel in zip(grid.flat, drawn, strict=False):
        tidy(axes)
        varied = {name: panel[name] for name in panel if predicted[name].nunique(dropna=False) > 1}
        if varied:
            axes.set_title(plain(described(varied), 60), fontsize=9.5, color=INK, loc="left")
        for row in records_of(where(predicted, panel)):
            _draw_curve(axes, of_cells[cell_key(row, series)], row, models.index(row["model"]))
    for axes in grid[:, 0]:
        axes.set_ylabel("test error (%)", fontsize=9)
    for axes in grid[-1]:
        axes.set_xlabel("training images", fontsize=9)
    legend(figure, handles)
    return figure


def _errors(cells: pd.DataFrame, predicted: pd.DataFrame) -> np.ndarray:
    """Return all errors that are drawn, intervals kept above a twentieth of their mean."""
    low, high = _ends(cells)
    ends = [predicted[column] for column in ("low", "high", "headline")]
    return np.concatenate([cells["error"], low, high, *ends])


def _ends(cells: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return the intervals of the errors; the lower end stays above 0, which has no logarithm."""
    error = cells["error"]
    low = (100 - cells["accuracy_high"]).fillna(error).clip(lower=0.05 * error)
    return low, (100 - cells["accuracy_low"]).fillna(error)


def _draw_curve(axes: Axes, cells: pd.DataFrame, row: dict[str, Any], place: int) -> None:
    style = look(place)
    colour, marker = style["color"], style["marker"]
    mean, (low, high) = cells["error"], _ends(cells)
    axes.errorbar(
        cells["n_train"],
        mean,
        yerr=np.vstack([mean - low, high - mean]),
        fmt=marker,
        color=colour,
        markersize=5.5,
        capsize=3,
        elinewidth=1.1,
    )
    if np.isnan(row["headline"]):
        axes.plot(cells["n_train"], mean, color=colour, alpha=0.4, linewidth=1)
        return
    sizes = np.geomspace(cells["n_train"].min(), row["n_train"], 60)
    axes.plot(sizes, row["alpha"] + row["eta"] * sizes ** row["gamma"], color=colour, linewidth=1.4)
    axes.plot(
        [row["n_train"], row["at"]], [row["error"], row["headline"]], color=colour, linestyle=":"
    )
    low, high = row["low"], row["high"]
    bars = None
    if not np.isnan(low):
        bars = [[row["headline"] - max(low, 0.05 * row["headline"])], [high - row["headline"]]]
    axes.errorbar(
        [row["at"]],
        [row["headline"]],
        yerr=bars,
        fmt="D",
        mfc="white",
        color=colour,
        markersize=6,
        capsize=3,
        elinewidth=1.1,
    )


def effects(table: pd.DataFrame, name: str) -> Figure:
    """Draw what each step in a factor is worth, averaged over the cells of the others.

    Parameters
    ----------
    table
        What `results.analysis.contrasts.main_effects` returns.
    name
        Of the study.
    """
    title = f"{plain(name)}: what each factor is worth"
    if table.empty:
        return empty(title, "No two levels of a factor have a seed in common.")
    drawn = records_of(table.head(_MAX_ROWS))
    note = (
        "Difference in test accuracy, averaged over the cells of the other factors, paired over "
        "seeds. Filled: the 95 % t interval leaves 0 out."
    )
    if (
        table["difference_without_selection"].notna().any()
        and (table["n_seeds"] != table["n_seeds_without_selection"]).any()
    ):
        note += " Triangle: without the seed on which recipes were chosen."
    if table["low"].isna().all():
        note += " One seed: nothing is tested."
    if len(table) > len(drawn):
        note += f" {len(table) - len(drawn)} more pairs are left out; the page lists all."
    figure = new_figure(8.5, 0.8 + 0.32 * len(drawn), title, note)
    axes = figure.subplots()
    tidy(axes, "x")
    axes.axvline(0, color=PALE, linewidth=1)
    colours = {factor: COLOURS[i] for i, factor in enumerate(dict.fromkeys(table["factor"]))}
    for place, row in enumerate(drawn):
        colour = colours[row["factor"]]
        if not np.isnan(row["low"]):
            axes.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=1.8)
        face = colour if row["decided"] else "white"
        axes.plot(row["difference"], place, "o", color=colour, mfc=face, markersize=6.5)
        if row["n_seeds"] != row["n_seeds_without_selection"]:
            shifted = row["difference_without_selection"]
            axes.plot(shifted, place + 0.27, "^", color=colour, mfc="white", markersize=4.5)
    axes.set_yticks(
        range(len(drawn)),
        [
            plain(
                f"{described({row['factor']: row['first']})} → "
                f"{level_label(row['factor'], row['second'], bare=True)}",
                60,
            )
            for row in drawn
        ],
    )
    axes.set_ylim(len(drawn) - 0.4, -0.6)
    axes.set_xlabel("points of test accuracy gained by the second level", fontsize=9)
    return figure


def pretraining(worths: pd.DataFrame, factors: Sequence[str], name: str) -> Figure:
    """Draw how many times the data a model from scratch needs for a pretrained one's error.

    Parameters
    ----------
    worths
        What `results.analysis.series.data_worths` returns.
    factors
        Columns that name a cell.
    name
        Of the study.
    """
    title = f"{plain(name)}: what pretraining is worth in data"
    if worths.empty:
        return empty(title, "Runs from scratch and pretrained, at two sizes or more, are needed.")
    keys = [factor for factor in factors if factor not in ("fraction",)]
    series = list(by_cell(worths, keys).values())
    note = (
        "How many times the data a model from scratch needs for the same test error. Hollow, with "
        "an arrow: more (or less) than that. Bars: 95 %, by inverting a paired t test."
    )
    handles = [
        Line2D([], [], label=plain(label, 40), **_colour_and_marker(i))
        for i, label in enumerate(_series_name(own.iloc[0], worths, keys) for own in series[:24])
    ]
    rows = -(-len(handles) // LEGEND_COLUMNS)
    figure, grid = new_grid(1, 1, (7.4, 3.6), title, note, rows)
    axes: Axes = grid[0, 0]
    tidy(axes)
    axes.axhline(1, color=PALE, linewidth=1)
    for place, own in enumerate(series[:24]):
        style = look(place)
        # Side by side, so that intervals at one size stay apart.
        shift = 1.03 ** (place - (len(series) - 1) / 2)
        x = own["n_train"] * shift
        axes.plot(x, own["factor"], color=style["color"], marker=style["marker"], linewidth=1.2)
        for bound in ("more_than", "less_than"):
            axes.plot(x, own[bound], ls="none", mfc="white", **_colour_and_marker(place))
        for at, row in zip(x, records_of(own), strict=True):
            low, high = row["low"], row["high"]
            if not (np.isnan(low) or np.isnan(high)):
                axes.plot([at, at], [low, high], color=style["color"], linewidth=1.1)
            for side, sign in (("more_than", 1), ("less_than", -1)):
                if not np.isnan(row[side]):
                    axes.plot(at, row[side] * 1.9**sign, alpha=0)
                    axes.annotate(
                        "",
                        (at, row[side] * 1.6**sign),
                        (at, row[side]),
                        arrowprops={"arrowstyle": "->", "color": style["color"]},
                    )
    axes.margins(y=0.15)
    _logarithmic(axes, "both")
    axes.set_ylabel("times the data", fontsize=9)
    axes.set_xlabel("training images of the pretrained model", fontsize=9)
    legend(figure, handles)
    return figure


def _colour_and_marker(place: int) -> dict[str, Any]:
    return {key: value for key, value in look(place).items() if key != "linestyle"}


def _series_name(row: Any, table: pd.DataFrame, keys: Sequence[str]) -> str:
    varied = [key for key in keys if table[key].nunique(dropna=False) > 1]
    return cell_name(row, varied or keys[:1])


def cost(cells: pd.DataFrame, factors: Sequence[str], name: str) -> Figure:
    """Draw test error against what training costs, with the front that no other cell beats.

    Parameters
    ----------
    cells
        What `results.analysis.estimates.cell_estimates` returns.
    factors
        Columns that name a cell.
    name
        Of the study.
    """
    title = f"{plain(name)}: what accuracy costs"
    known = cells[(cells["seeds"] > 0) & (cells["resource_seconds"] > 0)]
    if known.empty:
        return empty(title, "No cell has a value yet.")
    resource = "GPU" if (known["resource"] == "gpu").any() else "CPU"
    front = known[pareto_front(known, "resource_seconds")].sort_values("resource_seconds")
    note = (
        f"One mark per cell: mean test error against {resource}-seconds of one training run. "
        "Line: cells that no other beats, named where there is room. Search time is not counted."
    )
    models = list(dict.fromkeys(known["model"]))
    weights = list(dict.fromkeys(known["weights"]))
    handles = [
        Line2D([], [], ls="none", marker="o", color=look(i)["color"], label=plain(model))
        for i, model in enumerate(models[:24])
    ]
    if len(weights) > 1:
        handles += [
            Line2D([], [], ls="none", marker=MARKERS[i % 8], color=PALE, label=plain(level))
            for i, level in enumerate(weights)
        ]
    rows = -(-len(handles) // LEGEND_COLUMNS)
    figure, grid = new_grid(1, 1, (7.4, 4.0), title, note, rows)
    axes: Axes = grid[0, 0]
    tidy(axes)
    axes.step(
        front["resource_seconds"], front["error"], where="post", color=PALE, linewidth=1.2, zorder=1
    )
    for (model, level), own in known.groupby(["model", "weights"], sort=False, dropna=False):
        axes.scatter(
            own["resource_seconds"],
            own["error"],
            color=look(models.index(model))["color"],
            marker=MARKERS[weights.index(level) % len(MARKERS)],
            s=40,
            zorder=2,
        )
    varied = [factor for factor in factors if front[factor].nunique(dropna=False) > 1]
    axes.margins(x=0.12, y=0.12)
    _logarithmic(axes, "both")
    taken = np.inf
    for row in records_of(front):
        across, height = axes.transAxes.inverted().transform(
            axes.transData.transform((row["resource_seconds"], row["error"]))
        )
        # Below and left of the front there is nothing but other names.
        if taken - height < 0.05:
            continue
        taken = height
        axes.annotate(
            plain(cell_name(row, varied or factors[:1]), 48),
            (row["resource_seconds"], row["error"]),
            xytext=(-4, -11),
            textcoords="offset points",
            ha="right" if across > 0.35 else "left",
            fontsize=7.5,
            color=INK,
        )
    axes.set_ylabel("test error (%)", fontsize=9)
    axes.set_xlabel(f"{resource}-seconds of one training run (logarithmic axis)", fontsize=9)
    legend(figure, handles)
    return figure


def _logarithmic(axes: Axes, which: str) -> None:
    """Use logarithmic axes with plain numbers, if possible 1, 2 and 5 times powers of ten."""
    for axis, set_scale in ((axes.xaxis, axes.set_xscale), (axes.yaxis, axes.set_yscale)):
        if which not in ("both", axis.axis_name):
            continue
        set_scale("log")
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
        low, high = axis.get_view_interval()
        powers = 10.0 ** np.arange(np.floor(np.log10(low)) - 1, np.ceil(np.log10(high)) + 1)
        for steps in ([1, 2, 5], [1, 1.5, 2, 3, 4, 5, 6, 8]):
            ticks = np.outer(powers, steps).ravel()
            ticks = ticks[(ticks >= low) & (ticks <= high)]
            # A short axis needs finer steps to be read at all.
            if len(ticks) >= _FEWEST_TICKS:
                break
        axis.set_ticks(ticks.tolist())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
