"""The best of several cells: its value without the luck of being chosen, and how likely it is best.

The highest of twelve equal cells is high by luck: its t interval held the truth in 81 to 90 %.
Arrays in, numbers out; any unit, larger is better (negate errors).
"""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from results.statistics.intervals import LEVEL, Array

_DRAWS = 4000
_CONTENDER = 0.005  # one-sided p below which a cell is no longer a contender
_SPREADS = 120  # steps of the grid of standard deviations between cells


def best_value(
    mean: ArrayLike, error: ArrayLike, freedom: ArrayLike, apart: ArrayLike | None = None
) -> tuple[float, float]:
    """Return the ends of the interval for the true value of the cell with the highest mean.

    It holds whichever of the cells that may be the best was chosen. Of the cell's error `own` is
    what the cells do not share, with K contenders, of which it may be the highest (formula in
    docs/statistics.md): to be chosen moves an error upwards only.

    Mean of each cell, its standard error and degrees of freedom have the shape (cells,), as has
    `apart`, the standard error of the best cell's difference from each other, NaN where it is not
    known: by default cells share nothing. Of a difference each cell has half the variance.
    """
    x, se, nu = (np.asarray(part, dtype=float) for part in (mean, error, freedom))
    place = int(np.argmax(x))
    known = np.full(x.size, np.nan) if apart is None else np.asarray(apart, dtype=float)
    gaps = np.where(np.isnan(known), np.hypot(se, se[place]), known)
    lags = np.divide(x[place] - x, gaps, out=np.zeros_like(x), where=gaps > 0)
    contenders = special.stdtr(np.minimum(nu, nu[place]), -lags) > _CONTENDER
    contenders[place] = True
    rivals = known[contenders & ~np.isnan(known)]
    own = min(float(np.median(rivals)) / np.sqrt(2), se[place]) if rivals.size else se[place]
    tail, count = (1 - LEVEL) / 2, contenders.sum()
    plain, middle, end = special.stdtrit(
        nu[place], [1 - tail, 0.5 ** (1 / count), 1 - tail / count]
    )
    spread = np.hypot((end - middle) * own, plain * np.sqrt(se[place] ** 2 - own**2))
    return float(x[place] - (middle * own + spread)), float(x[place] + plain * se[place])


def probability_of_best(
    mean: ArrayLike, own_error: ArrayLike, freedom: ArrayLike, generator: np.random.Generator
) -> Array:
    """Return each cell's probability of being the best one, shape (cells,); they add up to 1.

    Draws from the posterior of cells that come from one normal population of unknown mean and
    spread (Gelman et al., *Bayesian Data Analysis*, §5.4; uniform prior on the spread): cells that
    differ by no more than their noise are all but equally likely, where draws around each mean
    alone would favour the luckiest. Mean, error and degrees of freedom are as in `best_value`,
    shape (cells,).
    """
    x, own, nu = (np.asarray(part, dtype=float) for part in (mean, own_error, freedom))
    if x.size < 2:
        return np.ones(x.size)
    own = np.maximum(own, 1e-9 * max(float(np.ptp(x)), 1e-12))
    spreads = np.linspace(0.0, 3 * float(x.std(ddof=1)) + 1e-12, _SPREADS)
    variance = (own * np.sqrt(nu / generator.chisquare(nu, size=(_DRAWS, x.size)))) ** 2
    total = variance[:, None, :] + spreads[None, :, None] ** 2
    precision = 1 / total
    sums = precision.sum(axis=2)
    centre = (precision @ x) / sums
    miss = (precision * (x - centre[..., None]) ** 2).sum(axis=2)
    log_density = -0.5 * (np.log(total).sum(axis=2) + np.log(sums) + miss)
    log_density += generator.gumbel(size=log_density.shape)
    chosen = log_density.argmax(axis=1)
    rows = np.arange(_DRAWS)
    middle = centre[rows, chosen] + generator.normal(size=_DRAWS) / np.sqrt(sums[rows, chosen])
    between = spreads[chosen][:, None] ** 2
    kept = between / (between + variance)
    theta = middle[:, None] + kept * (x - middle[:, None])
    theta += np.sqrt(kept * variance) * generator.normal(size=theta.shape)
    return np.bincount(theta.argmax(axis=1), minlength=x.size) / _DRAWS


def expected_best(values: ArrayLike, drawn: int) -> float:
    """Return the mean of the highest of so many values drawn without replacement.

    Of n drawn of N values, (values,), it is Σ v₍ᵢ₎·C(i − 1, n − 1)/C(N, n), v₍ᵢ₎ the i-th lowest
    (Dodge et al. 2019 draw with replacement, which is biased: Tang et al., ACL 2020). NaN counts as
    the lowest.
    """
    given = np.asarray(values, dtype=float)
    ordered = np.sort(np.where(np.isnan(given), np.nanmin(given), given))
    ways = math.comb(given.size, drawn)
    return float(ordered @ [math.comb(lower, drawn - 1) / ways for lower in range(given.size)])
