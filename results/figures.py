"""Figures of a study's outcome: frames in, a matplotlib figure out.

Each reads without the text around it, and marks what was stopped, failed or is missing.
"""

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

from results.cells import Cells, State, fraction_label, records_of
from results.records import Stage, Status
from results.style import (
    COLOURS,
    FAULT,
    INK,
    PALE,
    SEQUENTIAL,
    count,
    empty,
    look,
    new_figure,
    plain,
    size_axis,
    tidy,
)

MAX_PANELS = 60
"""More panels than this are no longer read; the figure then says how many it leaves out."""
_MAX_REASONS = 14
_MAX_LINES = 40
_NOTHING = "No cell has a value yet."


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
    shown = cells.frame[cells.frame["state"].map(lambda state: State(state).has_value)]
    points = _compared(trials, cells)
    if shown.empty and points.empty:
        return empty(title, _NOTHING)
    panels = _levels(cells.frame, cells.panels)
    drawn, left_out = panels[: MAX_PANELS // 2], len(panels[MAX_PANELS // 2 :])
    models = cells.levels["model"]
    figure = new_figure(9.0, 1.5 + 2.7 * len(drawn), title, _seed_note(cells))
    grid = figure.subplots(len(drawn), 2, squeeze=False, sharex=True, sharey=True)
    sizes = cells.frame.groupby("fraction", observed=True)["n_train"].max().sort_index()
    for row, panel in enumerate(drawn):
        for column, part in enumerate(("test", "train")):
            axes: Axes = grid[row, column]
            tidy(axes)
            for place, model in enumerate(models):
                here = {**panel, "model": model}
                _draw_series(axes, _where(cells.frame, here), _where(points, here), part, place)
                if origin:
                    _draw_origin(axes, _where(shown, here), part, place)
            label = cells.name(panel, cells.panels) if panel else ""
            where = f"{plain(label)} · " if label and len(panels) > 1 else ""
            axes.set_title(f"{where}{part} accuracy", fontsize=10, color=INK, loc="left")
            if column == 0:
                axes.set_ylabel(f"accuracy (0 to 1), {cells.frame['seeds'].max()} seeds or fewer")
                axes.set_ylabel("accuracy (0 to 1)", fontsize=9)
            size_axis(axes, list(sizes.index), list(sizes), log, origin and not log)
    for axes in grid[-1]:
        axes.set_xlabel(
            "share of the training pool, number of images below"
            + (" (logarithmic axis)" if log else ""),
            fontsize=9,
        )
    if left_out:
        figure.supxlabel(f"{left_out} more panels are left out; the page shows all", fontsize=8.5)
    _legend(figure, _data_size_legend(cells, points, origin and not log))
    return figure


def _draw_series(
    axes: Axes, cells: pd.DataFrame, points: pd.DataFrame, part: str, place: int
) -> None:
    style = look(place)
    known = cells[cells["state"].map(lambda state: State(state).has_value)]
    metric = f"{part}_accuracy"
    if len(known) > 1:
        # A gap is bridged by a pale dotted line, so that no missing size looks measured.
        whole = cells.set_index("fraction")[metric].where(
            cells.set_index("fraction").index.isin(known["fraction"])
        )
        axes.plot(known["fraction"], known[metric], color=style["color"], alpha=0.35, linestyle=":")
        axes.plot(whole.index, whole, color=style["color"], linestyle=style["linestyle"], lw=1.8)
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
        middle = several[metric]
        axes.errorbar(
            several["fraction"],
            middle,
            yerr=np.vstack([middle - several[f"{metric}_low"], several[f"{metric}_high"] - middle]),
            fmt="none",
            ecolor=style["color"],
            elinewidth=1.2,
            capsize=3,
            zorder=2,
        )
    final = f"final_{metric}"
    complete = points[points["status"] == Status.COMPLETED]
    axes.scatter(
        complete["fraction"], complete[final], s=9, color=style["color"], alpha=0.45, linewidths=0
    )
    stopped = points[points["status"] == Status.STOPPED]
    axes.scatter(
        stopped["fraction"], stopped[final], s=34, marker="x", color=style["color"], linewidths=1.4
    )
    lost = cells[~cells["state"].map(lambda state: State(state).has_value)]
    for fraction in lost["fraction"]:
        axes.plot(
            fraction,
            0.03 + 0.05 * (place % 6),
            transform=axes.get_xaxis_transform(),
            marker=style["marker"],
            markersize=6,
            markerfacecolor="white",
            markeredgecolor=style["color"],
            clip_on=False,
            linestyle="none",
        )


def _draw_origin(axes: Axes, known: pd.DataFrame, part: str, place: int) -> None:
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


def _data_size_legend(cells: Cells, points: pd.DataFrame, origin: bool) -> list[Line2D]:
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
    if not cells.frame["state"].map(lambda state: State(state).has_value).all():
        handles.append(
            Line2D([], [], marker="o", markerfacecolor="white", label="no value (at foot)", **grey)
        )
    if origin:
        handles.append(
            Line2D([], [], color=PALE, linestyle=":", label="to the origin, not measured")
        )
    return handles


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
    rows = _levels(cells.frame, cells.series)
    drawn = rows[: max(1, MAX_PANELS // max(len(fractions), 1))]
    note = "validation accuracy solid, train accuracy dashed".replace("accuracy", metric)
    if len(drawn) < len(rows):
        note += f"; {len(rows) - len(drawn)} more rows are left out, the page shows all"
    width = 1.4 + 2.3 * max(len(fractions), 2)
    figure = new_figure(width, 1.4 + 1.75 * len(drawn), title, note)
    grid = figure.subplots(len(drawn), len(fractions), squeeze=False, sharex=True, sharey=True)
    fates = trials.set_index("trial_id")[["status", "measured", "stopped_at_epoch"]]
    joined = curves.join(fates, on="trial_id", how="inner")
    joined = joined[joined["trial_id"].isin(trials.loc[trials["wanted"], "trial_id"])]
    groups = dict(iter(joined.groupby(list(cells.factors), dropna=False, observed=True)))
    for row, series in enumerate(drawn):
        for column, fraction in enumerate(fractions):
            axes: Axes = grid[row, column]
            tidy(axes)
            cell = {**series, "fraction": fraction}
            group = groups.get(tuple(cell[factor] for factor in cells.factors))
            if group is None:
                _say_absent(axes, _where(cells.frame, cell))
            else:
                _draw_courses(axes, group, metric, cells.race)
            if row == 0:
                axes.set_title(f"{fraction_label(fraction)} of the data", fontsize=9, color=INK)
            if column == 0:
                axes.set_ylabel(plain(cells.name(series, cells.series), 26), fontsize=8.5)
            if row == len(drawn) - 1:
                axes.set_xlabel("epoch", fontsize=9)
                axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ends = joined["status"].isin([Status.STOPPED, Status.FAILED])
    grey: dict[str, Any] = {"color": PALE, "linestyle": "none"}
    handles = [Line2D([], [], color=COLOURS[0], label="measured: one line per seed")]
    if (joined["stage"] == Stage.SEARCH).any():
        handles.append(Line2D([], [], color="#B0B0B0", label="search: one line per recipe"))
    if (joined["status"] == Status.STOPPED).any():
        handles.append(Line2D([], [], marker="x", label="stopped early", **grey))
    if (ends & (joined["status"] == Status.FAILED)).any():
        handles.append(Line2D([], [], marker="X", color=FAULT, linestyle="none", label="failed"))
    _legend(figure, handles)
    return figure


def _draw_courses(axes: Axes, group: pd.DataFrame, metric: str, race: bool) -> None:
    measured = group["measured"].fillna(False).astype(bool) | race
    for kept, colour, width in ((~measured, "#B0B0B0", 0.7), (measured, COLOURS[0], 1.4)):
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
                lines, colors=colour, linewidths=width, linestyles=dashes, alpha=alpha
            )
            axes.add_collection(collection)
    axes.autoscale_view()
    last = group.sort_values("epoch").groupby("trial_id", sort=False).tail(1)
    for status, marker, colour in ((Status.STOPPED, "x", PALE), (Status.FAILED, "X", FAULT)):
        ended = last[last["status"] == status]
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
    axes.scatter(single["epoch"], single[f"val_{metric}"], s=5, color="#B0B0B0")


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
        plain(text, 60).replace(": ", ":\n", 1),
        transform=axes.transAxes,
        ha="center",
        va="center",
        fontsize=7.5,
        color=PALE,
        wrap=True,
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
    rows = _levels(cells.frame, cells.series)
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
    height = 1.6 + (0.42 if written else 0.05) * len(rows) + 0.19 * len(foot)
    figure = new_figure(3.6 + 1.05 * max(len(fractions), 4), height, title, f"cells: {counts}")
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
            "share of the training pool\n\n" + "\n".join(foot), fontsize=8.5, loc="left"
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
        lines.append(f"{mark}{plain(cell, 50)}: {plain(reasons[row, column], 90)}")
    if len(unfinished) > _MAX_REASONS:
        lines.append(f"and {len(unfinished) - _MAX_REASONS} more, listed on the page")
    return lines


def _compared(trials: pd.DataFrame, cells: Cells) -> pd.DataFrame:
    """Return the trials that comparisons use, in a race also the stopped ones."""
    wanted = trials[trials["wanted"].fillna(False).astype(bool)]
    if cells.race:
        return wanted[wanted["status"].isin([Status.COMPLETED, Status.STOPPED])]
    measured = wanted["measured"].fillna(False).astype(bool)
    return wanted[measured & (wanted["status"] == Status.COMPLETED)]


def _levels(frame: pd.DataFrame, factors: Sequence[str]) -> list[dict[str, Any]]:
    """Return the combinations of levels that occur, in the frame's order."""
    if not factors:
        return [{}]
    unique = frame[list(factors)].drop_duplicates()
    return records_of(unique)


def _where(frame: pd.DataFrame, levels: dict[str, Any]) -> pd.DataFrame:
    chosen = np.ones(len(frame), dtype=bool)
    for factor, level in levels.items():
        column = frame[factor]
        chosen &= (column.isna() if pd.isna(level) else column == level).to_numpy(bool)
    return frame[chosen]


def _seed_note(cells: Cells) -> str:
    most = int(cells.frame["seeds"].max())
    if cells.race:
        return "search, not comparison: unlike trials competed, and what lost was stopped"
    if most <= 1:
        return "one seed: no interval, and no ranking of models"
    return f"mean of up to {most} seeds; bars: their range"


def _legend(figure: Figure, handles: list[Line2D]) -> None:
    columns = min(len(handles), 4)
    figure.legend(
        handles=handles,
        loc="outside lower left",
        ncols=columns,
        fontsize=8.5,
        frameon=False,
    )
