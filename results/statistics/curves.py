"""Learning curves: error as a function of training size, and what more data would buy.

Sizes are in examples and errors in points (0 to 100), one entry per run, in any order. The forms
and their measured merits: Hoiem et al., *Learning Curves for Analysis of Deep Networks*, ICML
2021, and LCDB 1.1; see docs/statistics.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from results.errors import CurveError, IllBehavedCurve
from results.statistics.intervals import Array, checked_runs, pooled_variance, quantile
from results.statistics.laws import (
    GAMMA_PRIOR_WEIGHT,
    MOST_EXTRAPOLATION,
    PowerLaw,
    local_law,
    power_law,
    refuse_beyond,
)

LOCAL_LAW, POWER_LAW, LAST_VALUE = "local power law", "power law", "last value"
_RISE = 1.0  # points that the error must rise to count as more than a plateau
_SPREAD = 20.0  # points between runs of one size beyond which one of them has diverged


@dataclass(frozen=True)
class Prediction:
    """What a curve says about a larger training size, in points of error."""

    at: float
    """The asked size, in examples."""
    headline: float | None
    """Mean of the local power law and the power law; None where `refusal` says why."""
    interval: tuple[float, float] | None
    """Nominal 95 % for the mean error of such runs: the union of both forms' noise intervals,
    widened by the back-test's error, in proportion to the stretch of log size. None without repeats
    or where refused."""
    forms: Mapping[str, float]
    """Each form's value; `last value` is the baseline "no change"."""
    back_test: float | None = None
    """Predicted minus measured error at the largest size, from at most half of it; None where there
    are fewer than two such sizes."""
    power_law: PowerLaw | None = None
    """The fitted curve."""
    refusal: str | None = None
    """Why nothing is predicted."""
    notes: tuple[str, ...] = ()
    """What to know before using it."""


def fit_power_law(
    sizes: ArrayLike,
    errors: ArrayLike,
    gamma_prior_weight: float = GAMMA_PRIOR_WEIGHT,
    nonnegative_asymptote: bool = True,
) -> PowerLaw:
    """Fit e(n) = α + η·n^γ to runs.

    Minimises Σ w·(e − ê)² + weight·|γ + 0.5| over γ = −1, −0.99, …, −0.01, with w = 1/(σ̂²(n)·k),
    k the runs at n and σ̂²(n) = v0 + v1/n pooled over sizes (Hoiem et al., *Learning Curves for
    Analysis of Deep Networks*, ICML 2021, §3); here α ≥ 0, which theirs does not ask.

    Parameters
    ----------
    sizes
        Training examples of each run, shape (runs,), any order.
    errors
        Test error of each run in points, shape (runs,).
    gamma_prior_weight
        Weight λ of the prior on γ; 0 leaves it out.
    nonnegative_asymptote
        Whether to keep α at or above 0.

    Raises
    ------
    IllBehavedCurve
        The error rises with more data, or a run has diverged.
    CurveError
        Fewer than two sizes, or two without a prior on γ.
    ValueError
        Entries that are not sizes and errors of runs.
    """
    n, e = checked_runs(sizes, errors)
    if not (np.isfinite(gamma_prior_weight) and gamma_prior_weight >= 0):
        raise ValueError(f"gamma_prior_weight: 0 or more is needed, not {gamma_prior_weight}.")
    levels = np.unique(n)
    if levels.size < 2:
        raise CurveError(
            f"A curve needs at least two training sizes; all {n.size} runs have {n[0]:g} examples."
        )
    if levels.size < 3 and gamma_prior_weight == 0:
        raise CurveError(
            "Two training sizes do not determine three parameters: measure a third size, or keep "
            "the prior on gamma."
        )
    fault = ill_behaved(n, e)
    if fault is not None:
        raise IllBehavedCurve(fault)
    return power_law(n, e, pooled_variance(n, e), gamma_prior_weight, nonnegative_asymptote)


