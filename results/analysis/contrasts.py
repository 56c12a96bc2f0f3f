"""Differences between levels of a factor, paired over seeds. Frame in, frame out.

Every difference is second level minus first, in points of final test accuracy. Seeds draw nested
subsets that are the same for every model and weights, so that differences are taken seed by seed
and Student's t is applied to them; each interval stands alone, so that of 20 contrasts without
any effect one is expected to look decided.
"""

from collections.abc import Sequence
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd

from results.analysis.runs import ordered_levels
from results.phrases import STANDARD_FACTORS, cell_name
from results.statistics.correctness import PairedTestSet
from results.statistics.correctness import paired_test_set as compare_test_set
from results.statistics.intervals import (
    Array,
    Means,
    grouped,
    mean_intervals,
    seeds_to_decide,
)


def paired_differences(runs: pd.DataFrame, factors: Sequence[str], factor: str) -> pd.DataFrame:
    """Compare every two levels of a factor over compared runs, in every cell of the other factors.

    Returns
    -------
    DataFrame
        One row per pair of levels and cell of the other factors, pairs without a common seed left
        out: `first`, `second` (levels, least first), the other factors, `n_train` (of the first),
        `error_first`, `error_second` (points), `error_ratio` (second / first: gaps shrink at the
        ceiling, ratios do not), the difference's columns (below), the same ending in
        `_without_selection` for the seeds on which no recipe was chosen, and `seeds_needed` to
        decide a difference of this size (NaN where it is decided, where one seed says nothing of
        the spread, and where more than 100 would be needed).

    The difference's columns: `difference`, `low`, `high` (cut at ±100), `sd` (points; NaN with one
    seed), `n_seeds`, `p_greater`, `p_less`, `p_two_sided`, `decided`.
    """
    others = [name for name in factors if name != factor]
    grid = _Grid(runs, others, [factor])
    # A model's step at every cell is one array operation, not one of a million calls.
    first, second = np.triu_indices(len(grid.levels[0]), 1)
    low, high = grid.accuracy[:, first], grid.accuracy[:, second]
    both = ~np.isnan(low + high)
    cell, pair = np.nonzero(both.any(axis=2))
    low, high, both = low[cell, pair], high[cell, pair], both[cell, pair]
    selected = (grid.selected[:, first] | grid.selected[:, second])[cell, pair]
    found = mean_intervals(high - low)
    clean = mean_intervals(np.where(selected, np.nan, high - low))
    errors = [100 - mean_intervals(np.where(both, side, np.nan)).mean for side in (low, high)]
    needed = seeds_to_decide(found.mean, found.sd)
    levels = pd.Series(grid.levels[0])
    columns: dict[str, Any] = {
        "first": levels.take(first[pair]).array,
        "second": levels.take(second[pair]).array,
        **{str(name): values.take(cell).array for name, values in grid.cells.items()},
        "n_train": grid.n_train[cell, first[pair]],
        "error_first": errors[0],
        "error_second": errors[1],
        "error_ratio": np.divide(
            errors[1], errors[0], out=np.full(cell.size, np.nan), where=errors[0] > 0
        ),
        **_columns(found),
        **_columns(clean, "_without_selection"),
        "seeds_needed": np.where(found.is_decided, np.nan, needed),
    }
    return pd.DataFrame(columns)


def main_effects(
    runs: pd.DataFrame, factors: Sequence[str], named: Sequence[str] | None = None
) -> pd.DataFrame:
    """Average what levels of the named factors, by default all, differ by over the others' cells.

    A seed counts once: its differences are averaged over the cells first, and the t interval is
    over seeds. Only cells in which both levels have the same seeds enter, so that every seed's
    average is over the same cells: where runs are missing, either the seeds or the cells that lack
    one are left out, whichever keeps more runs and at least two seeds. One row per factor and pair
    of levels: `factor`, `first`, `second`, `n_cells` averaged over, `cells_left_out`, and the
    columns of a difference as in `paired_differences`, with and `_without_selection`.
    """
    effects = []
    for factor in factors if named is None else named:
        grid = _Grid(runs, [name for name in factors if name != factor], [factor])
        for (i, first), (j, second) in combinations(enumerate(grid.levels[0]), 2):
            differences = grid.accuracy[:, j] - grid.accuracy[:, i]
            selected = grid.selected[:, j] | grid.selected[:, i]
            effects.append(((factor, first, second), differences, selected))
    return _effects_frame(effects, ("factor", "first", "second"), 100.0)


