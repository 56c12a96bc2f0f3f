"""Learning curves: error as a function of training size, and what more data would buy.

Sizes are in examples and errors in points (0 to 100), one entry per run, in any order. The forms
and their measured merits: Hoiem et al., *Learning Curves for Analysis of Deep Networks*, ICML
2021, and LCDB 1.1; see docs/statistics.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from results.errors import ResultsError
from results.intervals import LEVEL, PooledVariance, checked_runs, pooled_variance

LOCAL_LAW, POWER_LAW, LAST_VALUE = "local power law", "power law", "last value"
MOST_EXTRAPOLATION = 4.0
"""How many times the largest measured size a curve may be asked for."""
GAMMA_PRIOR_WEIGHT = 5.0
_GAMMA_PRIOR = -0.5
_GAMMAS = np.round(np.arange(-100, 0) / 100, 2)
_RISE = 1.0  # points that the error must rise to count as more than a plateau
_SPREAD = 20.0  # points between runs of one size beyond which one of them has diverged
_CLOSE = 1.25  # ratio of neighbouring sizes below which their slope is mostly noise
_ROUNDING = 1e-9


class CurveError(ResultsError, ValueError):
    """A curve that cannot be fitted or asked for; the message says why and what to do."""


class IllBehavedCurve(CurveError):
    """The error rises with more data, or a run has diverged: no power law describes it."""


class ExtrapolationRefused(CurveError):
    """The asked size lies beyond four times the largest measured one."""


@dataclass(frozen=True)
class PowerLaw:
    """e(n) = alpha + eta·n^gamma, in points of error.

    Parameters
    ----------
    alpha
        Error at infinite data, in points.
    eta, gamma
        Scale (points) and exponent (−1 to −0.01) of what data removes.
    largest
        Largest measured size, in examples.
    residual_degrees_of_freedom
        Distinct sizes beyond the three parameters. At 0 the curve passes through the means
        whatever the truth is, so that neither R² nor an interval for gamma means anything.
    covariance
        Of (alpha, eta) with gamma held, from the noise between runs alone.
    noise_degrees_of_freedom
        Repeats that the noise was estimated from; 0 where every size has one run.
    notes
        What to know before using it.
    """

    alpha: float
    eta: float
    gamma: float
    largest: float
    residual_degrees_of_freedom: int
    covariance: NDArray[np.float64] = field(compare=False, repr=False)
    noise_degrees_of_freedom: int
    notes: tuple[str, ...] = ()

    def predict(self, size: float) -> float:
        """Return the error at a training size, in points.

        Parameters
        ----------
        size
            Examples, at most four times the largest measured size.

        Raises
        ------
        ExtrapolationRefused
            Beyond that.
        """
        _refuse_beyond(size, self.largest)
        return float(self.alpha + self.eta * size**self.gamma)

    def data_reliance(self, size: float | None = None) -> float:
        """Return β = −2·gamma·eta·n^gamma in points, at the largest measured size by default.

        Twice the data lowers the error by about 0.293·β (Hoiem et al. 2021, eq. 3).
        """
        return float(-2 * self.gamma * self.eta * (size or self.largest) ** self.gamma)

    def standard_error(self, size: float) -> float:
        """Return the noise-only standard error of `predict(size)`, in points."""
        row = np.array([1.0, size**self.gamma])
        return float(np.sqrt(max(row @ self.covariance @ row, 0.0)))


@dataclass(frozen=True)
class Prediction:
    """What a curve says about a larger training size, in points of error.

    Parameters
    ----------
    at
        The asked size, in examples.
    headline
        Mean of the local power law and the power law; None where `refusal` says why.
    interval
        Nominal 95 % for the mean error of such runs: the union of both forms' noise intervals,
        widened by the error of the back-test. None without repeats or where refused.
    forms
        Each form's value; `last value` is the baseline "no change".
    back_test
        Predicted minus measured error at the largest size, from at most half of it; None where
        there are fewer than two such sizes.
    power_law
        The fitted curve.
    refusal
        Why nothing is predicted.
    notes
        What to know before using it.
    """

    at: float
    headline: float | None
    interval: tuple[float, float] | None
    forms: Mapping[str, float]
    back_test: float | None = None
    power_law: PowerLaw | None = None
    refusal: str | None = None
    notes: tuple[str, ...] = ()


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
    return _fit(n, e, pooled_variance(n, e), gamma_prior_weight, nonnegative_asymptote)


def local_power_law(sizes: ArrayLike, errors: ArrayLike, at: float) -> float:
    """Return e_N·(e_N/e_M)^ρ, ρ = ln(at/N)/ln(N/M), M and N the last two sizes; in points.

    The straight line through the last two mean errors in log error against log size, followed on.
    Where each size is twice the one before it is e(2N) = e(N)²/e(N/2).

    Raises
    ------
    CurveError
        Fewer than two sizes.
    ValueError
        Entries that are not sizes and errors of runs.
    """
    n, e = checked_runs(sizes, errors)
    if np.unique(n).size < 2:
        raise CurveError("A local power law needs at least two training sizes.")
    return _local(n, e, at, pooled_variance(n, e))[0]


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
    _refuse_beyond(at, largest)
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
    """Return why no learning curve should be fitted, or None.

    About 15 % of the curves in LCDB 1.1 are not monotone. A rise counts from 1 point, and only
    where it exceeds what the noise between runs explains at 95 %.

    Parameters
    ----------
    sizes, errors
        As in `fit_power_law`.
    """
    n, e = checked_runs(sizes, errors)
    levels = np.unique(n)
    noise = pooled_variance(n, e)
    runs = [e[n == size] for size in levels]
    for size, values in zip(levels, runs, strict=True):
        if np.ptp(values) > _SPREAD:
            return (
                f"runs on {size:g} examples differ by {np.ptp(values):.1f} points "
                f"({values.min():.1f} to {values.max():.1f}): one has diverged; mend or leave out"
            )
    means = np.array([values.mean() for values in runs])
    squared = np.array(
        [noise.at(float(size)) / len(values) for size, values in zip(levels, runs, strict=True)]
    )
    for later in range(1, levels.size):
        best = int(np.argmin(means[:later]))
        rise = means[later] - means[best]
        allowed = _RISE
        if noise.degrees_of_freedom:
            quantile = float(stats.t.ppf((1 + LEVEL) / 2, noise.degrees_of_freedom))
            allowed = max(_RISE, quantile * float(np.sqrt(squared[later] + squared[best])))
        if rise > allowed:
            return (
                f"the error rises with more data, from {means[best]:.1f} points on "
                f"{levels[best]:g} examples to {means[later]:.1f} on {levels[later]:g}"
            )
    return None


def _refuse_beyond(at: float, largest: float) -> None:
    if at > MOST_EXTRAPOLATION * largest * (1 + _ROUNDING):
        raise ExtrapolationRefused(
            f"{at:g} examples are {at / largest:.3g} times the largest measured size "
            f"({largest:g}); beyond 4 times no form is trusted. Ask for at most "
            f"{MOST_EXTRAPOLATION * largest:g}, or measure a larger size."
        )


def _fit(
    n: NDArray[np.float64],
    e: NDArray[np.float64],
    noise: PooledVariance,
    prior_weight: float,
    nonnegative: bool,
) -> PowerLaw:
    levels, inverse, counts = np.unique(n, return_inverse=True, return_counts=True)
    variances = noise.v0 + noise.v1 / levels
    means = np.bincount(inverse, weights=e) / counts
    # Every run of a size has the weight 1/(σ̂²·k), so that a size weighs 1/σ̂² and only its mean
    # matters; the scatter within sizes is the same for every γ.
    weights = 1 / variances
    fits = []
    for gamma in _GAMMAS:
        design = np.column_stack([np.ones_like(levels), levels**gamma])
        solve = _weighted_solution(design, weights, means, nonnegative)
        residual = means - design @ (solve @ means)
        prior = prior_weight * abs(float(gamma) - _GAMMA_PRIOR)
        fits.append((float(weights @ residual**2) + prior, float(gamma), solve))
    _, gamma, solve = min(fits, key=lambda fit: fit[0])
    covariance = solve @ np.diag(variances / counts) @ solve.T
    alpha, eta = (float(value) for value in solve @ means)
    return PowerLaw(
        alpha=alpha,
        eta=eta,
        gamma=gamma,
        largest=float(levels[-1]),
        residual_degrees_of_freedom=max(levels.size - 3, 0),
        covariance=covariance,
        noise_degrees_of_freedom=noise.degrees_of_freedom,
        notes=_notes(levels, alpha, eta, noise, nonnegative),
    )


def _weighted_solution(
    design: NDArray[np.float64],
    weights: NDArray[np.float64],
    means: NDArray[np.float64],
    nonnegative: bool,
) -> NDArray[np.float64]:
    """Return the matrix that turns means into (α, η ≥ 0) by weighted least squares."""
    ones, powers = design[:, 0], design[:, 1]
    root = np.sqrt(weights)
    solve = np.asarray(np.linalg.pinv(design * root[:, None]) * root, dtype=np.float64)
    alpha, eta = solve @ means
    if eta < 0:
        return np.vstack([weights * ones / np.sum(weights), np.zeros_like(weights)])
    if nonnegative and alpha < 0:
        return np.vstack([np.zeros_like(weights), weights * powers / np.sum(weights * powers**2)])
    return solve


def _notes(
    levels: NDArray[np.float64], alpha: float, eta: float, noise: PooledVariance, nonnegative: bool
) -> tuple[str, ...]:
    notes = []
    if levels.size < 3:
        notes.append(
            "0 residual degrees of freedom: two sizes, three parameters; gamma is the prior's "
            "−0.5, not the data's"
        )
    elif levels.size == 3:
        notes.append("0 residual degrees of freedom: three sizes, three parameters")
    if not noise.degrees_of_freedom:
        notes.append("one run at every size: the noise between seeds is unknown, so there is no ±")
    if nonnegative and alpha == 0:
        notes.append("alpha is at its bound of 0: these sizes show no asymptote yet")
    if eta == 0:
        notes.append("the error does not fall with more data: a flat line")
    if any(later / earlier < _CLOSE for earlier, later in pairwise(levels[-2:])):
        notes.append(
            f"the last two sizes ({levels[-2]:g} and {levels[-1]:g}) are close, so the local law "
            "magnifies their noise"
        )
    return tuple(notes)


def _local(
    n: NDArray[np.float64], e: NDArray[np.float64], at: float, noise: PooledVariance
) -> tuple[float, float]:
    """Return the local law's value and its noise variance by the delta method.

    At ρ = 1 the variance is 4r²·σ²_N + r⁴·σ²_{N/2} with r = e(N)/e(N/2). A rise within the noise
    is read as level (r = 1).
    """
    before, last = np.unique(n)[-2:]
    steps = float(np.log(at / last) / np.log(last / before))
    error, error_before = float(e[n == last].mean()), float(e[n == before].mean())
    ratio = min(error / error_before, 1.0) if error_before > 0 else 1.0
    variance = noise.at(float(last)) / np.count_nonzero(n == last)
    variance_before = noise.at(float(before)) / np.count_nonzero(n == before)
    return error * ratio**steps, float(
        (1 + steps) ** 2 * ratio ** (2 * steps) * variance
        + steps**2 * ratio ** (2 * steps + 2) * variance_before
    )


def _predict(n: NDArray[np.float64], e: NDArray[np.float64], at: float, last: float) -> Prediction:
    noise = pooled_variance(n, e)
    law = _fit(n, e, noise, GAMMA_PRIOR_WEIGHT, nonnegative=True)
    local, local_variance = _local(n, e, at, noise)
    global_ = law.predict(at)
    headline = (local + global_) / 2
    back_test = _back_test(n, e)
    notes = list(law.notes)
    interval = None
    if noise.degrees_of_freedom:
        quantile = float(stats.t.ppf((1 + LEVEL) / 2, noise.degrees_of_freedom))
        halves = (quantile * np.sqrt(local_variance), quantile * law.standard_error(at))
        wider = abs(back_test) if back_test is not None else 0.0
        low = min(local - halves[0], global_ - halves[1]) - wider
        high = max(local + halves[0], global_ + halves[1]) + wider
        interval = (max(float(low), 0.0), min(float(high), 100.0))
    if back_test is None:
        notes.append("not back-tested: that takes two sizes of at most half the largest")
    forms = {LOCAL_LAW: local, POWER_LAW: global_, LAST_VALUE: last}
    return Prediction(at, headline, interval, forms, back_test, law, notes=tuple(notes))


def _back_test(n: NDArray[np.float64], e: NDArray[np.float64]) -> float | None:
    """Return predicted − measured error at the largest size, from at most half of it."""
    largest = float(n.max())
    early = n <= largest / 2
    if np.unique(n[early]).size < 2 or largest > MOST_EXTRAPOLATION * float(n[early].max()):
        return None
    noise = pooled_variance(n, e)
    local, _ = _local(n[early], e[early], largest, noise)
    law = _fit(n[early], e[early], noise, GAMMA_PRIOR_WEIGHT, nonnegative=True)
    return (local + law.predict(largest)) / 2 - float(e[n == largest].mean())
