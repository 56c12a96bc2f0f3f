"""The numbers that the page's charts draw, as plain lists."""

from typing import Any

import numpy as np
import pandas as pd

from results.analysis.cells import METRICS, Cells
from results.analysis.runs import records_of
from results.phrases import level_label
from results.records import Status
from results.run import Run

_MAX_POINTS = 5_000
_MAX_CURVE_ROWS = 40_000
_CURVE_METRICS = ("val_accuracy", "train_accuracy", "test_accuracy", "val_loss", "train_loss")


def payload(run: Run) -> dict[str, Any]:
    """Return what the page's charts need, column by column.

    Returns
    -------
    dict
        `factors`: name and labels of the levels; `cells`: one entry per cell in each list;
        `seeds`: one entry per compared trial, `cell` being its place in `cells`; `curves`: one
        entry per cell and epoch, means over the compared seeds.
    """
    cells = run.cells
    frame = cells.summary
    trials = run.trials()
    keyed = frame[list(cells.factors)].reset_index(names="cell")
    wanted = trials[trials["wanted"].fillna(False).astype(bool)]
    compared = wanted if cells.race else wanted[wanted["measured"].fillna(False).astype(bool)]
    compared = compared.merge(keyed, on=list(cells.factors), how="inner")
    columns: dict[str, list[Any]] = {
        "name": [cells.name(row) for row in records_of(frame)],
        "images": _numbers(frame["n_train"]),
        "state": frame["state"].tolist(),
        "reason": [reason if isinstance(reason, str) else "" for reason in frame["reason"]],
        "seeds": frame["seeds"].tolist(),
        "parameters": _numbers(frame["n_parameters"]),
        "flops": _numbers(frame["flops_per_image"]),
        "seconds": _numbers(frame["seconds"]),
    }
    for factor in cells.factors:
        labels = [level_label(factor, level) for level in frame[factor]]
        columns[f"factor:{factor}"] = labels
    for metric in METRICS:
        for column in (metric, f"{metric}_low", f"{metric}_high"):
            columns[column] = _numbers(frame[column])
    return {
        "name": run.name,
        "race": cells.race,
        "factors": [_factor(cells, factor) for factor in cells.factors],
        "cells": columns,
        "seeds": _seeds(compared),
        "curves": _curves(run.epochs(), compared),
    }


def _factor(cells: Cells, factor: str) -> dict[str, Any]:
    levels = cells.levels[factor]
    numeric = all(isinstance(level, int | float | np.number) for level in levels)
    return {
        "name": factor,
        "labels": [level_label(factor, level) for level in levels],
        "values": [float(level) for level in levels] if numeric else None,
    }


def _seeds(compared: pd.DataFrame) -> dict[str, list[Any]]:
    ended = compared[compared["status"].isin([Status.COMPLETED, Status.STOPPED])]
    if len(ended) > _MAX_POINTS:
        ended = ended.iloc[:0]
    return {
        "cell": ended["cell"].astype(int).tolist(),
        "seed": ended["seed"].astype(int).tolist(),
        "stopped": (ended["status"] == Status.STOPPED).tolist(),
        "selected": (ended["stage"] == "search").tolist(),
        **{metric: _numbers(ended[f"final_{metric}"]) for metric in METRICS},
    }


def _curves(epochs: pd.DataFrame, compared: pd.DataFrame) -> dict[str, list[Any]]:
    known = compared.set_index("trial_id")
    rows = epochs.assign(cell=epochs["trial_id"].map(known["cell"])).dropna(subset=["cell"])
    # A trial may have been trained for longer than the study as last run asks for.
    rows = rows[~(rows["epoch"] > rows["trial_id"].map(known["epochs_budget"]).astype(float))]
    means = rows.groupby(["cell", "epoch"])[list(_CURVE_METRICS)].mean().reset_index()
    step = -(-len(means) // _MAX_CURVE_ROWS)
    if step > 1:
        last = means.groupby("cell")["epoch"].transform("max")
        means = means[(means["epoch"] % step == 0) | (means["epoch"] == last)]
    return {
        "cell": means["cell"].astype(int).tolist(),
        "epoch": means["epoch"].astype(int).tolist(),
        **{metric: _numbers(means[metric]) for metric in _CURVE_METRICS},
    }


def _numbers(column: pd.Series) -> list[float | None]:
    """Return five significant digits, which is more than a chart can show."""
    values = column.to_numpy(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        digits = 4 - np.floor(np.log10(np.abs(values)))
    digits = np.where(np.isfinite(digits), digits, 0)
    scale = 10.0**digits
    rounded = np.round(values * scale) / scale
    return [float(f"{v:.5g}") if np.isfinite(v) else None for v in rounded]
