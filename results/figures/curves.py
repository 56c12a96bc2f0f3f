"""Figures of test error against data and cost, and of data's worth, on logarithmic axes.

Errors are in points (percentage points) of test error, sizes in images.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from results.analysis.analysis import Analysis
from results.analysis.costs import pareto_front
from results.analysis.runs import by_cell, combinations, records_of, where
from results.figures import style
from results.metric import ACCURACY
from results.phrases import cell_name, described
from results.statistics.forecast import CALIBRATED_ON

_MAX_PANELS = _MAX_SERIES = 24
_FEWEST_TICKS = 3
_FOOT = 1e-3  # points


def learning_curves(study: Analysis) -> Figure:
    """Draw test error against images, and what is forecast at up to 64 times the data."""
    title = f"{style.plain(study.design.name)}: what more data would buy"
    cells, forecast, series = study.cells.frame, study.forecasts, study.cells.series
    if not study.metric.is_percent:
        return style.empty(title, "Only forecasts of accuracies are calibrated.")
    if forecast.empty or cells["fraction"].nunique() < 2:
        return style.empty(title, "At least two amounts of data with a value are needed.")
    every = list(dict.fromkeys(cells["model"]))
    models = style.kept(every, study.best_level("model"))
    forecast = forecast[forecast["model"].isin(models)]
    known = cells[cells["model"].isin(models) & (cells["seeds"] > 0)]
    # Nothing at 0 or below has a logarithm.
    low = study.metric.error(known["accuracy_high"]).clip(lower=0.05 * known["error"])
    known = known.assign(low=low, high=study.metric.error(known["accuracy_low"]))
    found = combinations(forecast, study.cells.panels)
    panels = found[:_MAX_PANELS]
    note = (
        "Both axes logarithmic; bars: 95 % t intervals. Dashed, with bands: forecast to four times "
        "the data; dotted and lighter: far beyond it. Forecasts are no measurements; calibrated on "
        f"{CALIBRATED_ON}."
        + style.left_out(len(found) - len(panels), "panels")
        + style.left_out(len(every) - len(models), "models")
    )
    handles = [
        *(style.mark(style.plain(model), **style.look(place)) for model, place in models.items()),
        style.mark("twice the data", color=style.PALE, marker="D", mfc="white", linestyle="--"),
        style.mark("far forecast", color=style.PALE, linestyle=":"),
    ]
    columns = min(len(panels), 2)
    figure, grid = style.new_grid(
        -(-len(panels) // columns), columns, (4.4, 3.0), title, note, handles
    )
    near = forecast[~forecast["is_far"]]
    drawn = [
        *(known[name] for name in ("error", "low", "high")),
        *(near["headline"], near["high"], near["low"].clip(lower=0.5 * near["headline"])),
        forecast["headline"].clip(lower=0.05 * forecast["error"]),
    ]
    sizes, errors = np.concatenate([known["n_train"], forecast["at"]]), np.concatenate(drawn)
    limits = (style.common_range(values.astype(float), log=True) for values in (sizes, errors))
    style.same_limits(grid, *limits)
    of_series, of_forecast = by_cell(known, series), by_cell(forecast, series)
    for axes, panel in zip(grid.flat, panels, strict=False):
        _logarithmic(axes)
        varied = {name: panel[name] for name in panel if forecast[name].nunique(dropna=False) > 1}
        style.name_panel(axes, described(varied))
        for key, own in by_cell(where(forecast, panel), series).items():
            place = models[own["model"].iloc[0]]
            _draw_measured(axes, of_series[key], place)
            _draw_forecast(axes, of_forecast[key], style.look(place)["color"])
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel("test error (%)")
    for axes in grid[-1]:
        axes.set_xlabel("training images")
    return figure


def _draw_measured(axes: Axes, cells: pd.DataFrame, place: int) -> None:
    looks, sizes = style.look(place), cells["n_train"]
    colour = looks["color"]
    axes.plot(sizes, cells["error"], marker=looks["marker"], color=colour, ms=5.5, lw=1.4)
    style.draw_intervals(axes, sizes, cells["error"], cells["low"], cells["high"], colour)


def _draw_forecast(axes: Axes, rows: pd.DataFrame, colour: str) -> None:
    """Draw the forecasts of one series, joined to its last measurement: near ones, then far."""
    last = rows.iloc[0]
    # Nothing drawn at 0 would have a place on a logarithmic axis.
    x = np.array([last["n_train"], *rows["at"]])
    middle = np.maximum([last["error"], *rows["headline"]], _FOOT)
    low, high = (np.maximum([last["error"], *rows[end]], _FOOT) for end in ("low", "high"))
    far = 1 + int((~rows["is_far"]).sum())
    for part, line, pale in ((slice(far), "--", 1.0), (slice(far - 1, None), ":", 0.5)):
        axes.plot(x[part], middle[part], line, color=colour, lw=1.3, alpha=pale)
        axes.fill_between(x[part], low[part], high[part], color=colour, lw=0, alpha=0.14 * pale)
    axes.plot(x[1], middle[1], "D", color=colour, mfc="white", ms=6)


def cost(study: Analysis) -> Figure:
    """Draw test error against what training costs, with the front that no other cell beats."""
    title = f"{style.plain(study.design.name)}: what {study.metric.name} costs"
    cells = study.cells.frame
    known = cells[cells["error"].notna() & (cells["resource_seconds"] > 0)]
    if known.empty:
        return style.empty(title, "No cell has a value yet.")
    resource = study.cells.resource
    note = (
        f"One mark per cell: mean {_error(study)} against {resource}-seconds of one training run. "
        "Line: cells that no other beats, named where there is room. Search time is not counted."
    )
    kinds = ["model"] if known["weights"].nunique() == 1 else ["model", "weights"]
    places = {name: list(known[name].unique()) for name in ("model", "weights")}

    def look_of(cell: pd.Series) -> dict[str, Any]:
        model, weights = (own.index(cell[name]) for name, own in places.items())
        return {"color": style.look(model)["color"], "marker": style.look(weights)["marker"]}

    groups = [(own, look_of(own.iloc[0])) for own in by_cell(known, kinds).values()]
    handles = [
        style.mark(style.plain(cell_name(own.iloc[0], kinds)), **look)
        for own, look in groups[:_MAX_SERIES]
    ]
    figure, grid = style.new_grid(1, 1, (7.4, 4.0), title, note, handles)
    axes: Axes = grid[0, 0]
    front = known[pareto_front(known, "resource_seconds")].sort_values("resource_seconds")
    line: dict[str, Any] = {"where": "post", "color": style.PALE, "linewidth": 1.2, "zorder": 1}
    axes.step(front["resource_seconds"], front["error"], **line)
    for own, look in groups:
        axes.plot(own["resource_seconds"], own["error"], ls="none", markersize=6.3, **look)
    axes.margins(x=0.12, y=0.12)
    _logarithmic(axes)
    varied = [factor for factor in study.factors if front[factor].nunique(dropna=False) > 1]
    _name_front(axes, front, varied or study.factors[:1])
    axes.set_ylabel(_error(study))
    axes.set_xlabel(f"{resource}-seconds of one training run (logarithmic axis)")
    return figure


def _error(study: Analysis) -> str:
    """Return what the error of a study's metric is called beside an axis."""
    if study.metric == ACCURACY:
        return "test error (%)"
    return f"{study.measure}, points to 100" if study.metric.is_percent else study.measure


