"""What a study costs: of slots, of a cell. Frames in, frame out."""

from collections import defaultdict
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    # The terminal asks for the share of busy slots where no frame is read.
    import pandas as pd

COSTS = ("n_parameters", "flops_per_image", "resource_seconds")
"""Columns of a frame of cells that may stand against the error."""
Hold = tuple[Hashable, float, float]
"""A slot, and from when to when (seconds) a trial held it."""


def busy_share(holds: Iterable[Hold]) -> float | None:
    """Return the share of the slots' time, from first start to last end, that trials held.

    Time that a slot was held twice counts once. None where no time has passed.
    """
    by_slot: dict[Hashable, list[tuple[float, float]]] = defaultdict(list)
    for slot, begun, ended in holds:
        by_slot[slot].append((begun, max(begun, ended)))
    spans = [span for each in by_slot.values() for span in each]
    first, last = min(spans, default=(0.0, 0.0))[0], max((end for _, end in spans), default=0.0)
    held = 0.0
    for each in by_slot.values():
        until = first
        for begun, ended in sorted(each):
            held += max(0.0, ended - max(begun, until))
            until = max(until, ended)
    return held / ((last - first) * len(by_slot)) if last > first else None


def pareto_front(cells: "pd.DataFrame", cost: str) -> "pd.Series":
    """Tell which cells no other beats: none has less error at the same cost or less.

    Cost is a column where less is better; False where it or the error is not known.
    """
    known = cells[[cost, "error"]].astype(float).dropna()
    lowest = known.groupby(cost)["error"].min()
    front = lowest[lowest < lowest.cummin().shift(fill_value=np.inf)]
    on_front: pd.Series = known["error"] == known[cost].map(front)
    return on_front.reindex(cells.index, fill_value=False)
