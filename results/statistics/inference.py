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
from results.statistics.variances import moderate, variance_trend

TASK, SEEDS, IMAGES, NOTHING = "new seeds and images", "new seeds", "new images", "nothing"
"""What an interval speaks of; `SEEDS` keeps these images and `IMAGES` these seeds."""

_ENOUGH = 8  # contrasts from which on covariates are regressed on
_FEW_IMAGES = float(-100 * np.log(0.025) / 1.96)  # points × images

_FREEDOMS = np.concatenate([np.linspace(0.5, 5, 400), np.geomspace(5.02, 1e6, 600)])
_QUANTILES = special.stdtrit(_FREEDOMS, (1 + LEVEL) / 2)


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
    e, sums, total = (
        np.broadcast_to(np.asarray(part, dtype=float), seeds.shape)
        for part in (images, image_squares, squares)
    )
    none = np.full(seeds.shape, np.nan)
    mean = np.divide(
        np.where(known, values, 0).sum(axis=-1), seeds, out=none.copy(), where=seeds > 0
    )
    over_seeds = np.where(known, (values - mean[..., None]) ** 2, 0.0).sum(axis=-1)
    many, tested = seeds > 1, (e > 1) & (seeds > 0)
    s, e = np.maximum(seeds, 1), np.where(tested, e, 2.0)
    over_images = np.maximum(sums / s**2 - e * mean**2, 0.0)
    left = np.maximum(total - e * (s * mean**2 + over_seeds) - s * over_images, 0.0)
    return Contrasts(
        estimate=mean,
        seeds=seeds,
        images=np.where(tested, e, 0.0),
        seed=np.divide(over_seeds, s - 1, out=none.copy(), where=many),
        image=np.where(tested, s * over_images / ((e - 1) * e), np.nan),
        rest=np.divide(left, (s - 1) * (e - 1) * e, out=none.copy(), where=many & tested),
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

    With Â the moderated variance of seeds, not below the rest R, and f the share of it that is
    rest in the whole study (times 1 − 1/(2·degrees of freedom)): half-width² =
    t(d + c)²·(Â − f·R)/S + t(E − 1)²·(MS_image/E − (1 − f)·R)/S. The two parts are added as
    squared half-widths and not by Satterthwaite, whose intervals held 92 % at two seeds; the
    degrees of freedom that are given make t·error that half-width. For a contrast alone this is
    (t·se_seed)² + (z·se_image)².

    Contrasts are of one kind, such as every step of a factor in every cell. Covariates of the
    variance (see `variance_trend`), shape (contrasts, covariates), are read from eight contrasts
    on. `scale` is the expected relative variance of seeds, where it is known: 1/k for a mean over k
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
    share = _known_share(d, seed / scale, rest / scale)
    s = np.maximum(seeds, 1.0)
    a = np.where(many, np.maximum(variance * scale, rest) - share * rest, 0.0) / s
    image = np.where(tested, contrasts.image, 0.0)
    b = np.maximum(image - (1 - share) * rest, 0.0) / s
    # However few images the two are told apart on, the interval is no narrower than the exact
    # binomial one where there are none, 1 − 0.025^(1/E) (Clopper and Pearson 1934).
    few = (_FEW_IMAGES / np.maximum(images, 1.0)) ** 2
    b = np.where(tested, np.maximum(b, few - a), b)
    error = np.sqrt(a + b)
    error = np.where(error > 0, error, np.nan)
    of_seeds = np.where(many, freedom, 1.0)
    widest = quantile(of_seeds)
    normal = quantile(np.maximum(images - 1, 1.0))
    half = np.sqrt(widest**2 * a + normal**2 * b)
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


def _known_share(d: Array, seed: Array, rest: Array) -> Array:
    """Return the share of the seeds' variance that is rest, over the study; shape (…, 1)."""
    total = d.sum(axis=-1, keepdims=True)
    seeds, rests = ((d * part).sum(axis=-1, keepdims=True) for part in (seed, rest))
    share = np.divide(rests, seeds, out=np.ones_like(seeds), where=seeds > rests)
    return np.asarray(share * (1 - 0.5 / np.maximum(total, 1.0)), dtype=float)
