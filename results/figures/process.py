"""Figures of how a study went: the search inside each cell, and the use of the slots."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from results.analysis.cells import Cells, records_of
from results.analysis.occupancy import busy_share
from results.figures.style import (
    COLOURS,
    FAULT,
    MAX_PANELS,
    PALE,
    count,
    empty,
    legend,
    new_figure,
    plain,
    tidy,
)
from results.phrases import duration, level_label
from results.records import Stage, Status

_FATE_COLOURS = {Status.STOPPED: "#D9D9D9", Status.FAILED: "#F2B8B5"}
_STAGE_COLOURS = {Stage.SEARCH: "#9DB7C9", Stage.MEASURE: COLOURS[0]}


def search(cells: Cells, trials: pd.DataFrame, tuned: list[str], name: str) -> Figure:
    """Draw what each cell's recipes came to, and the one that was chosen.

    Parameters
    ----------
    cells
        One line each.
    trials
        One row per trial.
    tuned
        Recipe fields that were searched.
    name
        Of the study.
    """
    title = f"{plain(name)}: recipes tried in each cell"
    wanted = trials[trials["wanted"].fillna(False).astype(bool)]
    tried = wanted[(wanted["stage"] == Stage.SEARCH) & wanted["final_val_accuracy"].notna()]
    if tried.empty or not tuned:
        return empty(title, "No recipe was searched.")
    keys = list(cells.factors)
    frame = cells.frame.head(MAX_PANELS)
    places = pd.Series(range(len(frame)), index=pd.MultiIndex.from_frame(frame[keys]))
    tried = tried.join(places.rename("_place"), on=keys, how="inner")
    left_out = len(cells.frame) - len(frame)
    note = f"Each mark is one recipe ({', '.join(tuned)}), trained with the search seed."
    if left_out:
        note += f" {left_out} more cells are left out; the page lists all."
    figure = new_figure(9.5, 1.0 + 0.3 * len(frame), title, note)
    axes = figure.subplots()
    tidy(axes, "x")
    fates: tuple[tuple[Status, dict[str, Any]], ...] = (
        (Status.COMPLETED, {"marker": "o", "s": 22, "color": "#7FA8C9", "linewidths": 0}),
        (Status.STOPPED, {"marker": "x", "s": 22, "color": PALE, "linewidths": 1.1}),
        (Status.FAILED, {"marker": "X", "s": 26, "color": FAULT, "linewidths": 0}),
    )
    names = {
        Status.COMPLETED: "trained to its end",
        Status.STOPPED: "stopped early: last value",
        Status.FAILED: "failed: last value",
    }
    handles = []
    for status, style in fates:
        part = tried[tried["status"] == status]
        if part.empty:
            continue
        axes.scatter(part["final_val_accuracy"], part["_place"], alpha=0.85, **style)
        label = {"marker": style["marker"], "color": style["color"], "linestyle": "none"}
        handles.append(Line2D([], [], label=names[status], **label))
    chosen = tried[tried["measured"].fillna(False).astype(bool)]
    axes.scatter(
        chosen["final_val_accuracy"],
        chosen["_place"],
        marker="*",
        s=130,
        color=COLOURS[1],
        edgecolors="white",
        linewidths=0.6,
        zorder=3,
    )
    handles.append(
        Line2D([], [], marker="*", color=COLOURS[1], ms=10, linestyle="none", label="chosen recipe")
    )
    labels = [plain(cells.name(row), 44) for row in records_of(frame)]
    axes.set_yticks(range(len(frame)), labels)
    axes.set_ylim(len(frame) - 0.4, -0.6)
    axes.set_xlabel("validation accuracy at the last epoch (0 to 1)", fontsize=9)
    chosen_at = {int(row["_place"]): row for row in records_of(chosen)}
    right = axes.secondary_yaxis("right")
    right.set_yticks(
        range(len(frame)),
        [plain(_recipe(chosen_at.get(place), tuned), 44) for place in range(len(frame))],
    )
    right.tick_params(length=0, labelsize=8)
    right.spines[:].set_visible(False)
    legend(figure, handles)
    return figure


def _recipe(trial: dict[str, Any] | None, tuned: list[str]) -> str:
    if trial is None:
        return "none chosen"
    return ", ".join(f"{field} {level_label(field, trial[field], bare=True)}" for field in tuned)


def timeline(trials: pd.DataFrame, name: str) -> Figure:
    """Draw which slot trained which trial, when.

    Parameters
    ----------
    trials
        One row per trial, with `slot`, `host`, `started_at` and `ended_at`.
    name
        Of the study.
    """
    title = f"{plain(name)}: use of the slots"
    spans = slot_spans(trials)
    if spans.empty:
        return empty(title, "No trial has started yet.")
    lines = list(dict.fromkeys(zip(spans["host"], spans["slot"], strict=True)))
    rows = spans["row"].to_numpy(float)
    begun, ended = spans["begun"].to_numpy(float), spans["ended"].to_numpy(float)
    total = float(ended.max())
    busy = busy_share(zip(rows, begun, ended, strict=True)) or 0.0
    units = (("h", 3600), ("min", 60))
    unit, per = next(((unit, size) for unit, size in units if total >= 2 * size), ("s", 1))
    note = (
        f"{count(len(spans))} trials on {len(lines)} slots in {duration(total)}; "
        f"{100 * busy:.0f} % of the slots' time between first start and last end was a trial's."
    )
    thick = 0.28 if len(lines) <= 40 else 0.06
    figure = new_figure(9.5, 1.2 + thick * len(lines), title, note)
    axes = figure.subplots()
    tidy(axes, "x")
    corners = np.stack(
        [
            np.column_stack([begun, rows - 0.4]),
            np.column_stack([begun, rows + 0.4]),
            np.column_stack([ended, rows + 0.4]),
            np.column_stack([ended, rows - 0.4]),
        ],
        axis=1,
    )
    corners[:, :, 0] /= per
    handles: list[Any] = []
    many = len(spans) > 2000
    for stage, colour in _STAGE_COLOURS.items():
        for status, hatch in ((None, ""), (Status.STOPPED, "////"), (Status.FAILED, "xxxx")):
            special = spans["status"].isin([Status.STOPPED, Status.FAILED])
            # Thousands of hatched bars take seconds and show nothing.
            hatch = "" if many else hatch
            kept = (spans["stage"] == stage) & (
                ~special if status is None else spans["status"] == status
            )
            if not kept.any():
                continue
            face = _FATE_COLOURS[status] if status else colour
            axes.add_collection(
                PolyCollection(
                    list(corners[kept.to_numpy()]),
                    facecolors=face,
                    edgecolors="white",
                    linewidths=0.0 if many else 0.5,
                    hatch=hatch,
                    rasterized=many,
                )
            )
            label = f"{stage}" + (f", {status}" if status else "")
            handles.append(Patch(facecolor=face, edgecolor="white", hatch=hatch, label=label))
    axes.set_xlim(0, total / per * 1.01)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    if len(lines) <= 40:
        one_host = len({host for host, _ in lines}) == 1
        labels = [
            f"slot {slot}" if one_host else f"{plain(host, 20)} {slot}" for host, slot in lines
        ]
        axes.set_yticks(range(len(lines)), labels)
    else:
        axes.set_ylabel(f"{len(lines)} slots", fontsize=9)
    axes.set_xlabel(f"time since the first trial started ({unit})", fontsize=9)
    legend(figure, handles)
    return figure


def slot_spans(trials: pd.DataFrame) -> pd.DataFrame:
    """Return when each started trial held its slot.

    Returns
    -------
    pandas.DataFrame
        `host`, `slot`, `row` (from 0, by host and slot), `begun` and `ended` (seconds since the
        first start), `stage`, `status`. A trial that still runs ends with the latest time known.
    """
    started = trials[trials["started_at"].notna()].copy()
    first = started["started_at"].min()
    latest = started[["started_at", "ended_at"]].max().max()
    begun = (started["started_at"] - first).dt.total_seconds()
    ended = (started["ended_at"].fillna(latest) - first).dt.total_seconds()
    spans = pd.DataFrame(
        {
            "host": started["host"].fillna("?").astype(str),
            "slot": started["slot"].fillna(-1).astype(int),
            "begun": begun,
            "ended": np.maximum(ended, begun),
            "stage": started["stage"],
            "status": started["status"],
        }
    ).sort_values(["host", "slot", "begun"], ignore_index=True)
    spans["row"] = spans.groupby(["host", "slot"], sort=False).ngroup()
    return spans
