"""One model for all contrasts of a study: seeds and test images both vary. Arrays in, arrays out.

A contrast is a paired difference of correctness, of which each seed × image gives −100, 0 or 100
points. Its mean over S seeds and E images errs by A/S + B, with A = σ²_seed + σ²_rest/E what a
seed brings and B = σ²_image/E what the test set brings. The two-way analysis of variance of the
S × E table estimates MS_seed/E ≈ A, MS_rest/E ≤ A and (MS_image − MS_rest)/(S·E) ≈ B. With two or
three seeds A is hardly known from the contrast alone, so that it is moderated by the study's other
contrasts as in limma (Smyth, *Stat. Appl. Genet. Mol. Biol.* 3, 2004), and never below the rest.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from results.statistics.intervals import LEVEL, Array, quantile

TASK, SEEDS, IMAGES, NOTHING = "new seeds and images", "new seeds", "new images", "nothing"
"""What an interval speaks of; `SEEDS` keeps these images and `IMAGES` these seeds."""

_ENOUGH = 8  # contrasts from which on covariates are regressed on
_FEW_IMAGES = float(-100 * np.log(0.025) / 1.96)  # points × images

_FREEDOMS = np.concatenate([np.linspace(0.5, 5, 400), np.geomspace(5.02, 1e6, 600)])
_QUANTILES = special.stdtrit(_FREEDOMS, (1 + LEVEL) / 2)
_HALVES = np.geomspace(0.02, 5000, 2000)
_TRIGAMMAS = special.polygamma(1, _HALVES)

# Set by simulation (table in docs/statistics.md): the noisiest tenth of the contrasts is held in
# 90 % where log variances spread by 1, and like variances still gain from being pooled.
_CAUTION = 1.4  # standard errors that are added to the estimated heterogeneity
_TRUST = 0.55  # share of limma's prior degrees of freedom that is believed
_LEAST = 1.14  # degrees of freedom that pooling is worth, however unlike the variances are
_OTHERS = 0.6  # share of the other contrasts' degrees of freedom that it is worth at most
_PULL = 0.3  # weight of the pooled variance for each degree of freedom that it is worth
_COEFFICIENT_SD = 0.5  # of a covariate's coefficient on the log variance, before any is measured
_STEPS = 25


@dataclass(frozen=True)
class Contrasts:
    """What is needed of each contrast's seeds × images; arrays of shape (…, contrasts)."""

    estimate: Array
    """Mean difference over seeds and images, in points."""
    seeds: Array
    images: Array
    """How many there are; `images` is 0 where predictions are missing."""
    seed: Array
    image: Array
    rest: Array
    """Mean squares divided by `images`, in points²; `seed` is thus the sample variance of the
    seeds' means. NaN where unknown: `seed` and `rest` with one seed, `image` and `rest` without
    predictions."""


def contrasts_of(
    by_seed: ArrayLike,
    images: ArrayLike = 0,
    image_squares: ArrayLike = np.nan,
    squares: ArrayLike = np.nan,
) -> Contrasts:
    """Return contrasts from sums, so that no table of seeds × images need be kept.

    `by_seed` is the mean difference of each seed in points, shape (contrasts, seeds), NaN where
    there is none; the others have the shape (contrasts,). `images` is how many test images each was
    seen on, 0 where predictions are missing; `image_squares` the sum over images of (the sum over
    seeds)², in points²; `squares` the sum over seeds and images of the squared difference: 100²
    times how often exactly one of two was right.
    """
    values = np.asarray(by_seed, dtype=float)
    known = ~np.isnan(values)
    seeds = known.sum(axis=-1).astype(float)
    e, sums, total = (np.asarray(part, dtype=float) for part in (images, image_squares, squares))
    mean = np.where(known, values, 0).sum(axis=-1) / np.where(seeds > 0, seeds, np.nan)
    over_seeds = np.where(known, (values - mean[..., None]) ** 2, 0.0).sum(axis=-1)
    many, tested = seeds > 1, (e > 1) & (seeds > 0)
    s, e = np.maximum(seeds, 1), np.where(tested, e, 2.0)
    over_images = np.maximum(sums / s**2 - e * mean**2, 0.0)
    left = np.maximum(total - e * (s * mean**2 + over_seeds) - s * over_images, 0.0)
    return Contrasts(
        estimate=mean,
        seeds=seeds,
        images=np.where(tested, e, 0.0),
        seed=over_seeds / np.where(many, s - 1, np.nan),
        image=np.where(tested, s * over_images / ((e - 1) * e), np.nan),
        rest=left / np.where(many & tested, (s - 1) * (e - 1) * e, np.nan),
    )


@dataclass(frozen=True)
class Inference:
    """Estimates with what is known of them, in points; arrays of shape (…, contrasts)."""

    estimate: Array
    low: Array
    high: Array
    """Mean difference and interval estimate ± t(freedom)·error."""
    error: Array
    freedom: Array
    """Standard error and degrees of freedom. `low`, `high` and `p` are NaN where nothing is known
    of the error; zero spread is no knowledge of it."""
    seed_error: Array
    image_error: Array
    """The parts of the squared error from seeds and images, as standard errors."""
    p: Array
    """Two-sided p of "no difference"; NaN where new seeds are not spoken of."""
    speaks_of: NDArray[np.str_]


