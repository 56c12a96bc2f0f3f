"""Fit the constants of `results.statistics.forecast` to real curves, and score them on others.

python benchmarks/learning_curves.py ../shared/facts/curves
    fitted to one half of the data sets of lcdb11.parquet and scored on the other, both ways; then
    the constants as shipped, which are fitted to all of them, on medical.csv
python benchmarks/learning_curves.py ../shared/facts/curves --table
    the constants beside it

Cases are all sizes of all curves that have those of a design and the larger one, with three made
runs at each (mean + deviation · normal); the truth is the mean at 2 to 64 times the largest size.
About ten minutes on one core, and 2 GiB.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from calibration import scale_powers, shortest
from filter_bank import RUNS, Array, Bank, filtered, local_law, tensor, variances
from numpy.typing import NDArray

from results.statistics.forecast import Curve

Parts = Sequence[tuple[Bank, Array]]
"""Banks of filters, each with the data sets that it is used on and was not fitted to."""

DESIGNS: dict[str, tuple[float, ...]] = {
    "5": (-4, -3, -2, -1, 0),
    "4": (-3, -2, -1, 0),
    "3": (-2, -1, 0),
    "3, wide": (-4, -1, 0),
    "2": (-1, 0),
    "2, wide": (-2, 0),
    "6, half": (-2.5, -2, -1.5, -1, -0.5, 0),
    "4, half": (-1.5, -1, -0.5, 0),
}
"""Sizes as log2 of the share of the largest."""
KINDS = {name: min(len(shares), 4) - 2 for name, shares in DESIGNS.items()}
SCORED = ("5", "3, wide", "3", "2")
STRETCHES = (2, 4, 8, 16, 32, 64)
TOGETHER = ((2,), (4,), (8, 16, 32, 64))
"""Stretches that share the powers of the scale."""
COVER = np.full((3, 6), 0.94)
"""What intervals hold of the curves that they are calibrated on, by number of sizes and stretch."""
COVER[:, 0] = 0.945, 0.94, 0.928  # the designs that are scored hold more at twice than others do
REFUSED = 0.139  # share of curves of which nothing is forecast
FILTERS, STEPS, BATCH, RATE = 3, 300, 700, 0.03
LARGEST_WEIGHT = 4.0  # of a curve's largest case, against each of its others
_LEAST = 200  # cases below which a design and stretch are not trained on


@dataclass(frozen=True)
class Cases:
    """The cases of one design and stretch; sizes rise along the last axis, errors in points."""

    data_set: Array
    mean: Array
    variance: Array
    truth: Array
    largest: NDArray[np.bool_]
    """Shape (cases,): whether it is its curve's largest case."""


@dataclass(frozen=True)
class Told:
    """What is forecast of cases, shape (cases,), with logarithms of features (cases, 7)."""

    logs: Array
    headline: Array
    doubt: Array
    truth: Array
    last: Array
    largest: NDArray[np.bool_]