def interactions(runs: pd.DataFrame, factors: Sequence[str]) -> pd.DataFrame:
    """Tell how far one factor's effect depends on another's level.

    The difference of differences between the lowest level of both factors and each higher one,
    averaged over the cells of the remaining factors as in `main_effects`. One row per pair of
    factors and pair of higher levels: `factor` with `first` → `second`, `other` with `other_first`
    → `other_second`, `n_cells`, `cells_left_out`, and the columns of a difference: how much more
    the step in `factor` gains at `other_second`.
    """
    effects = []
    for factor, other in combinations(factors, 2):
        rest = [name for name in factors if name not in (factor, other)]
        grid = _Grid(runs, rest, [factor, other])
        levels, contexts = grid.levels
        for i, j in product(range(1, len(levels)), range(1, len(contexts))):
            corners = [(i, j), (0, 0), (i, 0), (0, j)]
            values = [grid.accuracy[:, row, column] for row, column in corners]
            selected = np.any([grid.selected[:, row, column] for row, column in corners], axis=0)
            key = (factor, levels[0], levels[i], other, contexts[0], contexts[j])
            differences = values[0] + values[1] - values[2] - values[3]
            effects.append((key, differences, selected))
    names = ("factor", "first", "second", "other", "other_first", "other_second")
    return _effects_frame(effects, names, 200.0)


def paired_test_set(
    first: pd.DataFrame, second: pd.DataFrame, predictions: pd.DataFrame
) -> PairedTestSet | None:
    """Compare two cells' compared runs on the same test examples, over the seeds that both have.

    First minus second; None where no seed has predictions of both on the same examples, at the
    final epoch that the study as last run asks for.
    """
    tables = [_correctness(runs, predictions) for runs in (first, second)]
    seeds = tables[0].index.intersection(tables[1].index)
    examples = tables[0].columns.intersection(tables[1].columns)
    if seeds.empty or len(examples) < 2:
        return None
    a, b = (table.loc[seeds, examples].to_numpy() for table in tables)
    whole = ~(np.isnan(a) | np.isnan(b)).any(axis=0)
    if whole.sum() < 2:
        return None
    return compare_test_set(a[:, whole], b[:, whole])


_DIFFERENCE = {"difference": "mean", "n_seeds": "n", "decided": "is_decided"} | {
    name: name for name in ("low", "high", "sd", "p_greater", "p_less", "p_two_sided")
}
"""Columns of a difference, and what `Means` calls them."""
_EFFECT = (
    *("n_cells", "cells_left_out", *_DIFFERENCE),
    *(f"{name}_without_selection" for name in _DIFFERENCE),
)


class _Grid:
    """Runs laid out as arrays, so that any contrast is a subtraction.

    `accuracy` (points, NaN where there is no run) and `selected` have the shape (cells of the other
    factors, *levels of the named ones, seeds); `n_train` lacks the seeds.
    """

    def __init__(self, runs: pd.DataFrame, others: Sequence[str], named: Sequence[str]) -> None:
        self.levels = [ordered_levels(runs, name) for name in named]
        runs = runs.dropna(subset=list(named))
        if others:
            groups = runs.groupby(list(others), dropna=False, sort=False)
            number = groups.ngroup().to_numpy()
            self.cells = groups.head(1)[list(others)].reset_index(drop=True)
        else:
            number, self.cells = np.zeros(len(runs), dtype=int), pd.DataFrame(index=[0])
        codes = [
            pd.Categorical(runs[name], categories=levels).codes
            for name, levels in zip(named, self.levels, strict=True)
        ]
        seeds, seed = np.unique(runs["seed"].to_numpy(), return_inverse=True)
        place = (number, *codes, seed)
        shape = (len(self.cells), *(len(levels) for levels in self.levels), len(seeds))
        self._refuse_twins(runs, np.ravel_multi_index(place, shape) if len(runs) else number)
        self.accuracy = np.full(shape, np.nan)
        self.accuracy[place] = runs["accuracy"]
        self.selected = np.zeros(shape, dtype=bool)
        self.selected[place] = runs["selected"]
        self.n_train = np.full(shape[:-1], np.nan)
        self.n_train[place[:-1]] = runs["n_train"]

    @staticmethod
    def _refuse_twins(runs: pd.DataFrame, place: np.ndarray) -> None:
        twins = pd.Series(place).duplicated().to_numpy()
        if twins.any():
            row = runs[twins].iloc[0]
            raise ValueError(
                f"Two runs of {cell_name(row, STANDARD_FACTORS[:2])} share seed {row['seed']}: "
                "name every column in which runs differ in factors."
            )


