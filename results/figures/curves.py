"""Figures of test error against data and cost, on logarithmic axes, and of accuracy over epochs."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from results.analysis.analysis import Analysis
from results.analysis.cells import pareto_front
from results.analysis.runs import by_cell, combinations, records_of, where
from results.figures import style
from results.metric import ACCURACY
from results.phrases import cell_key, cell_name, described, fraction_label, split_levels
from results.records import Stage, Status
from results.statistics.forecast import CALIBRATED_ON

_MAX_PANELS = _MAX_SERIES = 24
_MAX_COURSES = 30  # panels of a figure in which curves over epochs can still be told apart
_MANY_LINES = 40  # in one panel, beyond which a vector per line makes files of megabytes
_FEWEST_TICKS = 3
_FOOT = 1e-3  # points
_SEARCHED = "#B0B0B0"


def learning_curves(study: Analysis) -> Figure:
    """Draw test error against images, and what is forecast at up to 64 times the data."""
    title = f"{style.plain(study.design.name)}: what more data would buy"
    cells, forecast, series = study.cells.frame, study.forecasts, study.others("fraction")
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
    found = combinations(forecast, study.others("model", "fraction"))
    panels = found[:_MAX_PANELS]
    note = (
        "Both axes logarithmic; bars: 95 % t intervals. Dashed, with bands: forecast to four times "
        "the data; dotted and lighter: far beyond it. Forecasts are no measurements; calibrated on "
        f"{CALIBRATED_ON}."
        + style.left_out(len(found) - len(panels), "panels")
        + style.left_out(len(every) - len(models), "models")
        + style.left_out(int((known["error"] == 0).sum()), "cells without an error")
    )
    handles = [
        *(style.mark(style.plain(model), **style.look(place)) for model, place in models.items()),
        style.mark("twice the data", color=style.PALE, marker="D", mfc="white", linestyle="--"),
        style.mark("far forecast", color=style.PALE, linestyle=":"),
    ]
    shape = -(-len(panels) // 2), min(len(panels), 2)
    figure, grid = style.new_grid(*shape, (4.4, 3.0), title, note, handles)
    near = forecast[~forecast["is_far"]]
    drawn = [
        *(known[name] for name in ("error", "low", "high")),
        *(near["headline"], near["high"], near["low"].clip(lower=0.5 * near["headline"])),
        forecast["headline"].clip(lower=0.05 * forecast["error"]),
    ]
    sizes, errors = np.concatenate([known["n_train"], forecast["at"]]), np.concatenate(drawn)
    limits = (style.common_range(values.astype(float), log=True) for values in (sizes, errors))
    style.same_limits(grid, *limits)
    of_series = by_cell(known, series)
    for axes, panel in zip(grid.flat, panels, strict=False):
        _logarithmic(axes)
        varied = {name: panel[name] for name in panel if forecast[name].nunique(dropna=False) > 1}
        style.name_panel(axes, described(varied))
        for key, own in by_cell(where(forecast, panel), series).items():
            _draw_series(axes, of_series[key], own, style.look(models[own["model"].iloc[0]]))
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel("test error (%)")
    for axes in grid[-1]:
        axes.set_xlabel("training images")
    return figure


def _draw_series(
    axes: Axes, cells: pd.DataFrame, rows: pd.DataFrame, looks: dict[str, Any]
) -> None:
    """Draw a line of cells, and joined to its last the forecasts: near ones, then far."""
    colour, sizes, last = looks["color"], cells["n_train"], rows.iloc[0]
    axes.plot(sizes, cells["error"], marker=looks["marker"], color=colour, ms=5.5, lw=1.4)
    style.draw_intervals(axes, sizes, cells["error"], cells["low"], cells["high"], colour)
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
    cells, resource = study.cells.frame, study.cells.resource
    known = cells[cells["error"].notna() & (cells["resource_seconds"] > 0)]
    if known.empty:
        return style.empty(title, "No cell has a value yet.")
    note = (
        f"One mark per cell: mean {_error(study)} against {resource}-seconds of one training run. "
        "Line: cells that no other beats, named where there is room. Search time is not counted."
    )
    kinds = ["model"] if known["weights"].nunique() == 1 else ["model", "weights"]
    places = {name: list(known[name].unique()) for name in ("model", "weights")}
    groups, handles = [], []
    for own in by_cell(known, kinds).values():
        model, weights = (style.look(places[name].index(own[name].iloc[0])) for name in places)
        look = {"color": model["color"], "marker": weights["marker"]}
        groups.append((own, look))
        handles.append(style.mark(style.plain(cell_name(own.iloc[0], kinds)), **look))
    figure, grid = style.new_grid(1, 1, (7.4, 4.0), title, note, handles[:_MAX_SERIES])
    axes: Axes = grid[0, 0]
    front = known[pareto_front(known, "resource_seconds")].sort_values("resource_seconds")
    line: dict[str, Any] = {"where": "post", "color": style.PALE, "linewidth": 1.2, "zorder": 1}
    axes.step(front["resource_seconds"], front["error"], **line)
    for own, look in groups:
        axes.plot(own["resource_seconds"], own["error"], ls="none", markersize=6.3, **look)
    axes.margins(x=0.12, y=0.12)
    _logarithmic(axes)
    _name_front(axes, front, split_levels(study.factors, records_of(front))[0])
    axes.set_ylabel(_error(study))
    axes.set_xlabel(f"{resource}-seconds of one training run (logarithmic axis)")
    return figure


def _error(study: Analysis) -> str:
    if study.metric == ACCURACY:
        return "test error (%)"
    return f"{study.measure}, points to 100" if study.metric.is_percent else study.measure


def _name_front(axes: Axes, front: pd.DataFrame, factors: Sequence[str]) -> None:
    """Write the names of cells below and left of them, where there is nothing but other names."""
    taken = np.inf
    looks: dict[str, Any] = {"textcoords": "offset points", "fontsize": 7.5, "color": style.INK}
    for row in records_of(front):
        point = row["resource_seconds"], row["error"]
        across, height = axes.transAxes.inverted().transform(axes.transData.transform(point))
        if taken - height < 0.05:
            continue
        taken = height
        text, side = style.plain(cell_name(row, factors), 48), "right" if across > 0.35 else "left"
        axes.annotate(text, point, xytext=(-4, -11), ha=side, **looks)


def _logarithmic(axes: Axes) -> None:
    """Use logarithmic axes with plain numbers, if possible powers of ten, else 1, 2 and 5 times.

    One on which something is drawn at 0 or below stays linear.
    """
    for axis, set_scale in ((axes.xaxis, axes.set_xscale), (axes.yaxis, axes.set_yscale)):
        if axis.get_data_interval()[0] <= 0:
            continue
        set_scale("log")
        axis.set_minor_locator(NullLocator())
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


def epochs(study: Analysis) -> Figure:
    """Draw the metric over epochs by cell (series × data size), with stopped trials marked."""
    cells, name, series = study.cells, study.metric.name, study.others("fraction")
    title = f"{style.plain(study.design.name)}: {name} over epochs"
    fates = study.wanted.set_index("trial_id")[["status", "measured"]]
    table = study.table("epochs")
    train = table.get(f"train_{study.metric.column}", np.nan)
    table = table.assign(val=study.metric.of(table, "val"), train=train)
    joined = table.join(fates, on="trial_id", how="inner")
    if joined.empty:
        return style.empty(title, "No epoch is recorded yet.")
    fractions, rows = cells.levels["fraction"], combinations(cells.frame, series)
    drawn = rows[: max(1, _MAX_COURSES // max(len(fractions), 1))]
    note = f"Validation {name} solid, train {name} dashed."
    note += " Search, not comparison: what fell behind was stopped." if cells.race else ""
    note += style.left_out(len(rows) - len(drawn), "rows")
    shape, handles = (len(drawn), max(len(fractions), 2)), _course_handles(joined)
    figure, grid = style.new_grid(*shape, (2.4, 1.75), title, note, handles)
    finite, last = joined[["train", "val"]].to_numpy(float), float(joined["epoch"].max())
    finite = finite[np.isfinite(finite)]
    # A diverged trial must not flatten all others.
    most = 3 * float(np.percentile(finite, 95)) if finite.size else 1.0
    values = style.common_range(finite.clip(max=most))
    style.same_limits(grid, (1 - 0.04 * last, last + 0.04 * last), values)
    kept = [*cells.factors, "trial_id", "epoch", "status", "measured", "train", "val"]
    groups = by_cell(joined[kept], cells.factors)
    for row, levels in zip(grid, drawn, strict=True):
        for axes, fraction in zip(row, fractions, strict=False):
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            cell = {**levels, "fraction": fraction}
            group = groups.get(cell_key(cell, cells.factors))
            if group is None:
                _say_absent(axes, where(cells.frame, cell))
            else:
                _draw_courses(axes, group, cells.race)
        label = style.plain(cells.name(levels, series), 60).replace(" × ", "\n× ")
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