def _name_front(axes: Axes, front: pd.DataFrame, factors: Sequence[str]) -> None:
    """Write the names of cells below and left of them, where there is nothing but other names."""
    taken = np.inf
    for row in records_of(front):
        point = row["resource_seconds"], row["error"]
        across, height = axes.transAxes.inverted().transform(axes.transData.transform(point))
        if taken - height < 0.05:
            continue
        taken = height
        axes.annotate(
            style.plain(cell_name(row, factors), 48),
            point,
            xytext=(-4, -11),
            textcoords="offset points",
            ha="right" if across > 0.35 else "left",
            fontsize=7.5,
            color=style.INK,
        )


def _logarithmic(axes: Axes) -> None:
    """Use logarithmic axes with plain numbers, if possible powers of ten, else 1, 2 and 5 times."""
    for axis, set_scale in ((axes.xaxis, axes.set_xscale), (axes.yaxis, axes.set_yscale)):
        set_scale("log")
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
        low, high = axis.get_view_interval()
        powers = 10.0 ** np.arange(np.floor(np.log10(low)) - 1, np.ceil(np.log10(high)) + 1)
        for steps in ([1], [1, 2, 5], [1, 1.5, 2, 3, 4, 5, 6, 8]):
            ticks = np.outer(powers, steps).ravel()
            ticks = ticks[(ticks >= low) & (ticks <= high)]
            # A short axis needs finer steps to be read at all.
            if len(ticks) >= _FEWEST_TICKS:
                break
        axis.set_ticks(ticks.tolist())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
