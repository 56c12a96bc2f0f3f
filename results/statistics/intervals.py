"""Intervals and tests of means over few seeds. Arrays in, arrays out.

A percentile bootstrap of a mean covers 72 % with three seeds and 84 % with five where it promises
95 %; Student's t keeps its promise, so every interval here is a t interval. One seed has none.
A study of a thousand models has a million differences: each function takes all at once.
"""

from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Array = NDArray[np.float64]
Values = TypeVar("Values", Array, float)

LEVEL = 0.95
V0 = 0.02
"""Variance of the error that more data does not remove, in points² (Hoiem et al. 2021)."""
NO_SPREAD = 1e-12
"""Share of the mean below which values count as equal."""
MOST_SEEDS = 100
"""Seeds beyond which it is not said how many would decide a difference."""
_POWER = 0.8
_BISECTIONS = 60


@dataclass(frozen=True)
class Means(Generic[Values]):
    """Means over seeds and what is known of them, as arrays of one shape or as single numbers."""

    mean: Values
    """NaN without a value."""
    low: Values
    high: Values
    sd: Values
    """Ends of Student's t interval, and the standard deviation over seeds; NaN with fewer than two
    values: such a mean has no ± and enters no ranking."""
    n: Any
    """Number of values."""
    p_greater: Values
    p_less: Values
    p_two_sided: Values
    """Of the t tests of "above 0", of "below 0", and of either; NaN with fewer than two values.
    Values that are all equal leave no spread to test with: the p is then 0 on the side where they
    lie, 1 on the other, and 0.5 on both where they are 0."""

    @property
    def is_decided(self) -> Any:
        """Whether the interval leaves 0 out, so that the sign may be stated."""
        return (self.low > 0) | (self.high < 0)


def mean_intervals(values: ArrayLike, level: float = LEVEL) -> Means[Array]:
    """Return means with Student's t interval, mean ± t(n−1)·s/√n, and tests against 0.

    One value per seed along the last axis, NaN where there is none; `level` is the nominal
    coverage.
    """
    values = np.asarray(values, dtype=float)
    known = ~np.isnan(values)
    n = known.sum(axis=-1)
    nothing = np.full(n.shape, np.nan)
    mean = np.divide(np.where(known, values, 0.0).sum(axis=-1), n, out=nothing.copy(), where=n > 0)
    squares = np.where(known, (values - mean[..., None]) ** 2, 0.0).sum(axis=-1)
    many = n > 1
    sd = np.sqrt(np.divide(squares, n - 1, out=nothing.copy(), where=many))
    freedom = np.where(many, n - 1, np.nan)
    error = sd / np.sqrt(np.maximum(n, 1))
    half = quantile(freedom, level) * error
    flat = many & (sd <= NO_SPREAD * np.maximum(np.abs(mean), 1.0))
    t = np.divide(mean, error, out=nothing.copy(), where=many & ~flat)
    sides = []
    for sign in (-1, 1):
        certain = np.where(mean == 0, 0.5, (sign * mean > 0).astype(float))
        sides.append(np.where(flat, certain, special.stdtr(freedom, sign * t)))
    greater, less = sides
    both = np.minimum(2 * np.minimum(greater, less), 1.0)
    return Means(mean, mean - half, mean + half, sd, n, greater, less, both)


def paired_difference(first: ArrayLike, second: ArrayLike) -> Means[float]:
    """Return first − second over seeds, with the paired t interval and tests.

    One value per seed, shape (n,), the same seed at the same place; else a ValueError is raised.
    """
    a, b = _vector(first, "first"), _vector(second, "second")
    if a.shape != b.shape:
        raise ValueError(f"Pairs are needed: first has {a.size} seeds, second {b.size}.")
    found = mean_intervals(a - b)
    return Means(*(getattr(found, field.name).item() for field in fields(found)))


def unpaired_difference(first: ArrayLike, second: ArrayLike) -> tuple[float, float, float]:
    """Return the mean of first − second with both ends of Welch's t interval, for unpaired seeds.

    Values of each have shapes (m,) and (n,), at least two, all finite; else a ValueError is raised.
    Degrees of freedom by Welch and Satterthwaite (Welch, *Biometrika* 34, 1947).
    """
    a, b = _vector(first, "first"), _vector(second, "second")
    if min(a.size, b.size) < 2:
        raise ValueError(f"Two values of each are needed, not {a.size} and {b.size}.")
    mean = float(a.mean() - b.mean())
    parts = np.array([a.var(ddof=1) / a.size, b.var(ddof=1) / b.size])
    error = float(np.sqrt(parts.sum()))
    if error <= NO_SPREAD * max(abs(mean), 1.0):
        return mean, mean, mean
    freedom = float(parts.sum() ** 2 / np.sum(parts**2 / np.array([a.size - 1, b.size - 1])))
    half = float(quantile(freedom)) * error
    return mean, mean - half, mean + half


def quantile(freedom: ArrayLike, level: float = LEVEL) -> Array:
    """Return how many standard errors the ± of a t interval has, for degrees of freedom."""
    if not 0 < level < 1:
        raise ValueError(f"level is a share between 0 and 1, not {level}.")
    # Many means share their degrees of freedom, and each quantile takes a microsecond.
    values, place = np.unique(np.asarray(freedom, dtype=float), return_inverse=True)
    found = np.asarray(special.stdtrit(values, (1 + level) / 2), dtype=float)
    return found[place].reshape(np.shape(freedom))


