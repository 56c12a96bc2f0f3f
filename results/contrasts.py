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

from results.estimates import by_cell, ordered_levels
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
        decide a difference of this size (NaN where one seed says nothing of the spread or more
        than 100 would be needed).

        The difference's columns: `difference`, `low`, `high`, `sd` (points; NaN with one seed),
        `n_seeds`, `p_greater`, `p_less`, `p_two_sided`, `decided`.
    """
    others = [name for name in factors if name != factor]
    levels = ordered_levels(runs, factor)
    rows = []
    for cell in _cells(runs, others):
        sides = {level_: _by_seed(cell[cell[factor] == level_]) for level_ in levels}
        for first, second in combinations(levels, 2):
            both = _paired(sides[first], sides[second])
            if both.empty:
                continue
            clean = both[~(both["selected_1"] | both["selected_2"])]
            found = paired_difference(both["accuracy_2"], both["accuracy_1"], level)
            error_1, error_2 = 100 - both["accuracy_1"].mean(), 100 - both["accuracy_2"].mean()
            rows.append(
                {
                    "first": first,
                    "second": second,
                    **{name: cell[name].iloc[0] for name in others},
                    "n_train": both["n_train_1"].iloc[0],
                    "error_first": error_1,
                    "error_second": error_2,
                    "error_ratio": error_2 / error_1 if error_1 > 0 else np.nan,
                    **_columns(found),
                    **_columns(_difference(clean, level), "_without_selection"),
                    "seeds_needed": _seeds_needed(found, level),
                }
            )
    return pd.DataFrame(rows, columns=_difference_columns(others))


def main_effects(runs: pd.DataFrame, factors: Sequence[str], level: float = LEVEL) -> pd.DataFrame:
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

    Returns
    -------
    DataFrame
        One row per factor and pair of levels: `factor`, `first`, `second`, `n_cells` averaged
        over, `cells_left_out`, and the columns of a difference as in `paired_differences`, with
        and `_without_selection`.
    """
    rows = []
    for factor in factors:
        others = [name for name in factors if name != factor]
        for first, second in combinations(ordered_levels(runs, factor), 2):
            table = _differences_by_seed(runs, others, factor, first, second)
            rows.append(
                {"factor": factor, "first": first, "second": second, **_effect(table, level)}
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
        levels, contexts = ordered_levels(runs, factor), ordered_levels(runs, other)
        rest = [name for name in factors if name not in (factor, other)]
        for second, context in product(levels[1:], contexts[1:]):
            low, high = (
                _differences_by_seed(runs[runs[other] == value], rest, factor, levels[0], second)
                for value in (contexts[0], context)
            )
            table = high.merge(low, on=["cell", "seed"], suffixes=("", "_low"))
            table["difference"] = table["difference"] - table["difference_low"]
            table["selected"] = table["selected"] | table["selected_low"]
            rows.append(
                {
                    "factor": factor,
                    "first": levels[0],
                    "second": second,
                    "other": other,
                    "other_first": contexts[0],
                    "other_second": context,
                    **_effect(table, level),
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
        First minus second; None where no seed has predictions of both on the same examples.
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


def _cells(runs: pd.DataFrame, keys: Sequence[str]) -> list[pd.DataFrame]:
    return list(by_cell(runs, keys).values()) if keys else [runs]


def _by_seed(runs: pd.DataFrame) -> pd.DataFrame:
    if runs["seed"].duplicated().any():
        twice = runs.loc[runs["seed"].duplicated(keep=False)].iloc[0]
        raise ValueError(
            f"Two runs of {twice['model']} × {twice['weights']} share seed {twice['seed']}: name "
            "every column in which runs differ in factors."
        )
    return runs.set_index("seed")[["accuracy", "selected", "n_train"]]


def _paired(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Join two levels of one cell on their common seeds; columns end in _1 and _2."""
    return first.merge(second, left_index=True, right_index=True, suffixes=("_1", "_2"))


def _difference(both: pd.DataFrame, level: float) -> PairedDifference | None:
    if both.empty:
        return None
    return paired_difference(both["accuracy_2"], both["accuracy_1"], level)


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
    needed = None if found.sd is None else needed_seeds(found.mean, found.sd, level)
    return np.nan if needed is None else float(needed)


def _differences_by_seed(
    runs: pd.DataFrame, others: Sequence[str], factor: str, first: Any, second: Any
) -> pd.DataFrame:
    """Return columns cell (number), seed, difference and selected, one row per common run."""
    parts = []
    for number, cell in enumerate(_cells(runs, others)):
        low, high = (_by_seed(cell[cell[factor] == value]) for value in (first, second))
        both = _paired(low, high)
        parts.append(
            pd.DataFrame(
                {
                    "cell": number,
                    "seed": both.index,
                    "difference": (both["accuracy_2"] - both["accuracy_1"]).to_numpy(),
                    "selected": (both["selected_1"] | both["selected_2"]).to_numpy(dtype=bool),
                }
            )
        )
    columns = ["cell", "seed", "difference", "selected"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _effect(table: pd.DataFrame, level: float) -> dict[str, Any]:
    per_seed, n_cells = _balanced(table)
    clean, _ = _balanced(table[~table["selected"].astype(bool)])
    found, without = (
        paired_difference(values, np.zeros_like(values), level) if values.size else None
        for values in (per_seed, clean)
    )
    return {
        "n_cells": n_cells,
        "cells_left_out": int(table["cell"].nunique()) - n_cells,
        **_columns(found),
        **_columns(without, "_without_selection"),
    }


def _balanced(table: pd.DataFrame) -> tuple[np.ndarray, int]:
    """Return each seed's mean difference over one set of cells, and how many cells those are."""
    if table.empty:
        return np.array([]), 0
    wide = table.pivot(index="seed", columns="cell", values="difference")
    choices = [wide.dropna(axis="index"), wide.dropna(axis="columns")]
    whole = max(choices, key=lambda table: (len(table) > 1, table.size, len(table)))
    if whole.empty:
        # No cell has every seed and no two seeds have every cell: the best filled seed speaks.
        best = wide.notna().sum(axis=1).idxmax()
        whole = wide.loc[[best]].dropna(axis="columns")
    return whole.mean(axis=1).to_numpy(dtype=float), whole.shape[1]


def _correctness(runs: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    seeds = runs.set_index("trial_id")["seed"]
    own = predictions[predictions["trial_id"].isin(seeds.index)]
    own = own.assign(seed=own["trial_id"].map(seeds), correct=own["correct"].astype(float))
    return own.pivot(index="seed", columns="example", values="correct")