def main() -> None:
    """Print the tables as Markdown, and the constants where asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("curves", type=Path, help="holds lcdb11.parquet and medical.csv")
    parser.add_argument("--table", action="store_true", help="print the constants too")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    cases = draw_cases(pd.read_parquet(chosen.curves / "lcdb11.parquet"))
    names = np.unique(cases["2", 2].data_set)
    first = np.random.default_rng(0).permutation(names)[: names.size // 2]
    halves = (first, np.setdiff1d(names, first))
    banks = [train(cases, half) for half in halves]
    score(cases, banks, halves)
    score_medical(pd.read_csv(chosen.curves / "medical.csv"))
    if chosen.table:
        parts = [(banks[0], halves[1]), (banks[1], halves[0])]
        above = thresholds(cases, parts)
        print_table(train(cases, names), above, *calibrate(cases, parts, above))


def draw_cases(curves: pd.DataFrame) -> dict[tuple[str, int], Cases]:
    """Return the cases of each design and stretch."""
    generator = np.random.default_rng(0)
    series = [
        (key[0], {round(2 * np.log2(n)): (mean, sd) for n, mean, sd in own.to_numpy(float)})
        for key, own in curves.set_index(["dataset_id", "learner"])[
            ["n_train", "error_mean", "error_sd"]
        ].groupby(level=[0, 1], observed=True)
    ]
    found = {}
    for name, shares in DESIGNS.items():
        for stretch in STRETCHES:
            rows = []
            for data_set, at in series:
                own = [
                    ([at[last + round(2 * share)] for share in shares], at[truth][0])
                    for last in sorted(at)
                    if (truth := last + 2 * round(np.log2(stretch))) in at
                    and all(last + round(2 * share) in at for share in shares)
                ]
                rows += [(data_set, *case, case is own[-1]) for case in own]
            data_set, sizes, truth, largest = (np.array(part) for part in zip(*rows, strict=True))
            mean, sd = sizes[..., 0], sizes[..., 1]
            noise = generator.normal(size=(*mean.shape, RUNS))
            runs = np.clip(mean[..., None] + sd[..., None] * noise, 0, 100)
            found[name, stretch] = Cases(
                data_set, runs.mean(axis=2), variances(runs), truth, largest
            )
    return found


def train(cases: dict[tuple[str, int], Cases], data_sets: Array) -> Bank:
    """Fit the bank by gradient: miss over that of "no change", plus a Laplace likelihood.

    The least certain cases, of which nothing will be forecast, do not count.
    """
    generator = torch.Generator().manual_seed(0)
    around = {
        **{"c": (np.log(0.4), 0.3), "keep": (1.8, 0.7), "centre": (0.01, 0.02)},
        **{"start": (0.2, 0.1), "variance": (-3.5, 0.7), "wander": (-4.5, 1.0)},
        **{"jump": (-6.5, 1.0), "weight": (0.0, 0.1)},
    }
    bank = {
        name: (at + by * torch.randn(FILTERS, generator=generator)).requires_grad_()
        for name, (at, by) in around.items()
    }
    bank["sharpness"] = torch.tensor(-0.7).requires_grad_()
    groups = []
    for (name, stretch), own in cases.items():
        inside = np.isin(own.data_set, data_sets)
        if inside.sum() >= _LEAST:
            weight = np.where(own.largest, LARGEST_WEIGHT, 1.0)
            parts = [tensor(part[inside]) for part in (own.mean, own.variance, own.truth, weight)]
            steps = np.diff(DESIGNS[name]).tolist()
            importance = (3 if stretch <= 4 else 1) * (2 if name == "5" else 1)
            groups.append((parts, float(np.log2(stretch)), steps, importance))
    optimizer = torch.optim.Adam(list(bank.values()), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS, eta_min=RATE / 20)
    torch.manual_seed(0)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = torch.zeros(())
        for parts, doublings, steps, importance in groups:
            chosen = torch.randint(len(parts[0]), (BATCH,))
            mean, variance, truth, weight = (part[chosen] for part in parts)
            value, spread = filtered(mean, variance, bank, doublings, steps)
            doubt = (spread - (mean[:, -1] - value)).detach()
            weight = weight * (doubt < torch.quantile(doubt, 0.87))
            miss = (value - truth).abs()
            share = (weight * miss).sum() / (weight * (mean[:, -1] - truth).abs()).sum()
            likely = (weight * (spread.log() + 1.41 * miss / spread)).sum() / weight.sum()
            loss = loss + importance * (share + 0.06 * likely)
        (loss / sum(group[-1] for group in groups)).backward()
        optimizer.step()
        schedule.step()
    return {name: value.detach() for name, value in bank.items()}


def tell(own: Cases, bank: Bank, data_sets: Array, name: str, stretch: int) -> Told:
    """Forecast the cases of some data sets; see `Curve` for each part."""
    chosen = np.isin(own.data_set, data_sets)
    mean, variance = own.mean[chosen], own.variance[chosen]
    shares = np.array(DESIGNS[name])
    steps = np.diff(shares).tolist()

    def ask(keep: int, doublings: float) -> list[Array]:
        parts = (tensor(mean[:, :keep]), tensor(variance[:, :keep]))
        found = filtered(*parts, bank, doublings, steps[: keep - 1])
        return [part.numpy().astype(float) for part in found]

    value, spread = ask(shares.size, float(np.log2(stretch)))
    following, doubt = ask(shares.size, 1.0)
    foretold = ask(shares.size - 1, steps[-1])[0]
    headline = np.clip((value + local_law(mean, shares, float(np.log2(stretch)))) / 2, 0, 100)
    rises, last = np.diff(mean, axis=1), mean[:, -1]
    features = [
        *(np.abs(last - headline), np.maximum(rises, 0).sum(1), np.abs(foretold - last)),
        *(np.sqrt(variance[:, -1]), last, np.abs(rises[:, -1]), spread),
    ]
    return Told(
        *(np.log(np.column_stack(features) + 0.05), headline, doubt - (last - following)),
        *(own.truth[chosen], last, own.largest[chosen]),
    )


def thresholds(cases: dict[tuple[str, int], Cases], parts: Parts) -> Array:
    """Return the doubt above which nothing is forecast, for two, three and more sizes."""
    found = []
    for name in ("2", "3", "5"):
        own = [tell(cases[name, 2], bank, sets, name, 2) for bank, sets in parts]
        doubt = np.concatenate([part.doubt for part in own])
        largest = np.concatenate([part.largest for part in own])
        ends = [np.quantile(each, 1 - REFUSED) for each in (doubt, doubt[largest])]
        found.append(max(ends))
    return np.array(found)


def calibrate(
    cases: dict[tuple[str, int], Cases], parts: Parts, above: Array
) -> tuple[Array, Array]:
    """Return powers (kinds, stretches, features) and quantiles (kinds, down and up, stretches)."""
    generator = np.random.default_rng(0)
    powers, quantiles = [], []
    for kind in range(3):
        cover = dict(zip(STRETCHES, COVER[kind], strict=True))
        data = {
            stretch: [
                np.concatenate(part)
                for part in zip(*_misses(cases, parts, above, kind, stretch), strict=True)
            ]
            for stretch in STRETCHES
        }
        own: dict[int, Array] = {}
        for group in TOGETHER:
            drawn = [(_some(data[stretch], generator), cover[stretch]) for stretch in group]
            own |= dict.fromkeys(group, scale_powers(drawn))
        powers.append([own[stretch] for stretch in STRETCHES])
        quantiles.append([shortest(*data[s], own[s], cover[s]) for s in STRETCHES])
    return np.array(powers), np.array(quantiles).transpose(0, 2, 1)


def _misses(
    cases: dict[tuple[str, int], Cases], parts: Parts, above: Array, kind: int, stretch: int
) -> Iterator[tuple[Array, Array, Array]]:
    """Yield features, truth minus headline, and weights of all designs with a number of sizes."""
    for name in (name for name, own in KINDS.items() if own == kind):
        for bank, sets in parts:
            told = tell(cases[name, stretch], bank, sets, name, stretch)
            kept = told.doubt <= above[kind]
            weight = np.where(told.largest, LARGEST_WEIGHT, 1.0) * (1 + (name in SCORED))
            yield told.logs[kept], (told.truth - told.headline)[kept], weight[kept]


def _some(parts: Sequence[Array], generator: np.random.Generator) -> list[Array]:
    chosen = generator.choice(len(parts[1]), min(len(parts[1]), 6000), replace=False)
    return [part[chosen] for part in parts]


def score(
    cases: dict[tuple[str, int], Cases], banks: Sequence[Bank], halves: Sequence[Array]
) -> None:
    """Print what is forecast of each half by what the other taught."""
    known = []
    for bank, half in zip(banks, halves, strict=True):
        above = thresholds(cases, [(bank, half)])
        known.append((bank, above, *calibrate(cases, [(bank, half)], above)))
    heads = ["curves", "refused", "miss / no change", "held", "median width"]
    head = ["sizes", "times", *heads, *(f"every size: {each}" for each in heads)]
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for name in SCORED:
        for place, stretch in enumerate(STRETCHES):
            rows = []
            for (bank, above, powers, quantiles), sets in zip(known, halves[::-1], strict=True):
                told, kind = tell(cases[name, stretch], bank, sets, name, stretch), KINDS[name]
                scale = np.exp(told.logs @ powers[kind][place])
                down, up = quantiles[kind][:, place]
                low, high = (told.headline + end * scale for end in (-down, up))
                rows.append((told, told.doubt <= above[kind], low.clip(0), high.clip(None, 100)))
            cells = [
                text
                for of_largest in (True, False)
                for text in _figures([_chosen(*row, of_largest) for row in rows])
            ]
            print(f"| {name} | {stretch} | {' | '.join(cells)} |", flush=True)


def _chosen(
    told: Told, kept: NDArray[np.bool_], low: Array, high: Array, of_largest: bool
) -> Array:
    """Return kept, low, high, headline, truth and last value, shape (6, cases)."""
    among = told.largest | (not of_largest)
    columns = (kept, low, high, told.headline, told.truth, told.last)
    return np.array([column[among] for column in columns], dtype=float)


def _figures(tables: Sequence[Array]) -> list[str]:
    table = np.concatenate(tables, axis=1)
    kept, low, high, headline, truth, last = table[:, table[0] > 0]
    held = (low <= truth) & (truth <= high)
    return [
        f"{table.shape[1]:,}",
        f"{100 * (1 - kept.size / table.shape[1]):.1f} %",
        f"{np.abs(headline - truth).mean() / np.abs(last - truth).mean():.3f}",
        f"{100 * held.mean():.1f} %",
        f"{np.median(high - low):.2f}",
    ]


def score_medical(curves: pd.DataFrame) -> None:
    """Print the constants as shipped on curves of other tasks, learners and metric: 1 − AUROC."""
    rows = []
    for _, own in curves.groupby(["dataset", "label"]):
        early = own["n_train"] <= 360
        curve = Curve(own["n_train"][early], own["error"][early])
        for at, truth in own[~early].groupby("n_train")["error"].mean().items():
            found = curve.forecast(float(str(at)))
            low, high = found.interval or (np.nan, np.nan)
            headline = np.nan if found.headline is None else found.headline
            rows.append((headline - truth, curve.errors[-1] - truth, low <= truth <= high))
    miss, change, held = np.array(rows, dtype=float).T
    print(
        f"\nmedical, from at most 360 images to 414 to 720: {np.isnan(miss).mean():.0%} refused, "
        f"root mean square error {np.sqrt(np.nanmean(miss**2)):.3f} points (no change "
        f"{np.sqrt(np.mean(change**2)):.3f}), {held[~np.isnan(miss)].mean():.0%} held\n"
    )


def print_table(bank: Bank, above: Array, powers: Array, quantiles: Array) -> None:
    """Print the constants as `results/statistics/forecast.py` has them."""
    columns = [
        *(bank["c"].exp(), torch.sigmoid(bank["keep"]), bank["centre"], bank["start"]),
        *(bank["variance"].exp(), bank["wander"].exp(), bank["jump"].exp()),
        torch.softmax(bank["weight"], 0),
    ]
    constants = {
        "_BANK": (np.column_stack([column.numpy() for column in columns]), ".3g"),
        "_SHARPNESS": (bank["sharpness"].exp().numpy(), ".3g"),
        "_REFUSED_ABOVE": (above, ".3g"),
        "_SCALES": (powers[:, :3], ".3f"),
        "_QUANTILES": (quantiles, ".3g"),
    }
    for name, (values, digits) in constants.items():
        rounded = np.vectorize(lambda value, digits=digits: float(format(value, digits)))(values)
        text = np.array2string(rounded, separator=", ", suppress_small=True, max_line_width=96)
        print(f"{name} = {text}\n")


if __name__ == "__main__":
    main()
