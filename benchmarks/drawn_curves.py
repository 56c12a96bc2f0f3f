"""Learning curves of random shapes, and what a study of two of them says; part of coverage.py."""

import itertools
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from results.statistics.crossover import Crossover, find_crossover, worth_in_data
from results.statistics.inference import contrasts_of, infer

Array = NDArray[np.float64]
Truth = Callable[[Array], Array]
"""Error in points by training examples."""

SEED = 20230
POOL = 40_000  # examples at fraction 1
DESIGNS = {
    "1/16, 1/2, 1": (1 / 16, 1 / 2, 1.0),
    "1/16, 1/8, 1/4, 1/2, 1": (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0),
}


def sizes(repeats: float) -> pd.DataFrame:
    """How often a crossover is claimed, and its place and the worth of pretraining are held."""
    rows = []
    for (design, fractions), seeds in itertools.product(DESIGNS.items(), (3, 5)):
        generator = np.random.default_rng([SEED, 6, seeds, len(fractions)])
        images = POOL * np.array(fractions)
        rows.append(
            {"fractions": design, "seeds": seeds}
            | crossed(generator, images, seeds, int(400 * repeats) + 1)
            | worth(generator, images, seeds, int(800 * repeats) + 1)
        )
    return pd.DataFrame(rows)


def crossed(
    generator: np.random.Generator, sizes: Array, seeds: int, studies: int
) -> dict[str, float]:
    """Return shares of claims: where there is a crossover, a tie, a lead that becomes a tie."""
    claimed = tie = late = holds = located = 0
    for _ in range(studies):
        small, big, true = _crossing_pair(generator, sizes)
        rows, again = (_runs(generator, small, sizes, seeds) for _ in range(2))
        # The hardest case: far ahead at the smallest size, a tie at every other.
        hardest = np.clip(again + 5.0 * (sizes == sizes[0]), 0, 100)
        tie += looked_at(sizes, rows, again).is_established
        late += looked_at(sizes, rows, hardest).is_established
        found = looked_at(sizes, rows, _runs(generator, big, sizes, seeds))
        claimed += found.is_established
        if not np.isnan(found.low):
            located += 1
            low, high = found.low, found.high
            holds += (low <= sizes[0] or low <= true) and (high >= sizes[-1] or true <= high)
    return {
        "crossover claimed": claimed / studies,
        "where models tie": tie / studies,
        "where small leads, then ties": late / studies,
        "place held": holds / max(located, 1),
    }


def looked_at(sizes: Array, small: Array, big: Array) -> Crossover:
    """Return the crossover of two models' errors (seeds, sizes), as a study of two models would."""
    known = infer(contrasts_of((small - big).T))
    return find_crossover(sizes, small.mean(axis=0), big.mean(axis=0), known.error, known.freedom)


def worth(
    generator: np.random.Generator, sizes: Array, seeds: int, studies: int
) -> dict[str, float]:
    """Return how often the factor of data that replaces pretraining is held."""
    hits = 0
    for _ in range(studies):
        scratch = draw_curve(generator)
        factor = float(np.exp(generator.uniform(np.log(1.5), np.log(6))))
        a, b = (
            _runs(generator, truth, sizes, seeds) for truth in (scratch, _moved(scratch, factor))
        )
        pairs = infer(contrasts_of((a[:, :, None] - b[:, None, :]).reshape(seeds, -1).T))
        half = ((pairs.high - pairs.low) / 2).reshape(sizes.size, -1)[:, 0]
        found = worth_in_data(sizes, a.mean(axis=0), half, sizes[0], float(b[:, 0].mean()))
        hits += not (factor < found.low or factor > found.high)
    return {"worth held": hits / studies}


def draw_curve(generator: np.random.Generator) -> Truth:
    """Return a falling learning curve of a random shape, in points.

    Power law with asymptote, Weibull, Morgan–Mercer–Flodin, or a power law that bends; it falls by
    a point or more over the last doubling to `POOL`.
    """
    while True:
        kind = int(generator.integers(4))
        floor = 0.0 if kind == 3 else generator.uniform(0, 15)
        top, scale = generator.uniform(60, 95), generator.uniform(5, 40)
        power, rate, half = (
            generator.uniform(*limits) for limits in ((0.15, 0.9), (0.5, 3), (0.02, 0.6))
        )
        curve = _curve(kind, floor, top, scale, power, rate, half, generator.uniform(-0.05, 0.05))
        errors = curve(POOL * 2.0 ** np.arange(-4, 3))
        falls = -np.diff(errors)
        if errors.max() < 95 and errors.min() > 0.5 and falls.min() > 0 and falls[3] >= 1:
            return curve


def _curve(
    kind: int,
    floor: float,
    top: float,
    scale: float,
    power: float,
    rate: float,
    half: float,
    bend: float,
) -> Truth:
    def curve(n: Array) -> Array:
        x = n / POOL
        if kind == 0:
            return floor + scale * x**-power
        if kind == 1:
            return floor + (top - floor) * np.exp(-rate * x**power)
        if kind == 2:
            return (top * half + floor * x**power) / (half + x**power)
        return scale * np.exp(-power * np.log(x) - bend * np.log(x) ** 2)

    return curve


def _runs(generator: np.random.Generator, truth: Truth, sizes: Array, seeds: int) -> Array:
    """Return errors (seeds, sizes); half of the noise's variance is a seed's own over all sizes."""
    sd = np.sqrt(0.05 + 1500 / sizes)
    own, each = generator.normal(size=(seeds, 1)), generator.normal(size=(seeds, sizes.size))
    return np.clip(truth(sizes) + sd * (own + each) / np.sqrt(2), 0, 100)


def _crossing_pair(generator: np.random.Generator, sizes: Array) -> tuple[Truth, Truth, float]:
    """Return two curves that cross once between the sizes, and where."""
    places = np.geomspace(sizes[0], sizes[-1], 400)
    while True:
        small, big = draw_curve(generator), draw_curve(generator)
        gap = small(places) - big(places)
        signs = np.flatnonzero((gap[:-1] < 0) & (gap[1:] >= 0))
        if np.abs(gap).max() < 12 and gap[0] < -1 and gap[-1] > 0.5 and signs.size == 1:
            return small, big, float(places[signs[0]])


def _moved(scratch: Truth, factor: float) -> Truth:
    return lambda n: scratch(factor * n)
