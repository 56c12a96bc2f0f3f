"""Differences between the cells of a study, all inferred together. Frames in, frames out.

Every difference is second minus first, in points of final test accuracy, paired over seeds, and
over test images where predictions are recorded. One inference (`results.statistics.inference`) is
made of all of them, so that a difference has the same interval wherever it is stated.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from results.analysis.board import Board
from results.statistics.correctness import Flags, Places, balanced
from results.statistics.inference import IMAGES, Contrasts, benjamini_hochberg, infer
from results.statistics.intervals import LEVEL, Array

_FALSE = 1 - LEVEL  # share of what is decided that is false on average
DIFFERENCE = (
    *("difference", "low", "high", "n_seeds", "p", "p_adjusted", "decided", "speaks_of"),
    *("standard_error", "freedom", "seed_error", "image_error"),
)
"""Columns of a difference, in every table that has some.

`difference`, `low` and `high` (points; 95 % interval of this difference alone, cut at the most that
there can be; NaN with one seed and where seeds without any spread stand alone), `n_seeds`, `p`
(two-sided, alone), `p_adjusted` (for the false discovery rate among all of its kind), `decided`
(where that is below 5 %), `speaks_of` (`results.statistics.inference`: new seeds and images, new
seeds, new images, or nothing), and the `standard_error` in points with its degrees of `freedom` and
its parts `seed_error` and `image_error`.
"""
_WITHOUT = ("difference", "low", "high", "n_seeds", "decided")


@dataclass(frozen=True)
class Family:
    """Differences of one kind, before anything is inferred."""

    keys: pd.DataFrame
    """What each is of, a row per difference."""
    cells: Places
    weights: Array
    """As in `Outcomes.contrasts`, shape (differences, most cells of one)."""
    seeds: Flags
    """Seeds that each uses, shape (differences, seeds)."""


def inferred(board: Board, families: Mapping[str, Family]) -> dict[str, pd.DataFrame]:
    """Infer the differences of all families together, and return a table for each.

    Names equal up to a colon are of one kind, such as `steps:model` and `steps:weights`; what is
    decided is marked among all of a kind. A table has the family's keys, the columns `DIFFERENCE`,
    and the first of these ending in `_without_selection`, for the seeds that chose no recipe.
    """
    every = _infer(board, families, np.zeros_like(board.selected))
    some = _infer(board, families, board.selected) if board.selected.any() else every
    every = every.join(some[list(_WITHOUT)].add_suffix("_without_selection"))
    tables, begin = {}, 0
    for name, family in families.items():
        end = begin + len(family.keys)
        own = every.iloc[begin:end].reset_index(drop=True)
        tables[name], begin = pd.concat([family.keys, own], axis=1), end
    return tables


def _infer(board: Board, families: Mapping[str, Family], left_out: Flags) -> pd.DataFrame:
    parts, covariates, scales = [], [], []
    for family in families.values():
        out = (left_out[family.cells] & (family.weights != 0)[..., None]).any(axis=1)
        parts.append(board.outcomes.contrasts(family.cells, family.weights, family.seeds & ~out))
        share = np.abs(family.weights)
        share = share / np.maximum(share.sum(axis=1, keepdims=True), 1e-12)
        covariates.append(np.einsum("ck,ckv->cv", share, board.covariates[family.cells]))
        scales.append((family.weights**2).sum(axis=1) / 2)
    arrays = zip(*(vars(part).values() for part in parts), strict=True)
    joined = Contrasts(*(np.concatenate(each) for each in arrays))
    scale, independent = np.maximum(np.concatenate(scales), 1e-12), max(len(board.cells) - 1, 1)
    found = infer(joined, np.concatenate(covariates), scale, independent)
    sizes = [len(family.keys) for family in families.values()]
    kind = np.repeat([name.partition(":")[0] for name in families], sizes)
    adjusted = pd.Series(found.p).groupby(kind).transform(benjamini_hochberg).to_numpy(float)
    most = board.metric.widest
    ends = np.where(found.speaks_of != IMAGES, [found.low, found.high], np.nan).clip(-most, most)
    columns = {
        "difference": found.estimate,
        "low": ends[0],
        "high": ends[1],
        "n_seeds": joined.seeds.astype(int),
        "p": found.p,
        "p_adjusted": adjusted,
        "decided": adjusted < _FALSE,
        "speaks_of": found.speaks_of,
        "standard_error": found.error,
    }
    return pd.DataFrame(columns | {name: getattr(found, name) for name in DIFFERENCE[-3:]})


def pairs_of(board: Board, first: Places, second: Places, keys: pd.DataFrame) -> Family:
    """Return the differences of pairs of cells, those without a common seed left out.

    Cells have the shape (pairs,), −1 where there is none; `keys` has a row for each pair. Besides
    these, keys are the errors of both over their common seeds, `error_first` and `error_second`
    (points), and `error_ratio` (second / first: gaps shrink at the ceiling, ratios do not).
    """
    accuracy, metric = board.outcomes.accuracy, board.metric
    there = (first >= 0) & (second >= 0)
    seeds = there[:, None] & ~np.isnan(accuracy[first] + accuracy[second])
    kept = np.flatnonzero(seeds.any(axis=1))
    cells, seeds = np.column_stack([first[kept], second[kept]]), seeds[kept]
    sides = np.where(seeds[:, None], accuracy[cells], 0.0).sum(axis=2)
    means = pd.DataFrame(sides / seeds.sum(axis=1, keepdims=True))
    before, after = (metric.errors(means[side]) for side in (0, 1))
    keys = keys.iloc[kept].reset_index(drop=True).assign(error_first=before, error_second=after)
    keys["error_ratio"] = (after / before).where(before > 0)
    return Family(keys, cells, np.broadcast_to([-1.0, 1.0], cells.shape), seeds)


def steps(board: Board, factor: str) -> Family:
    """Return the differences of every two levels of a factor, in every cell of the others.

    Keys: `first`, `second` (levels, least first), the other factors, `n_train` (of the first).
    """
    others, places = board.grid(factor)
    levels = pd.Series(list(board.levels[factor]))
    # A model's step at every cell is one array operation, not one of a million calls.
    low, high = np.triu_indices(len(levels), 1)
    combination, pair = (part.ravel() for part in np.indices((len(places), len(low))))
    first, second = places[combination, low[pair]], places[combination, high[pair]]
    keys = {
        "first": levels.take(low[pair]).array,
        "second": levels.take(high[pair]).array,
        **{str(name): values.take(combination).array for name, values in others.items()},
        "n_train": board.cells["n_train"].to_numpy(float)[first] if len(board.cells) else [],
    }
    return pairs_of(board, first, second, pd.DataFrame(keys))


def effects(board: Board, factor: str) -> Family:
    """Return what levels of a factor differ by on average over the cells of the others.

    Only cells in which both levels have the same seeds enter, so that every seed's average is over
    the same cells (`balanced`). Keys: `factor`, `first`, `second`, `n_cells` averaged over.
    """
    accuracy, places = board.outcomes.accuracy, board.grid(factor)[1]
    levels, keys, parts, seeds = board.levels[factor], [], [], []
    for i, j in combinations(range(len(levels)), 2):
        cells = places[:, [i, j]]
        cells = cells[(cells >= 0).all(axis=1)]
        inside, used = balanced(accuracy[cells[:, 1]] - accuracy[cells[:, 0]])
        if inside.any():
            keys.append((factor, levels[i], levels[j], int(inside.sum())))
            parts.append(cells[inside].ravel())
            seeds.append(used)
    frame = pd.DataFrame(keys, columns=["factor", "first", "second", "n_cells"])
    width = max((part.size for part in parts), default=0)
    count, place = frame["n_cells"].to_numpy(float)[:, None], np.arange(width)
    # A place with weight 0 counts for nothing, whatever stands there.
    table = np.array([np.resize(part, width) for part in parts], dtype=int)
    weights = np.where(place < 2 * count, np.where(place % 2, 1.0, -1.0) / count, 0.0)
    every = np.array(seeds, dtype=bool).reshape(len(keys), accuracy.shape[1])
    return Family(frame, table.reshape(len(keys), width), weights, every)


def replacements(board: Board) -> Family:
    """Return pretrained models minus the model from scratch, at every two sizes.

    Keys: the factors but `weights` and `fraction`, `weights`, `fraction` and `n_train` (of the
    pretrained model), and `scratch_n_train`.
    """
    others, places = board.grid("weights", "fraction")
    weights, shares = board.levels["weights"], board.levels["fraction"]
    own = [i for i, level in enumerate(weights) if level != "none"]
    shape = (len(places), len(own), len(shares), len(shares))
    combination, kind, size, other = (part.ravel() for part in np.indices(shape))
    kinds = np.array(own, dtype=int)[kind]
    first = places[combination, list(weights).index("none"), other]
    second = places[combination, kinds, size]
    images = board.cells["n_train"].to_numpy(float)
    keys = {
        **{str(name): values.take(combination).array for name, values in others.items()},
        "weights": pd.Series(list(weights)).take(kinds).array,
        "fraction": pd.Series(list(shares)).take(size).array,
        "n_train": images[second],
        "scratch_n_train": images[first],
    }
    return pairs_of(board, first, second, pd.DataFrame(keys))
