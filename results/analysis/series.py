"""Lines over data sizes held against one another: crossovers, worth of pretraining.

A series is one level of every factor but `fraction`. Errors are in points, sizes in examples.
`runs` is always what `results.analysis.runs.compared_runs` returns, `factors` the columns that name
a cell.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from results.analysis.runs import by_cell, ordered_levels
from results.statistics.crossover import DRAWS, Crossover, DataWorth, find_crossover, worth_in_data

_NEEDED = ("model", "weights", "fraction", "seed", "n_train", "error", "n_parameters")
_CROSSED = (
    *("n_seeds", "is_established", "p_value", "bracket_low", "bracket_high", "location"),
    *("low", "high", "bootstrap_low", "bootstrap_high", "share_without_root", "hypothetical"),
    "verdict",
)
_WORTH = ("error", "factor", "low", "high", "more_than", "less_than", "n_seeds", "text")


def crossovers(
    runs: pd.DataFrame,
    factors: Sequence[str],
    generator: np.random.Generator,
    pairs: Sequence[tuple[Any, Any]] | None = None,
    draws: int = DRAWS,
) -> pd.DataFrame:
    """Look for data sizes at which a bigger model overtakes a smaller one.

    Pairs of models, the smaller first, are by default every two, by parameters. One row per pair
    and level of the factors but `model` and `fraction`, where two sizes have common seeds: `small`,
    `big`, those factors, `n_seeds`, `is_established`, `p_value`, `bracket_low`, `bracket_high`
    (examples), `location`, `low`, `high` (examples; NaN where the means do not cross),
    `bootstrap_low`, `bootstrap_high`, `share_without_root`, `hypothetical` (examples), `verdict`
    (text).
    """
    others = [name for name in factors if name not in ("model", "fraction")]
    compared = list(combinations(ordered_levels(runs, "model"), 2) if pairs is None else pairs)
    rows = []
    for levels, own in parts(runs, others):
        of_model = dict(iter(own.groupby("model", sort=False)))
        for small, big in compared:
            if small not in of_model or big not in of_model:
                continue
            tables = paired_tables(of_model[small], of_model[big])
            if tables is not None:
                found = find_crossover(*tables, generator, draws=draws)
                rows.append({"small": small, "big": big, **levels, **_columns(found, _CROSSED)})
    return pd.DataFrame(rows, columns=["small", "big", *others, *_CROSSED])


def data_worths(runs: pd.DataFrame, factors: Sequence[str], scratch: str = "none") -> pd.DataFrame:
    """Tell how many times the data replaces each kind of pretrained weights, against `scratch`.

    One row per pretrained level, size and level of the factors but `weights` and `fraction`: those
    factors, `weights`, `fraction`, `n_train`, `error` (of the pretrained model, points), `factor`,
    `low`, `high` (NaN where open), `more_than`, `less_than` (NaN unless off the chart), `n_seeds`,
    `text` (as people write it).
    """
    others = [name for name in factors if name not in ("weights", "fraction")]
    rows = []
    for levels, own in parts(runs, others):
        shares = dict(zip(own["n_train"].astype(float), own["fraction"], strict=True))
        for weights in ordered_levels(own, "weights"):
            if weights == scratch:
                continue
            tables = paired_tables(own[own["weights"] == scratch], own[own["weights"] == weights])
            for worth in [] if tables is None else worth_in_data(*tables):
                named = {"weights": weights, "fraction": shares[worth.size]}
                named["n_train"] = int(worth.size)
                rows.append({**levels, **named, **_columns(worth, _WORTH)})
    return pd.DataFrame(rows, columns=[*others, "weights", "fraction", "n_train", *_WORTH])


def paired_tables(
    first: pd.DataFrame, second: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return sizes and both series' errors (seeds, sizes) over what both have.

    Where runs are missing, the seeds or the sizes that lack one are left out, whichever keeps more
    runs. None with fewer than two sizes or no seed.
    """
    sizes, seeds = (
        np.intersect1d(first[name].to_numpy(), second[name].to_numpy())
        for name in ("n_train", "seed")
    )
    if len(sizes) < 2 or not len(seeds):
        return None
    a, b = (_laid_out(own, seeds, sizes) for own in (first, second))
    n = sizes.astype(float)
    whole = ~(np.isnan(a) | np.isnan(b))
    rows, columns = whole.all(axis=1), whole.all(axis=0)
    if columns.sum() > 1 and len(a) * columns.sum() > rows.sum() * n.size:
        return n[columns], a[:, columns], b[:, columns]
    return (n, a[rows], b[rows]) if rows.any() else None


def _laid_out(runs: pd.DataFrame, seeds: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return errors of shape (seeds, sizes), NaN where there is no run."""
    seed, size = runs["seed"].to_numpy(), runs["n_train"].to_numpy()
    kept = np.isin(seed, seeds) & np.isin(size, sizes)
    place = np.searchsorted(seeds, seed[kept]), np.searchsorted(sizes, size[kept])
    if np.unique(np.ravel_multi_index(place, (seeds.size, sizes.size))).size < kept.sum():
        raise ValueError(
            "Two runs share seed and size: name every column in which runs differ in factors."
        )
    table = np.full((seeds.size, sizes.size), np.nan)
    table[place] = runs["error"].to_numpy(dtype=float)[kept]
    return table


def parts(runs: pd.DataFrame, keys: Sequence[str]) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Yield the levels of the given factors that occur, with their runs."""
    for own in by_cell(runs[list(dict.fromkeys([*keys, *_NEEDED]))], keys).values():
        yield {name: own[name].iloc[0] for name in keys}, own


def _columns(found: Crossover | DataWorth, names: Sequence[str]) -> dict[str, Any]:
    """Return what was found by columns: both ends of a pair apart, NaN where there is none."""
    pairs = {"": "interval", "bracket": "bracket", "bootstrap": "bootstrap_interval"}
    columns = {}
    for name in names:
        stem, _, end = name.rpartition("_")
        if end in ("low", "high"):
            ends = getattr(found, pairs[stem]) or (None, None)
            value = ends[end == "high"]
        else:
            value = getattr(found, name)
        columns[name] = _number(value)
    return columns


def _number(value: Any) -> Any:
    return np.nan if value is None else value
