"""How often the intervals of `results` hold the truth; seeded, under two minutes on one core.

python benchmarks/coverage.py                the tables of docs/statistics.md
python benchmarks/coverage.py --repeats 100  quicker and coarser
"""

import argparse
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from results.statistics.correctness import paired_test_set
from results.statistics.crossover import find_crossover, worth_in_data
from results.statistics.curves import LAST_VALUE, LOCAL_LAW, POWER_LAW, predict_error
from results.statistics.intervals import (
    mean_intervals,
    paired_difference,
    pooled_variance_of_cells,
)

Array = NDArray[np.float64]
Truth = Callable[[Array], Array]

SEED = 20210718
REPEATS = 1000
POOL = 40_000  # examples at fraction 1
DESIGNS = {
    "1/2, 1": (1 / 2, 1.0),
    "1/16, 1/2, 1": (1 / 16, 1 / 2, 1.0),
    "1/4, 1/2, 1": (1 / 4, 1 / 2, 1.0),
    "1/16, 1/8, 1/4, 1/2, 1": (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0),
}
NOISES: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Array]] = {
    "normal": lambda g, shape: g.normal(size=shape),
    "skewed": lambda g, shape: (g.gamma(4.0, size=shape) - 4.0) / 2.0,
    "heavy tails": lambda g, shape: g.standard_t(5, size=shape) / np.sqrt(5 / 3),
}


