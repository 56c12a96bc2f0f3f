"""What a point of accuracy costs, and which cells no other beats. Frame in, frame out."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from results.analysis.contrasts import paired_differences
from results.phrases import cell_key

COSTS = ("n_parameters", "flops_per_image", "resource_seconds")
"""Columns of a frame of cells that may stand against the error."""


def cost_per_point(
    runs: pd.DataFrame,
    cells: pd.DataFrame,
    factors: Sequence[str],
    factor: str,
    differences: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return what each gained point of accuracy costs when a factor's level is raised.

    Parameters
    ----------
    runs
        What `results.analysis.estimates.compared_runs` returns.
    cells
        What `results.analysis.estimates.cell_estimates` returns.
    factors
        Columns that name a cell.
    factor
        The column whose level is raised.
    differences
        Those rows of `paired_differences` to price, where they are known already; all by default.

    Returns
    -------
    DataFrame
        The rows and columns of `contrasts.paired_differences`, and `resource` (gpu or
        cpu), `extra_seconds` (resource-seconds of one run of the second level minus the first),
        `seconds_per_point` with `seconds_per_point_low` and `_high` (from the ends of the
        difference's interval). The three are NaN unless the gain is decided and above 0, or where
        the gain costs nothing.
    """
    table = paired_differences(runs, factors, factor) if differences is None else differences
    table = table.reset_index(drop=True)
    others = [name for name in factors if name != factor]
    known = {
        cell_key(row, factors): row
        for row in cells[[*factors, "resource_seconds", "resource"]].to_dict("records")
    }
    extra, resources = [], []
    for row in table.to_dict("records"):
        sides = [
            known[cell_key({**{name: row[name] for name in others}, factor: row[side]}, factors)]
            for side in ("first", "second")
        ]
        extra.append(float(sides[1]["resource_seconds"]) - float(sides[0]["resource_seconds"]))
        resources.append(str(sides[1]["resource"]))
    table["resource"] = pd.Series(resources, index=table.index, dtype="str")
    table["extra_seconds"] = np.array(extra, dtype=float)
    priced = (
        table["decided"].astype(bool) & (table["difference"] > 0) & (table["extra_seconds"] > 0)
    )
    for name, gain in (("", "difference"), ("_low", "high"), ("_high", "low")):
        price = table["extra_seconds"] / table[gain].astype(float).where(priced)
        table[f"seconds_per_point{name}"] = price
    return table


def pareto_front(cells: pd.DataFrame, cost: str, error: str = "error") -> pd.Series:
    """Tell which cells no other beats: none has less error at the same cost or less.

    Parameters
    ----------
    cells
        What `results.analysis.estimates.cell_estimates` returns.
    cost
        One of `COSTS`, or any column where less is better.
    error
        Column of the error.

    Returns
    -------
    Series of bool
        By the frame's index; False where the cost or the error is not known.
    """
    frame = cells[[cost, error]].astype(float).dropna()
    on_front = pd.Series(False, index=cells.index)
    best = np.inf
    for _, group in frame.groupby(cost):
        lowest = float(group[error].min())
        if lowest < best:
            on_front.loc[group.index[group[error] == lowest]] = True
            best = lowest
    return on_front
