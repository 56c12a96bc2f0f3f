"""What a search of recipes would have found with fewer of them. Frame in, frame out."""

from collections.abc import Sequence

import pandas as pd

from results.analysis.runs import by_cell
from results.metric import ACCURACY, Metric
from results.records import Stage, Status
from results.statistics.best import expected_best


def search_budgets(
    wanted: pd.DataFrame, factors: Sequence[str], metric: Metric = ACCURACY
) -> pd.DataFrame:
    """Return the expected best of fewer recipes than each cell has tried.

    Dodge et al., *Show Your Work* (EMNLP 2019), here without replacement. A recipe that was stopped
    counts by what it had come to, so that less is too low; cells that still search are left out.

    One row per cell and number of recipes up to those tried: the factors, `recipes`, `expected`
    (score on the validation set), `stopped` (recipes of the cell).
    """
    ended = (Status.COMPLETED, Status.STOPPED, Status.FAILED)
    rows = []
    for own in by_cell(wanted[wanted["stage"] == Stage.SEARCH], factors).values():
        # One that failed is as bad as the worst.
        values = metric.scale * metric.of(own, "latest_val").where(own["status"] != Status.FAILED)
        if values.isna().all() or not own["status"].isin(ended).all():
            continue
        stopped = int((own["status"] == Status.STOPPED).sum())
        levels = {str(name): own[name].iloc[0] for name in factors}
        rows += [
            {**levels, "recipes": number, "expected": value, "stopped": stopped}
            for number, value in enumerate(expected_best(values), 1)
        ]
    return pd.DataFrame(rows, columns=[*factors, "recipes", "expected", "stopped"])
