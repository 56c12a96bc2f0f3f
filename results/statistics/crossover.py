"""Where a bigger model overtakes a smaller one as data grows. Arrays in, numbers out.

Sizes are in examples, errors in points. A row of errors is one seed over all sizes, kept whole
when resampling: nested subsets make a seed's sizes alike.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from results.statistics.interpolation import (
    RULES,
    first_rise_through_zero,
    places_between,
    seed_tables,
    smooth,
    zero_range,
)
from results.statistics.intervals import LEVEL, Array, mean_intervals
from results.statistics.laws import MOST_EXTRAPOLATION

DRAWS = 2000
TEST_LEVEL = 0.05
"""Of each one-sided test, and so of the whole claim."""


@dataclass(frozen=True)
class Crossover:
    """The small model ahead at little data, the big one at much.

    Parameters
    ----------
    is_established
        One-sided paired t tests find the small model ahead at the smallest size and the big one
        at the largest, each at 5 %: an intersection–union test.
    p_value
        Of that test: the larger of the two.
    bracket
        The closest sizes up to which and from which the same holds without a gap, "bracketed
        between f_i and f_j"; None unless established.
    location
        Where the mean errors cross, interpolated in log size; None where they do not.
    interval
        Sizes that a two-sided paired t test on interpolated errors cannot rule out as the crossing
        (test inversion, as Fieller's interval), the union over both rules of
        `interpolation`; an end at the edge of the measured sizes is open. None with one
        seed or without `location`.
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
    tests give D < 0 at the smallest size and D > 0 at the largest; inner sizes narrow the bracket.
    Sign-flip tests could not: with three to five seeds their smallest two-sided p is 0.25 to
    0.0625.

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
    seeds = len(a)
    places = places_between(n)
    location = _number(_roots(n, places, a.mean(axis=0)[None], b.mean(axis=0)[None])[0])
    hypothetical = None
    if location is None:
        hypothetical = _extended(n, (a - b).mean(axis=0))
    if seeds < 2:
        return Crossover(False, None, None, location, None, None, None, hypothetical, seeds)
    p_value, bracket = _intersection_union(n, a - b)
    rows = generator.integers(seeds, size=(draws, seeds))
    roots = _roots(n, places, a[rows].mean(axis=1), b[rows].mean(axis=1))
    found = roots[~np.isnan(roots)]
    tails = np.array([50 * (1 - level), 50 * (1 + level)])
    return Crossover(
        is_established=bracket is not None,
        p_value=p_value,
        bracket=bracket,
        location=location,
        interval=None if location is None else _interval(n, places, a, b, location, level),
        bootstrap_interval=_pair(np.percentile(found, tails)) if found.size else None,
        share_without_root=1 - found.size / draws,
        hypothetical=hypothetical,
        n_seeds=seeds,
    )


def _intersection_union(n: Array, difference: Array) -> tuple[float, tuple[float, float] | None]:
    """Return the claim's p value and, where it is below 5 %, the bracket.

    Sizes are tested in a fixed order, from the smallest up for D < 0 and from the largest down for
    D > 0, each at 5 % and only while the one before it passed: each side then errs in 5 % at most
    however many sizes there are, and so does the claim, which needs both.
    """
    tested = mean_intervals(difference.T)
    big_leads, small_leads = tested.p_greater < TEST_LEVEL, tested.p_less < TEST_LEVEL
    p_value = float(max(tested.p_less[0], tested.p_greater[-1]))
    if not (small_leads[0] and big_leads[-1]):
        return p_value, None
    last_small = int(np.cumprod(small_leads).sum()) - 1
    first_big = n.size - int(np.cumprod(big_leads[::-1]).sum())
    return p_value, (float(n[last_small]), float(n[first_big]))


def _roots(n: Array, places: Array, small: Array, big: Array) -> Array:
    """Return where each row of errors crosses, NaN where it does not."""
    return first_rise_through_zero(places, smooth(n, small, places) - smooth(n, big, places))


def _interval(
    n: Array, places: Array, small: Array, big: Array, location: float, level: float
) -> tuple[float, float]:
    ends = [
        zero_range(places, rule(n, small, places) - rule(n, big, places), location, level)
        for rule in RULES
    ]
    return min(low for low, _ in ends), max(high for _, high in ends)


def _extended(n: Array, means: Array) -> float | None:
    before, last = means[-2:]
    if last >= 0 or last <= before:
        return None
    steps = -last / (last - before)
    place = float(n[-1] * (n[-1] / n[-2]) ** steps)
    return place if place <= MOST_EXTRAPOLATION * n[-1] else None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _pair(values: Array) -> tuple[float, float]:
    return float(values[0]), float(values[1])