def _columns(found: Means[Array], ending: str = "", most: float = 100.0) -> dict[str, np.ndarray]:
    """Return the columns of differences, their intervals cut at the most that there can be."""
    values = {column: getattr(found, name) for column, name in _DIFFERENCE.items()}
    values |= {end: values[end].clip(-most, most) for end in ("low", "high")}
    return {f"{column}{ending}": value for column, value in values.items()}


def _effects_frame(
    effects: Sequence[tuple[Sequence[Any], np.ndarray, np.ndarray]],
    names: Sequence[str],
    most: float,
) -> pd.DataFrame:
    """Return a row per effect that any seed shows, none above `most` points.

    An effect is what it is of (the columns `names`), its differences, and which of them a recipe
    was chosen on, both of shape (cells, seeds).
    """
    whole = [_balanced(differences) for _, differences, _ in effects]
    shown = [place for place, (_, cells) in enumerate(whole) if cells]
    if not shown:
        return pd.DataFrame(columns=[*names, *_EFFECT])
    keys, differences, selected = zip(*(effects[place] for place in shown), strict=True)
    clean = [
        _balanced(np.where(chosen, np.nan, own))[0]
        for own, chosen in zip(differences, selected, strict=True)
    ]
    n_cells = np.array([whole[place][1] for place in shown])
    present = np.array([(~np.isnan(own)).any(axis=1).sum() for own in differences])
    values = {
        "n_cells": n_cells,
        "cells_left_out": present - n_cells,
        **_columns(_intervals([whole[place][0] for place in shown]), most=most),
        **_columns(_intervals(clean), "_without_selection", most),
    }
    return pd.concat([pd.DataFrame(keys, columns=list(names)), pd.DataFrame(values)], axis=1)


def _intervals(rows: Sequence[np.ndarray]) -> Means[Array]:
    places = np.repeat(np.arange(len(rows)), [row.size for row in rows])
    return mean_intervals(grouped(np.concatenate(rows), places, len(rows)))


def _balanced(differences: np.ndarray) -> tuple[np.ndarray, int]:
    """Return each seed's mean difference over one set of cells, and how many cells those are."""
    known = ~np.isnan(differences)
    table = differences[known.any(axis=1)][:, known.any(axis=0)]
    if not table.size:
        return np.array([]), 0
    known = ~np.isnan(table)
    choices = [table[:, known.all(axis=0)], table[known.all(axis=1)]]
    whole = max(choices, key=lambda choice: (choice.shape[1] > 1, choice.size, choice.shape[1]))
    if not whole.size:
        # No cell has every seed and no seed every cell: the best filled seed speaks.
        best = int(known.sum(axis=0).argmax())
        whole = table[known[:, best], best : best + 1]
    return whole.mean(axis=0), whole.shape[0]


def _correctness(runs: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    seeds = runs.set_index("trial_id")["seed"]
    own = predictions[predictions["trial_id"].isin(seeds.index)]
    # A trial that was continued has predictions of its earlier final epochs too, and one whose
    # budget was lowered of a later one alone: those of another epoch are of another model.
    budgets = runs.set_index("trial_id")["epochs_budget"].astype(float)
    own = own[own["epoch"].to_numpy(float) == own["trial_id"].map(budgets).to_numpy(float)]
    own = own.assign(seed=own["trial_id"].map(seeds), correct=own["correct"].astype(float))
    table: pd.DataFrame = own.pivot(index="seed", columns="example", values="correct")
    return table
