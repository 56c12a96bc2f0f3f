"""Forecasts of learning curves, calibrated on real ones. Arrays in, numbers out.

Sizes are in training examples and errors in points (0 to 100). What is forecast is the mean error
of such runs on more data. Beyond four times the largest measured size a forecast is far: it is what
people would extrapolate by hand, and its interval is as wide as real curves say.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from results.errors import ExtrapolationRefused
from results.statistics.intervals import Array, checked_runs

CALIBRATED_ON = (
    "3,128 learning curves of 27 learners on 121 data sets (LCDB 1.1, Yan et al. 2025, CC BY 4.0)"
)
HELD_NOTE = "such intervals held 92 to 96 % of the curves of data sets that were held out"
FAR, MOST = 4.0, 64.0
"""Times the largest size beyond which a forecast is far, and beyond which there is none."""
LOCAL_LAW, FILTERS, LAST_VALUE = "local power law", "filters", "last value"
_ROUNDING = 1e-9
_State = tuple[Array, Array, Array, Array]
_DAMPING = 0.9  # share of its slope that a curve keeps for each doubling, in the local law
_LEAST_ERROR = 0.05  # points, so that logarithms exist
_WINDOW = 2.1  # the local law's slope is over sizes from the largest divided by this
_PRIOR_RUNS, _PRIOR_VARIANCE = 4.0, 0.02
_ONE_RUN_VARIANCE = 0.5  # points², of runs that are not repeated
_OFFSET = 0.05  # points, so that the logarithm of a feature exists

# As `python benchmarks/learning_curves.py … --table` prints them. A row for each filter: c
# (points); share of its slope that is kept for each doubling; slope that it falls back to; slope at
# first and its variance; variance for each doubling that the slope and the level gain; weight.
# Slopes are falls of the logarithm for each doubling.
_BANK = np.array(
    [
        [0.136, 0.967, 0.179, 0.326, 0.038, 0.00652, 0.000112, 0.361],  # keeps falling
        [0.282, 0.892, 0.0028, 0.0538, 0.00302, 0.000652, 0.0000178, 0.36],  # levels off
        [0.619, 0.605, -0.0193, 0.39, 0.108, 0.0126, 0.00196, 0.279],  # uneven
    ]
)
_SHARPNESS = 1.07  # power of the likelihood that filters are weighed by
# The first of each is for two sizes, the second for three, the third for four and more.
_REFUSED_ABOVE = np.array([3.24, 2.7, 2.33])  # points
_STRETCHES = np.array([2.0, 4.0, 8.0, 16.0, 32.0, 64.0])
_SCALES = np.array(  # powers of the features, at twice, four times and more than that
    [
        [
            [0.204, 0.222, 0.058, 0.661, 0.137, 0.236, 0.131],
            [0.204, 0.285, 0.112, 0.497, 0.247, 0.186, 0.093],
            [0.138, 0.174, 0.145, 0.174, 0.465, 0.064, 0.195],
        ],
        [
            [0.238, 0.141, 0.224, 0.741, 0.3, 0.021, -0.11],
            [0.151, 0.113, 0.188, 0.428, 0.308, 0.142, 0.11],
            [0.172, 0.094, 0.17, 0.197, 0.632, -0.031, 0.018],
        ],
        [
            [0.439, 0.168, 0.145, 0.524, 0.204, -0.024, 0.022],
            [0.325, 0.212, 0.132, 0.344, 0.228, 0.054, 0.21],
            [0.282, 0.098, 0.173, 0.086, 0.547, -0.069, 0.09],
        ],
    ]
)
_QUANTILES = np.array(  # of the miss divided by the scale, down and up, at each stretch
    [
        [[5.6, 6.05, 2.08, 2.46, 2.92, 2.94], [5.18, 4.98, 1.97, 2.21, 2.25, 2.51]],
        [[3.42, 3.0, 1.4, 1.71, 1.97, 2.25], [3.16, 2.62, 1.18, 1.44, 1.62, 1.69]],
        [[2.89, 3.67, 1.32, 1.51, 1.72, 2.13], [2.62, 3.13, 1.14, 1.32, 1.43, 1.46]],
    ]
)


@dataclass(frozen=True)
class Forecast:
    """What a learning curve says of a larger training size, in points of error."""

    at: float
    """The size asked for, in examples."""
    headline: float | None
    """Mean of the local power law and the filters; None where `refusal` says why."""
    interval: tuple[float, float] | None
    """Nominal 95 % for the mean error of such runs, cut at 0 and 100; None where refused."""
    forms: Mapping[str, float]
    """Each form's value; `last value` is the baseline "no change"."""
    is_far: bool
    """Whether `at` is more than four times the largest measured size."""
    refusal: str | None = None
    """Why nothing is forecast."""


