"""Seeds that are added at declared looks until the answer is known. Arrays in, arrays out.

Whoever looks three times at 5 % errs in 11 %. Here the 5 % are spent over the looks (Lan and
DeMets, *Biometrika* 70, 1983, with Pocock's shape, which decides large differences early) and
shared among the answer's comparisons by Holm's step-down (Maurer and Bretz, *Stat. Biopharm. Res.*
5, 2013). Adding seeds until something is decided, without this, errs in 17 to 19 %.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from results.statistics.intervals import Array

ALPHA = 0.05
OPEN, DIFFERENT, SMALL = 0, 1, 2
"""What is known of a comparison: nothing yet, its sign, or that it is below `smallest`."""
_GRID = 801
_WIDEST = 8.0  # standard deviations of the grid that densities are carried forward on
_BISECTIONS = 60


@dataclass(frozen=True)
class Looks:
    """When is looked, and how small a difference no longer matters."""

    seeds: tuple[int, ...]
    """Seeds at each look, rising; the last is the most that there will be."""
    smallest: float = 0.0
    """Difference in points below which a comparison is settled; 0 where any would matter."""
    alpha: float = ALPHA
    """Chance of one false decision or more, over all looks and comparisons."""

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.seeds, self.seeds[1:], strict=False))
        if not self.seeds or self.seeds[0] < 2 or not rising:
            raise ValueError(f"looks: rising numbers of seeds from 2 are needed, not {self.seeds}.")

    def level(self, look: int, comparisons: int) -> float:
        """Return the two-sided p below which a comparison is decided at a look, 0 for the first.

        `comparisons` is how many share alpha: all of the answer's, less those decided before.
        """
        return nominal_levels(self.seeds, self.alpha / max(comparisons, 1))[look]

    def overall(self, p: ArrayLike, look: int) -> Array:
        """Return the alpha over all looks at which a p at one look would just be decided.

        The least of all looks so far is what Holm's step-down is made on. NaN stays.
        """
        alphas, levels = _levels_of(self.seeds, look)
        values = np.asarray(p, dtype=float)
        with np.errstate(divide="ignore"):
            inner = np.exp(np.interp(np.log(values), np.log(levels), np.log(alphas)))
        below, above = values * alphas[0] / levels[0], 1.0
        found = np.where(values < levels[0], below, np.where(values > levels[-1], above, inner))
        return np.where(np.isnan(values), np.nan, found)


@dataclass(frozen=True)
class Look:
    """One look of several, with what the looks before it have found."""

    looks: Looks
    """When is looked."""
    number: int
    """Which one this is, 0 for the first."""
    before: Mapping[Hashable, float]
    """What `spend` returned at the look before."""

    @property
    def alpha(self) -> float:
        """Two-sided p below which a comparison alone would be decided."""
        return self.looks.level(self.number, 1)

    def spend(self, tests: Mapping[Hashable, float]) -> dict[Hashable, float]:
        """Return the least alpha over all looks that would have decided each test so far.

        `tests` has the p of each by a name that it has at every look: what was decided stays so.
        """
        now = self.looks.overall([*tests.values()], self.number)
        pairs = zip(tests, now, strict=True)
        return {name: float(np.fmin(p, self.before.get(name, np.nan))) for name, p in pairs}


def spent(share: ArrayLike, alpha: float = ALPHA) -> Array:
    """Return the alpha that may be spent by a share of the seeds, α·ln(1 + (e − 1)·share)."""
    return alpha * np.log1p((np.e - 1) * np.asarray(share, dtype=float))


@lru_cache(maxsize=256)
def nominal_levels(seeds: tuple[int, ...], alpha: float = ALPHA) -> tuple[float, ...]:
    """Return the two-sided p to ask for at each look so that the looks together err in `alpha`.

    The density of the sum of what was seen, among those not decided yet, is carried from look to
    look on a grid (Armitage, McPherson, Rowe, *J. R. Stat. Soc. A* 132, 1969). Test images, which
    all looks share, make looks more alike than this assumes, and the levels safe.

    Seeds are those at each look, rising; alpha is the chance of a false decision over all looks.
    """
    counts = np.array(seeds, dtype=float)
    allowed = np.diff(spent(counts / counts[-1], alpha), prepend=0.0)
    found = [float(allowed[0])]
    bound = float(-special.ndtri(allowed[0] / 2)) * np.sqrt(counts[0])
    x = np.linspace(-bound, bound, _GRID)
    density = np.exp(-(x**2) / (2 * counts[0])) / np.sqrt(2 * np.pi * counts[0])
    for k in range(1, counts.size):
        spread = float(np.sqrt(counts[k] - counts[k - 1]))
        weight = density * np.gradient(x)
        low, high = 0.0, _WIDEST * float(np.sqrt(counts[k]))
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            out = special.ndtr((x - middle) / spread) + special.ndtr((-middle - x) / spread)
            low, high = (middle, high) if weight @ out > allowed[k] else (low, middle)
        found.append(float(2 * special.ndtr(-high / np.sqrt(counts[k]))))
        y = np.linspace(-high, high, _GRID)
        steps = np.exp(-((y[:, None] - x) ** 2) / (2 * spread**2)) / (spread * np.sqrt(2 * np.pi))
        x, density = y, steps @ weight
    return tuple(found)


@lru_cache(maxsize=64)
def _levels_of(seeds: tuple[int, ...], look: int) -> tuple[Array, Array]:
    """Return alphas, rising, and the level of each at a look."""
    alphas = np.geomspace(1e-8, 0.5, 24)
    return alphas, np.array([nominal_levels(seeds, float(alpha))[look] for alpha in alphas])


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
    decided where it exceeds the quantile at `level` times √(A/(S + m) + B).

    Estimate, both parts of its standard error (points) and freedom are those of `inference.infer`
    for the seeds so far. `level` is the two-sided p to ask for then: the next look's, for a look
    that was not declared has a price.
    """
    d, s, b, nu = (np.asarray(v, dtype=float) for v in (estimate, seed_error, image_error, freedom))
    now = np.asarray(seeds, dtype=float)
    later = now + more
    variance = s**2 * now
    needed = special.stdtrit(nu + more, 1 - level / 2) * np.sqrt(variance / later + b**2)
    spread = np.sqrt(np.maximum(variance * more / (now * later), 1e-300))
    sides = [special.stdtr(nu, (sign * d - needed) / spread) for sign in (1, -1)]
    return np.asarray(sum(sides), dtype=float)