def seeds_to_decide(difference: Array, sd: Array) -> Array:
    """Return how many seeds a paired t test needs for each difference, at 80 % power.

    Means and standard deviations are in one unit; at least 2, NaN where more than 100 would be
    needed or where the spread is not known.
    """
    spread = sd > 0
    ratio = np.divide(np.abs(difference), sd, out=np.zeros(np.shape(sd)), where=spread)
    least = _least_ratios()
    place = np.searchsorted(-least, -ratio)
    needed = np.where(place < least.size, place + 2.0, np.nan)
    needed = np.where((sd == 0) & (difference != 0), 2.0, needed)
    return np.where(spread | (sd == 0), needed, np.nan)


@cache
def _least_ratios() -> Array:
    """Return the least difference in standard deviations that 2, 3, … seeds decide.

    More seeds decide less, so that the ratios fall and can be searched.
    """
    n = np.arange(2, MOST_SEEDS + 1)
    critical = quantile(n - 1)
    low, high = np.zeros(n.size), np.full(n.size, 100.0)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        # Far from the critical value the function returns NaN in place of 0.
        enough = ~(special.nctdtr(n - 1, middle * np.sqrt(n), critical) > 1 - _POWER)
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return high


@dataclass(frozen=True)
class PooledVariance:
    """Variance between seeds as a function of the training size, v0 + v1/n, in points²."""

    v0: float
    v1: float
    """Variance at infinite data (points²), and what small data adds (points² · examples)."""
    repeats: int
    """Σ(k−1) over the cells with repeats; 0 where no cell has any."""
    v1_variance: float = 0.0
    """Sampling variance of v1."""

    def at(self, sizes: ArrayLike) -> Array:
        """Return the variance of one run at training sizes (examples), in points²."""
        return self.v0 + self.v1 / np.asarray(sizes, dtype=float)

    def degrees_of_freedom(self, sizes: ArrayLike) -> Array:
        """Return what the variance at sizes is worth in degrees of freedom, at most `repeats`.

        By Satterthwaite, 2·σ̂⁴/Var(σ̂²): cells with little data weigh most in v1, so that it rests
        on fewer repeats than were counted.
        """
        n = np.asarray(sizes, dtype=float)
        if self.v1_variance <= 0:
            return np.full(n.shape, float(self.repeats))
        worth = 2 * self.at(n) ** 2 / (self.v1_variance / n**2)
        return np.clip(worth, 1.0, self.repeats)

    def half_width(self, sizes: ArrayLike, runs: ArrayLike) -> Array:
        """Return what follows the ± of means over runs, borrowing the spread of all cells.

        In points, at nominal 95 %; NaN where no size has repeats. Each mean has its training size
        in examples and its number of runs.
        """
        freedom = self.degrees_of_freedom(sizes) if self.repeats else np.nan
        return quantile(freedom) * np.sqrt(self.at(sizes)) / np.sqrt(runs)


def pooled_variance(sizes: ArrayLike, errors: ArrayLike, v0: float = V0) -> PooledVariance:
    """Fit v0 + v1/n to the spread in points² of runs, shape (runs,), that share a size in examples.

    v1 = Σ(k−1)(s²−v0)(1/n) / Σ(k−1)(1/n²) over the sizes with k > 1 runs (Hoiem et al., *Learning
    Curves for Analysis of Deep Networks*, ICML 2021, §3), and never below 0. To pool over cells of
    one size, see `pooled_variance_of_cells`.
    """
    n, e = checked_runs(sizes, errors)
    levels, places = np.unique(n, return_inverse=True)
    return pooled_variance_of_cells(levels, grouped(e, places, levels.size), v0)


def pooled_variance_of_cells(sizes: Array, errors: Array, v0: float = V0) -> PooledVariance:
    """Fit v0 + v1/n to the spread within cells, as `pooled_variance` does.

    Sizes in examples have the shape (cells,), errors of their runs in points (cells, runs), NaN
    where there is none.
    """
    found = mean_intervals(errors)
    repeated = found.n > 1
    n, more, variance = sizes[repeated], found.n[repeated] - 1, found.sd[repeated] ** 2
    if not more.size:
        return PooledVariance(v0, 0.0, 0)
    weights = float(np.sum(more / n**2))
    v1 = float(np.sum(more * (variance - v0) / n)) / weights
    spread = float(np.sum(2 * more * variance**2 / n**2)) / weights**2
    return PooledVariance(v0, max(v1, 0.0), int(more.sum()), spread)


def grouped(values: Array, places: NDArray[np.int64], rows: int) -> Array:
    """Lay values out by row, first come first; shape (rows, most values of a row), else NaN."""
    counts = np.bincount(places, minlength=rows)
    order = np.argsort(places, kind="stable")
    starts = np.cumsum(counts) - counts
    column = np.arange(places.size) - np.repeat(starts, counts)
    table = np.full((rows, int(counts.max(initial=0))), np.nan)
    table[places[order], column] = values[order]
    return table


def checked_runs(sizes: ArrayLike, errors: ArrayLike) -> tuple[Array, Array]:
    """Return sizes (examples) and errors (points) as arrays, one entry per run.

    Raises
    ------
    ValueError
        Lengths that differ, nothing, sizes not above 0, errors outside 0 to 100, or a value that
        is not finite.
    """
    n, e = _vector(sizes, "sizes"), _vector(errors, "errors")
    if n.shape != e.shape:
        raise ValueError(f"One entry per run is needed: {n.size} sizes but {e.size} errors.")
    if (n <= 0).any():
        raise ValueError(f"sizes: examples must be above 0, not {n[n <= 0][0]:g}.")
    if ((e < 0) | (e > 100)).any():
        odd = e[(e < 0) | (e > 100)][0]
        raise ValueError(f"errors: points between 0 and 100 are needed, not {odd:g}.")
    return n, e


def _vector(values: ArrayLike, name: str) -> Array:
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or not array.size:
        raise ValueError(f"{name}: one value per run is needed, not an array {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: every value must be finite; leave out the runs that failed.")
    return array
