"""Which figures a run has, by name."""

from collections.abc import Callable

from matplotlib.figure import Figure

from results import figures, process_figures
from results.run import Drawing, Run

_SIZE = (
    "Line chart of the share of training data against test accuracy (left) and train accuracy "
    "(right): one line per model, one row of panels per level of weights, bars for the spread "
    "over seeds. "
)
_TABLE = "The table of cells holds all values."


def of(run: Run) -> dict[str, Drawing]:
    """Return the figures of a run, those that the report shows first at the front."""
    drawings = {
        "data-size": Drawing(_data_size(), _SIZE + _TABLE),
        "data-size-log": Drawing(
            _data_size(log=True), _SIZE + "Logarithmic axis of data size. " + _TABLE
        ),
        "data-size-origin": Drawing(
            _data_size(origin=True), _SIZE + "Both axes from 0 to 1. " + _TABLE
        ),
        "cells": Drawing(
            lambda run: figures.cell_map(run.cells, run.name),
            "Heat map of test accuracy: a row per combination of the other factors, a column per "
            "share of the data; cells without a value are hatched and named. " + _TABLE,
        ),
        "epochs": Drawing(
            lambda run: figures.epochs(run.cells, run.trials(), run.epochs(), run.name),
            "Small charts, one per cell, of validation and train accuracy over epochs; trials that "
            "were stopped early end in a cross.",
        ),
        "loss": Drawing(
            lambda run: figures.epochs(run.cells, run.trials(), run.epochs(), run.name, "loss"),
            "Small charts, one per cell, of validation and train loss over epochs; trials that "
            "were stopped early end in a cross.",
        ),
        "timeline": Drawing(
            lambda run: process_figures.timeline(run.trials(), run.name),
            "Bars of every trial along time, one line per slot; gaps are idle time.",
        ),
    }
    if run.tuned:
        drawings["search"] = Drawing(
            lambda run: process_figures.search(run.cells, run.trials(), run.tuned, run.name),
            "For each cell, the validation accuracy of every recipe that was tried; the chosen one "
            "is a star, with its values at the right.",
        )
    return drawings


def _data_size(log: bool = False, origin: bool = False) -> Callable[[Run], Figure]:
    return lambda run: figures.data_size(run.cells, run.trials(), run.name, log, origin)
