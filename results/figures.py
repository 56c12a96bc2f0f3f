"""The figures that a run has, by name: data-size, cells, epochs and so on."""

from functools import partial

from results import cell_figures, process_figures, size_figures
from results.run import Drawing, Run

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


def drawings_of(run: Run) -> dict[str, Drawing]:
    """Return the figures of a run, those that the report shows first at the front."""
    cells, name, trials, curves = run.cells, run.name, run.trials(), run.epochs()
    size = partial(size_figures.data_size, cells, trials, name)
    course = partial(cell_figures.epochs, cells, trials, curves, name)
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
    if run.tuned:
        drawings["search"] = Drawing(
            partial(process_figures.search, cells, trials, run.tuned, name),
            "For each cell, the validation accuracy of every recipe that was tried; the chosen one "
            "is a star, with its values at the right.",
        )
    return drawings
