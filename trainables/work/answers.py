"""What a learner answers, checked by the columns' types: what is wrong fails that trial alone."""

import json
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from numbers import Real
from typing import Any

import numpy as np
import pyarrow as pa

from results.metric import ACCURACY, SHARES, Metric
from results.records import EPOCH_SCHEMA, FACT_COLUMNS, IDENTITY_COLUMNS, TRIAL_SCHEMA
from trainables.errors import TrainableError
from trainables.training.learner import Facts, Learner, Row
from trainables.training.scores import Predictions
from trainables.trial import Trial

_LISTS = ("class_counts", "normalization_mean", "normalization_std")
"""Facts that are a list of numbers as JSON."""
_OURS = (*IDENTITY_COLUMNS, "sequence", "recorded_at", "host", "metric")
"""Columns of an epoch that are known without the learner: what it says there is passed over."""
_MEASURED = ("seconds", "images_per_second")
"""Columns that are neither negative nor endless."""
_ROUNDING = 1e-6
"""A share may be so far beyond 0 or 1 by the way it was summed up."""


def take_row(learner: Learner, trial: Trial, metric: Metric = ACCURACY) -> Row:
    """Train one epoch; return its row, `val_metric` and `test_metric` being what the metric names.

    Raises TrainableError where what `step` returned cannot be recorded.
    """
    where = f"{trial.trainable}: step()"
    found: Row = {}
    for name, value in _entries(learner.step(), where):
        if name not in _OURS and value is not None:
            kind = EPOCH_SCHEMA.field(name).type if name in EPOCH_SCHEMA.names else pa.float64()
            found[name] = _value(where, name, value, kind)
    for name in ("epoch", f"val_{metric.column}"):
        if name not in found:
            raise TrainableError(f"{where} returned no {name}")
    add_metric(found, metric)
    epoch = _value(f"{trial.trainable}:", "its own epoch", learner.epoch, pa.int64())
    if found["epoch"] != epoch:
        said = f"{where} returned epoch {found['epoch']}, and its own epoch is {epoch}"
        raise TrainableError(f"{said}; both count from 1 after the first step")
    return found


def take_facts(learner: Learner, trial: Trial) -> Facts:
    """Return the facts of a trial; raises TrainableError where they cannot be recorded."""
    where = f"{trial.trainable}: facts()"
    found: Facts = {}
    for name, value in _entries(learner.facts(), where):
        if kind := FACT_COLUMNS.get(name):
            found[name] = None if value is None else _value(where, name, value, kind)
        elif name in TRIAL_SCHEMA.names:
            said = f"{where} returned {name}, which is not the trainable's to say"
            raise TrainableError(f"{said}; what it may say is {', '.join(FACT_COLUMNS)}")
    return found


def add_metric(row: Row, metric: Metric) -> None:
    """Add what the metric names to a row, or in place of what another one was."""
    row["metric"] = metric.column
    for part in ("val", "test"):
        if (value := row.get(f"{part}_{metric.column}")) is not None:
            row[f"{part}_metric"] = value


def unheard(row: Row, metric: Metric) -> list[str]:
    """Return what a row says that no column holds."""
    own = (f"val_{metric.column}", f"test_{metric.column}")
    return [name for name in row if name not in EPOCH_SCHEMA.names and name not in own]


def take_predictions(learner: Learner, trial: Trial) -> Predictions | None:
    """Return what is predicted of every test example, or None; TrainableError: no classes."""
    where = f"{trial.trainable}: predictions()"
    answer: Any = learner.predictions()
    if isinstance(answer, Predictions):
        return answer
    try:
        given = np.asarray([] if answer is None else answer)
    except (ValueError, TypeError, OverflowError) as error:
        raise TrainableError(f"{where} returned no array of classes: {error}") from error
    if given.size == 0:
        return None
    if given.ndim != 1 or given.dtype.kind not in "iu":
        said = f"{where} returned {given.dtype} of shape {given.shape}"
        raise TrainableError(f"{said}; a whole number for each test example is needed")
    outside = given[(given < 0) | (given >= trial.n_classes)]
    if outside.size:
        known = f"the classes are 0 to {trial.n_classes - 1}"
        raise TrainableError(f"{where} returned class {outside[0]}; {known}")
    return Predictions(given.astype(np.int64))


def _entries(answer: Any, where: str) -> Iterable[tuple[str, Any]]:
    if not isinstance(answer, Mapping):
        raise TrainableError(f"{where} returned {type(answer).__name__}, not a dict")
    for name, value in answer.items():
        if not isinstance(name, str):
            raise TrainableError(f"{where} returned {name!r:.40} as a name; names are text")
        yield name, value


def _value(where: str, name: str, value: Any, kind: pa.DataType) -> Any:
    needed = "a number"
    found: Any = None
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    # What cannot be converted, whatever it raises, is none of what is needed.
    with suppress(ValueError, OverflowError, RecursionError):
        if pa.types.is_string(kind):
            needed = "text"
            if isinstance(value, str) and value.encode() is not None:
                needed = "a list of numbers, as JSON," if name in _LISTS else needed
                found = str(value) if name not in _LISTS or _is_list(json.loads(value)) else None
        elif is_number and pa.types.is_integer(kind):
            needed = "a whole number from 0 to 2⁶³ − 1"
            number = int(value)
            found = number if number == value and 0 <= number < 2**63 else None
        elif is_number:
            found = float(value)
            if name.endswith(tuple(f"_{share}" for share in SHARES)):
                if found < -_ROUNDING or found > 1 + _ROUNDING:
                    said = f"{where}: {name} is {value:g}"
                    raise TrainableError(f"{said}; accuracies are shares from 0 to 1")
                found = float(np.clip(found, 0.0, 1.0))
            elif name in _MEASURED and not 0 <= found < math.inf:
                needed, found = "a number from 0", None
    if found is None:
        said = type(value).__name__ + (f" {value!r:.40}" if isinstance(value, Real) else "")
        raise TrainableError(f"{where} returned {said} as {name}; {needed} is needed")
    return found


def _is_list(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, int | float) for value in values)
