"""Seeds that are added at declared looks until the answer is known. Arrays in, arrays out.

Whoever looks three times at 5 % errs in 11 %. Here the 5 % are spent over the looks as Lan and
DeMets do (*Biometrika* 70, 1983, with Pocock's shape, which decides large differences early), and
shared among the answer's comparisons by Holm's step-down (Maurer and Bretz, *Stat. Biopharm. Res.*
5, 2013). Each look is held to its own part (Bonferroni): boundaries that count on how alike looks
are, with known variances, erred in up to 5.1 % where few seeds have to tell the variances too.
Adding seeds until something is decided, without this, errs in 17 to 19 %.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from results.statistics.intervals import Array

ALPHA = 0.05
"""Chance of one false decision or more, over all looks and comparisons."""
OPEN, DIFFERENT, SMALL = 0, 1, 2
"""What is known of a comparison: nothing yet, its sign, or that it is below `smallest`."""


@dataclass(frozen=True)
class Looks:
    """When is looked, and how small a difference no longer matters."""

    seeds: tuple[int, ...]
    """Seeds at each look, rising; the last is the most that there will be."""
    smallest: float = 0.0
    """Difference in points below which a comparison is settled; 0 where any would matter."""

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.seeds, self.seeds[1:], strict=False))
        if not self.seeds or self.seeds[0] < 2 or not rising:
            raise ValueError(f"looks: rising numbers of seeds from 2 are needed, not {self.seeds}.")

    def share(self, look: int) -> float:
        """Return the share of alpha that a look, 0 for the first, may spend.

        By then ln(1 + (e − 1)·seeds/most) of it may be spent.
        """
        spent = np.log1p((np.e - 1) * np.array([0, *self.seeds]) / self.seeds[-1])
        return float(np.diff(spent)[look])

    def level(self, look: int, comparisons: int) -> float:
        """Return the two-sided p below which a comparison is decided at a look, 0 for the first.

        `comparisons` is how many share alpha: all of the answer's, less those decided before.
        """
        return ALPHA * self.share(look) / max(comparisons, 1)

    def overall(self, p: ArrayLike, look: int) -> Array:
        """Return the alpha over all looks at which a p at one look would just be decided.

        The least of all looks so far is what Holm's step-down is made on. NaN stays.
        """
        return np.minimum(np.asarray(p, dtype=float) / self.share(look), 1.0)


@dataclass(frozen=True)
class Look:
    """One look of several, with what the looks before it have found."""

    looks: Looks
    number: int
    before: Mapping[Hashable, float]
    """What `spend` returned at the look before."""

    def spend(self, tests: Mapping[Hashable, float]) -> dict[Hashable, float]:
        """Return the least alpha over all looks that would have decided each test so far.

        `tests` has the p of each by a name that it has at every look: what was decided stays so.
        """
        now = self.looks.overall([*tests.values()], self.number)
        past = [self.before.get(name, np.nan) for name in tests]
        return dict(zip(tests, np.fmin(now, past).tolist(), strict=True))


def chance_to_decide(
    estimate: ArrayLike,
    seed_error: ArrayLike,
    image_error: ArrayLike,
    freedom: ArrayLike,
    seeds: ArrayLike,
    more: int,
    level: float = ALPHA,
) -> Array:
    """Return the probability that `more` seeds would decide each comparison, shape (comparisons,).

    Given seeds so far with mean d, the mean over S + m seeds lies around d with variance
    A·m/(S·(S + m)), t-distributed, A being a seed's variance; the test images stay. It counts as
    decided where it exceeds the quantile at `level` times √(A/(S + m) + B). Estimate, both parts of
    its standard error (points) and freedom are those of `inference.infer` for the seeds so far.
    `level` is the two-sided p to ask for then: the next look's, for an undeclared look has a price.
    """
    d, s, b, nu = (np.asarray(v, dtype=float) for v in (estimate, seed_error, image_error, freedom))
    now = np.asarray(seeds, dtype=float)
    later = now + more
    variance = s**2 * now
    needed = special.stdtrit(nu + more, 1 - level / 2) * np.sqrt(variance / later + b**2)
    spread = np.sqrt(np.maximum(variance * more / (now * later), 1e-300))
    sides = [special.stdtr(nu, (sign * d - needed) / spread) for sign in (1, -1)]
    return np.asarray(sum(sides), dtype=float)
