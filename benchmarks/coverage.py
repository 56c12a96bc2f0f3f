"""How often the intervals and decisions of `results` are right; seeded, one core.

python benchmarks/coverage.py          all tables of docs/statistics.md, in a quarter of an hour
python benchmarks/coverage.py grid     one of them:
    grid   seeds × their share of variance × contrasts × unlike variances
    null   false claims in studies of 2×2×3 cells without any effect
    zero   seeds that gain alike, on 360 test images
    best   the value of the best of twelve cells
    looks  seeds added at 3, 5 and 8 until the answer is known
    sizes  where curves cross, and what pretraining is worth in data
--repeats 0.1 is quicker and coarser
"""

import argparse
import itertools
from collections.abc import Callable, Hashable

import numpy as np
import pandas as pd
from drawn_curves import SEED, sizes
from numpy.typing import NDArray
from scipy.special import ndtr

from results.statistics.best import best_value, probability_of_best
from results.statistics.inference import Contrasts, contrasts_of, holm, infer
from results.statistics.looks import ALPHA, DIFFERENT, OPEN, Look, Looks

Array = NDArray[np.float64]

IMAGES = 1000
LEVELS = list(itertools.product(range(2), range(2), range(3)))


def main() -> None:
    """Print tables as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="?", choices=PARTS, help="one table; all by default")
    parser.add_argument("--repeats", type=float, default=1.0, help="share of the studies")
    chosen = parser.parse_args()
    for name in [chosen.part] if chosen.part else PARTS:
        print(f"\n### {name}\n\n{markdown(PARTS[name](chosen.repeats))}")


def grid(repeats: float) -> pd.DataFrame:
    """Coverage by number of seeds: the least and the most over all other settings.

    Shares of seeds in the variance of 0, 50, 90 and 99 %, 4, 12 and 40 contrasts, log variances of
    seeds that spread by 0, 0.5 and 1, and 20, 50 and 80 % of the rest due to images.
    """
    generator = np.random.default_rng([SEED, 1])
    rows = []
    for seeds in (2, 3, 5, 8):
        found = [
            held(generator, seeds, share, contrasts, spread, int(repeats * 200_000 / contrasts) + 1)
            for share, contrasts, spread in itertools.product(
                (0.0, 0.5, 0.9, 0.99), (4, 12, 40), (0.0, 0.5, 1.0)
            )
            if share or not spread
        ]
        table = np.array(found)
        least, most = table[..., 0].min(), table[..., 0].max()
        rows.append(
            {
                "seeds": seeds,
                "held, least": least,
                "held, most": most,
                "noisiest tenth": table[..., 1].mean(axis=1).min(),
                "half-width in sd, most": float(f"{table[..., 2].mean(axis=1).max():.2f}"),
            }
        )
    return pd.DataFrame(rows)


def held(
    generator: np.random.Generator,
    seeds: int,
    share: float,
    contrasts: int,
    spread: float,
    studies: int,
) -> list[tuple[float, float, float]]:
    """Return, by part of images: coverage, that of the noisiest tenth, median half-width in sd."""
    found = []
    for part in (0.2, 0.5, 0.8):
        table, own, sd = drawn(generator, seeds, contrasts, share, spread, studies, part)
        known = infer(table)
        holds = (known.low <= 0) & (known.high >= 0)
        noisy = own >= np.quantile(own, 0.9)
        half = np.median((known.high - known.low) / 200 / sd)
        found.append((float(holds.mean()), float(holds[noisy].mean()), float(half)))
    return found


def drawn(
    generator: np.random.Generator,
    seeds: int,
    contrasts: int,
    share: float,
    spread: float,
    studies: int,
    image_part: float,
) -> tuple[Contrasts, Array, Array]:
    """Return contrasts without effect, each one's variance of a seed, and sd of a difference.

    One seed's paired difference has variance 1 (points² · 10⁻⁴): `share` of it from seeds, times a
    log-normal factor whose logarithm has standard deviation `spread`; of the rest `image_part`
    from images that all seeds share.
    """
    factor = np.exp(spread * generator.normal(size=(studies, contrasts)))
    image = (1 - share) * image_part
    rest = (1 - share) * (1 - image_part)
    own = share * factor + rest

    def square(mean: Array | float, freedom: int) -> Array:
        return mean * generator.chisquare(freedom, size=factor.shape) / freedom

    error = np.sqrt(own / seeds + image) * generator.normal(size=factor.shape)
    full = np.full(factor.shape, 1.0)
    table = Contrasts(
        estimate=100 * error,
        seeds=seeds * full,
        images=IMAGES * full,
        seed=1e4 * square(own, seeds - 1),
        image=1e4 * square(seeds * image + rest, IMAGES - 1),
        rest=1e4 * square(rest, (seeds - 1) * (IMAGES - 1)),
    )
    return table, own, np.sqrt(own + image)


def correctness(
    generator: np.random.Generator,
    cells: int,
    seeds: int,
    images: int,
    seed_sd: float | Array,
    shared_sd: float,
    image_sd: float,
    rest_sd: float = 0.4,
    skill: float | Array = 1.2,
) -> NDArray[np.bool_]:
    """Return whether each cell, seed and image is right, by a probit model of these deviations."""

    def draw(*shape: int) -> Array:
        return generator.standard_normal(shape, dtype=np.float32).astype(float)

    ability = np.broadcast_to(skill, (cells,))[:, None, None]
    ability = ability + seed_sd * draw(cells, seeds, 1) + shared_sd * draw(1, seeds, 1)
    hard = draw(1, 1, images) + image_sd * draw(cells, 1, images) + 0.3 * draw(1, seeds, images)
    return ability + hard + rest_sd * draw(cells, seeds, images) > 0


def weighed(right: NDArray[np.bool_], weights: Array) -> Contrasts:
    """Return contrasts of cells, weights of shape (contrasts, cells)."""
    points = 100.0 * right
    flat = points.reshape(len(points), -1)
    squares = np.einsum("ca,ab,cb->c", weights, flat @ flat.T, weights)
    sums = ((weights @ points.sum(axis=1)) ** 2).sum(axis=1)
    return contrasts_of(weights @ points.mean(axis=2), right.shape[2], sums, squares)


def steps() -> tuple[Array, NDArray[np.bool_]]:
    """Return the weights of every step of a factor in every cell and of every main effect."""
    rows, in_cell = [], []
    for factor, count in enumerate((2, 2, 3)):
        for first, second in itertools.combinations(range(count), 2):
            whole = np.zeros(len(LEVELS))
            for place, levels in enumerate(LEVELS):
                if levels[factor] == first:
                    other = (*levels[:factor], second, *levels[factor + 1 :])
                    row = np.zeros(len(LEVELS))
                    row[place], row[LEVELS.index(other)] = -1, 1
                    rows.append(row)
                    in_cell.append(True)
                    whole += row
            rows.append(whole / (whole > 0).sum())
            in_cell.append(False)
    return np.array(rows), np.array(in_cell)


def null(repeats: float) -> pd.DataFrame:
    """Share of studies without any effect that make a claim."""
    weights, in_cell = steps()
    scale = (weights**2).sum(axis=1) / 2
    share = np.abs(weights) / np.abs(weights).sum(axis=1, keepdims=True)
    covariates = share @ (np.array(LEVELS) * [1, 1, np.log(4)])
    rows = []
    for seeds, images, sd, unlike in (
        *((3, 1000, 0.05, 0), (3, 1000, 0.15, 0), (3, 1000, 0.15, 1), (3, 360, 0.05, 0)),
        *((2, 360, 0.05, 0), (2, 360, 0.15, 1), (5, 1000, 0.1, 1)),
    ):
        generator = np.random.default_rng([SEED, 2])
        counts = np.zeros(4)
        studies = int(1500 * repeats) + 1
        for _ in range(studies):
            own = sd * np.exp(0.5 * unlike * generator.normal(size=(12, 1, 1)))
            right = correctness(generator, 12, seeds, images, own, 0.05, 0.3)
            found = infer(weighed(right, weights), covariates, scale, independent=11)
            counts += [
                holm(found.p[in_cell]).min() < 0.05,
                holm(found.p[~in_cell]).min() < 0.05,
                holm(found.p).min() < 0.05,
                (found.p[in_cell] < 0.05).mean(),
            ]
        rows.append(
            {
                "seeds": seeds,
                "images": images,
                "seeds' sd": str(sd),
                "unlike": ["no", "yes"][unlike],
            }
            | dict(
                zip(
                    ("24 steps", "5 main effects", "all", "(a step alone)"),
                    counts / studies,
                    strict=True,
                )
            )
        )
    return pd.DataFrame(rows)


def zero(repeats: float) -> pd.DataFrame:
    """How often steps without effect are decided, two seeds and 360 test images."""
    weights, in_cell = steps()
    rows = []
    for name, sd, shared, image_sd, rest_sd, skill in (
        ("seeds differ", 0.05, 0.05, 0.3, 0.4, 1.2),
        ("seeds differ by images only", 0.0, 0.0, 0.2, 0.4, 1.2),
        ("models nearly alike", 0.02, 0.05, 0.1, 0.15, 1.2),
        ("accuracy 98 %", 0.05, 0.05, 0.3, 0.4, 2.6),
    ):
        generator = np.random.default_rng([SEED, 3])
        counts = np.zeros(4)
        studies = int(1000 * repeats) + 1
        for _ in range(studies):
            right = correctness(generator, 12, 2, 360, sd, shared, image_sd, rest_sd, skill)
            table = weighed(right, weights[in_cell])
            alike = (table.seed < 1e-9) & (table.estimate != 0)
            decided = infer(table, independent=11).p < 0.05
            by_seed = weights[in_cell] @ (100.0 * right).mean(axis=2)
            alone = infer(contrasts_of(by_seed), independent=11).p < 0.05
            counts += [alike.mean(), decided.mean(), (decided & alike).mean(), alone.mean()]
        names = ("gain alike, not 0", "decided", "of these alike", "decided by seeds only")
        rows.append({"study": name} | dict(zip(names, counts / studies, strict=True)))
    return pd.DataFrame(rows)


def best(repeats: float) -> pd.DataFrame:
    """Coverage of the value of the best of twelve cells, and how often that is named rightly."""
    pairs = np.array(list(itertools.combinations(range(12), 2)))
    weights = np.eye(12)[pairs[:, 0]] - np.eye(12)[pairs[:, 1]]
    effects: dict[str, Array | float] = {
        "12 equal": np.zeros(12),
        "one 0.08 ahead": 0.08 * (np.arange(12) == 0),
        "sd 0.05": 0.05,
        "sd 0.3": 0.3,
    }
    rows = []
    for (seeds, images, sd, shared, image_sd), (name, effect) in itertools.product(
        ((2, 1000, 0.05, 0.05, 0.3), (3, 1000, 0.15, 0.0, 0.1), (5, 360, 0.05, 0.05, 0.3)),
        effects.items(),
    ):
        generator = np.random.default_rng([SEED, 4])
        spread = np.sqrt(1 + image_sd**2 + 0.09 + 0.16 + sd**2 + shared**2)
        found = []
        for _ in range(int(1000 * repeats) + 1):
            own = effect * generator.normal(size=12) if isinstance(effect, float) else effect
            truth = 100 * ndtr((1.2 + own) / spread)
            right = correctness(generator, 12, seeds, images, sd, shared, image_sd, skill=1.2 + own)
            cells = infer(weighed(right, np.eye(12)))
            apart = infer(weighed(right, weights), independent=11)
            gaps = np.full(12, np.nan)
            chosen = (pairs == cells.estimate.argmax()).any(axis=1)
            gaps[pairs[chosen].sum(axis=1) - cells.estimate.argmax()] = apart.error[chosen]
            low, high = best_value(cells.estimate, cells.error, cells.freedom, gaps)
            place = cells.estimate.argmax()
            true = truth[place]
            freedom = np.full(12, np.median(apart.freedom))
            alone = np.full(12, np.nanmedian(gaps) / np.sqrt(2))
            chance = probability_of_best(cells.estimate, alone, freedom, generator, 400)
            found.append(
                (
                    low <= true <= high,
                    cells.low[place] <= true <= cells.high[place],
                    cells.estimate[place] - true,
                    chance.max(),
                    truth[chance.argmax()] >= truth.max() - 1e-9,
                )
            )
        means = np.array(found, dtype=float).mean(axis=0)
        rows.append(
            {
                "seeds": seeds,
                "images": images,
                "cells": name,
                "held": means[0],
                "(t alone)": means[1],
                "points too high": f"{means[2]:+.2f}",
                "probability of best": means[3],
                "is best": means[4],
            }
        )
    return pd.DataFrame(rows)


def looks(repeats: float) -> pd.DataFrame:
    """False decisions and seeds used where seeds are added at 3, 5 and 8."""
    rows = []
    for (claims, contrasts), spread, share in itertools.product(
        ((1, 4), (3, 12), (5, 12), (5, 24)), (0.0, 1.0), (0.5, 0.95)
    ):
        for gap, studies in ((0, 4000), (1.5, 400), (3, 400)):
            found = sequential(gap, claims, contrasts, share, spread, int(studies * repeats) + 1)
            rows.append(
                {"gap in sd": float(gap), "comparisons": f"{claims} of {contrasts}"}
                | {"seeds' share": share, "spread": str(spread)}
                | dict(zip(("false decisions", "decided", "of eight seeds"), found, strict=True))
            )
    return pd.DataFrame(rows)


def sequential(
    gap: float, claims: int, contrasts: int, share: float, spread: float, studies: int
) -> tuple[float, float, float]:
    """Return the shares of studies with a false decision, of claims decided, and of seeds used."""
    generator = np.random.default_rng([SEED, 5])
    plan = Looks((3, 5, 8))
    rest = image = (1 - share) / 2
    own = share * np.exp(spread * generator.normal(size=(studies, contrasts))) + rest
    full = np.ones(own.shape)
    true = np.where(np.arange(contrasts) < claims, gap * np.sqrt(own + image), 0.0)
    luck = np.sqrt(image) * generator.normal(size=own.shape)
    noise = np.sqrt(own)[..., None] * generator.normal(size=(*own.shape, 8))
    draws = 100 * ((true + luck)[..., None] + noise)
    seeds, state = np.full(own.shape, 3), np.full((studies, claims), OPEN)
    wrong = np.zeros(studies, dtype=bool)
    spent: list[dict[Hashable, float]] = [{} for _ in wrong]
    for look, count in enumerate(plan.seeds):
        seeds[:, :claims][state == OPEN] = count
        table = contrasts_of(np.where(np.arange(8) < seeds[..., None], draws, np.nan))
        # The mean squares of images and rest, which many images tell all but exactly.
        known = Contrasts(
            *(table.estimate, table.seeds, 2000 * full, table.seed),
            image=1e4 * (seeds * image + rest),
            rest=1e4 * rest * full,
        )
        found = infer(known)
        for study, p in enumerate(found.p[:, :claims]):
            spent[study] = Look(plan, look, spent[study]).spend(dict(enumerate(p)))
        decides = np.array([holm([*own.values()]) for own in spent]) <= ALPHA
        falsely = np.sign(found.estimate) != np.sign(true)
        wrong |= (decides & (state == OPEN) & falsely[:, :claims]).any(axis=1)
        state = np.where(decides, DIFFERENT, OPEN)
    used = seeds[:, :claims].mean() / 8
    return float(wrong.mean()), float((state == DIFFERENT).mean()), float(used)


def markdown(table: pd.DataFrame) -> str:
    """Return a frame as a Markdown table, shares in percent."""

    def text(name: str, value: object) -> str:
        if not isinstance(value, float):
            return str(value)
        return f"{value:.2f}" if "in sd" in name else f"{100 * value:.1f} %"

    lines = ["| " + " | ".join(table.columns) + " |", "|" + " --- |" * table.shape[1]]
    for row in table.to_dict("records"):
        lines.append("| " + " | ".join(text(str(k), v) for k, v in row.items()) + " |")
    return "\n".join(lines)


PARTS: dict[str, Callable[[float], pd.DataFrame]] = {
    "grid": grid,
    "null": null,
    "zero": zero,
    "best": best,
    "looks": looks,
    "sizes": sizes,
}

if __name__ == "__main__":
    main()
