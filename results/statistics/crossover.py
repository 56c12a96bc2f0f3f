"""Where one line over data sizes crosses another: a bigger model overtakes, data replaces weights.

Arrays in, numbers out. Sizes are in examples, errors in points. How sure a difference is at each
measured size is given (`results.statistics.inference`), so that nothing is said here that the
tables of differences do not say. Between measured sizes errors are interpolated by rules whose gap
tells how far to trust any, and so are the widths of intervals: the weighted mean of two
differences is at least as sure as the weighted mean of their standard errors says.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from results.statistics.intervals import Array, quantile

_TEST_LEVEL = 0.05  # of each one-sided test, and so of the whole claim
_PLACES = 400
_ROUNDING = 1e-9
_FLOOR = 1e-6  # points: an error of 0 has no logarithm
_NOWHERE = (np.nan, np.nan)


@dataclass(frozen=True)
class Crossover:
    """The small model ahead at little data, the big one at much; NaN is what is not known."""

    is_established: bool
    """One-sided t tests find the small model ahead at the smallest size and the big one at the
    largest, each at 5 %: an intersection–union test."""
    p_value: float
    """Of that test: the larger of the two; NaN where seeds do not suffice for it."""
    bracket_low: float
    bracket_high: float
    """Closest sizes up to and from which the same holds without a gap; NaN unless established."""
    location: float
    """Where the mean errors cross, interpolated in log size; NaN where they do not."""
    low: float
    high: float
    """Sizes between which a two-sided t test on interpolated errors cannot rule the crossing out
    (test inversion, as Fieller's interval), by the widest of the rules of interpolation; an end at
    the edge of the measured sizes is open. NaN without a test or without `location`."""

    @property
    def verdict(self) -> str:
        """What may be said, in a few words."""
        if self.is_established:
            return f"bracketed between {self.bracket_low:,.0f} and {self.bracket_high:,.0f} images"
        if np.isnan(self.p_value):
            return "not tested: one seed"
        if np.isnan(self.location):
            return "none in the measured sizes"
        return "not established: the means cross, the tests do not"


def find_crossover(
    sizes: ArrayLike, small: ArrayLike, big: ArrayLike, error: ArrayLike, freedom: ArrayLike
) -> Crossover:
    """Look for the size at which the big model overtakes the small one.

    With D = error of small − error of big, a crossover is established where one-sided t tests give
    D < 0 at the smallest size and D > 0 at the largest; inner sizes narrow the bracket. All have
    the shape (sizes,): at least two distinct training sizes in examples, finite mean errors in
    points, the standard error of D in points and its degrees of freedom, NaN where there is no
    test.
    """
    n, places, (a, b, se, nu) = _in_order(sizes, small, big, error, freedom)
    gaps = [rule(n, a, places) - rule(n, b, places) for rule in RULES]
    location = _first_rise(places, gaps[0])
    less, greater = special.stdtr(nu, (a - b) / se), special.stdtr(nu, -(a - b) / se)
    p_value = float(np.maximum(less[0], greater[-1]))
    # Sizes are tested in a fixed order, from the smallest up for D < 0 and from the largest down
    # for D > 0, each only while the one before it passed: each side then errs in 5 % at most
    # however many sizes there are, and so does the claim, which needs both.
    small_leads, big_leads = less < _TEST_LEVEL, greater[::-1] < _TEST_LEVEL
    is_established = bool(small_leads[0] and big_leads[0])
    bracket, ends = _NOWHERE, _NOWHERE
    if is_established:
        last_small, first_big = np.cumprod(small_leads).sum() - 1, -np.cumprod(big_leads).sum()
        bracket = float(n[last_small]), float(n[first_big])
    if not np.isnan(location + p_value):
        ends = _zero_range(places, gaps, straight(n, quantile(nu) * se, places), location)
    return Crossover(is_established, p_value, *bracket, location, *ends)


def straight(sizes: Array, values: Array, places: Array) -> Array:
    """Interpolate values, (sizes,), as straight lines over log size; shape (places,)."""
    return np.interp(np.log(places), np.log(sizes), values)


def smooth(sizes: Array, errors: Array, places: Array) -> Array:
    """Interpolate log errors, (sizes,), over log size by monotone cubics; shape (places,).

    With two sizes it is the straight line of a power law. Over gaps of eight times the data it
    halves the error of `straight` on simulated curves.
    """
    # Takes a second to import, which reading cells should not cost.
    from scipy.interpolate import PchipInterpolator

    logs = np.log(np.maximum(errors, _FLOOR))
    if sizes.size == 2:
        return np.exp(straight(sizes, logs, places))
    return np.asarray(np.exp(PchipInterpolator(np.log(sizes), logs)(np.log(places))))


def beyond(sizes: Array, errors: Array, places: Array) -> Array:
    """Interpolate as far beyond `smooth` as half of what it lies off `straight`."""
    near = smooth(sizes, errors, places)
    return near + (near - straight(sizes, errors, places)) / 2


RULES: tuple[Callable[[Array, Array, Array], Array], ...] = (smooth, straight, beyond)
"""The first places a value; an interval reaches from the least of all to the largest."""


def _in_order(sizes: ArrayLike, *columns: ArrayLike) -> tuple[Array, Array, Array]:
    """Return rising sizes, places evenly between in log size, and columns, (columns, sizes)."""
    n, values = np.asarray(sizes, dtype=float), np.asarray(columns, dtype=float)
    order = np.argsort(n)
    between = np.geomspace(n.min(), n.max(), _PLACES)[1:-1]
    return n[order], np.unique(np.concatenate([between, n])), values[:, order]


def _zero_range(
    places: Array, gaps: Sequence[Array], half: Array, around: float
) -> tuple[float, float]:
    """Return the ends of the stretch of places, around one, at which the gap may be 0.

    Shapes are (places,), and places increase. The gap may be anything from the least to the largest
    of the rules of interpolation; `half` of its 95 % interval is NaN where it is not known.
    """
    ruled_out = np.flatnonzero((np.min(gaps, axis=0) > half) | (np.max(gaps, axis=0) < -half))
    nearest = int(np.argmin(np.abs(np.log(places / around))))
    low = ruled_out[ruled_out < nearest].max(initial=-1) + 1
    high = ruled_out[ruled_out > nearest].min(initial=places.size) - 1
    return float(places[low]), float(places[high])


def _first_rise(places: Array, gap: Array) -> float:
    """Return the first place where the gap goes from below 0 to 0 or above; NaN without one."""
    rises = np.flatnonzero((gap[:-1] < 0) & (gap[1:] >= 0))
    if not rises.size:
        return np.nan
    at = rises[0]
    share = gap[at] / (gap[at] - gap[at + 1])
    return float(places[at] * (places[at + 1] / places[at]) ** share)


@dataclass(frozen=True)
class DataWorth:
    """How many times the data a model from scratch needs for a pretrained one's error, or NaN."""

    factor: float
    """The answer; NaN where the pretrained error is off the chart of the scratch model."""
    more_than: float
    """Known where even the largest measured size does not suffice: at least this many times."""
    less_than: float
    """Known where the smallest measured size is already better: at most this many times."""
    low: float
    high: float
    """Factors between which a two-sided t test cannot rule the answer out. An end that reaches the
    largest measured size is NaN ("more than"), as is one at the smallest."""
    is_tested: bool
    """Whether the spread over seeds is known."""

    @property
    def text(self) -> str:
        """The factor as people write it, with its interval, such as `5.2 times (3.1 to 9)`.

        An end that is open claims nothing: `more than 8 times (at least 2.2)`; without a low
        end nothing is decided.
        """
        bounds = {"": self.factor, "more than ": self.more_than, "less than ": self.less_than}
        word, times = next((word, at) for word, at in bounds.items() if not np.isnan(at))
        said = f"{word}{times:.{3 if word else 2}g} times"
        low, high = f"{self.low:.2g}", f"{self.high:.2g}"
        if not self.is_tested:
            return said
        if np.isnan(self.low):
            return "undecided" if np.isnan(self.high) else f"undecided, at most {high} times"
        return f"{said} (at least {low})" if np.isnan(self.high) else f"{said} ({low} to {high})"


def worth_in_data(
    sizes: ArrayLike, scratch: ArrayLike, half: ArrayLike, size: float, pretrained: float
) -> DataWorth:
    """Return how many times the data replaces pretraining at one size.

    The scratch model's error between measured sizes is interpolated; beyond them only "more than"
    is claimed. The interval holds the sizes at which the difference scratch − pretrained may be 0
    (test inversion), by the widest of the rules of interpolation.

    Of the scratch model, shapes (sizes,): at least two distinct training sizes in examples; mean
    errors in points; and `half` of the 95 % interval of each minus the pretrained error, in points,
    or NaN. `size` (examples) and `pretrained` (mean error in points) are of the pretrained model.
    """
    n, places, (a, widths) = _in_order(sizes, scratch, half)
    along = [rule(n, a, places) for rule in RULES]
    smallest, largest = float(places[0]), float(places[-1])
    factor = more = less = np.nan
    # Interpolation passes through the measured errors only to rounding.
    reached = pretrained * (1 + _ROUNDING)
    if along[0][0] < pretrained * (1 - _ROUNDING):
        less, around = smallest / size, smallest
    elif along[0].min() > reached:
        more, around = largest / size, largest
    else:
        rise = _first_rise(places, reached - along[0])
        around = smallest if np.isnan(rise) else rise
        factor = around / size
    low, high = _NOWHERE
    is_tested = not np.isnan(widths).all()
    if is_tested:
        gaps = [curve - pretrained for curve in along]
        low, high = _zero_range(places, gaps, straight(n, widths, places), around)
        low = np.nan if low <= smallest else low / size
        high = np.nan if high >= largest else high / size
    return DataWorth(factor, more, less, low, high, is_tested)