def main() -> None:
    """Print every table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=REPEATS, help="studies simulated per row")
    repeats = parser.parse_args().repeats
    tables = {
        "Means and differences (nominal 95 %)": intervals(repeats),
        "Two models on one test set (nominal 95 %)": test_sets(max(repeats // 4, 1)),
        "Extrapolation (nominal 95 %; errors in points)": extrapolation(repeats),
        "Crossover": crossovers(max(repeats // 2, 1)),
        "Worth of pretraining in data (nominal 95 %)": worths(repeats),
    }
    for title, table in tables.items():
        print(f"\n### {title}\n")
        print(markdown(table))


def intervals(repeats: int) -> pd.DataFrame:
    """Coverage of the t intervals and, for comparison, of a percentile bootstrap."""
    generator = np.random.default_rng([SEED, 1])
    rows = []
    for noise, draw in NOISES.items():
        for seeds in (3, 5):
            hits = np.zeros(4)
            for _ in range(4 * repeats):
                values = draw(generator, (seeds,))
                other = draw(generator, (seeds,))
                shared = generator.normal(size=seeds)
                pair = paired_difference(values + shared, other + shared)
                means = values[generator.integers(seeds, size=(200, seeds))].mean(axis=1)
                hits += [
                    not mean_intervals(values).is_decided,
                    pair.low <= 0 <= pair.high,
                    _pooled_holds(generator, draw, seeds),
                    np.percentile(means, 2.5) <= 0 <= np.percentile(means, 97.5),
                ]
            share = hits / (4 * repeats)
            rows.append(
                {
                    "noise": noise,
                    "seeds": seeds,
                    "t, mean": share[0],
                    "t, paired difference": share[1],
                    "t, pooled variance": share[2],
                    "(percentile bootstrap)": share[3],
                }
            )
    return pd.DataFrame(rows)


def test_sets(repeats: int) -> pd.DataFrame:
    """Coverage of the paired test-set interval; for new seeds too where there are several."""
    generator = np.random.default_rng([SEED, 2])
    rows = []
    for seeds in (1, 3, 5):
        paired = unpaired = 0
        for _ in range(repeats):
            difficulty = generator.normal(size=1000)
            skill = 1.2 + generator.normal(0, 0.05, size=(2, seeds, 1)) * (seeds > 1)
            noise = generator.normal(0, 0.5, size=(2, seeds, 1000))
            first, second = skill - difficulty + noise > 0
            found = paired_test_set(first, second)
            shares = np.array([first.mean(), second.mean()])
            half = 1.96 * 100 * np.sqrt(np.sum(shares * (1 - shares)) / 1000)
            paired += found.low <= 0 <= found.high
            unpaired += abs(found.difference) <= half
        rows.append(
            {
                "seeds": seeds,
                "paired": paired / repeats,
                "(two binomials, unpaired)": unpaired / repeats,
            }
        )
    return pd.DataFrame(rows)


def extrapolation(repeats: int) -> pd.DataFrame:
    """Coverage and error of predictions on curves of four shapes, three of them not the fitted."""
    rows = []
    for place, (design, fractions) in enumerate(DESIGNS.items()):
        for seeds in (3, 5):
            for times in (2, 4):
                generator = np.random.default_rng([SEED, 3, place, seeds, times])
                rows.append(
                    {"fractions": design, "seeds": seeds, "times": times}
                    | _extrapolated(generator, fractions, seeds, times, repeats // 2)
                )
    return pd.DataFrame(rows)


def crossovers(repeats: int) -> pd.DataFrame:
    """How often a crossover is claimed, and how often its location is held."""
    rows = []
    for design in ("1/16, 1/2, 1", "1/16, 1/8, 1/4, 1/2, 1"):
        sizes = POOL * np.array(DESIGNS[design])
        for seeds in (3, 5):
            generator = np.random.default_rng([SEED, 4, seeds, sizes.size])
            rows.append(
                {"fractions": design, "seeds": seeds} | _crossed(generator, sizes, seeds, repeats)
            )
    return pd.DataFrame(rows)


def worths(repeats: int) -> pd.DataFrame:
    """Coverage of the factor of data that replaces pretraining."""
    rows = []
    for design in ("1/16, 1/2, 1", "1/16, 1/8, 1/4, 1/2, 1"):
        sizes = POOL * np.array(DESIGNS[design])
        for seeds in (3, 5):
            generator = np.random.default_rng([SEED, 5, seeds, sizes.size])
            hits = finite = 0
            for _ in range(repeats):
                scratch = draw_curve(generator)
                factor = float(np.exp(generator.uniform(np.log(1.5), np.log(6))))
                pretrained = _moved(scratch, factor)
                a, b = (_runs(generator, truth, sizes, seeds) for truth in (scratch, pretrained))
                worth = worth_in_data(sizes, a, b)[0]
                low, high = worth.interval or (None, None)
                hits += (low or 0) <= factor <= (high or np.inf)
                finite += low is not None and high is not None
            rows.append(
                {
                    "fractions": design,
                    "seeds": seeds,
                    "interval": hits / repeats,
                    "closed at both ends": finite / repeats,
                }
            )
    return pd.DataFrame(rows)


def draw_curve(generator: np.random.Generator) -> Truth:
    """Return a falling learning curve of a random shape, in points.

    Power law with asymptote, Weibull, Morgan–Mercer–Flodin, or a power law that bends; it falls by
    a point or more over the last doubling to `POOL`.
    """
    while True:
        kind = generator.integers(4)
        floor = 0.0 if kind == 3 else generator.uniform(0, 15)
        top, scale = generator.uniform(60, 95), generator.uniform(5, 40)
        power, rate, half = (
            generator.uniform(*limits) for limits in ((0.15, 0.9), (0.5, 3), (0.02, 0.6))
        )
        bend = generator.uniform(-0.05, 0.05)

        def curve(
            n: Array,
            kind: int = int(kind),
            floor: float = floor,
            top: float = top,
            scale: float = scale,
            power: float = power,
            rate: float = rate,
            half: float = half,
            bend: float = bend,
        ) -> Array:
            x = n / POOL
            if kind == 0:
                return floor + scale * x**-power
            if kind == 1:
                return floor + (top - floor) * np.exp(-rate * x**power)
            if kind == 2:
                return (top * half + floor * x**power) / (half + x**power)
            return scale * np.exp(-power * np.log(x) - bend * np.log(x) ** 2)

        errors = curve(POOL * 2.0 ** np.arange(-4, 3))
        falls = -np.diff(errors)
        if errors.max() < 95 and errors.min() > 0.5 and falls.min() > 0 and falls[3] >= 1:
            return curve


def markdown(table: pd.DataFrame) -> str:
    """Return a frame as a Markdown table, shares in percent."""

    def text(name: str, value: object) -> str:
        if not isinstance(value, float):
            return str(value)
        return f"{value:.2f}" if name.startswith("MAE") else f"{100 * value:.0f} %"

    lines = ["| " + " | ".join(table.columns) + " |", "|" + " --- |" * table.shape[1]]
    for row in table.to_dict("records"):
        lines.append("| " + " | ".join(text(str(k), v) for k, v in row.items()) + " |")
    return "\n".join(lines)


def _pooled_holds(
    generator: np.random.Generator,
    draw: Callable[[np.random.Generator, tuple[int, ...]], Array],
    seeds: int,
) -> bool:
    """Return whether the first of six cells' interval holds its true mean of 0."""
    sizes = POOL * np.array([1 / 16, 1 / 16, 1 / 2, 1 / 2, 1.0, 1.0])
    sds = np.sqrt(0.02 + 2000 / sizes)
    cells = np.array([sd * draw(generator, (seeds,)) for sd in sds])
    half = pooled_variance_of_cells(sizes, cells).half_width(sizes[0], seeds)
    return bool(abs(cells[0].mean()) <= half)


