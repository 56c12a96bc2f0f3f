"""Two models on one test set: statistics of per-example correctness. Arrays in, numbers out.

The error that a finite test set brings is largely shared by models tested on the same examples,
so that a paired comparison is far sharper than two accuracies side by side.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from results.statistics.intervals import LEVEL, Array, quantile


@dataclass(frozen=True)
class PairedTestSet:
    """First minus second on the same test examples, in points of accuracy.

    Parameters
    ----------
    difference
        Mean over seeds and examples.
    low, high
        Interval for new seeds and new examples of the same kind; with one seed, for new examples
        only (`covers_seeds` is then False).
    test_set_error
        Standard error from the finite test set, these seeds held fixed.
    seed_error
        Standard error from the seeds, this test set held fixed; None with one seed.
    n_seeds, n_examples
        What both were tested with.
    """

    difference: float
    low: float
    high: float
    test_set_error: float
    seed_error: float | None
    n_seeds: int
    n_examples: int

    @property
    def covers_seeds(self) -> bool:
        """Whether the interval speaks of other seeds too."""
        return self.n_seeds > 1


def paired_test_set(first: ArrayLike, second: ArrayLike, level: float = LEVEL) -> PairedTestSet:
    """Compare two models on the same test examples, seed by seed.

    With d = first − second (−1, 0 or 1) crossed over S seeds and E examples, the variance of the
    grand mean is (MS_seed + MS_example − MS_rest)/(S·E), degrees of freedom by Satterthwaite: the
    two-way random-effects analysis of variance. With one seed it is Var(d)/E, as in McNemar's
    test, and speaks of the examples alone.

    Parameters
    ----------
    first, second
        Correctness, shape (seeds, examples), boolean or 0/1; the same seed and example at the same
        place.
    level
        Nominal coverage, 0 to 1.

    Raises
    ------
    ValueError
        Shapes that differ or are not (seeds, examples ≥ 2), or values other than 0 and 1.
    """
    a, b = _correctness(first, "first"), _correctness(second, "second")
    if a.shape != b.shape:
        raise ValueError(
            f"The same seeds and examples are needed: first has shape {a.shape}, second {b.shape}."
        )
    seeds, examples = a.shape
    d = a - b
    by_example, by_seed = d.mean(axis=0), d.mean(axis=1)
    test_set = float(by_example.std(ddof=1) / np.sqrt(examples))
    if seeds == 1:
        seed_error = None
        error, freedom = test_set, float(examples - 1)
    else:
        seed_error = float(by_seed.std(ddof=1) / np.sqrt(seeds))
        error, freedom = _crossed(d, by_seed, by_example)
    half = float(quantile(freedom, level)) * error
    mean = float(d.mean())
    return PairedTestSet(
        difference=100 * mean,
        low=100 * (mean - half),
        high=100 * (mean + half),
        test_set_error=100 * test_set,
        seed_error=None if seed_error is None else 100 * seed_error,
        n_seeds=seeds,
        n_examples=examples,
    )


def _crossed(d: Array, by_seed: Array, by_example: Array) -> tuple[float, float]:
    """Return the standard error of the grand mean of a crossed table, and its freedom."""
    seeds, examples = d.shape
    grand = d.mean()
    freedoms = np.array([seeds - 1, examples - 1, (seeds - 1) * (examples - 1)], dtype=float)
    rest = d - by_seed[:, None] - by_example[None, :] + grand
    squares = np.array(
        [
            examples * np.sum((by_seed - grand) ** 2),
            seeds * np.sum((by_example - grand) ** 2),
            np.sum(rest**2),
        ]
    )
    mean_squares = squares / freedoms
    signs = np.array([1.0, 1.0, -1.0])
    total = float(signs @ mean_squares)
    # The estimate can come out below either part; it is never let below the larger one.
    floor = float(max(mean_squares[0], mean_squares[1]))
    if total <= floor:
        part = int(mean_squares[1] > mean_squares[0])
        return float(np.sqrt(floor / d.size)), float(freedoms[part])
    freedom = total**2 / float(np.sum(mean_squares**2 / freedoms))
    return float(np.sqrt(total / d.size)), max(freedom, 1.0)


def _correctness(values: ArrayLike, name: str) -> Array:
    array = np.asarray(values, dtype=float)
    if array.ndim != 2 or array.shape[0] < 1 or array.shape[1] < 2:
        raise ValueError(f"{name}: correctness has shape (seeds, examples), not {array.shape}.")
    if not np.isin(array, (0.0, 1.0)).all():
        raise ValueError(f"{name}: correctness is 0 or 1 for every seed and example.")
    return array
