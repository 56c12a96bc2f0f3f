"""The power law of a learning curve, and curves that no law describes. Arrays in, numbers out.

Sizes are in examples and errors in points (0 to 100), one entry per run, in any order. The forms
and their measured merits: Hoiem et al., *Learning Curves for Analysis of Deep Networks*, ICML
2021, and LCDB 1.1; see docs/statistics.md.
"""

import numpy as np
from numpy.typing import ArrayLike

from results.errors import CurveError, IllBehavedCurve
from results.statistics.intervals import checked_runs, pooled_variance, quantile
from results.statistics.laws import GAMMA_PRIOR_WEIGHT, PowerLaw, power_law

_RISE = 1.0  # points that the error must rise to count as more than a plateau
_SPREAD = 20.0  # points between runs of one size beyond which one of them has diverged


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
                f"({values.min():.1f} to {values.max():.1f}): one has not learnt, or has diverged"
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
