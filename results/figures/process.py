"""Figures of how a study went: its search, and its use of the slots."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from results.analysis.analysis import Analysis
from results.analysis.costs import busy_share
from results.analysis.runs import measured_trials, records_of
from results.figures import style
from results.phrases import duration, level_label
from results.records import Stage, Status

_MANY_BARS = 2000
_FEW_SLOTS = 40
_RECIPES = {
    Status.COMPLETED: ("trained to its end", "o", "#7FA8C9"),
    Status.STOPPED: ("stopped early: last value", "x", style.PALE),
    Status.FAILED: ("failed: last value", "X", style.FAULT),
}
"""Words, marker and colour of recipes by what became of them."""
_STAGE_COLOURS = {Stage.SEARCH: "#9DB7C9", Stage.MEASURE: style.COLOURS[0]}
_FATES = ((Status.STOPPED, "#D9D9D9", "////"), (Status.FAILED, "#F2B8B5", "xxxx"))
"""What may become of a trial besides completion, with colour and hatch."""


def search(study: Analysis) -> Figure:
    """Draw what each cell's recipes came to, and the one that was chosen."""
    title = f"{style.plain(study.design.name)}: recipes tried in each cell"
    cells, wanted, tuned = study.cells, study.wanted, study.design.tuned
    wanted = wanted.assign(value=study.metric.of(wanted, "final_val"))
    tried = wanted[(wanted["stage"] == Stage.SEARCH) & wanted["value"].notna()]
    if tried.empty or not tuned:
        return style.empty(title, "No recipe was searched.")
    frame = cells.frame.head(style.MAX_ROWS)
    note = f"Each mark is one recipe ({', '.join(tuned)}), trained with the search seed."
    note += style.left_out(len(cells.frame) - len(frame), "cells")
    tried = cells.placed(tried, "row")
    tried = tried[tried["row"] < len(frame)]
    handles = [
        style.mark(words, marker=marker, color=colour)
        for status, (words, marker, colour) in _RECIPES.items()
        if (tried["status"] == status).any()
    ]
    handles.append(style.mark("chosen recipe", marker="*", color=style.COLOURS[1], ms=10))
    names = [style.plain(cells.name(row), 44) for row in records_of(frame)]
    figure, (axes,) = style.new_rows(names, (9.5,), title, note, handles)
    for status, (_, marker, colour) in _RECIPES.items():
        own = tried[tried["status"] == status]
        axes.plot(own["value"], own["row"], marker, color=colour, ms=5, alpha=0.85)
    # Winners are most often measured with other seeds than the search's.
    measured = cells.placed(measured_trials(wanted), "row")[["row", *tuned]].drop_duplicates()
    chosen = tried.merge(measured, on=["row", *tuned])
    best, at = chosen["value"], chosen["row"]
    axes.plot(best, at, "*", color=style.COLOURS[1], ms=11.5, mec="white", mew=0.6, zorder=3)
    axes.set_xlabel(f"validation {study.metric.axis} at the last epoch")
    _write_recipes(axes, len(frame), chosen, tuned)
    return figure


def _write_recipes(axes: Axes, rows: int, chosen: pd.DataFrame, tuned: Sequence[str]) -> None:
    """Write each cell's chosen recipe at the right of its row."""
    recipes = ["none chosen"] * rows
    for row in records_of(chosen):
        fields = (f"{field} {level_label(field, row[field], bare=True)}" for field in tuned)
        recipes[row["row"]] = style.plain(", ".join(fields), 44)
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(rows), recipes)
    right.tick_params(length=0, labelsize=8)
    right.spines[:].set_visible(False)


def timeline(study: Analysis) -> Figure:
    """Draw which slot trained which trial, when."""
    title = f"{style.plain(study.design.name)}: use of the slots"
    spans = slot_spans(study.trials)
    if spans.empty:
        return style.empty(title, "No trial has started yet.")
    slots = list(dict.fromkeys(zip(spans["host"], spans["slot"], strict=True)))
    total = float(spans["ended"].max())
    busy = busy_share(spans[["row", "begun", "ended"]].itertuples(index=False, name=None)) or 0.0
    note = (
        f"{style.count(len(spans))} trials on {len(slots)} slots in {duration(total)}; "
        f"{100 * busy:.0f} % of the slots' time between first start and last end was a trial's."
    )
    units = (("h", 3600), ("min", 60))
    unit, per = next(((unit, size) for unit, size in units if total >= 2 * size), ("s", 1))
    bars = _bars(spans, per)
    few = len(slots) <= _FEW_SLOTS
    figure = style.new_figure(9.5, 1.2 + (0.28 if few else 0.06) * len(slots), title, note, bars)
    axes = figure.subplots()
    style.tidy(axes, "x")
    for own in bars:
        axes.add_collection(own)
    axes.set_xlim(0, total / per * 1.01)
    axes.set_ylim(len(slots) - 0.4, -0.6)
    axes.set_xlabel(f"time since the first trial started ({unit})")
    if few:
        hosts = len({host for host, _ in slots})
        names = [f"{style.plain(host, 20) if hosts > 1 else 'slot'} {slot}" for host, slot in slots]
        axes.set_yticks(range(len(slots)), names)
    else:
        axes.set_ylabel(f"{len(slots)} slots")
    return figure


def _bars(spans: pd.DataFrame, per: float) -> list[PolyCollection]:
    """Return a bar per span, those of one stage and fate together, `per` seconds to the unit."""
    many = len(spans) > _MANY_BARS
    fates = spans["status"].where(spans["status"].isin([fate for fate, _, _ in _FATES]), "")
    bars = []
    for stage, colour in _STAGE_COLOURS.items():
        for fate, face, hatch in (("", colour, ""), *_FATES):
            own = spans[(spans["stage"] == stage) & (fates == fate)]
            x = own[["begun", "ended"]].to_numpy(float) / per
            y = own["row"].to_numpy(float)[:, np.newaxis] + [-0.4, 0.4]
            corners = np.stack([x[:, [0, 0, 1, 1]], y[:, [0, 1, 1, 0]]], axis=2)
            if len(own):
                kind = PolyCollection(
                    list(corners),
                    facecolors=face,
                    edgecolors="white",
                    linewidths=0.0 if many else 0.5,
                    # Thousands of hatched bars take seconds and show nothing.
                    hatch="" if many else hatch,
                    rasterized=many,
                    label=f"{stage}, {fate}" if fate else str(stage),
                )
                bars.append(kind)
    return bars


def slot_spans(trials: pd.DataFrame) -> pd.DataFrame:
    """Return when each started trial held its slot.

    Columns: `host`, `slot`, `row` (from 0, by host and slot), `begun` and `ended` (seconds since
    the first start), `stage`, `status`. A trial that still runs ends with the latest time known.
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
