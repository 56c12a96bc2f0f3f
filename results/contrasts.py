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

from results.estimates import ordered_levels
from results.intervals import LEVEL, PairedDifference, paired_difference
from results.intervals import seeds_needed as needed_seeds
from results.test_sets import PairedTestSet
from results.test_sets import paired_test_set as compare_test_set


def paired_differences(
    runs: pd.DataFrame, factors: Sequence[str], factor: str, level: float = LEVEL
) -> pd.DataFrame:
    """Compare every two levels of a factor, in every cell of the others.

    Parameters
    ----------
    runs
        What `results.estimates.compared_runs` returns.
    factors
        Columns that name a cell, `factor` among them.
    factor
        The column to compare levels of.
    level
        Nominal coverage of the intervals.

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

        The difference's columns: `difference`, `low`, `high`, `sd` (points; NaN with one seed),
        `n_seeds`, `p_greater`, `p_less`, `p_two_sided`, `decided`.
    """
    others = [name for name in factors if name != factor]
    grid = _Grid(runs, others, [factor])
    rows = []
    for number, cell in enumerate(grid.cells):
        for (i, first), (j, second) in combinations(enumerate(grid.levels[0]), 2):
            low, high = grid.accuracy[number, i], grid.accuracy[number, j]
            both = ~np.isnan(low + high)
            if not both.any():
                continue
            clean = both & ~(grid.selected[number, i] | grid.selected[number, j])
            found = paired_difference(high[both], low[both], level)
            error_1, error_2 = 100 - low[both].mean(), 100 - high[both].mean()
            rows.append(
                {
                    "first": first,
                    "second": second,
                    **cell,
                    "n_train": grid.n_train[number, i],
                    "error_first": error_1,
                    "error_second": error_2,
                    "error_ratio": error_2 / error_1 if error_1 > 0 else np.nan,
                    **_columns(found),
                    **_columns(_difference(high[clean], low[clean], level), "_without_selection"),
                    "seeds_needed": _seeds_needed(found, level),
                }
            )
    return pd.DataFrame(rows, columns=_difference_columns(others))


