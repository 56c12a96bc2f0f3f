"""Two models on one test set: statistics of per-example correctness. Arrays in, numbers out.

The error that a finite test set brings is largely shared by models tested on the same examples,
so that a paired comparison is far sharper than two accuracies side by side.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from results.statistics.intervals import Array, quantile


@dataclass(frozen=True)
class PairedTestSet:
    """First minus second on the same test examples, in points of accuracy."""

    difference: float
    """Mean over seeds and examples."""
    low: float
    high: float
    """Interval for new seeds and new examples of the same kind; with one seed, for new examples
    only."""
    n_seeds: int
    """Seeds that both were trained with."""

    @property
    def covers_seeds(self) -> bool:
        """Whether the interval speaks of other seeds too."""
        return self.n_seeds > 1


def paired_test_set(first: ArrayLike, second: ArrayLike) -> PairedTestSet:
    """Compare two models on the same test examples, seed by seed.

    With d = first − second (−1, 0 or 1) crossed over S seeds and E examples, the variance of the
    grand mean is (MS_seed + MS_example − MS_rest)/(S·E), degrees of freedom by Satterthwaite: the
    two-way random-effects analysis of variance. With one seed it is Var(d)/E, as in McNemar's test,
    and speaks of the examples alone. Correctness has the shape (seeds, examples ≥ 2), boolean or
    0/1, the same seed and example at the same place; else a ValueError is raised.
    """
    a, b = _correctness(first, "first"), _correctness(second, "second")
    if a.shape != b.shape:
        raise ValueError(
            f"The same seeds and examples are needed: first has shape {a.shape}, second {b.shape}."
        )
    d = a - b
    seeds, examples = d.shape
    if seeds == 1:
        error, freedom = float(d.std(ddof=1)) / np.sqrt(examples), float(examples - 1)
    else:
        error, freedom = _crossed(d)
    mean, half = float(d.mean()), float(quantile(freedom)) * error
    return PairedTestSet(100 * mean, 100 * (mean - half), 100 * (mean + half), seeds)


def _crossed(d: Array) -> tuple[float, float]:
    """Return the standard error of the grand mean of a crossed table, and its freedom."""
    seeds, examples = d.shape
    by_seed, by_example, grand = d.mean(axis=1), d.mean(axis=0), d.mean()
    rest = d - by_seed[:, None] - by_example[None, :] + grand
    freedoms = np.array([seeds - 1, examples - 1, (seeds - 1) * (examples - 1)], dtype=float)
    squares = [
        examples * np.sum((by_seed - grand) ** 2),
        seeds * np.sum((by_example - grand) ** 2),
        np.sum(rest**2),
    ]
    of_seeds, of_examples, of_rest = mean_squares = squares / freedoms
    total = float(of_seeds + of_examples - of_rest)
    # The estimate can come out below either part; it is never let below the larger one.
    floor = float(max(of_seeds, of_examples))
    if total <= floor:
        freedom = float(freedoms[int(of_examples > of_seeds)])
        return float(np.sqrt(floor / d.size)), freedom
    freedom = total**2 / float(np.sum(mean_squares**2 / freedoms))
    return float(np.sqrt(total / d.size)), max(freedom, 1.0)


def _correctness(values: ArrayLike, name: str) -> Array:
    array = np.asarray(values, dtype=float)
    if array.ndim != 2 or array.shape[0] < 1 or array.shape[1] < 2:
        raise ValueError(f"{name}: correctness has shape (seeds, examples), not {array.shape}.")
    if not np.isin(array, (0.0, 1.0)).all():
        raise ValueError(f"{name}: correctness is 0 or 1 for every seed and example.")
    return array
