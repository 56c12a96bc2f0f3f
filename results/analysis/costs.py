"""What a study costs: of slots, of a pass, of a cell. Frames in, frame out."""

import json
from collections import defaultdict
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    # The terminal asks for the share of busy slots where no frame is read.
    import pandas as pd

COSTS = ("n_parameters", "flops_per_image", "resource_seconds")
"""Columns of a frame of cells that may stand against the error."""
_FORECAST = (
    *("started_at", "trials_predicted", "trials", "epochs_predicted", "epochs"),
    *("seconds_predicted", "seconds_low", "seconds_high", "seconds", "ratio", "basis"),
)
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


def predicted_and_actual(environments: "pd.DataFrame", epochs: "pd.DataFrame") -> "pd.DataFrame":
    """Return one row per pass that recorded what it was expected to take.

    `started_at`; trials, epochs and seconds (from the pass's start to its last epoch), each as
    predicted and as they came to be; `seconds_low` and `seconds_high` of the prediction; `ratio`,
    actual over predicted seconds, NaN where the pass trained fewer trials than it was to, and so
    was cut short; `basis`, in words.
    """
    import pandas as pd

    passes = environments.sort_values("started_at").reset_index(drop=True)
    # Passes of earlier versions recorded no forecast.
    forecasts = passes.get("forecast", [None] * len(passes))
    times, starts = epochs["recorded_at"], passes["started_at"]
    rows = []
    for text, start, end in zip(forecasts, starts, starts.shift(-1), strict=True):
        if not isinstance(text, str):
            continue
        told, own = json.loads(text), epochs[(times >= start) & ~(times >= end)]
        trials, nothing = int(own["trial_id"].nunique()), float("nan")
        seconds = (own["recorded_at"].max() - start).total_seconds() if trials else nothing
        ratio = seconds / told["seconds"] if trials >= told["trials"] else nothing
        shares = told["basis"].items()
        basis = ", ".join(f"{name} ({100 * share:.0f} %)" for name, share in shares)
        counts = (told["trials"], trials, told["epochs"], len(own))
        range_of = (told["seconds"], told["low"], told["high"])
        rows.append((start, *counts, *range_of, seconds, ratio, basis))
    # A time that is no number was once recorded of trainables that do not say how fast they are.
    found = pd.DataFrame(rows, columns=list(_FORECAST))
    return found[found["seconds_predicted"].notna()]
