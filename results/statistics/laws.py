"""The power law that is fitted to learning curves. Arrays in, numbers out.

Sizes are in examples and errors in points, checked already: see `results.statistics.curves`.
"""

from dataclasses import dataclass, field

import numpy as np

from results.errors import ExtrapolationRefused
from results.statistics.intervals import Array, PooledVariance

MOST_EXTRAPOLATION = 4.0
"""How many times the largest measured size a power law may be asked for."""
GAMMA_PRIOR_WEIGHT = 5.0
_GAMMA_PRIOR = -0.5
_GAMMAS = np.round(np.arange(-100, 0) / 100, 2)
_ROUNDING = 1e-9


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
    covariance: Array = field(compare=False, repr=False)
    """Of (alpha, eta) with gamma held, from the noise between runs alone."""
    repeats: int
    """Σ(k−1) over the sizes, what the noise was estimated from; 0 where each has one run."""
    notes: tuple[str, ...] = ()
    """What to know before using it."""

    def predict(self, size: float) -> float:
        """Return the error at a training size in examples, in points.

        Raises ExtrapolationRefused beyond four times the largest measured size.
        """
        refuse_beyond(size, self.largest)
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


def power_law(
    n: Array,
    e: Array,
    noise: PooledVariance,
    prior_weight: float,
    nonnegative: bool,
) -> PowerLaw:
    """Fit α + η·n^γ; see `results.statistics.curves.fit_power_law` for the objective."""
    levels, inverse, counts = np.unique(n, return_inverse=True, return_counts=True)
    variances = noise.at(levels)
    means = np.bincount(inverse, weights=e) / counts
    # Every run of a size has the weight 1/(σ̂²·k), so that a size weighs 1/σ̂² and only its mean
    # matters; the scatter within sizes is the same for every γ.
    weights = 1 / variances
    operators = _solutions(levels[None, :] ** _GAMMAS[:, None], weights, means, nonnegative)
    parameters = operators @ means
    fitted = parameters[:, :1] + parameters[:, 1:] * levels[None, :] ** _GAMMAS[:, None]
    objective = (means - fitted) ** 2 @ weights + prior_weight * np.abs(_GAMMAS - _GAMMA_PRIOR)
    best = int(np.argmin(objective))
    alpha, eta = (float(value) for value in parameters[best])
    gamma = float(_GAMMAS[best])
    covariance = operators[best] @ np.diag(variances / counts) @ operators[best].T
    return PowerLaw(
        alpha=alpha,
        eta=eta,
        gamma=gamma,
        largest=float(levels[-1]),
        residual_degrees_of_freedom=max(levels.size - 3, 0),
        covariance=covariance,
        repeats=noise.repeats,
        notes=_notes(levels, alpha, eta, noise, nonnegative),
    )


def refuse_beyond(at: float, largest: float) -> None:
    """Raise `ExtrapolationRefused` where a size is more than four times the largest."""
    if at > MOST_EXTRAPOLATION * largest * (1 + _ROUNDING):
        raise ExtrapolationRefused(
            f"{at:g} examples are {at / largest:.3g} times the largest measured size "
            f"({largest:g}); beyond 4 times no form is trusted. Ask for at most "
            f"{MOST_EXTRAPOLATION * largest:g}, or measure a larger size."
        )


def _solutions(
    powers: Array,
    weights: Array,
    means: Array,
    nonnegative: bool,
) -> Array:
    """Return, for each γ, the matrix that turns means into (α, η ≥ 0) by weighted least squares.

    Shape (gammas, 2, sizes), for powers n^γ of shape (gammas, sizes).
    """
    flat = np.broadcast_to(weights / weights.sum(), powers.shape)
    centred = powers - (powers @ weights / weights.sum())[:, None]
    eta = weights * centred / ((weights * centred**2).sum(axis=1, keepdims=True))
    alpha = flat - eta * (powers - centred)
    rising = eta @ means < 0
    eta[rising], alpha[rising] = 0.0, flat[rising]
    if nonnegative:
        below = alpha @ means < 0
        x = powers[below]
        eta[below] = weights * x / (weights * x**2).sum(axis=1, keepdims=True)
        alpha[below] = 0.0
    return np.stack([alpha, eta], axis=1)


def _notes(
    levels: Array, alpha: float, eta: float, noise: PooledVariance, nonnegative: bool
) -> tuple[str, ...]:
    notes = []
    if levels.size < 3:
        notes.append(
            "0 residual degrees of freedom: two sizes, three parameters; gamma is the prior's "
            "−0.5, not the data's"
        )
    elif levels.size == 3:
        notes.append("0 residual degrees of freedom: three sizes, three parameters")
    if not noise.repeats:
        notes.append("one run at every size: the noise between seeds is unknown, so there is no ±")
    if nonnegative and alpha == 0:
        notes.append("alpha is at its bound of 0: these sizes show no asymptote yet")
    if eta == 0:
        notes.append("the error does not fall with more data: a flat line")
    return tuple(notes)
