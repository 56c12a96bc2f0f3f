"""The power law of a learning curve, and curves that no law describes. Arrays in, numbers out.

Sizes are in examples and errors in points (0 to 100), one entry per run, in any order.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from results.errors import CurveError, ExtrapolationRefused, IllBehavedCurve
from results.statistics.intervals import checked_runs, pooled_variance, quantile

_MOST = 4.0  # how many times the largest measured size a power law may be asked for
GAMMA_PRIOR_WEIGHT = 5.0
_GAMMA_PRIOR = -0.5
_GAMMAS = np.round(np.arange(-100, 0) / 100, 2)
_ROUNDING = 1e-9
_RISE = 1.0  # points that the error must rise to count as more than a plateau
_SPREAD = 20.0  # points between runs of one size beyond which one of them has diverged


@dataclass(frozen=True)
class PowerLaw:
    """e(n) = alpha + eta·n^gamma, in points of error."""

    alpha: float
    """Error at infinite data, in points."""
    eta: float
    gamma: float
    """Scale (points) and exponent (−1 to −0.01) of what data removes."""
    largest: float
    """Largest measured size, in examples."""
    residual_degrees_of_freedom: int
    """Distinct sizes beyond the three parameters. At 0 the curve passes through the means whatever
    the truth is, so that neither R² nor an interval for gamma means anything."""
    notes: tuple[str, ...] = ()

    def predict(self, size: float) -> float:
        """Return the error at a training size in examples, in points.

        Raises ExtrapolationRefused beyond four times the largest measured size.
        """
        most = _MOST * self.largest
        if size > most * (1 + _ROUNDING):
            raise ExtrapolationRefused(
                f"{size:g} examples are {size / self.largest:.3g} times the largest measured size "
                f"({self.largest:g}); beyond 4 times no form is trusted. Ask for at most {most:g}, "
                "or measure a larger size."
            )
        return float(self.alpha + self.eta * size**self.gamma)


def fit_power_law(
    sizes: ArrayLike,
    errors: ArrayLike,
    gamma_prior_weight: float = GAMMA_PRIOR_WEIGHT,
    nonnegative_asymptote: bool = True,
) -> PowerLaw:
    """Fit e(n) = α + η·n^γ to runs, with η ≥ 0.

    Minimises Σ w·(e − ê)² + weight·|γ + 0.5| over γ = −1, −0.99, …, −0.01, with w = 1/(σ̂²(n)·k),
    k the runs at n and σ̂²(n) = v0 + v1/n pooled over sizes (Hoiem et al., *Learning Curves for
    Analysis of Deep Networks*, ICML 2021, §3); here α ≥ 0 unless told, which theirs does not ask.

    Training examples and test error in points of each run have the shape (runs,), in any order; a
    weight of 0 leaves the prior on γ out. Raises IllBehavedCurve where the error rises with more
    data or a run has diverged, CurveError for fewer than two sizes, or two without a prior on γ,
    and ValueError for entries that are not sizes and errors of runs.
    """
    n, e = checked_runs(sizes, errors)
    if not (np.isfinite(gamma_prior_weight) and gamma_prior_weight >= 0):
        raise ValueError(f"gamma_prior_weight: 0 or more is needed, not {gamma_prior_weight}.")
    levels, place, counts = np.unique(n, return_inverse=True, return_counts=True)
    if levels.size < 2:
        raise CurveError(
            f"A curve needs at least two training sizes; all {n.size} runs have {n[0]:g} examples."
        )
    if levels.size < 3 and gamma_prior_weight == 0:
        raise CurveError(
            "Two training sizes do not determine three parameters: measure a third size, or keep "
            "the prior on gamma."
        )
    if fault := ill_behaved(n, e):
        raise IllBehavedCurve(fault)
    # Every run of a size weighs 1/(σ̂²·k), so that a size weighs 1/σ̂² and only its mean matters.
    means, weights = np.bincount(place, weights=e) / counts, 1 / pooled_variance(n, e)[0]
    powers = levels ** _GAMMAS[:, None]
    middle = powers @ weights / weights.sum()
    centred = powers - middle[:, None]
    eta = np.maximum((centred @ (weights * means)) / (centred**2 @ weights), 0.0)
    alpha = means @ weights / weights.sum() - eta * middle
    if nonnegative_asymptote:
        through_0 = powers @ (weights * means) / (powers**2 @ weights)
        eta, alpha = np.where(alpha < 0, through_0, eta), np.maximum(alpha, 0.0)
    misses = (means - alpha[:, None] - eta[:, None] * powers) ** 2 @ weights
    best = int(np.argmin(misses + gamma_prior_weight * np.abs(_GAMMAS - _GAMMA_PRIOR)))
    word = {2: "two", 3: "three"}.get(levels.size)
    bound = nonnegative_asymptote and alpha[best] == 0
    notes = {
        f"0 residual degrees of freedom: {word} sizes, three parameters": levels.size < 4,
        "gamma is the prior's −0.5, not the data's": levels.size < 3,
        "alpha is at its bound of 0: these sizes show no asymptote yet": bound,
        "the error does not fall with more data: a flat line": eta[best] == 0,
    }
    law = float(alpha[best]), float(eta[best]), float(_GAMMAS[best]), float(levels[-1])
    held = tuple(note for note, holds in notes.items() if holds)
    return PowerLaw(*law, max(levels.size - 3, 0), held)


def ill_behaved(sizes: ArrayLike, errors: ArrayLike) -> str | None:
    """Return why no learning curve should be fitted to runs as of `fit_power_law`, or None.

    About 15 % of the curves in LCDB 1.1 are not monotone. A rise counts from 1 point, and only
    where it exceeds what the noise between runs explains at 95 %.
    """
    n, e = checked_runs(sizes, errors)
    noise, freedom = pooled_variance(n, e)
    levels = np.unique(n)
    runs = [e[n == size] for size in levels]
    for size, values in zip(levels, runs, strict=True):
        if np.ptp(values) > _SPREAD:
            return (
                f"runs on {size:g} examples differ by {np.ptp(values):.1f} points (errors "
                f"{values.min():.1f} to {values.max():.1f}): one has not learnt, or has diverged"
            )
    means = np.array([values.mean() for values in runs])
    squared = noise / [values.size for values in runs]
    widths = quantile(freedom) if freedom.any() else freedom
    for later in range(1, levels.size):
        best = int(np.argmin(means[:later]))
        rise = means[later] - means[best]
        if rise > max(_RISE, widths[best] * np.sqrt(squared[later] + squared[best])):
            return (
                f"the error rises with more data, from {means[best]:.1f} points on "
                f"{levels[best]:g} examples to {means[later]:.1f} on {levels[later]:g}"
            )
    return None