def predict_error(sizes: ArrayLike, errors: ArrayLike, at: float) -> Forecast:
    """Forecast the mean error of runs on more data; see `Curve` and `Curve.forecast`.

    Raises ExtrapolationRefused where `at`, in examples, is beyond 64 times the largest size, and
    ValueError where it is below that, or entries are no sizes and errors of runs.
    """
    return Curve(sizes, errors).forecast(at)


class Curve:
    """A learning curve: the mean errors of rising sizes, with their noise.

    Examples and error in points of each run have the shape (runs,), in any order; or ValueError.
    """

    def __init__(self, sizes: ArrayLike, errors: ArrayLike) -> None:
        n, e = checked_runs(sizes, errors)
        self.sizes, place, runs = np.unique(n, return_inverse=True, return_counts=True)
        self.errors = np.bincount(place, weights=e) / runs
        self.variances = np.full(runs.size, _ONE_RUN_VARIANCE)
        self._kind = min(runs.size, 4) - 2
        """Row of the constants for this number of sizes."""
        if runs.max() > 1:
            # Each size's is drawn towards that of all sizes.
            squares = np.bincount(place, weights=(e - self.errors[place]) ** 2)
            pooled = squares.sum() / (runs - 1).sum()
            weighed = squares + _PRIOR_RUNS * pooled + 2 * _PRIOR_VARIANCE
            self.variances = weighed / (runs - 1 + _PRIOR_RUNS) / runs

    def forecast(self, at: float) -> Forecast:
        """Forecast the mean error at a size in examples, from the largest to 64 times it.

        The headline is the mean of a local law, e_N·exp(b·(1 − 0.9^k)/−ln 0.9) with b the slope of
        log error for each doubling over the last octave and k the doublings asked for, and of three
        Kalman filters of level and slope, weighed by how well they foretold the curve's own sizes.
        Raises ExtrapolationRefused where the size is beyond 64 times the largest, ValueError where
        the size is below the largest, or no number.
        """
        at, largest, last = float(at), float(self.sizes[-1]), float(self.errors[-1])
        if not at >= largest:
            raise ValueError(
                f"at: {at:g} examples lie within the measured sizes (up to {largest:g}); read the "
                "measured errors there, and ask for a larger size here."
            )
        if at > MOST * largest * (1 + _ROUNDING):
            raise ExtrapolationRefused(
                f"{at:g} examples are {at / largest:.3g} times the largest measured size "
                f"({largest:g}); beyond {MOST:g} times nothing is known of real curves. Ask for at "
                f"most {MOST * largest:g}, or measure a larger size."
            )
        is_far = at > FAR * largest * (1 + _ROUNDING)
        if self.refusal is not None:
            return Forecast(at, None, None, {LAST_VALUE: last}, is_far, self.refusal)
        doublings = float(np.log2(at / largest))
        headline, local, value, _ = self._headline(doublings)
        # Between the stretches that were calibrated the logarithm is interpolated. Below twice the
        # data squares are: between two standard errors of the largest size's mean and the reach at
        # twice the data.
        reach = np.exp([np.interp(doublings, np.log2(_STRETCHES), side) for side in self._nodes])
        share = min(doublings, 1.0)
        down, up = np.sqrt(share * reach**2 + (1 - share) * 4 * self.variances[-1])
        interval = (max(headline - float(down), 0.0), min(headline + float(up), 100.0))
        forms = {LOCAL_LAW: local, FILTERS: value, LAST_VALUE: last}
        return Forecast(at, headline, interval, forms, is_far)

    @cached_property
    def refusal(self) -> str | None:
        """Why no size is forecast from this curve, or None.

        A curve is too uneven where the filters' spread exceeds the gain that they forecast at twice
        the data by more than a constant: real ones were then missed by as much as by "no change".
        """
        if self.sizes.size < 2:
            return (
                f"one training size ({self.sizes[0]:g} examples) says nothing about another; "
                "measure at least half of it too"
            )
        value, spread = _told(self._state, 1.0)
        gain = float(self.errors[-1]) - value
        if spread - gain <= _REFUSED_ABOVE[self._kind]:
            return None
        return (
            f"the curve is too uneven: twice the data may move the error by ±{spread:.1f} points "
            f"around a gain of {max(gain, 0.0):.1f}"
        )

    @cached_property
    def _state(self) -> _State:
        return _followed(np.log2(self.sizes), self.errors, self.variances)

    def _headline(self, doublings: float) -> tuple[float, float, float, float]:
        """Return the headline, the local law, and the filters' value and spread, in points."""
        inside = self.sizes * _WINDOW >= self.sizes[-1]
        inside[-2:] = True
        x, y = np.log2(self.sizes[inside]), np.log(np.maximum(self.errors[inside], _LEAST_ERROR))
        x = x - x.mean()
        slope = min(float(x @ y / (x @ x)), 0.0)
        local = float(self.errors[-1] * np.exp(slope * _damped(doublings, _DAMPING)))
        value, spread = _told(self._state, doublings)
        return float(np.clip((local + value) / 2, 0.0, 100.0)), local, value, spread

    @cached_property
    def _nodes(self) -> Array:
        """Logarithms of an interval's reach at the calibrated stretches, (down and up, stretches).

        Quantiles of real curves' misses times a product of powers of what this curve shows,
        (feature + 0.05)^power.
        """
        x, errors, variances = np.log2(self.sizes), self.errors, self.variances
        nodes: list[Array] = []
        steps, noise = np.diff(errors), np.sqrt(variances[-1])
        rises = np.maximum(steps, 0.0).sum()
        # Of the largest size, by what the filters would have forecast of it from the others.
        miss = filtered(x[:-1], errors[:-1], variances[:-1], float(x[-1] - x[-2]))[0] - errors[-1]
        for node, doublings in enumerate(np.log2(_STRETCHES).tolist()):
            headline, _, _, spread = self._headline(doublings)
            gain = abs(errors[-1] - headline)
            shown = [gain, rises, abs(miss), noise, errors[-1], abs(steps[-1]), spread]
            scale = np.exp(_SCALES[self._kind, min(node, 2)] @ np.log(np.array(shown) + _OFFSET))
            nodes.append(_QUANTILES[self._kind, :, node] * scale)
        return np.log(np.array(nodes)).T