def _runs(generator: np.random.Generator, truth: Truth, sizes: Array, seeds: int) -> Array:
    """Return errors (seeds, sizes); half of the noise's variance is a seed's own over all sizes."""
    sd = np.sqrt(0.05 + 1500 / sizes)
    own, each = generator.normal(size=(seeds, 1)), generator.normal(size=(seeds, sizes.size))
    return np.clip(truth(sizes) + sd * (own + each) / np.sqrt(2), 0, 100)


def _extrapolated(
    generator: np.random.Generator,
    fractions: Sequence[float],
    seeds: int,
    times: int,
    repeats: int,
) -> dict[str, float]:
    sizes = np.repeat(POOL * np.array(fractions), seeds)
    at = float(times * POOL)
    missed: dict[str, list[float]] = {"headline": [], LOCAL_LAW: [], POWER_LAW: [], LAST_VALUE: []}
    hits = done = 0
    for _ in range(repeats):
        truth = draw_curve(generator)
        noise = np.sqrt(generator.uniform(0.01, 0.1) + generator.uniform(300, 3000) / sizes)
        errors = np.clip(truth(sizes) + noise * generator.normal(size=sizes.size), 0, 100)
        found = predict_error(sizes, errors, at)
        if found.headline is None or found.interval is None:
            continue
        true = float(truth(np.array([at]))[0])
        done += 1
        hits += found.interval[0] <= true <= found.interval[1]
        for name, value in {"headline": found.headline, **found.forms}.items():
            missed[name].append(abs(value - true))
    return {"interval": hits / done} | {
        f"MAE {name}": float(np.mean(values)) for name, values in missed.items()
    }


def _crossed(
    generator: np.random.Generator, sizes: Array, seeds: int, repeats: int
) -> dict[str, float]:
    counts = dict.fromkeys(("claimed", "tie", "late", "bracket", "test", "bootstrap"), 0)
    located = 0
    for _ in range(repeats):
        small, big, true = _crossing_pair(generator, sizes)
        rows = _runs(generator, small, sizes, seeds)
        again = _runs(generator, small, sizes, seeds)
        # The hardest case: far ahead at the smallest size, a tie at every other.
        late = again + 5.0 * (sizes == sizes[0])
        for name, other in (("tie", again), ("late", late)):
            claim = find_crossover(sizes, rows, np.clip(other, 0, 100), generator, draws=1)
            counts[name] += claim.is_established
        found = find_crossover(
            sizes, rows, _runs(generator, big, sizes, seeds), generator, draws=400
        )
        if found.bracket:
            counts["claimed"] += 1
            counts["bracket"] += found.bracket[0] <= true <= found.bracket[1]
        if found.interval and found.bootstrap_interval:
            located += 1
            low, high = found.interval
            counts["test"] += (low <= sizes[0] or low <= true) and (
                high >= sizes[-1] or true <= high
            )
            low, high = found.bootstrap_interval
            counts["bootstrap"] += low <= true <= high
    return {
        "claimed where there is one": counts["claimed"] / repeats,
        "claimed where models tie": counts["tie"] / repeats,
        "claimed where small leads, then ties": counts["late"] / repeats,
        "bracket holds it": counts["bracket"] / max(counts["claimed"], 1),
        "location's interval": counts["test"] / max(located, 1),
        "(bootstrap)": counts["bootstrap"] / max(located, 1),
    }


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


if __name__ == "__main__":
    main()
