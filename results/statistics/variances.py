"""Variances that are hardly known each and better together. Arrays in, arrays out.

A variance over two or three seeds is hardly known; those of a study's other contrasts tell more of
it, as in limma (Smyth, *Stat. Appl. Genet. Mol. Biol.* 3, 2004), the less the more unlike they are.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from results.statistics.intervals import Array

# Set by simulation (table in docs/statistics.md): the noisiest tenth of the contrasts is held in
# 90 % where log variances spread by 1, and like variances still gain from being pooled.
_CAUTION = 1.4  # standard errors that are added to the estimated heterogeneity
_TRUST = 0.55  # share of limma's prior degrees of freedom that is believed
_LEAST = 1.14  # degrees of freedom that pooling is worth, however unlike the variances are
_OTHERS = 0.6  # share of the other contrasts' degrees of freedom that it is worth at most
_PULL = 0.3  # weight of the pooled variance for each degree of freedom that it is worth
_COEFFICIENT_SD = 0.5  # of a covariate's coefficient on the log variance, before any is measured
_STEPS = 25

_HALVES = np.geomspace(0.02, 5000, 2000)
_TRIGAMMAS = special.polygamma(1, _HALVES)


def moderate(
    variance: ArrayLike, freedom: ArrayLike, independent: float | None = None
) -> tuple[Array, Array]:
    """Return sample variances pulled to their common value, and their degrees of freedom then.

    The more unlike they are, the less. With E[s] = u·σ for s² on d degrees of freedom: s₀ is the
    mean of s/u, which one noisy contrast does not rule; τ² = 4·ln(mean s²/s₀²) the heterogeneity; h
    = τ² + caution·se(τ²)·(1 + τ²) what it may well be; d₀ = 2·trigamma⁻¹(h) limma's prior degrees
    of freedom. Of these c = trust·d₀ are believed, within `_LEAST` and the share `_OTHERS` of the
    other contrasts'. The variance is (pull·c·s₀² + d·s²)/(pull·c + d) with d + c degrees of
    freedom; for a contrast alone c = 0.

    Sample variances have the shape (…, contrasts), degrees of freedom are broadcast against it, and
    a variance is read where there are some. `independent` is how many contrasts are independent,
    where they share cells: cells − 1. All by default.
    """
    s2 = np.asarray(variance, dtype=float)
    d = np.broadcast_to(np.asarray(freedom, dtype=float), s2.shape)
    known = d > 0
    s2, own = np.where(known, s2, 0.0), np.where(known, d, 1.0)
    total = d.sum(axis=-1, keepdims=True)
    weight = d / np.maximum(total, 1.0)
    repeated = np.maximum(known.sum(axis=-1, keepdims=True) / (independent or np.inf), 1.0)
    unbias = _mean_of_sd(own)
    pooled = (weight * np.sqrt(s2) / unbias).sum(axis=-1, keepdims=True) ** 2
    mean = (weight * s2).sum(axis=-1, keepdims=True)
    ratio = np.divide(mean, pooled, out=np.ones_like(mean), where=pooled > 0)
    heterogeneity = np.maximum(4 * np.log(ratio), 0.0)
    # Variance of ln(mean s²/s₀²) where all variances are equal, by the delta method.
    each = np.maximum(4 * (1 / unbias**2 - 1) - 2 / own, 0.0)
    error = 4 * np.sqrt((weight**2 * each).sum(axis=-1, keepdims=True) * repeated)
    prior = 2 * _inverse_trigamma(heterogeneity + _CAUTION * error * (1 + heterogeneity))
    others = _OTHERS * np.maximum(total / repeated - d, 0.0)
    worth = np.minimum(np.maximum(_TRUST * prior, _LEAST), others)
    pull = _PULL * worth
    upper, lower = pull * pooled + d * s2, pull + d
    moderated = np.divide(upper, lower, out=np.full(s2.shape, np.nan), where=lower > 0)
    return moderated, d + worth


def variance_trend(variance: ArrayLike, freedom: ArrayLike, covariates: ArrayLike) -> Array:
    """Return what the covariates say of each variance, relative to the others; shape (contrasts,).

    Ridge regression of the log variance: the quasi-score of s/u, whose variance is proportional
    to its squared mean, with a normal prior on each coefficient. Noise that does not fall as 1/n
    is thus estimated and not assumed.

    Variance and freedom are as in `moderate`, shape (contrasts,). Covariates have the shape
    (contrasts, covariates): 0 or 1 for a level of model or weights, log of training images; the
    mean of each is taken away.
    """
    s2 = np.asarray(variance, dtype=float)
    d = np.broadcast_to(np.asarray(freedom, dtype=float), s2.shape)
    x = np.asarray(covariates, dtype=float)
    known = d > 0
    centre = x[known].mean(axis=0) if known.any() else 0.0
    x = x - centre
    columns = np.column_stack([np.ones(known.sum()), x[known]])
    unbias = _mean_of_sd(d[known])
    s = np.sqrt(s2[known]) / unbias
    if not s.any():
        return np.ones(d.size)
    # Half of the log variance is fitted, that is the log standard deviation.
    weight = 1 / (1 / unbias**2 - 1 + 0.15)
    prior = np.diag([0.0] + [4 / _COEFFICIENT_SD**2] * x.shape[1])
    theta = np.zeros(1 + x.shape[1])
    theta[0] = np.log(s.mean())
    information = (columns * weight[:, None]).T @ columns + prior
    for _ in range(_STEPS):
        ratio = s / np.exp(columns @ theta)
        step = np.linalg.solve(information, columns.T @ (weight * (ratio - 1)) - prior @ theta)
        theta += np.clip(step, -1, 1)
    return np.exp(2 * x @ theta[1:])


def _mean_of_sd(freedom: Array) -> Array:
    """Return E[s]/σ of a sample standard deviation."""
    half = freedom / 2
    return np.exp(special.gammaln(half + 0.5) - special.gammaln(half)) / np.sqrt(half)


def _inverse_trigamma(values: Array) -> Array:
    within = np.maximum(values, _TRIGAMMAS[-1])
    found = np.exp(np.interp(-np.log(within), -np.log(_TRIGAMMAS), np.log(_HALVES)))
    return np.asarray(found, dtype=np.float64)
