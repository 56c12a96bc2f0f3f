"""What each cell's runs say: means with intervals, and which runs are there. Frame in, frame out.

Accuracies and errors are in points (percentage points, 0 to 100) of the final epoch's test
accuracy; records hold shares from 0 to 1.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from results.cells import STANDARD_FACTORS, cells_of, level_label
from results.intervals import LEVEL, MeanInterval, mean_interval, pooled_variance_of_cells
from results.records import Stage, Status


def compared_runs(trials: pd.DataFrame, race: bool = False) -> pd.DataFrame:
    """Return the runs that comparisons use: measured, wanted and completed.

    Parameters
    ----------
    trials
        The table of trials.
    race
        The study has no measure stage: what completed is compared, and marked as a search.

    Returns
    -------
    DataFrame
        Those rows, by trial_id, with three more columns: `accuracy` and `error` in points, and
        `selected`, true where the cell's recipe was chosen on this very run.
    """
    runs = wanted_trials(trials)
    runs = runs if race else measured_trials(runs)
    runs = runs[(runs["status"] == Status.COMPLETED) & runs["final_test_accuracy"].notna()]
    runs = runs.assign(
        accuracy=100 * runs["final_test_accuracy"],
        error=100 * (1 - runs["final_test_accuracy"]),
        selected=(runs["stage"] == Stage.SEARCH) & (not race),
    )
    return runs.sort_values("trial_id", ignore_index=True)


def wanted_trials(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials that the study as last run asks for."""
    return trials[trials["wanted"].fillna(False).astype(bool)]


