"""Where one line over data sizes crosses another: a bigger model overtakes, data replaces weights.

Arrays in, numbers out. Sizes are in examples, errors in points. A table has one seed per row and
one size per column; a row is kept whole when resampling, since nested subsets make a seed's sizes
alike. Between measured sizes errors are interpolated by two rules, whose gap tells how far to trust
either.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from results.statistics.intervals import LEVEL, Array, mean_intervals
from results.statistics.laws import MOST_EXTRAPOLATION

DRAWS = 2000
TEST_LEVEL = 0.05
"""Of each one-sided test, and so of the whole claim."""
_PLACES = 400
_ROUNDING = 1e-9
_FLOOR = 1e-6  # points: an error of 0 has no logarithm


@dataclass(frozen=True)
class Crossover:
    """The small model ahead at little data, the big one at much."""

    is_established: bool
    """One-sided paired t tests find the small model ahead at the smallest size and the big one at
    the largest, each at 5 %: an intersection–union test."""
    p_value: float | None
    """Of that test: the larger of the two."""
    bracket: tuple[float, float] | None
    """The closest sizes up to which and from which the same holds without a gap, "bracketed between
    f_i and f_j"; None unless established."""
    location: float | None
    """Where the mean errors cross, interpolated in log size; None where they do not."""
    interval: tuple[float, float] | None
    """Sizes that a two-sided paired t test on interpolated errors cannot rule out as the crossing
    (test inversion, as Fieller's interval), the union over both rules of interpolation; an end at
    the edge of the measured sizes is open. None with one seed or without `location`."""
    bootstrap_interval: tuple[float, float] | None
    """2.5 to 97.5 % of the locations when whole seed rows are drawn anew; too narrow with few
    seeds. None with one seed or without a root."""
    share_without_root: float | None
    """Share of those draws in which the difference does not change sign."""
    hypothetical: float | None
    """Where the last two sizes' trend would cross, up to four times the largest size, when the
    small model is still ahead there; never evidence."""
    n_seeds: int
    """Seeds, rows of the tables."""

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
        Training sizes in examples, shape (sizes,), distinct, at least two; else a ValueError.
    small, big
        Errors in points, shape (seeds, sizes), finite, the same seed in the same row.
    generator, draws
        Random numbers and number of draws of the bootstrap.
    """
    n, (a, b) = seed_tables(sizes, small, big)
    seeds, places = len(a), places_between(n)
    root = float(_roots(n, places, a.mean(axis=0)[None], b.mean(axis=0)[None])[0])
    location = None if np.isnan(root) else root
    hypothetical = _extended(n, (a - b).mean(axis=0)) if location is None else None
    if seeds < 2:
        return Crossover(False, None, None, location, None, None, None, hypothetical, seeds)
    p_value, bracket = _intersection_union(n, a - b)
    interval = bootstrap = None
    if location is not None:
        gaps = [rule(n, a, places) - rule(n, b, places) for rule in RULES]
        interval = zero_range(places, gaps, location)
    rows = generator.integers(seeds, size=(draws, seeds))
    roots = _roots(n, places, a[rows].mean(axis=1), b[rows].mean(axis=1))
    found = roots[~np.isnan(roots)]
    if found.size:
        low, high = np.percentile(found, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
        bootstrap = float(low), float(high)
    return Crossover(
        is_established=bracket is not None,
        p_value=p_value,
        bracket=bracket,
        location=location,
        interval=interval,
        bootstrap_interval=bootstrap,
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


def _extended(n: Array, means: Array) -> float | None:
    before, last = means[-2:]
    if last >= 0 or last <= before:
        return None
    steps = -last / (last - before)
    place = float(n[-1] * (n[-1] / n[-2]) ** steps)
    return place if place <= MOST_EXTRAPOLATION * n[-1] else None


def straight(sizes: Array, table: Array, places: Array) -> Array:
    """Interpolate each row's error as straight lines over log size; shape (rows, places)."""
    x, at = np.log(sizes), np.log(places)
    return np.array([np.interp(at, x, row) for row in table])


def smooth(sizes: Array, table: Array, places: Array) -> Array:
    """Interpolate each row's log error over log size by monotone cubics; shape (rows, places).

    With two sizes it is the straight line of a power law. Over gaps of eight times the data it
    halves the error of `straight` on simulated curves.
    """
    # Takes a second to import, which reading cells should not cost.
    from scipy.interpolate import PchipInterpolator

    logs = np.log(np.maximum(table, _FLOOR))
    if sizes.size == 2:
        return np.asarray(np.exp(straight(sizes, logs, places)), dtype=np.float64)
    curve = PchipInterpolator(np.log(sizes), logs, axis=1)
    return np.asarray(np.exp(curve(np.log(places))), dtype=np.float64)


RULES: tuple[Callable[[Array, Array, Array], Array], ...] = (smooth, straight)
"""The first places a value; an interval is the union over all."""


def places_between(sizes: Array) -> Array:
    """Return places from the smallest to the largest size, evenly in log size, sizes included."""
    return np.unique(np.concatenate([np.geomspace(sizes[0], sizes[-1], _PLACES)[1:-1], sizes]))


