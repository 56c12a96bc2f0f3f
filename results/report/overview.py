"""The page's first screen: what to do next, what each step gains, and accuracy by data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from results.analysis.analysis import Analysis
from results.analysis.runs import by_cell, records_of
from results.answer.levers import Step, step_of
from results.phrases import cell_key

_MOST_LINES = 8
"""Lines that are told apart by colour and mark."""
_TIMES = (2, 4)
"""Times the data that a line is drawn on to, dashed."""
_TARGETS, _TARGET_STEPS = 60, (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_MARGIN = 4.0
_APART = 15.0
Point = tuple[float, float, float, float]
"""Images, the score there, and both ends of its interval, NaN where there is none."""


@dataclass(frozen=True)
class Axis:
    """Where values stand between two ends, in percent, with a margin at both."""

    low: float
    high: float
    margin: float = 0.0

    def place(self, value: float) -> float:
        """Return where a value stands; what is beyond an end stands there."""
        part = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(self.margin + (100 - 2 * self.margin) * min(max(part, 0.0), 1.0), 2)


@dataclass(frozen=True)
class Forest:
    """The levers on one axis."""

    steps: Sequence[tuple[Step, Mapping[str, Any]]]
    """Each lever in words and its row of `Analysis.levers`, the largest gain first; both ends of an
    interval that there is none of are the gain."""
    axis: Axis
    ticks: Sequence[tuple[float, str]]
    """Values and labels of the axis."""


@dataclass(frozen=True)
class ByData:
    """Accuracy by training images, on a logarithmic axis."""

    lines: Sequence[tuple[str, Sequence[Point], Sequence[Point]]]
    """Name of one level of the other factors, what is measured of it and what is forecast, the most
    accurate at the largest size first."""
    hidden: int
    """How many lines are left out."""
    sizes: Sequence[float]
    """Images that are written at the axis."""
    scores: Sequence[float]
    """Scores that are."""
    x: Axis
    """Of logarithms of images."""
    targets: Mapping[str, Any]
    """For each of some accuracies its place and the images that each line needs, in words."""

    def left(self, images: float) -> float:
        """Return where a number of images stands, in percent from the left."""
        return self.x.place(float(np.log(images)))

    def top(self, score: float) -> float:
        """Return where a score stands, in percent from the top."""
        return 100 - Axis(self.scores[0], self.scores[-1]).place(score)


def forest_of(study: Analysis) -> Forest | None:
    """Return the levers as they are drawn, None where nothing is compared."""
    frame = study.levers
    if frame.empty:
        return None
    drawn = frame.assign(**{end: frame[end].fillna(frame["gain"]) for end in ("low", "high")})
    values = [0.0, *drawn[["gain", "low", "high"]].to_numpy(float).ravel()]
    ticks = _ticks(float(np.nanmin(values)), float(np.nanmax(values)), 3)
    steps = [step_of(study, row) for row in records_of(frame)]
    pairs = [*zip(steps, records_of(drawn), strict=True)]
    labels = [(tick, f"{tick:+g}".replace("-", "−") if tick else "0") for tick in ticks]
    return Forest(pairs, Axis(ticks[0], ticks[-1], _MARGIN), labels)


def by_data_of(study: Analysis) -> ByData | None:
    """Return the lines of accuracy by data, None where fewer than two sizes are known."""
    cells, metric = study.ranked, study.metric
    if not study.varies("fraction") or cells["n_train"].nunique() < 2 or study.design.race:
        return None
    series = study.others("fraction")
    frame = study.forecasts
    told = by_cell(frame[(frame["refusal"] == "") & frame["times"].isin(_TIMES)], series)
    known = [(key, own.sort_values("n_train")) for key, own in by_cell(cells, series).items()]
    # Those that reach the largest size first, the most accurate there before the others.
    known.sort(key=lambda item: tuple(-item[1][["n_train", "accuracy"]].iloc[-1]))
    lines: list[tuple[str, list[Point], list[Point]]] = []
    for key, own in known[:_MOST_LINES]:
        name = study.cells.name(records_of(own.head(1))[0], series)
        marks = own[["n_train", "accuracy", "accuracy_low", "accuracy_high"]]
        ahead = told.get(key, frame.iloc[:0])[["at", "headline", "high", "low"]].astype(float)
        ahead = ahead.assign(**{end: metric.error(ahead[end]) for end in ahead.columns[1:]})
        lines.append((name, [*marks.itertuples(False, None)], [*ahead.itertuples(False, None)]))
    points = np.array([point for _, *parts in lines for part in parts for point in part])
    images, (worst, best) = np.log(points[:, 0]), metric.bounds
    low, high = float(np.nanmin(points[:, 1:])), float(np.nanmax(points[:, 1:]))
    ticks = _ticks(max(worst, low), min(best, high))
    x = Axis(float(images.min()), float(images.max()), _MARGIN)
    keys, hidden = [key for key, _ in known[:_MOST_LINES]], len(known) - len(lines)
    targets = _targets(study, keys, Axis(ticks[0], ticks[-1]))
    return ByData(lines, hidden, _apart(lines, x), ticks, x, targets)


def _targets(study: Analysis, keys: Sequence[tuple[str, ...]], y: Axis) -> dict[str, Any]:
    if study.forecasts.empty:
        return {}
    span = y.high - y.low
    step = next((step for step in _TARGET_STEPS if span / step <= _TARGETS), span / _TARGETS)
    # The ends themselves are reached nowhere or everywhere.
    asked = [float(value) for value in np.arange(y.low + step, y.high - step / 2, step)]
    answers, names = [], study.others("fraction")
    for found in study.labels_for(*(accuracy / study.metric.scale for accuracy in asked)):
        texts = {cell_key(row, names): row["text"] for row in records_of(found)}
        answers.append([texts.get(key, "") for key in keys])
    return {
        "accuracies": [round(value, 2) for value in asked],
        "tops": [100 - y.place(value) for value in asked],
        "first": 3 * len(asked) // 4,
        "texts": answers,
    }


def _apart(lines: Sequence[tuple[str, Sequence[Point], Sequence[Point]]], x: Axis) -> list[float]:
    """Return sizes whose labels do not touch: the largest measured, then the others."""
    measured = {point[0] for _, marks, _ in lines for point in marks}
    later = {point[0] for _, _, ahead in lines for point in ahead}
    kept: dict[float, float] = {}
    for size in (*sorted(measured, reverse=True), *sorted(later)):
        place = x.place(float(np.log(size)))
        if all(abs(other - place) > _APART for other in kept.values()):
            kept[size] = place
    return [*kept]


def _ticks(low: float, high: float, most: int = 4) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    ticks = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [round(float(tick), 6) for tick in ticks]
