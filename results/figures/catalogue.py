"""The figures that a run has, by name: data-size, cells, epochs and so on."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from matplotlib.figure import Figure

from results.analysis.analysis import Analysis
from results.figures import cells as cell_figures
from results.figures import curves, differences
from results.figures import process as process_figures
from results.figures import sizes as size_figures

_SIZE = (
    "Line chart of the share of training data against test accuracy (left) and train accuracy "
    "(right): one line per model, one row of panels per level of weights, bars for the spread "
    "over seeds. "
)
_TABLE = "The table of cells holds all values."
_COURSE = (
    "Small charts, one per cell, of validation and train {} over epochs; trials that were stopped "
    "early end in a cross."
)


@dataclass(frozen=True)
class Drawing:
    """One figure that a run can draw.

    Parameters
    ----------
    draw
        Makes the figure.
    alt
        What is to be seen, for those who cannot see it.
    """

    draw: Callable[..., Figure]
    alt: str


def drawings_of(study: Analysis) -> dict[str, Drawing]:
    """Return the figures of a study, those that the report shows first at the front."""
    cells, name, trials = study.cells, study.design.name, study.trials
    size = partial(size_figures.data_size, cells, trials, name)
    course = partial(cell_figures.epochs, cells, trials, study.table("epochs"), name)
    drawings = {
        "data-size": Drawing(size, _SIZE + _TABLE),
        "data-size-log": Drawing(
            partial(size, log=True), f"{_SIZE}Logarithmic axis of data size. {_TABLE}"
        ),
        "data-size-origin": Drawing(
            partial(size, origin=True), f"{_SIZE}Both axes from 0 to 1. {_TABLE}"
        ),
        "cells": Drawing(
            partial(cell_figures.cell_map, cells, name),
            "Heat map of test accuracy: a row per combination of the other factors, a column per "
            f"share of the data; cells without a value are hatched and named. {_TABLE}",
        ),
        "epochs": Drawing(course, _COURSE.format("accuracy")),
        "loss": Drawing(partial(course, metric="loss"), _COURSE.format("loss")),
        "timeline": Drawing(
            partial(process_figures.timeline, trials, name),
            "Bars of every trial along time, one line per slot; gaps are idle time.",
        ),
    }
    if not cells.frame.empty:
        drawings |= _answers(study)
    tuned = list(study.design.tuned)
    if tuned:
        drawings["search"] = Drawing(
            partial(process_figures.search, cells, trials, tuned, name),
            "For each cell, the validation accuracy of every recipe that was tried; the chosen one "
            "is a star, with its values at the right.",
        )
    return drawings


def _answers(study: Analysis) -> dict[str, Drawing]:
    """Return the figures of the answer; a race compares nothing, and has its cost only."""
    name, cells = study.design.name, study.cells
    varies = {factor: len(levels) > 1 for factor, levels in cells.levels.items()}
    found = {
        "cost": Drawing(
            lambda: curves.cost(cells.frame, cells.factors, name),
            "Scatter chart of test error against the time of one training run, one mark per cell; "
            f"a line joins the cells that no other beats. {_TABLE}",
        )
    }
    if cells.race:
        return found
    if varies["fraction"]:
        found["learning-curves"] = Drawing(
            lambda: curves.learning_curves(cells.frame, study.extrapolations, cells.factors, name),
            "Test error against training images on logarithmic axes, with fitted power laws and "
            "the error predicted with twice the data. The table of predictions holds all values.",
        )
    if varies["weights"] and varies["fraction"]:
        found["pretraining"] = Drawing(
            lambda: curves.pretraining(study.worths, cells.factors, name),
            "How many times the data a model from scratch needs for a pretrained model's error, "
            "against training images. The table holds all values.",
        )
    if any(varies.values()):
        found["effects"] = Drawing(
            lambda: differences.effects(study.effects, name),
            "Differences in test accuracy between the levels of each factor, averaged over the "
            "cells of the others, with 95 % intervals. The table of effects holds all values.",
        )
    return found