def seed_tables(sizes: ArrayLike, *tables: ArrayLike) -> tuple[Array, list[Array]]:
    """Check sizes and tables (seeds, sizes), and return them in the order of the sizes.

    Raises
    ------
    ValueError
        Shapes that do not fit, sizes that repeat, or values that are not finite or not points.
    """
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
        if not ((values >= 0) & (values <= 100)).all():
            raise ValueError("Errors are points from 0 to 100: leave out seeds that lack a size.")
        checked.append(values[:, order])
    if len({len(values) for values in checked}) > 1:
        raise ValueError("The tables need the same seeds in the same rows.")
    return n[order], checked


def zero_range(places: Array, gaps: Sequence[Array], around: float) -> tuple[float, float]:
    """Return the ends of the stretch of places, around one, at which the mean gap may be 0.

    Between them no two-sided paired t test at 5 % rules 0 out by some rule of interpolation. Places
    increase; gaps are the differences by each rule, shape (seeds, places), of at least two seeds.
    """
    ends = []
    for gap in gaps:
        possible = ~mean_intervals(gap.T).is_decided
        low = high = int(np.argmin(np.abs(np.log(places / around))))
        while low > 0 and possible[low - 1]:
            low -= 1
        while high < places.size - 1 and possible[high + 1]:
            high += 1
        ends += [low, high]
    return float(places[min(ends)]), float(places[max(ends)])


def first_rise_through_zero(places: Array, differences: Array) -> Array:
    """Return, for each row, the first place where it goes from below 0 to 0 or above; else NaN."""
    rises = (differences[:, :-1] < 0) & (differences[:, 1:] >= 0)
    rows = np.flatnonzero(rises.any(axis=1))
    at = rises[rows].argmax(axis=1)
    before, after = differences[rows, at], differences[rows, at + 1]
    found = np.full(len(differences), np.nan)
    found[rows] = places[at] * (places[at + 1] / places[at]) ** (before / (before - after))
    return found


@dataclass(frozen=True)
class DataWorth:
    """How many times the data a model from scratch needs for a pretrained one's error."""

    size: float
    """Training size of the pretrained model, in examples."""
    error: float
    """Its mean error, in points."""
    factor: float | None
    """The answer; None where the pretrained error is off the chart of the scratch model."""
    more_than: float | None
    """Set where even the largest measured size does not suffice: at least this many times."""
    less_than: float | None
    """Set where the smallest measured size is already better: at most this many times."""
    interval: tuple[float | None, float | None] | None
    """Factors that a two-sided paired t test cannot rule out. An end that reaches the largest
    measured size is None ("more than"), as is one at the smallest. None with one seed."""
    n_seeds: int
    """Seeds, rows of the tables."""

    @property
    def text(self) -> str:
        """The factor as people write it, with its interval, such as `5.2 times (3.1 to 9)`.

        An end that is open claims nothing: `more than 8 times (at least 2.2)`; without a low
        end nothing is decided.
        """
        if self.factor is not None:
            start = f"{self.factor:.2g} times"
        elif self.more_than is not None:
            start = f"more than {self.more_than:.3g} times"
        else:
            start = f"less than {self.less_than:.3g} times"
        if self.interval is None:
            return start
        low, high = (None if end is None else f"{end:.2g}" for end in self.interval)
        if low is None and high is None:
            return "undecided"
        if low is None:
            return f"undecided, at most {high} times"
        return f"{start} ({low} to {high})" if high else f"{start} (at least {low})"


def worth_in_data(sizes: ArrayLike, scratch: ArrayLike, pretrained: ArrayLike) -> list[DataWorth]:
    """Return, at every size, how many times the data replaces pretraining, smallest size first.

    The scratch model's error between measured sizes is interpolated seed by seed; beyond them
    nothing is claimed but "more than". The interval holds the sizes at which the paired difference
    scratch − pretrained may be 0 (test inversion), the union over both rules of interpolation, so
    that it needs two seeds.

    Parameters
    ----------
    sizes
        Training sizes in examples, shape (sizes,), distinct, at least two; else a ValueError.
    scratch, pretrained
        Errors in points, shape (seeds, sizes), finite, the same seed in the same row.
    """
    n, (a, b) = seed_tables(sizes, scratch, pretrained)
    places = places_between(n)
    along = [rule(n, a, places) for rule in RULES]
    mean_along = smooth(n, a.mean(axis=0)[None], places)[0]
    return [
        _worth(places, along, mean_along, float(size), b[:, column])
        for column, size in enumerate(n)
    ]


def _worth(
    places: Array, along: list[Array], mean_along: Array, size: float, pretrained: Array
) -> DataWorth:
    target = float(pretrained.mean())
    smallest, largest = float(places[0]), float(places[-1])
    factor = more = less = None
    # Interpolation passes through the measured errors only to rounding.
    reached = target * (1 + _ROUNDING)
    if mean_along[0] < target * (1 - _ROUNDING):
        less, around = smallest / size, smallest
    elif mean_along.min() > reached:
        more, around = largest / size, largest
    else:
        rise = first_rise_through_zero(places, reached - mean_along[None])[0]
        around = smallest if np.isnan(rise) else float(rise)
        factor = around / size
    interval = None
    if len(pretrained) > 1:
        low, high = zero_range(places, [a - pretrained[:, None] for a in along], around)
        interval = (
            None if low <= smallest else low / size,
            None if high >= largest else high / size,
        )
    return DataWorth(size, target, factor, more, less, interval, len(pretrained))
