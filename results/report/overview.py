"""The page's first screen: what to do next, what each step gains, and accuracy by data.

Places are percent of the box that things are drawn in, from the left and from the top.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from results.analysis.analysis import Analysis
from results.analysis.runs import by_cell, records_of
from results.answer.levers import Step, step_of
from results.metric import Metric

_MOST_LINES = 8
"""Lines that are told apart by colour and mark."""
_TIMES = (2, 4)
"""Times the data that a line is drawn on to, dashed."""
_TARGETS, _TARGET_STEPS = 60, (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_MARGIN = 4.0
_ENDS = ("gain", "low", "high")
_FORECAST = ("headline", "high", "low")
_APART = 15.0


@dataclass(frozen=True)
class Bar:
    """One lever of the forest plot."""

    step: Step
    """What stands beside it."""
    place: float
    """Where the gain stands."""
    low: float
    high: float
    """Where the interval begins and ends; both at `place` where there is none."""
    points: float
    images: float
    hours: float
    """What prices are reckoned from: points gained, labels, hours of the resource."""


@dataclass(frozen=True)
class Forest:
    """The levers on one axis."""

    bars: Sequence[Bar]
    """The largest gain first."""
    unit: str
    """What gains are in, such as `points of test accuracy`."""
    zero: float
    """Where no gain stands."""
    ticks: Sequence[tuple[float, str]]
    """Places and labels of the axis."""


@dataclass(frozen=True)
class Mark:
    """A value of a line."""

    left: float
    top: float
    low: float
    high: float
    """Ends of its interval from the top, both at `top` where there is none."""
    title: str
    """The value in words."""


@dataclass(frozen=True)
class Line:
    """Accuracy by data of one level of the other factors."""

    name: str
    marks: Sequence[Mark]
    ahead: Sequence[Mark] = field(default=())
    """What is forecast."""


@dataclass(frozen=True)
class ByData:
    """Accuracy by training images, on a logarithmic axis."""

    lines: Sequence[Line]
    """The most accurate at the largest size first."""
    measure: str
    """What they show, such as `test accuracy`."""
    hidden: int
    """How many lines are left out."""
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    targets: Mapping[str, Any]
    """For each of some accuracies its place and the images that each line needs, in words."""


def forest_of(study: Analysis) -> Forest | None:
    """Return the levers as they are drawn, None where nothing is compared."""
    frame = study.levers
    if frame.empty:
        return None
    ends = frame[list(_ENDS)].to_numpy(float)
    ticks = _ticks(min(0.0, float(np.nanmin(ends))), max(0.0, float(np.nanmax(ends))), 3)
    span = ticks[0], ticks[-1]

    def place(value: float) -> float:
        return _share(value, *span)

    bars = [
        Bar(
            step_of(study, row),
            *(place(row["gain"] if row[end] != row[end] else row[end]) for end in _ENDS),
            *(float(row[name]) for name in ("gain", "images", "hours")),
        )
        for row in records_of(frame)
    ]
    return Forest(
        bars,
        study.metric.points_of(study.part),
        place(0.0),
        [(place(tick), f"{tick:+g}".replace("-", "−") if tick else "0") for tick in ticks],
    )


def by_data_of(study: Analysis) -> ByData | None:
    """Return the lines of accuracy by data, None where fewer than two sizes are known."""
    cells = study.ranked
    if not study.varies("fraction") or cells["n_train"].nunique() < 2 or study.design.race:
        return None
    series = study.others("fraction")
    frame = study.forecasts
    told = by_cell(frame[(frame["refusal"] == "") & frame["times"].isin(_TIMES)], series)
    known = [(key, own.sort_values("n_train")) for key, own in by_cell(cells, series).items()]
    # Those that reach the largest size first, the most accurate there before the others.
    known.sort(key=lambda item: tuple(-item[1][["n_train", "accuracy"]].iloc[-1]))
    shown = known[:_MOST_LINES]
    sizes = np.array(sorted({int(n) for _, own in shown for n in own["n_train"]}), dtype=float)
    ahead = [told[key] for key, _ in shown if key in told]
    most = max([sizes[-1], *(float(own["at"].max()) for own in ahead)])
    values = [own[["accuracy", "accuracy_low", "accuracy_high"]] for _, own in shown]
    metric = study.metric
    values += [metric.error(own[["headline", "low", "high"]]) for own in ahead]
    every = np.concatenate([part.to_numpy(float).ravel() for part in values])
    worst, best = metric.bounds
    ticks = _ticks(max(worst, float(np.nanmin(every))), min(best, float(np.nanmax(every))))
    box = _Box(float(np.log(sizes[0])), float(np.log(most)), ticks[0], ticks[-1], metric)
    lines = [
        Line(
            study.name(own.iloc[0], "fraction") or study.design.name,
            [
                box.mark(row["n_train"], row["accuracy"], row["accuracy_low"], row["accuracy_high"])
                for row in records_of(own)
            ],
            [
                box.mark(
                    row["at"], *(metric.error(row[end]) for end in ("headline", "high", "low"))
                )
                for row in (records_of(told[key]) if key in told else [])
            ],
        )
        for key, own in shown
    ]
    return ByData(
        lines,
        study.measure,
        len(known) - len(shown),
        [(box.left(size), f"{size:,.0f}") for size in _apart(sizes, ahead, box)],
        [(box.top(tick), metric.tick(tick)) for tick in ticks],
        _targets(study, [key for key, _ in shown], series, box),
    )


@dataclass(frozen=True)
class _Box:
    """Ends of the axes: logarithms of images, and percent of accuracy."""

    first: float
    last: float
    low: float
    high: float
    metric: Metric

    def left(self, images: float) -> float:
        return _share(float(np.log(images)), self.first, self.last)

    def top(self, accuracy: float) -> float:
        return 100 - _share(float(np.clip(accuracy, self.low, self.high)), self.low, self.high, 0)

    def mark(self, images: float, accuracy: float, low: float, high: float) -> Mark:
        ends = (low, high) if low == low else (accuracy, accuracy)
        title = f"{images:,.0f} images: {self.metric.value(accuracy, low, high)}"
        top, low_end, high_end = (self.top(value) for value in (accuracy, *ends))
        return Mark(self.left(images), top, low_end, high_end, title)


def _targets(
    study: Analysis, keys: Sequence[tuple[str, ...]], series: Sequence[str], box: _Box
) -> dict[str, Any]:
    """Return what the page looks up when its reader asks for an accuracy."""
    if study.forecasts.empty:
        return {}
    span = box.high - box.low
    step = next((step for step in _TARGET_STEPS if span / step <= _TARGETS), span / _TARGETS)
    # The ends themselves are reached nowhere or everywhere.
    asked = np.arange(box.low + step, box.high - step / 2, step)
    answers = []
    for accuracy in asked:
        found = by_cell(study.labels_for(accuracy / study.metric.scale), series)
        answers.append([found[key]["text"].iloc[0] if key in found else "" for key in keys])
    return {
        "accuracies": [round(float(value), 2) for value in asked],
        "tops": [box.top(float(value)) for value in asked],
        "first": 3 * len(asked) // 4,
        "texts": answers,
    }


def _apart(sizes: np.ndarray, ahead: Sequence[pd.DataFrame], box: _Box) -> list[float]:
    """Return sizes whose labels do not touch: the largest measured, then the others."""
    wanted = [*sizes[::-1], *sorted({float(at) for own in ahead for at in own["at"]})]
    kept: list[float] = []
    for size in wanted:
        if all(abs(box.left(other) - box.left(size)) > _APART for other in kept):
            kept.append(float(size))
    return kept


def _share(value: float, low: float, high: float, margin: float = _MARGIN) -> float:
    """Return where a value stands between two others, in percent, within a margin on both sides."""
    part = 0.5 if high <= low else (value - low) / (high - low)
    return round(margin + (100 - 2 * margin) * part, 2)


def _ticks(low: float, high: float, most: int = 4) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    return [
        round(float(v), 6)
        for v in MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    ]
