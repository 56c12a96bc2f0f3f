"""Intervals and tests of many cells at once. Arrays in, arrays out.

The numbers are those of `intervals`, a row of values in place of one cell's; a study of a
thousand models has a million differences, which a call for each would take minutes over.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from results.statistics.intervals import LEVEL, NO_SPREAD

Array = NDArray[np.float64]

MOST_SEEDS = 100
"""Seeds beyond which it is not said how many would decide a difference."""
_POWER = 0.8
_BISECTIONS = 60


@dataclass(frozen=True)
class Batch:
    """Means of rows of values and what is known of them. Units are those of the values.

    Every array has the shape of the rows. `mean` is NaN without a value; `low`, `high` and `sd`
    are NaN with fewer than two, as are the p values: of the one-sided t tests for "above 0" and
    "below 0", and the two-sided one.
    """

    mean: Array
    low: Array
    high: Array
    sd: Array
    n: NDArray[np.int64]
    p_greater: Array
    p_less: Array
    p_two_sided: Array

    @property
    def is_decided(self) -> NDArray[np.bool_]:
        """Whether each interval leaves 0 out."""
        return (self.low > 0) | (self.high < 0)


def mean_intervals(values: Array, level: float = LEVEL) -> Batch:
    """Return the mean of each row with Student's t interval and tests against 0.

    Parameters
    ----------
    values
        One value per seed along the last axis, NaN where there is none; shape (…, seeds).
    level
        Nominal coverage, 0 to 1.
    """
    known = ~np.isnan(values)
    n = known.sum(axis=-1)
    filled = np.where(known, values, 0.0)
    mean = np.divide(filled.sum(axis=-1), n, out=np.full(n.shape, np.nan), where=n > 0)
    squares = np.where(known, (values - mean[..., None]) ** 2, 0.0).sum(axis=-1)
    many = n > 1
    sd = np.sqrt(np.divide(squares, n - 1, out=np.full(n.shape, np.nan), where=many))
    freedom = np.where(many, n - 1, np.nan)
    error = sd / np.sqrt(np.maximum(n, 1))
    half = special.stdtrit(freedom, (1 + level) / 2) * error
    flat = many & (sd <= NO_SPREAD * np.maximum(np.abs(mean), 1.0))
    t = np.divide(mean, error, out=np.full(n.shape, np.nan), where=many & ~flat)
    sides = []
    for sign in (-1, 1):
        # Values that are all equal leave no spread to test with.
        certain = np.where(mean == 0, 0.5, (sign * mean > 0).astype(float))
        sides.append(np.where(flat, certain, special.stdtr(freedom, sign * t)))
    greater, less = sides
    return Batch(
        mean=mean,
        low=mean - half,
        high=mean + half,
        sd=sd,
        n=n,
        p_greater=greater,
        p_less=less,
        p_two_sided=np.minimum(2 * np.minimum(greater, less), 1.0),
    )


def seeds_to_decide(difference: Array, sd: Array, level: float = LEVEL) -> Array:
    """Return how many seeds a paired t test needs for each difference, at 80 % power.

    As `intervals.seeds_needed`: at least 2, NaN where more than 100 would be needed or
    where a spread is not known.
    """
    spread = sd > 0
    ratio = np.divide(np.abs(difference), sd, out=np.zeros(np.shape(sd)), where=spread)
    least = _least_ratios(level)
    place = np.searchsorted(-least, -ratio)
    needed = np.where(place < least.size, place + 2.0, np.nan)
    needed = np.where((sd == 0) & (difference != 0), 2.0, needed)
    return np.where(spread | (sd == 0), needed, np.nan)


def grouped(values: Array, places: NDArray[np.int64], rows: int) -> Array:
    """Lay values out by row, first come first; shape (rows, most values of a row), else NaN."""
    counts = np.bincount(places, minlength=rows)
    order = np.argsort(places, kind="stable")
    starts = np.cumsum(counts) - counts
    column = np.arange(places.size) - np.repeat(starts, counts)
    table = np.full((rows, int(counts.max(initial=0))), np.nan)
    table[places[order], column] = values[order]
    return table


@lru_cache(maxsize=8)
def _least_ratios(level: float) -> Array:
    """Return the least difference in standard deviations that 2, 3, … seeds decide.

    More seeds decide less, so that the ratios fall and can be searched.
    """
    n = np.arange(2, MOST_SEEDS + 1)
    critical = special.stdtrit(n - 1, (1 + level) / 2)
    low, high = np.zeros(n.size), np.full(n.size, 100.0)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        # Far from the critical value the function returns NaN in place of 0.
        enough = ~(special.nctdtr(n - 1, middle * np.sqrt(n), critical) > 1 - _POWER)
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return high
