"""Where a bigger model overtakes a smaller one as data grows. Arrays in, numbers out.

Sizes are in examples, errors in points. A row of errors is one seed over all sizes, kept whole
when resampling: nested subsets make a seed's sizes alike.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from results.intervals import LEVEL, one_sided_p
from results.laws import MOST_EXTRAPOLATION

DRAWS = 2000
_GRID = 400  # places at which the test is inverted, evenly in log size


@dataclass(frozen=True)
class Crossover:
    """The small model ahead at little data, the big one at much.

    Parameters
    ----------
    is_established
        One-sided paired t tests find the small model ahead at some size and the big one at a
        larger one, each at 5 %: an intersection–union test.
    p_value
        Of that test: the larger of the two p values, of the pair of sizes where it is least.
    bracket
        The closest such pair of sizes, "bracketed between f_i and f_j"; None unless established.
    location
        Where the mean difference changes sign, interpolated in log size; None where it does not.
    interval
        Sizes that a two-sided paired t test at the interpolated size cannot rule out as the
        crossing (test inversion, as Fieller's interval); an end at the edge of the measured sizes
        is open. None with one seed or without `location`.
    bootstrap_interval
        2.5 to 97.5 % of the locations when whole seed rows are drawn anew; too narrow with few
        seeds. None with one seed or without a root.
    share_without_root
        Share of those draws in which the difference does not change sign.
    hypothetical
        Where the last two sizes' trend would cross, up to four times the largest size, when the
        small model is still ahead there; never evidence.
    n_seeds
        Seeds, rows of the tables.
    """

    is_established: bool
    p_value: float | None
    bracket: tuple[float, float] | None
    location: float | None
    interval: tuple[float, float] | None
    bootstrap_interval: tuple[float, float] | None
    share_without_root: float | None
    hypothetical: float | None
    n_seeds: int

    @property
    def verdict(self) -> str:
        """What may be said, in a few words."""
        if self.is_established and self.bracket:
            return f"bracketed between {self.bracket[0]:,.0f} and {self.bracket[1]:,.0f} images"
        if self.n_seeds < 2:
            return "not tested: one seed"
        if self.location is not None:
            return "not established: the means cross, the tests do not"
        if self.hypothetical is not None:
            return f"hypothetical, near {self.hypothetical:,.0f} images if the trend goes on"
        return "none in the measured sizes"


def find_crossover(
    sizes: ArrayLike,
    small: ArrayLike,
    big: ArrayLike,
    generator: np.random.Generator,
    level: float = LEVEL,
    draws: int = DRAWS,
) -> Crossover:
    """Look for the size at which the big model overtakes the small one.

    With D = error of small − error of big, a crossover is established where one-sided paired t
    tests give D < 0 at some size and D > 0 at a larger one. Sign-flip tests could not: with three
    to five seeds their smallest two-sided p is 0.25 to 0.0625.

    Parameters
    ----------
    sizes
        Training sizes in examples, shape (sizes,), distinct, at least two.
    small, big
        Errors in points, shape (seeds, sizes), the same seed in the same row.
    generator
        Of the bootstrap.
    level
        Nominal coverage of the intervals; each one-sided test is at 5 %.
    draws
        Bootstrap draws.

    Raises
    ------
    ValueError
        Shapes that do not fit, sizes that repeat, or values that are not finite.
    """
    n, (a, b) = seed_tables(sizes, small, big)
    difference = a - b
    seeds = len(difference)
    means = difference.mean(axis=0)
    location = _root(n, means)
    hypothetical = None if location is not None else _extended(n, means)
    if seeds < 2:
        return Crossover(False, None, None, location, None, None, None, hypothetical, seeds)
    p_value, bracket = _intersection_union(n, difference)
    rows = generator.integers(seeds, size=(draws, seeds))
    roots = [_root(n, difference[picked].mean(axis=0)) for picked in rows]
    found = np.array([root for root in roots if root is not None])
    tails = [50 * (1 - level), 50 * (1 + level)]
    return Crossover(
        is_established=bracket is not None,
        p_value=p_value,
        bracket=bracket,
        location=location,
        interval=None if location is None else _inverted(n, difference, location, level),
        bootstrap_interval=_pair(np.percentile(found, tails)) if found.size else None,
        share_without_root=1 - found.size / draws,
        hypothetical=hypothetical,
        n_seeds=seeds,
    )


def seed_tables(
    sizes: ArrayLike, *tables: ArrayLike
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """Check sizes and tables (seeds, sizes), and return them in the order of the sizes."""
    n = np.asarray(sizes, dtype=float)
    if n.ndim != 1 or n.size < 2 or not np.isfinite(n).all() or (n <= 0).any():
        raise ValueError("sizes: at least two training sizes above 0 are needed.")
    if np.unique(n).size < n.size:
        raise ValueError("sizes: each training size stands once, one column of the tables each.")
    order = np.argsort(n)
    checked = []
    for table in tables:
        values = np.asarray(table, dtype=float)
        if values.ndim != 2 or values.shape[1] != n.size or not values.shape[0]:
            raise ValueError(
                f"Errors have shape (seeds, {n.size} sizes), one row per seed, not {values.shape}."
            )
        if not np.isfinite(values).all():
            raise ValueError("Errors must be finite: leave out seeds that lack a size.")
        checked.append(values[:, order])
    if len({len(values) for values in checked}) > 1:
        raise ValueError("The tables need the same seeds in the same rows.")
    return n[order], checked


def confident_range(
    places: NDArray[np.float64], differences: NDArray[np.float64], around: float, level: float
) -> tuple[float, float]:
    """Return the stretch of places around one at which the mean difference may be 0.

    Parameters
    ----------
    places
        Shape (places,), increasing.
    differences
        Shape (seeds, places).
    around
        The place to start from.
    level
        Nominal coverage: the two-sided paired t test is at 1 − level.
    """
    seeds = len(differences)
    error = differences.std(axis=0, ddof=1) / np.sqrt(seeds)
    allowed = float(stats.t.ppf((1 + level) / 2, seeds - 1)) * error
    possible = np.abs(differences.mean(axis=0)) <= allowed
    start = int(np.argmin(np.abs(places - around)))
    low = high = start
    while low > 0 and possible[low - 1]:
        low -= 1
    while high < places.size - 1 and possible[high + 1]:
        high += 1
    return float(places[low]), float(places[high])


def _intersection_union(
    n: NDArray[np.float64], difference: NDArray[np.float64]
) -> tuple[float, tuple[float, float] | None]:
    p = np.array([one_sided_p(difference[:, place]) for place in range(n.size)])
    big_ahead, small_ahead = p[:, 0], p[:, 1]
    pairs = [(i, j) for i in range(n.size) for j in range(i + 1, n.size)]
    both = {(i, j): float(max(small_ahead[i], big_ahead[j])) for i, j in pairs}
    passed = [pair for pair, value in both.items() if value < 0.05]
    closest = min(passed, key=lambda pair: n[pair[1]] / n[pair[0]], default=None)
    bracket = None if closest is None else (float(n[closest[0]]), float(n[closest[1]]))
    return min(both.values()), bracket


def _root(n: NDArray[np.float64], means: NDArray[np.float64]) -> float | None:
    """Return where the difference first goes from below 0 to above it, in log size."""
    for place in range(n.size - 1):
        before, after = means[place], means[place + 1]
        if before < 0 <= after:
            share = before / (before - after)
            return float(np.exp(np.log(n[place]) + share * np.log(n[place + 1] / n[place])))
    return None


def _extended(n: NDArray[np.float64], means: NDArray[np.float64]) -> float | None:
    before, last = means[-2:]
    if last >= 0 or last <= before:
        return None
    steps = -last / (last - before)
    place = float(n[-1] * (n[-1] / n[-2]) ** steps)
    return place if place <= MOST_EXTRAPOLATION * n[-1] else None


def _inverted(
    n: NDArray[np.float64], difference: NDArray[np.float64], location: float, level: float
) -> tuple[float, float]:
    places = np.geomspace(n[0], n[-1], _GRID)
    places = np.unique(np.concatenate([places, n, [location]]))
    along = np.array([np.interp(np.log(places), np.log(n), row) for row in difference])
    return confident_range(places, along, location, level)


def _pair(values: NDArray[np.float64]) -> tuple[float, float]:
    return float(values[0]), float(values[1])
