"""Lines over data sizes held against one another: crossovers, worth of pretraining.

A series is one level of every factor but `fraction`. Errors are in points, sizes in examples.
`runs` is always what `results.analysis.runs.compared_runs` returns, `factors` the columns that name
a cell.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from results.analysis.runs import by_cell
from results.statistics.crossover import Crossover, DataWorth, find_crossover, worth_in_data
from results.statistics.intervals import quantile

_NEEDED = ("model", "weights", "fraction", "seed", "n_train", "error", "n_parameters")
_CROSSED = (
    *("is_established", "p_value", "bracket_low", "bracket_high", "location"),
    *("low", "high", "hypothetical", "verdict"),
)
_WORTH = ("factor", "low", "high", "more_than", "less_than", "text")


def crossovers(
    steps: pd.DataFrame, factors: Sequence[str], pairs: Sequence[tuple[Any, Any]]
) -> pd.DataFrame:
    """Look for data sizes at which a bigger model overtakes a smaller one.

    From the differences of models, as `Analysis.differences` has them, and the pairs to look at,
    the smaller first. One row per pair and level of the factors but `model` and `fraction`, where
    two sizes have common seeds: `small`, `big`, those factors, `n_seeds` (the fewest of any size),
    `is_established`, `p_value`, `bracket_low`, `bracket_high` (examples), `location`, `low`, `high`
    (examples; NaN where the means do not cross), `hypothetical` (examples), `verdict` (text).
    """
    others = [name for name in factors if name not in ("model", "fraction")]
    asked = steps[pd.MultiIndex.from_frame(steps[["first", "second"]]).isin(list(pairs))]
    # With one seed the error speaks of these very runs alone.
    asked = asked.assign(standard_error=asked["standard_error"].where(asked["n_seeds"] > 1))
    rows = []
    for own in by_cell(asked, ["first", "second", *others]).values():
        if own["n_train"].nunique() > 1:
            columns = ("n_train", "error_first", "error_second", "standard_error", "freedom")
            found = find_crossover(*(own[name].to_numpy(float) for name in columns))
            key = {"small": own["first"].iloc[0], "big": own["second"].iloc[0]}
            key |= {name: own[name].iloc[0] for name in others}
            key["n_seeds"] = int(own["n_seeds"].min())
            rows.append({**key, **_columns(found, _CROSSED)})
    return pd.DataFrame(rows, columns=["small", "big", *others, "n_seeds", *_CROSSED])


def data_worths(table: pd.DataFrame, factors: Sequence[str]) -> pd.DataFrame:
    """Tell how many times the data replaces each kind of pretrained weights.

    From the differences that `contrasts.replacements` names, with errors. One row per pretrained
    level, size and level of the factors but `weights` and `fraction`: those factors, `weights`,
    `fraction`, `n_train`, `error` (of the pretrained model, points), `n_seeds` (the fewest of any
    size), `factor`, `low`, `high` (NaN where open), `more_than`, `less_than` (NaN unless off the
    chart), `text` (as people write it).
    """
    names = [*(name for name in factors if name not in ("weights", "fraction")), "weights"]
    names += ["fraction", "n_train"]
    rows = []
    for own in by_cell(table, names).values():
        if own["scratch_n_train"].nunique() > 1:
            same = own[own["scratch_n_train"] == own["n_train"]]
            target = float((same if len(same) else own)["error_second"].iloc[0])
            half = quantile(own["freedom"]) * own["standard_error"].where(own["n_seeds"] > 1)
            found = worth_in_data(
                own["scratch_n_train"].to_numpy(float),
                own["error_first"].to_numpy(float),
                half.to_numpy(float),
                float(own["n_train"].iloc[0]),
                target,
            )
            key = {name: own[name].iloc[0] for name in names}
            key |= {"error": target, "n_seeds": int(own["n_seeds"].min())}
            rows.append({**key, **_columns(found, _WORTH)})
    return pd.DataFrame(rows, columns=[*names, "error", "n_seeds", *_WORTH])


def parts(runs: pd.DataFrame, keys: Sequence[str]) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Yield the levels of the given factors that occur, with their runs."""
    for own in by_cell(runs[list(dict.fromkeys([*keys, *_NEEDED]))], keys).values():
        yield {name: own[name].iloc[0] for name in keys}, own


def _columns(found: Crossover | DataWorth, names: Sequence[str]) -> dict[str, Any]:
    """Return what was found by columns: both ends of a pair apart, NaN where there is none."""
    pairs = {"": "interval", "bracket": "bracket"}
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
