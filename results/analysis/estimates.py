"""What each cell's runs say: means with intervals, and which runs are there. Frame in, frame out.

Accuracies and errors are in points (percentage points, 0 to 100) of the final epoch's test
accuracy; records hold shares from 0 to 1.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from results.analysis.cells import cells_of
from results.phrases import STANDARD_FACTORS, cell_key
from results.records import Stage, Status
from results.statistics.intervals import LEVEL, grouped, mean_intervals, pooled_variance_of_cells


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
        One row per cell: the factors, `n_train`, `state` and `reason` (see `cells`),
        `seeds` present and `seeds_wanted`, `missing_seeds` (list), `accuracy` and `error` (means,
        points), `accuracy_low`, `accuracy_high` (t interval, cut at 0 and 100, NaN with one seed),
        `accuracy_sd`, `pooled_low`, `pooled_high` (variance v0 + v1/n pooled over cells, NaN with
        one seed),
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
    searched = wanted[wanted["stage"] == Stage.SEARCH]
    extra = {
        **_seed_columns(runs, _places(runs, frame, keys), asked, len(frame)),
        **_value_columns(runs, _places(runs, frame, keys), len(frame), level),
        **_spent("search_resource_seconds", searched, _places(searched, frame, keys), len(frame)),
    }
    return pd.concat([frame, pd.DataFrame(extra, index=frame.index)], axis=1)


def by_cell(frame: pd.DataFrame, keys: Sequence[str]) -> dict[tuple[str, ...], pd.DataFrame]:
    """Split a frame by cell, named by its levels as they are written; see `cell_key`."""
    names = list(keys)
    return {
        cell_key(dict(zip(names, levels, strict=True)), names): rows
        for levels, rows in frame.groupby(names, dropna=False, observed=True, sort=False)
    }


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


def _places(rows: pd.DataFrame, cells: pd.DataFrame, keys: Sequence[str]) -> np.ndarray:
    """Return the place of each row's cell in a frame of cells; levels compare as written."""
    groups = rows.groupby(list(keys), dropna=False, observed=True, sort=False)
    known = {cell_key(cell, keys): place for place, cell in enumerate(cells.to_dict("records"))}
    firsts = groups.head(1)[list(keys)].to_dict("records")
    places = np.array([known[cell_key(cell, keys)] for cell in firsts], dtype=int)
    return places[groups.ngroup().to_numpy()]


def _seed_columns(
    runs: pd.DataFrame, places: np.ndarray, asked: Sequence[int], cells: int
) -> dict[str, Any]:
    present: list[set[int]] = [set() for _ in range(cells)]
    chosen_on: list[Any] = [pd.NA] * cells
    # From the last to the first, so that the first run of a cell has the last word.
    rows = zip(places[::-1], runs["seed"][::-1], runs["selected"][::-1], strict=True)
    for place, seed, selected in rows:
        present[place].add(int(seed))
        if selected:
            chosen_on[place] = int(seed)
    missing = pd.Series(
        [[seed for seed in asked if seed not in own] for own in present], dtype=object
    )
    return {
        "seeds": np.array([len(own) for own in present], dtype=int),
        "missing_seeds": missing.to_numpy(),
        "selection_seed": np.array(chosen_on, dtype=object),
    }


def _value_columns(
    runs: pd.DataFrame, places: np.ndarray, cells: int, level: float
) -> dict[str, Any]:
    accuracy = runs["accuracy"].to_numpy(dtype=float)
    size = np.full(cells, np.nan)
    size[places] = runs["n_train"]
    columns: dict[str, Any] = {}
    kept = ~runs["selected"].to_numpy(dtype=bool)
    for ending, rows in (("", np.ones(len(runs), dtype=bool)), ("_without_selection", kept)):
        found = mean_intervals(grouped(accuracy[rows], places[rows], cells), level)
        columns |= {
            f"accuracy{ending}": found.mean,
            f"accuracy{ending}_low": found.low.clip(0, 100),
            f"accuracy{ending}_high": found.high.clip(0, 100),
            f"accuracy{ending}_sd": found.sd,
        }
    half = _pooled_half_width(100 - accuracy, places, size)
    groups = runs.groupby(places)
    largest = groups[["n_parameters", "flops_per_image"]].max().reindex(range(cells))
    return {
        **columns,
        "pooled_low": (columns["accuracy"] - half).clip(0, 100),
        "pooled_high": (columns["accuracy"] + half).clip(0, 100),
        "train_accuracy": 100 * _means(runs["final_train_accuracy"], places, cells),
        "n_parameters": largest["n_parameters"].to_numpy(),
        "flops_per_image": largest["flops_per_image"].to_numpy(),
        "seconds": _means(runs["seconds"], places, cells),
        "resource": np.where(_on_gpu(runs, places, cells), "gpu", "cpu"),
        "resource_seconds": _means(_resource_seconds(runs, places, cells), places, cells),
        "error": 100 - columns["accuracy"],
    }


def _pooled_half_width(errors: np.ndarray, places: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return what follows the ± of each cell with the variance v0 + v1/n pooled over all."""
    table = grouped(errors, places, size.size)
    runs = (~np.isnan(table)).sum(axis=1)
    half = pooled_variance_of_cells(size, table).half_width(size, np.maximum(runs, 1))
    return np.where(runs > 1, half, np.nan)


def _spent(name: str, trials: pd.DataFrame, places: np.ndarray, cells: int) -> dict[str, Any]:
    seconds = _resource_seconds(trials, places, cells)
    return {name: np.bincount(places, weights=seconds, minlength=cells)}


def _resource_seconds(runs: pd.DataFrame, places: np.ndarray, cells: int) -> pd.Series:
    share = runs["gpu"].where(_on_gpu(runs, places, cells)[places], runs["cpu"])
    return runs["seconds"].fillna(0) * share.fillna(1)


def _on_gpu(runs: pd.DataFrame, places: np.ndarray, cells: int) -> np.ndarray:
    """Tell which cells are charged in GPU time: those of which any run had one."""
    return np.bincount(places, weights=runs["gpu"].fillna(0) > 0, minlength=cells) > 0


def _means(column: pd.Series, places: np.ndarray, cells: int) -> np.ndarray:
    means = column.astype(float).groupby(places).mean()
    return means.reindex(range(cells)).to_numpy(dtype=float)


def _require(trials: pd.DataFrame, columns: Sequence[str]) -> None:
    absent = [name for name in columns if name not in trials.columns]
    if absent:
        raise ValueError(
            f"The table of trials lacks {', '.join(absent)}; its columns are "
            f"{', '.join(map(str, trials.columns))}."
        )
