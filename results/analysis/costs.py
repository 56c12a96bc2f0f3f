"""What a study costs: a cell, in parameters, operations or time. Frames in, frame out."""

import numpy as np
import pandas as pd

COSTS = ("n_parameters", "flops_per_image", "resource_seconds")
"""Columns of a frame of cells that may stand against the error."""


def pareto_front(cells: pd.DataFrame, cost: str) -> pd.Series:
    """Tell which cells no other beats: none has less error at the same cost or less.

    Cost is a column where less is better; False where it or the error is not known.
    """
    known = cells[[cost, "error"]].astype(float).dropna()
    lowest = known.groupby(cost)["error"].min()
    front = lowest[lowest < lowest.cummin().shift(fill_value=np.inf)]
    on_front: pd.Series = known["error"] == known[cost].map(front)
    return on_front.reindex(cells.index, fill_value=False)