def infer(
    contrasts: Contrasts,
    covariates: ArrayLike | None = None,
    scale: ArrayLike = 1.0,
    independent: float | None = None,
) -> Inference:
    """Estimate all contrasts of a study together.

    With Â the moderated variance of seeds, not below the rest R, and f the share of it that is rest
    in the whole study (times 1 − 1/(2·degrees of freedom)): half-width² = t(d + c)²·(Â − f·R)/S +
    t(E − 1)²·(MS_image/E − (1 − f)·R)/S. The parts are added as squared half-widths and not by
    Satterthwaite, whose intervals held 92 % at two seeds; the degrees of freedom that are given
    make t·error that half-width. For a contrast alone this is (t·se_seed)² + (z·se_image)².

    Contrasts are of one kind, such as every step of a factor in every cell. Covariates of the
    variance (see `variance_trend`), shape (contrasts, covariates), are read from eight contrasts
    on. `scale` is the expected relative variance of seeds, where known: 1/k for a mean over k
    cells; `independent` is as in `moderate`.
    """
    seeds, images = contrasts.seeds, contrasts.images
    d = np.maximum(seeds - 1, 0.0)
    tested, many = images > 0, seeds > 1
    scale = np.broadcast_to(np.asarray(scale, dtype=float), seeds.shape)
    if covariates is not None and many.sum() >= _ENOUGH:
        scale = scale * variance_trend(contrasts.seed / scale, d, covariates)
    seed, rest = np.where(many, contrasts.seed, 0.0), np.where(tested & many, contrasts.rest, 0.0)
    variance, freedom = moderate(seed / scale, d, independent)
    whole, left = ((d * (part / scale)).sum(axis=-1, keepdims=True) for part in (seed, rest))
    share = np.divide(left, whole, out=np.ones_like(whole), where=whole > left)
    share = share * (1 - 0.5 / np.maximum(d.sum(axis=-1, keepdims=True), 1.0))
    s = np.maximum(seeds, 1.0)
    a = np.where(many, np.maximum(variance * scale, rest) - share * rest, 0.0) / s
    b = np.maximum(np.where(tested, contrasts.image, 0.0) - (1 - share) * rest, 0.0) / s
    # However few images the two are told apart on, the interval is no narrower than the exact
    # binomial one where there are none, 1 − 0.025^(1/E) (Clopper and Pearson 1934).
    few = (_FEW_IMAGES / np.maximum(images, 1.0)) ** 2
    b = np.where(tested, np.maximum(b, few - a), b)
    error = np.sqrt(np.where(a + b > 0, a + b, np.nan))
    of_seeds = np.where(many, freedom, 1.0)
    of_images = quantile(np.maximum(images - 1, 1.0))
    half = np.sqrt(quantile(of_seeds) ** 2 * a + of_images**2 * b)
    freedom = np.exp(np.interp(-half / error, -_QUANTILES, np.log(_FREEDOMS)))
    freedom = np.where(b > 0, freedom, of_seeds)
    half = quantile(freedom) * error
    p = 2 * special.stdtr(freedom, -np.abs(contrasts.estimate) / error)
    speaks = np.where(many, np.where(tested, TASK, SEEDS), np.where(tested, IMAGES, NOTHING))
    return Inference(
        estimate=contrasts.estimate,
        low=contrasts.estimate - half,
        high=contrasts.estimate + half,
        error=error,
        freedom=freedom,
        seed_error=np.sqrt(a),
        image_error=np.sqrt(b),
        p=np.where(many, p, np.nan),
        speaks_of=np.where(np.isnan(error), NOTHING, speaks),
    )


def holm(p: ArrayLike) -> Array:
    """Return p values adjusted by Holm's step-down, shape (tests,); NaN stays, uncounted."""
    return _adjusted(p, lambda p, n: np.maximum.accumulate(n[::-1] * p))


def benjamini_hochberg(p: ArrayLike) -> Array:
    """Return p values adjusted for false discovery rate, shape (tests,); NaN stays, uncounted."""
    return _adjusted(p, lambda p, n: np.minimum.accumulate((p * n.size / n)[::-1])[::-1])


def _adjusted(p: ArrayLike, rule: Callable[[Array, Array], Array]) -> Array:
    """Return what a rule makes of the known p values in order, and of their numbers from 1."""
    found = np.array(p, dtype=float)
    places = np.argsort(found, kind="stable")[: np.isfinite(found).sum()]
    found[places] = np.minimum(rule(found[places], np.arange(1.0, places.size + 1)), 1.0)
    return found


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
    spread = np.maximum(heterogeneity + _CAUTION * error * (1 + heterogeneity), _TRIGAMMAS[-1])
    prior = 2 * np.exp(np.interp(-np.log(spread), -np.log(_TRIGAMMAS), np.log(_HALVES)))
    others = _OTHERS * np.maximum(total / repeated - d, 0.0)
    worth = np.minimum(np.maximum(_TRUST * prior, _LEAST), others)
    pull = _PULL * worth
    upper, lower = pull * pooled + d * s2, pull + d
    return np.divide(upper, lower, out=np.full(s2.shape, np.nan), where=lower > 0), d + worth


def variance_trend(variance: ArrayLike, freedom: ArrayLike, covariates: ArrayLike) -> Array:
    """Return what the covariates say of each variance, relative to the others; shape (contrasts,).

    Ridge regression of the log variance: the quasi-score of s/u, whose variance is proportional to
    its squared mean, with a normal prior on each coefficient: noise need not fall as 1/n.

    Variance and freedom are as in `moderate`, shape (contrasts,). Covariates, (contrasts,
    covariates), are 0 or 1 for a level of model or weights, log of training images; their means are
    taken away.
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