def main_effects(
    runs: pd.DataFrame,
    factors: Sequence[str],
    level: float = LEVEL,
    named: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Average what each factor's levels differ by over the cells of the others.

    A seed counts once: its differences are averaged over the cells first, and the t interval is
    over seeds. Only cells in which both levels have the same seeds enter, so that every seed's
    average is over the same cells: where runs are missing, either the seeds or the cells that
    lack one are left out, whichever keeps more runs and at least two seeds.

    Parameters
    ----------
    runs
        What `results.estimates.compared_runs` returns.
    factors
        Columns that name a cell.
    level
        Nominal coverage of the intervals.
    named
        The factors whose effects are wanted; all by default.

    Returns
    -------
    DataFrame
        One row per factor and pair of levels: `factor`, `first`, `second`, `n_cells` averaged
        over, `cells_left_out`, and the columns of a difference as in `paired_differences`, with
        and `_without_selection`.
    """
    rows = []
    for factor in factors if named is None else named:
        grid = _Grid(runs, [name for name in factors if name != factor], [factor])
        for (i, first), (j, second) in combinations(enumerate(grid.levels[0]), 2):
            differences = grid.accuracy[:, j] - grid.accuracy[:, i]
            selected = grid.selected[:, j] | grid.selected[:, i]
            rows.append(
                {
                    "factor": factor,
                    "first": first,
                    "second": second,
                    **_effect(differences, selected, level),
                }
            )
    return pd.DataFrame([row for row in rows if row["n_cells"]], columns=_EFFECT_COLUMNS)


def interactions(runs: pd.DataFrame, factors: Sequence[str], level: float = LEVEL) -> pd.DataFrame:
    """Tell how far one factor's effect depends on another's level.

    The difference of differences between the lowest level of both factors and each higher one,
    averaged over the cells of the remaining factors as in `main_effects`.

    Returns
    -------
    DataFrame
        One row per pair of factors and pair of higher levels: `factor` with `first` → `second`,
        `other` with `other_first` → `other_second`, `n_cells`, `cells_left_out`, and the columns
        of a difference: how much more the step in `factor` gains at `other_second`.
    """
    rows = []
    for factor, other in combinations(factors, 2):
        rest = [name for name in factors if name not in (factor, other)]
        grid = _Grid(runs, rest, [factor, other])
        levels, contexts = grid.levels
        for i, j in product(range(1, len(levels)), range(1, len(contexts))):
            corners = [(i, j), (0, 0), (i, 0), (0, j)]
            values = [grid.accuracy[:, row, column] for row, column in corners]
            selected = np.any([grid.selected[:, row, column] for row, column in corners], axis=0)
            rows.append(
                {
                    "factor": factor,
                    "first": levels[0],
                    "second": levels[i],
                    "other": other,
                    "other_first": contexts[0],
                    "other_second": contexts[j],
                    **_effect(values[0] + values[1] - values[2] - values[3], selected, level),
                }
            )
    columns = [*_EFFECT_COLUMNS[:3], "other", "other_first", "other_second", *_EFFECT_COLUMNS[3:]]
    return pd.DataFrame([row for row in rows if row["n_cells"]], columns=columns)


def paired_test_set(
    first: pd.DataFrame, second: pd.DataFrame, predictions: pd.DataFrame, level: float = LEVEL
) -> PairedTestSet | None:
    """Compare two cells on the same test examples, over the seeds that both have.

    Parameters
    ----------
    first, second
        Compared runs of one cell each.
    predictions
        The table of predictions.
    level
        Nominal coverage of the interval.

    Returns
    -------
    PairedTestSet or None
        First minus second; None where no seed has predictions of both on the same examples, at
        the final epoch that the study as last run asks for.
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
    return compare_test_set(a[:, whole], b[:, whole], level)


_DIFFERENCE = (
    "difference",
    "low",
    "high",
    "sd",
    "n_seeds",
    "p_greater",
    "p_less",
    "p_two_sided",
    "decided",
)
_BOTH_DIFFERENCES = [*_DIFFERENCE, *(f"{name}_without_selection" for name in _DIFFERENCE)]
_EFFECT_COLUMNS = ["factor", "first", "second", "n_cells", "cells_left_out", *_BOTH_DIFFERENCES]


def _difference_columns(others: Sequence[str]) -> list[str]:
    measured = ["n_train", "error_first", "error_second", "error_ratio"]
    return ["first", "second", *others, *measured, *_BOTH_DIFFERENCES, "seeds_needed"]


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
            firsts = groups.head(1)[list(others)]
            self.cells = [
                {str(name): value for name, value in row.items()}
                for row in firsts.to_dict("records")
            ]
        else:
            number, self.cells = np.zeros(len(runs), dtype=int), [{}]
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
                f"Two runs of {row['model']} × {row['weights']} share seed {row['seed']}: name "
                "every column in which runs differ in factors."
            )


def _difference(high: np.ndarray, low: np.ndarray, level: float) -> PairedDifference | None:
    return paired_difference(high, low, level) if high.size else None


def _columns(found: PairedDifference | None, ending: str = "") -> dict[str, Any]:
    values: tuple[Any, ...] = (np.nan, None, None, None, 0, None, None, None, False)
    if found is not None:
        values = (
            found.mean,
            found.low,
            found.high,
            found.sd,
            found.n,
            found.p_greater,
            found.p_less,
            found.p_two_sided,
            found.is_decided,
        )
    return {
        f"{name}{ending}": np.nan if value is None else value
        for name, value in zip(_DIFFERENCE, values, strict=True)
    }


def _seeds_needed(found: PairedDifference, level: float) -> float:
    if found.is_decided:
        return np.nan
    needed = None if found.sd is None else needed_seeds(found.mean, found.sd, level)
    return np.nan if needed is None else float(needed)


def _effect(differences: np.ndarray, selected: np.ndarray, level: float) -> dict[str, Any]:
    """Return the columns of an effect from differences of shape (cells, seeds)."""
    known = ~np.isnan(differences)
    per_seed, n_cells = _balanced(differences)
    clean, _ = _balanced(np.where(selected, np.nan, differences))
    found, without = (
        paired_difference(values, np.zeros_like(values), level) if values.size else None
        for values in (per_seed, clean)
    )
    return {
        "n_cells": n_cells,
        "cells_left_out": int(known.any(axis=1).sum()) - n_cells,
        **_columns(found),
        **_columns(without, "_without_selection"),
    }


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
