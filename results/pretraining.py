"""What pretraining is worth in data. Arrays in, numbers out.

Sizes are in examples, errors in points; a row of errors is one seed over all sizes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from results.crossover import confident_range, seed_tables
from results.intervals import LEVEL

_GRID = 400  # places at which the test is inverted, evenly in log size
_FLOOR = 1e-6  # points: an error of 0 has no logarithm


@dataclass(frozen=True)
class DataWorth:
    """How many times the data a model from scratch needs for a pretrained one's error.

    Parameters
    ----------
    size
        Training size of the pretrained model, in examples.
    error
        Its mean error, in points.
    factor
        The answer; None where the pretrained error is off the chart of the scratch model.
    more_than
        Set where even the largest measured size does not suffice: at least this many times.
    less_than
        Set where the smallest measured size is already better: at most this many times.
    interval
        Factors that a two-sided paired t test cannot rule out. An end that reaches the largest
        measured size is None ("more than"), as is one at the smallest. None with one seed.
    n_seeds
        Seeds, rows of the tables.
    """

    size: float
    error: float
    factor: float | None
    more_than: float | None
    less_than: float | None
    interval: tuple[float | None, float | None] | None
    n_seeds: int

    @property
    def text(self) -> str:
        """The factor as people write it, such as `5.2 times` or `more than 16 times`."""
        if self.factor is not None:
            return f"{self.factor:.2g} times"
        if self.more_than is not None:
            return f"more than {self.more_than:.3g} times"
        return f"less than {self.less_than:.3g} times"


def worth_in_data(
    sizes: ArrayLike, scratch: ArrayLike, pretrained: ArrayLike, level: float = LEVEL
) -> list[DataWorth]:
    """Return, at every size, how many times the data replaces pretraining.

    The scratch model's error between measured sizes is a straight line in log error against log
    size, seed by seed, the form that extrapolates best over one doubling; beyond the measured
    sizes nothing is claimed but "more than". The interval holds the sizes at which the paired
    difference scratch − pretrained may be 0 (test inversion), so that it needs two seeds.

    Parameters
    ----------
    sizes
        Training sizes in examples, shape (sizes,), distinct, at least two.
    scratch, pretrained
        Errors in points, shape (seeds, sizes), the same seed in the same row.
    level
        Nominal coverage of the intervals.

    Returns
    -------
    list of DataWorth
        One per size, smallest first.

    Raises
    ------
    ValueError
        Shapes that do not fit, sizes that repeat, or values that are not finite.
    """
    n, (a, b) = seed_tables(sizes, scratch, pretrained)
    places = np.unique(np.concatenate([np.geomspace(n[0], n[-1], _GRID), n]))
    along = np.array([_interpolated(n, row, places) for row in a])
    mean_along = _interpolated(n, a.mean(axis=0), places)
    return [
        _worth(places, along, mean_along, float(size), b[:, column], level)
        for column, size in enumerate(n)
    ]


def _interpolated(
    n: NDArray[np.float64], errors: NDArray[np.float64], places: NDArray[np.float64]
) -> NDArray[np.float64]:
    logs = np.log(np.maximum(errors, _FLOOR))
    return np.asarray(np.exp(np.interp(np.log(places), np.log(n), logs)), dtype=np.float64)


def _worth(
    places: NDArray[np.float64],
    along: NDArray[np.float64],
    mean_along: NDArray[np.float64],
    size: float,
    pretrained: NDArray[np.float64],
    level: float,
) -> DataWorth:
    target = float(pretrained.mean())
    reached = np.flatnonzero(mean_along <= target)
    factor = more = less = None
    if not reached.size:
        more, around = float(places[-1] / size), float(places[-1])
    elif mean_along[0] < target:
        less, around = float(places[0] / size), float(places[0])
    else:
        around = _crossing(places, mean_along, max(int(reached[0]), 1), target)
        factor = around / size
    interval = None
    if len(pretrained) > 1:
        low, high = confident_range(places, along - pretrained[:, None], around, level)
        interval = (
            None if low <= places[0] else low / size,
            None if high >= places[-1] else high / size,
        )
    return DataWorth(size, target, factor, more, less, interval, len(pretrained))


def _crossing(
    places: NDArray[np.float64], errors: NDArray[np.float64], after: int, target: float
) -> float:
    left, right = np.log(places[after - 1]), np.log(places[after])
    above, below = np.log(errors[after - 1]), np.log(max(errors[after], _FLOOR))
    share = (above - np.log(max(target, _FLOOR))) / (above - below)
    return float(np.exp(left + share * (right - left)))
