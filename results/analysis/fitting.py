"""Under- and over-fitting of every cell, from the recorded curves. Frames in, frame out."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from results.statistics.intervals import Array

_STILL_FALLS = 0.03  # share of the loss lost over the last quarter of the budget
_SATURATED = 90.0  # % train accuracy from which more epochs have little left to fit
_FITTED = 99.5  # % train accuracy from which there is nothing left
_OVER_FITS = 0.10  # share by which the validation loss has risen from its lowest
_GAP = 5.0  # points between train and validation accuracy


class Fit(StrEnum):
    """How well a cell's budget and its data fit each other."""

    UNDER = "under-trained"
    OVER = "over-fitting"
    SETTLED = "settled"
    UNKNOWN = "unknown"


def fitting(runs: pd.DataFrame, epochs: pd.DataFrame, factors: Sequence[str]) -> pd.DataFrame:
    """Judge from compared runs' recorded curves whether each cell is under-trained or over-fits.

    A cell is over-fitting where its validation loss has risen by 10 % from a lowest value before
    the last quarter of the budget and train accuracy is 5 points or more above validation. It is
    under-trained where the train loss fell by 3 % or more over the last quarter, and either the
    validation loss did too or train accuracy is below 90 %; never where that is 99.5 % or more.

    One row per cell, means over its runs: the factors, `runs` (with two epochs or more),
    `train_accuracy`, `val_accuracy`, `gap` (points), `train_fall`, `val_fall` (share of the loss
    lost over the last quarter), `val_rise` (share above its lowest), `lowest_is_late` (share of
    runs whose lowest is in the last quarter), `fit` (see `Fit`; unknown without runs).
    """
    names = ("train_loss", "val_loss", "train_accuracy", "val_accuracy")
    curves, lengths = curve_arrays(runs, epochs, names)
    long = np.flatnonzero(lengths > 1)
    last = lengths[long] - 1
    before = last - np.maximum(1, np.round(lengths[long] / 4)).astype(int)
    train, val = curves["train_loss"], curves["val_loss"]
    lowest = np.where(np.isnan(val[long]), np.inf, val[long]).argmin(axis=1)
    ends = {name: 100 * curves[name][long, last] for name in names[2:]}
    measured = {
        **ends,
        "gap": ends["train_accuracy"] - ends["val_accuracy"],
        "train_fall": _share_lost(train[long, before], train[long, last]),
        "val_fall": _share_lost(val[long, before], val[long, last]),
        "val_rise": -_share_lost(val[long, lowest], val[long, last]),
        "lowest_is_late": (lowest > before).astype(float),
    }
    table = runs[list(factors)].join(pd.DataFrame(measured, index=runs.index[long]))
    groups = table.groupby(list(factors), dropna=False, observed=True, sort=False)
    frame = groups[list(measured)].mean().reset_index()
    frame.insert(len(factors), "runs", groups["train_fall"].count().to_numpy())
    rows = frame.to_dict("records")
    frame["fit"] = [_verdict(row) if row["runs"] else Fit.UNKNOWN for row in rows]
    return frame


def curve_arrays(
    runs: pd.DataFrame, epochs: pd.DataFrame, columns: Sequence[str]
) -> tuple[dict[str, Array], NDArray[np.int64]]:
    """Lay out columns of compared runs' epochs, and each run's last recorded epoch, 0 without any.

    Columns have the shape (runs, epochs), NaN where nothing is recorded.
    """
    row = pd.Index(runs["trial_id"]).get_indexer(pd.Index(epochs["trial_id"]))
    own = epochs[row >= 0]
    row, place = row[row >= 0], own["epoch"].to_numpy(dtype=np.int64) - 1
    lengths = np.zeros(len(runs), dtype=np.int64)
    np.maximum.at(lengths, row, place + 1)
    shape = len(runs), int(lengths.max(initial=1))
    arrays = {name: np.full(shape, np.nan) for name in columns}
    for name, array in arrays.items():
        array[row, place] = own[name].to_numpy(dtype=float)
    return arrays, lengths


def _share_lost(first: Array, last: Array) -> Array:
    return 1 - np.divide(last, first, np.ones_like(first), where=(first > 0) & (first < np.inf))


def _verdict(means: Mapping[Any, Any]) -> Fit:
    early = means["lowest_is_late"] < 0.5
    if early and means["val_rise"] >= _OVER_FITS and means["gap"] >= _GAP:
        return Fit.OVER
    limit = _FITTED if means["val_fall"] >= _STILL_FALLS else _SATURATED
    if means["train_fall"] >= _STILL_FALLS and means["train_accuracy"] < limit:
        return Fit.UNDER
    return Fit.SETTLED
