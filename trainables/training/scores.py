"""How well classes were told, in numbers of many kinds. Arrays in, numbers out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BINS = 15
FIVE = 5
"""Classes among which the true one may be, where there are more."""


@dataclass(frozen=True)
class Predictions:
    """What a model says of every example of a set, shape (n,) each."""

    classes: NDArray[np.int64]
    """The likeliest class."""
    of_label: NDArray[np.float32] | None = None
    of_class: NDArray[np.float32] | None = None
    """Probability of the true class and of the likeliest one, where they are told."""
    in_first_five: NDArray[np.bool_] | None = None
    """Whether fewer than five classes are likelier than the true one; None with five or fewer."""


def scores(found: Predictions, labels: NDArray[np.int64], n_classes: int) -> dict[str, float]:
    """Return accuracy and, but for the log loss, `results.records.SCORES` of labelled examples.

    Means over classes leave out those that are neither true nor predicted, recall also those that
    are not true. What is not told is left out.
    """
    right = found.classes == labels
    counted = (labels, found.classes, labels[right])
    true, told, hits = (np.bincount(classes, minlength=n_classes) for classes in counted)
    known = true > 0
    either = known | (told > 0)
    row = {
        "accuracy": int(hits.sum()) / len(labels),
        "balanced_accuracy": float((hits[known] / true[known]).mean()),
        "macro_f1": float((2 * hits[either] / (true + told)[either]).mean()),
    }
    if found.in_first_five is not None:
        row["top5"] = float(found.in_first_five.mean())
    if found.of_class is not None:
        place = np.minimum((np.nan_to_num(found.of_class) * _BINS).astype(int), _BINS - 1)
        gaps = np.bincount(place, right - found.of_class.astype(float), _BINS)
        row["calibration_error"] = float(np.abs(gaps).sum() / len(labels))
    return row