def predict_error(sizes: ArrayLike, errors: ArrayLike, at: float) -> Prediction:
    """Predict the mean error of runs on more data.

    The headline is the mean of the local power law and the power law with α ≥ 0 and the prior,
    the best of the forms compared on LCDB 1.1 with three noisy runs a size. Intervals from noise
    alone covered the truth 57 to 71 % of the time there: hence the union of both, widened by how
    far the same method missed the largest measured size from at most half of it.

    Parameters
    ----------
    sizes
        Training examples of each run, shape (runs,), any order.
    errors
        Test error of each run in points, shape (runs,).
    at
        Size to predict, in examples: from the largest measured size to four times it.

    Raises
    ------
    ExtrapolationRefused
        `at` is beyond four times the largest size.
    ValueError
        Entries that are not sizes and errors of runs, or an `at` below the largest size.
    """
    n, e = checked_runs(sizes, errors)
    at = float(at)
    largest = float(n.max())
    if not np.isfinite(at) or at < largest:
        raise ValueError(
            f"at: {at:g} examples lie within the measured sizes (up to {largest:g}); read the "
            "measured errors there, and ask for a larger size here."
        )
    refuse_beyond(at, largest)
    last = float(e[n == largest].mean())
    fault = ill_behaved(n, e)
    if np.unique(n).size < 2:
        fault = (
            f"one training size ({largest:g} examples) says nothing about another; measure at "
            "least half of it too"
        )
    if fault is not None:
        return Prediction(at, None, None, {LAST_VALUE: last}, refusal=fault)
    return _predict(n, e, at, last)


def ill_behaved(sizes: ArrayLike, errors: ArrayLike) -> str | None:
    """Return why no learning curve should be fitted to runs as of `fit_power_law`, or None.

    About 15 % of the curves in LCDB 1.1 are not monotone. A rise counts from 1 point, and only
    where it exceeds what the noise between runs explains at 95 %.
    """
    n, e = checked_runs(sizes, errors)
    noise = pooled_variance(n, e)
    levels = np.unique(n)
    runs = [e[n == size] for size in levels]
    for size, values in zip(levels, runs, strict=True):
        if np.ptp(values) > _SPREAD:
            return (
                f"runs on {size:g} examples differ by {np.ptp(values):.1f} points "
                f"({values.min():.1f} to {values.max():.1f}): one has diverged; mend or leave out"
            )
    means = np.array([values.mean() for values in runs])
    squared = noise.at(levels) / [values.size for values in runs]
    widths = quantile(noise.degrees_of_freedom(levels)) if noise.repeats else np.zeros(levels.size)
    for later in range(1, levels.size):
        best = int(np.argmin(means[:later]))
        rise = means[later] - means[best]
        if rise > max(_RISE, widths[best] * np.sqrt(squared[later] + squared[best])):
            return (
                f"the error rises with more data, from {means[best]:.1f} points on "
                f"{levels[best]:g} examples to {means[later]:.1f} on {levels[later]:g}"
            )
    return None


def _predict(n: Array, e: Array, at: float, last: float) -> Prediction:
    noise = pooled_variance(n, e)
    law = power_law(n, e, noise, GAMMA_PRIOR_WEIGHT, nonnegative=True)
    local, local_variance = local_law(n, e, at, noise)
    fitted = law.predict(at)
    headline = (local + fitted) / 2
    back_test = _back_test(n, e)
    notes = list(law.notes)
    if back_test is None:
        wider = abs(last - headline) / 2
        notes.append(
            "not back-tested, which takes two sizes of at most half the largest: the interval is "
            "widened by half of the predicted gain instead"
        )
    else:
        missed, steps = back_test
        wider = abs(missed) * np.log(at / n.max()) / steps
    interval = None
    if noise.repeats:
        width = quantile(noise.degrees_of_freedom(n.max()))
        halves = (width * np.sqrt(local_variance), width * law.standard_error(at))
        low = min(local - halves[0], fitted - halves[1]) - wider
        high = max(local + halves[0], fitted + halves[1]) + wider
        interval = (max(float(low), 0.0), min(float(high), 100.0))
    return Prediction(
        at=at,
        headline=headline,
        interval=interval,
        forms={LOCAL_LAW: local, POWER_LAW: fitted, LAST_VALUE: last},
        back_test=None if back_test is None else back_test[0],
        power_law=law,
        notes=tuple(notes),
    )


def _back_test(n: Array, e: Array) -> tuple[float, float] | None:
    """Predict the error at the largest size from at most half of it.

    Returns predicted − measured in points, and over how long a stretch of log size.
    """
    largest = float(n.max())
    early = n <= largest / 2
    if np.unique(n[early]).size < 2 or largest > MOST_EXTRAPOLATION * float(n[early].max()):
        return None
    noise = pooled_variance(n, e)
    local, _ = local_law(n[early], e[early], largest, noise)
    law = power_law(n[early], e[early], noise, GAMMA_PRIOR_WEIGHT, nonnegative=True)
    missed = (local + law.predict(largest)) / 2 - float(e[n == largest].mean())
    return missed, float(np.log(largest / n[early].max()))