def measured_trials(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials that comparisons use or will use, whatever became of them."""
    return trials[trials["measured"].fillna(False).astype(bool)]


def cell_estimates(
    trials: pd.DataFrame,
    factors: Sequence[str] = STANDARD_FACTORS,
    seeds: Sequence[int] | None = None,
    race: bool = False,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Summarise every cell of a study, those without a value included.

    Parameters
    ----------
    trials
        The table of trials.
    factors
        Columns that name a cell.
    seeds
        The study's seeds; by default those of the wanted trials.
    race
        The study has no measure stage.
    level
        Nominal coverage of the intervals.

    Returns
    -------
    DataFrame
        One row per cell: the factors, `n_train`, `state` and `reason` (see `results.cells`),
        `seeds` present and `seeds_wanted`, `missing_seeds` (list), `accuracy` and `error` (means,
        points), `accuracy_low`, `accuracy_high` (t interval, NaN with one seed), `accuracy_sd`,
        `pooled_low`, `pooled_high` (variance v0 + v1/n pooled over cells, NaN with one seed),
        `selection_seed` (NA where the recipe was given), `accuracy_without_selection` with `_low`
        and `_high`, `train_accuracy` (points), `n_parameters`, `flops_per_image`, `seconds` (mean
        of a run), `resource` (gpu or cpu), `resource_seconds` (seconds times the share of it),
        and `search_resource_seconds` (of all the cell's search trials).
    """
    keys = list(factors)
    _require(trials, [*keys, "seed", "final_test_accuracy"])
    wanted = wanted_trials(trials)
    asked = sorted(int(seed) for seed in (wanted["seed"].unique() if seeds is None else seeds))
    study: dict[str, Any] = {
        "factors": {name: ordered_levels(wanted, name) for name in keys},
        "seeds": asked,
    }
    if race:
        study["early_stopping"] = {"compare": []}
    frame = cells_of(trials, study).frame
    frame = frame[[*keys, "n_train", "state", "reason", "seeds_wanted"]]
    runs = compared_runs(trials, race)
    noise = pooled_variance_of_cells(
        [
            (float(rows["n_train"].iloc[0]), rows["error"].to_numpy(dtype=float))
            for _, rows in runs.groupby(keys, dropna=False, sort=False)
        ]
    )
    groups = by_cell(runs, keys)
    searched = by_cell(wanted[wanted["stage"] == Stage.SEARCH], keys)
    rows = []
    for cell in frame[keys].to_dict("records"):
        key = cell_key(cell, keys)
        own = groups.get(key, runs.iloc[:0])
        row = _cell_row(own, asked, level)
        if len(own) > 1:
            pooled = noise.interval(own["error"], float(own["n_train"].iloc[0]), level)
            row |= {
                "pooled_low": 100 - _number(pooled.high),
                "pooled_high": 100 - _number(pooled.low),
            }
        search = searched.get(key)
        row["search_resource_seconds"] = 0.0 if search is None else _resource_seconds(search).sum()
        rows.append(row)
    extra = pd.DataFrame(rows, index=frame.index)
    return pd.concat([frame, extra], axis=1)


def by_cell(frame: pd.DataFrame, keys: Sequence[str]) -> dict[tuple[str, ...], pd.DataFrame]:
    """Split a frame by cell, named by its levels as they are written; see `cell_key`."""
    names = list(keys)
    return {
        cell_key(dict(zip(names, levels, strict=True)), names): rows
        for levels, rows in frame.groupby(names, dropna=False, observed=True, sort=False)
    }


def cell_key(row: Mapping[Any, Any] | pd.Series, keys: Sequence[str]) -> tuple[str, ...]:
    """Return a cell's levels as they are written, which also hold where a level is null."""
    return tuple(level_label(name, row[name]) for name in keys)


def cell_name(row: Mapping[Any, Any] | pd.Series, keys: Sequence[str]) -> str:
    """Return a cell's name, such as `resnet18 × none × 1/16`."""
    return " × ".join(cell_key(row, keys))


def ordered_levels(runs: pd.DataFrame, factor: str) -> list[Any]:
    """Return a factor's levels from the least to the most of it.

    Numbers by value; models by their parameters; weights with `none` first; the rest by name.
    """
    levels = list(runs[factor].dropna().unique())
    if pd.api.types.is_numeric_dtype(runs[factor]):
        return sorted(levels)
    if factor == "model":
        size = runs.groupby("model")["n_parameters"].max()
        return sorted(levels, key=lambda name: (np.nan_to_num(float(size[name])), str(name)))
    return sorted(levels, key=lambda name: (str(name) != "none", str(name)))


def resource_of(runs: pd.DataFrame) -> str:
    """Return which resource the runs are charged in: gpu where any had one, else cpu."""
    return "gpu" if (runs["gpu"].fillna(0) > 0).any() else "cpu"


def selection_optimism(epochs: pd.DataFrame) -> pd.DataFrame:
    """Return what choosing each run's best epoch on the test set would have added.

    Returns
    -------
    DataFrame
        One row per trial with both curves: `trial_id`, `by_validation` (test accuracy in points
        at the epoch best on validation), `by_test` (the best of all), and their difference
        `optimism`, points.
    """
    whole = epochs.dropna(subset=["val_accuracy", "test_accuracy"]).sort_values(
        ["trial_id", "epoch"], ignore_index=True
    )
    chosen = whole.loc[whole.groupby("trial_id")["val_accuracy"].idxmax()]
    best = whole.groupby("trial_id")["test_accuracy"].max()
    frame = pd.DataFrame(
        {
            "trial_id": chosen["trial_id"].to_numpy(),
            "by_validation": 100 * chosen["test_accuracy"].to_numpy(),
            "by_test": 100 * best.loc[chosen["trial_id"]].to_numpy(),
        }
    )
    return frame.assign(optimism=frame["by_test"] - frame["by_validation"])


def _cell_row(own: pd.DataFrame, seeds: Sequence[int], level: float) -> dict[str, Any]:
    present = sorted(int(seed) for seed in own["seed"].unique())
    chosen = own[own["selected"]]
    row: dict[str, Any] = {
        "seeds": len(present),
        "missing_seeds": [seed for seed in seeds if seed not in present],
        "selection_seed": int(chosen["seed"].iloc[0]) if len(chosen) else pd.NA,
        **_mean_columns("accuracy", own["accuracy"], level),
        **_mean_columns("accuracy_without_selection", own.loc[~own["selected"], "accuracy"], level),
        "pooled_low": np.nan,
        "pooled_high": np.nan,
        "train_accuracy": 100 * own["final_train_accuracy"].mean(),
        "n_parameters": own["n_parameters"].max(),
        "flops_per_image": own["flops_per_image"].max(),
        "seconds": own["seconds"].mean(),
        "resource": resource_of(own),
        "resource_seconds": _resource_seconds(own).mean(),
    }
    row["error"] = 100 - row["accuracy"]
    return row


def _mean_columns(name: str, values: pd.Series, level: float) -> dict[str, float]:
    if values.empty:
        found = MeanInterval(np.nan, None, None, None, 0, 0)
    else:
        found = mean_interval(values.to_numpy(dtype=float), level)
    return {
        name: found.mean,
        f"{name}_low": _number(found.low),
        f"{name}_high": _number(found.high),
        f"{name}_sd": _number(found.sd),
    }


def _resource_seconds(runs: pd.DataFrame) -> pd.Series:
    share = runs["gpu"] if resource_of(runs) == "gpu" else runs["cpu"]
    return runs["seconds"].fillna(0) * share.fillna(1)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _require(trials: pd.DataFrame, columns: Sequence[str]) -> None:
    absent = [name for name in columns if name not in trials.columns]
    if absent:
        raise ValueError(
            f"The table of trials lacks {', '.join(absent)}; its columns are "
            f"{', '.join(map(str, trials.columns))}."
        )
