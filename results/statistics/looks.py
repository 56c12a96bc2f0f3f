"""Seeds that are added at declared looks until the answer is known. Arrays in, arrays out.

Whoever looks three times at 5 % errs in 11 %. Here the 5 % are spent over the looks (Lan and
DeMets, *Biometrika* 70, 1983, with Pocock's shape, which decides large differences early) and
shared among the answer's comparisons by Holm's step-down (Maurer and Bretz, *Stat. Biopharm. Res.*
5, 2013). Adding seeds until something is decided, without this, errs in 17 to 19 %.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
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
    """When is looked, and how small a difference no longer matters.

    Parameters
    ----------
    seeds
        Seeds at each look, rising; the last is the most that there will be.
    smallest
        Difference in points below which a comparison is settled; 0 where any would matter.
    alpha
        Chance of one false decision or more, over all looks and comparisons.
    """

    seeds: tuple[int, ...]
    smallest: float = 0.0
    alpha: float = ALPHA

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.seeds, self.seeds[1:], strict=False))
        if not self.seeds or self.seeds[0] < 2 or not rising:
            raise ValueError(f"looks: rising numbers of seeds from 2 are needed, not {self.seeds}.")

    def level(self, look: int, comparisons: int) -> float:
        """Return the two-sided p below which a comparison is decided at a look.

        Parameters
        ----------
        look
            0 for the first.
        comparisons
            How many share alpha: all of the answer's, less those decided before.
        """
        return nominal_levels(self.seeds, self.alpha / max(comparisons, 1))[look]

    def overall(self, p: ArrayLike, look: int) -> Array:
        """Return the alpha over all looks at which a p at one look would just be decided.

        Holm's step-down on these is `settle`'s; the least of all looks so far stays. NaN stays.
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
    """One look of several, with what the looks before it have found.

    Parameters
    ----------
    looks
        When is looked.
    number
        Which one this is, 0 for the first.
    before
        What `spend` returned at the look before.
    """

    looks: Looks
    number: int
    before: Mapping[Hashable, float]

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

    Parameters
    ----------
    seeds
        Seeds at each look, rising.
    alpha
        Chance of a false decision over all looks.
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


def settle(
    looks: Looks,
    look: int,
    estimate: ArrayLike,
    error: ArrayLike,
    freedom: ArrayLike,
    before: Sequence[int] | NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Return what is known of each of the answer's comparisons at a look.

    Different where p is below the look's level for as many comparisons as are not yet known to be
    different, taken anew after each; small where the interval at the level for all comparisons
    lies within ± `smallest`. What was settled stays so.

    Parameters
    ----------
    looks
        What was declared.
    look
        0 for the first.
    estimate, error, freedom
        Of each comparison, in points, from `inference.infer` on all seeds so far, shape
        (comparisons,).
    before
        What this returned at the look before.
    """
    d, se, nu = (np.asarray(part, dtype=float) for part in (estimate, error, freedom))
    state = np.zeros(d.size, dtype=np.int64) if before is None else np.array(before)
    known = np.isfinite(se) & (se > 0)
    ratio = np.divide(np.abs(d), se, out=np.zeros_like(d), where=known)
    p = np.where(known, 2 * special.stdtr(np.where(known, nu, 1.0), -ratio), 1.0)
    for place in np.argsort(p, kind="stable"):
        if state[place] == OPEN:
            if p[place] > looks.level(look, int((state != DIFFERENT).sum())):
                break
            state[place] = DIFFERENT
    if looks.smallest > 0:
        tail = 1 - looks.level(look, d.size) / 2
        reach = np.abs(d) + special.stdtrit(np.where(known, nu, 1.0), tail) * np.where(known, se, 0)
        state[(state == OPEN) & known & (reach < looks.smallest)] = SMALL
    return state


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

    Parameters
    ----------
    estimate, seed_error, image_error, freedom
        From `inference.infer`: the mean so far and the two parts of its standard error, in points.
    seeds
        Seeds so far.
    more
        Seeds to add.
    level
        Two-sided p to ask for then: the next look's level, for a look that was not declared has
        a price.
    """
    d, s, b, nu = (np.asarray(v, dtype=float) for v in (estimate, seed_error, image_error, freedom))
    now = np.asarray(seeds, dtype=float)
    later = now + more
    variance = s**2 * now
    needed = special.stdtrit(nu + more, 1 - level / 2) * np.sqrt(variance / later + b**2)
    spread = np.sqrt(np.maximum(variance * more / (now * later), 1e-300))
    sides = [special.stdtr(nu, (sign * d - needed) / spread) for sign in (1, -1)]
    return np.asarray(sum(sides), dtype=float)