def filtered(
    places: Array, errors: Array, variances: Array, doublings: float
) -> tuple[float, float]:
    """Return what a bank of Kalman filters forecasts, and its spread; in points.

    Each filter follows the level and slope of log(error + c) over log2 of the size; the slope falls
    back towards its own mean by a share for each doubling, and both wander. A filter weighs as its
    heavy-tailed one-step forecasts of the measured sizes were right, times its prior weight.

    Log2 of the sizes, mean error (points) and the variance of that mean (points²) have the shape
    (sizes,), rising; doublings are log2 of the stretch.
    """
    return _told(_followed(places, errors, variances), doublings)


def _followed(places: Array, errors: Array, variances: Array) -> _State:
    """Return each filter's level, slope, covariance and score after the measured sizes."""
    c, _, _, start, start_variance, _, jump, weight = _BANK.T
    level = np.log(np.maximum(errors[0], 0.0) + c)
    slope = start.copy()
    p = np.array([variances[0] / (errors[0] + c) ** 2 + jump, np.zeros(c.size), start_variance])
    score = np.log(weight)
    for j in range(1, places.size):
        level, slope, p = _ahead(level, slope, p, float(places[j] - places[j - 1]))
        seen = errors[j] + c
        total = p[0] + variances[j] / seen**2
        miss = np.log(seen) - level
        score = score + _SHARPNESS * (
            -0.5 * np.log(total) - 2.5 * np.log1p(miss**2 / (4 * total)) - np.log(seen)
        )
        gain = p[:2] / total
        level, slope = level + gain[0] * miss, slope + gain[1] * miss
        p = np.array([p[0] - gain[0] * p[0], p[1] - gain[0] * p[1], p[2] - gain[1] * p[1]])
    return level, slope, p, score


def _told(state: _State, doublings: float) -> tuple[float, float]:
    """Return what followed filters forecast together, and its spread; in points."""
    c, wander = _BANK.T[0], _BANK.T[5]
    level, _, p = _ahead(*state[:3], doublings)
    variance, score = p[0] + wander * doublings, state[3]
    value = np.clip(np.exp(level) - c, -1.0, 130.0)
    share = np.exp(score - score.max())
    share = share / share.sum()
    together = float(share @ value)
    spread = share @ ((value - together) ** 2 + variance * (value + c) ** 2)
    return float(np.clip(together, 0.0, 100.0)), float(np.sqrt(spread + 1e-4))


def _ahead(level: Array, slope: Array, p: Array, step: float) -> tuple[Array, Array, Array]:
    """Carry level, slope and their covariance (level, both, slope) over a step of log2 size."""
    _, keep, mean, _, _, wander, jump, _ = _BANK.T
    damped, kept = _damped(step, keep), keep**step
    ahead = level - mean * step - (slope - mean) * damped
    own = p[0] - 2 * damped * p[1] + damped**2 * p[2] + jump * step
    both, falls = kept * (p[1] - damped * p[2]), kept**2 * p[2] + wander * step
    return ahead, mean + kept * (slope - mean), np.array([own, both, falls])


def _damped(doublings: float, keep: Array | float) -> Array:
    """Return over how many doublings of its present slope a curve goes, ∫ keep^t dt."""
    return (1 - keep**doublings) / -np.log(keep)
