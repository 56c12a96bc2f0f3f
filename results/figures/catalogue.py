"""The figures of a study, by name: data-size, cells, epochs and so on."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from matplotlib.figure import Figure

from results.analysis.analysis import Analysis
from results.figures.cells import cell_map, epochs
from results.figures.curves import cost, learning_curves, pretraining
from results.figures.differences import effects
from results.figures.process import search, timeline
from results.figures.sizes import data_size

_SIZE = (
    "Line chart of the share of training data against the metric on the test set (left) and in "
    "training or validation (right): one line per model, one row of panels per level of weights, "
    "bars for the spread over seeds."
)
_TABLE = "The table of cells holds all values."
_COURSE = (
    "Small charts, one per cell, of validation and train {} over epochs; trials that were stopped "
    "early end in a cross."
)


@dataclass(frozen=True)
class Drawing:
    """One figure that a study can draw."""

    draw: Callable[..., Figure]
    """Makes the figure; of a study, where that is not given yet."""
    alt: str
    """What is to be seen, for those who cannot see it."""
    fits: Callable[[Analysis], bool] = lambda _: True
    """Whether a study has the figure."""


def drawings_of(study: Analysis) -> dict[str, Drawing]:
    """Return the figures of a study, those that the report shows first at the front."""
    return {
        name: replace(drawing, draw=partial(drawing.draw, study))
        for name, drawing in _FIGURES.items()
        if drawing.fits(study)
    }


def _compares(study: Analysis, factor: str) -> bool:
    """Return whether a factor has levels to compare, which a race never does."""
    return not study.design.race and len(study.cells.levels[factor]) > 1


_FIGURES = {
    "data-size": Drawing(data_size, f"{_SIZE} {_TABLE}"),
    "data-size-log": Drawing(
        partial(data_size, log=True),
        f"{_SIZE} Logarithmic axis of data size. {_TABLE}",
    ),
    "data-size-origin": Drawing(
        partial(data_size, origin=True),
        f"{_SIZE} Both axes from 0 to 1. {_TABLE}",
    ),
    "cells": Drawing(
        cell_map,
        "Heat map of the test metric: a row per combination of the other factors, a column per "
        f"share of the data; cells without a value are hatched and named. {_TABLE}",
    ),
    "epochs": Drawing(epochs, _COURSE.format("accuracy, or another metric,")),
    "loss": Drawing(partial(epochs, metric="loss"), _COURSE.format("loss")),
    "timeline": Drawing(
        timeline,
        "Bars of every trial along time, one line per slot; gaps are idle time.",
    ),
    "cost": Drawing(
        cost,
        "Scatter chart of test error against the time of one training run, one mark per cell; "
        f"a line joins the cells that no other beats. {_TABLE}",
        lambda study: len(study.cells.frame) > 0,
    ),
    "learning-curves": Drawing(
        learning_curves,
        "Test error against training images on logarithmic axes, and the error forecast for up "
        "to 64 times the data, with intervals. The table of forecasts holds all values.",
        lambda study: _compares(study, "fraction"),
    ),
    "pretraining": Drawing(
        pretraining,
        "How many times the data a model from scratch needs for a pretrained model's error, "
        "against training images. The table holds all values.",
        lambda study: _compares(study, "weights") and _compares(study, "fraction"),
    ),
    "effects": Drawing(
        effects,
        "Differences between the levels of each factor, averaged over the "
        "cells of the others, with 95 % intervals. The table of effects holds all values.",
        lambda study: any(_compares(study, factor) for factor in study.factors),
    ),
    "search": Drawing(
        search,
        "For each cell, the validation metric of every recipe that was tried; the chosen one "
        "is a star, with its values at the right.",
        lambda study: bool(study.design.tuned),
    ),
}
