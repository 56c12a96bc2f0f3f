"""Which trials a study compares, and how tables of them are parted. Frame in, frame out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from results.metric import ACCURACY, Metric
from results.phrases import STANDARD_FACTORS, cell_key, is_absent
from results.records import RECIPE_COLUMNS, Stage, Status
from results.statistics.looks import Looks

EXCLUDED = "excluded"
"""Status, in memory alone, of a trial that the study leaves out."""


@dataclass(frozen=True)
class Design:
    """What a study, as last run, asks for."""

    name: str = ""
    factors: tuple[str, ...] = STANDARD_FACTORS
    """Columns that together name a cell, the three standard ones first."""
    levels: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """The levels of each factor as the study file declares them, in its order."""
    seeds: tuple[int, ...] = ()
    """Seeds of every cell; where there are none, those of the wanted trials are meant."""
    looks: Looks | None = None
    """When is looked whether cells need more seeds; None where the study lists its seeds."""
    race: bool = False
    """True where unlike trials compete: a search without a measure stage, not a comparison."""
    metric: Metric = ACCURACY
    """What trials are ranked and cells compared by."""
    tuned: tuple[str, ...] = ()
    """Recipe fields that are searched inside each cell."""
    stated: Mapping[str, Any] = field(default_factory=dict)
    """Of the searched recipe fields the value that is listed first, what a tuned recipe is held
    against; empty where a field has a range and no list."""
    prices: Mapping[str, float] = field(default_factory=dict)
    """Of a `label` and of an `hour` on a GPU or CPU, in one currency; as far as they are known."""
    excluded: Mapping[str, str] = field(default_factory=dict)
    """Trials that comparisons leave out, by trial_id, each with the reason."""
    selects_on_test: bool = False
    """Whether the test set served as validation."""

    @classmethod
    def of(cls, study: Mapping[str, Any]) -> "Design":
        """Return the design of a resolved study, as `study.yaml` holds it."""
        declared = study.get("factors") or {}
        stopping = study.get("early_stopping")
        counted = study["seeds"] if isinstance(study.get("seeds"), Mapping) else None
        competes = isinstance(stopping, Mapping) and stopping.get("compare", "cell") != "cell"
        tuned = {k: v for k, v in (study.get("search") or {}).items() if k in RECIPE_COLUMNS}
        listed = all(isinstance(values, list) and values for values in tuned.values())
        return cls(
            name=str(study.get("name", "")),
            factors=(*STANDARD_FACTORS, *(name for name in declared if name in RECIPE_COLUMNS)),
            levels={name: _labels(levels) for name, levels in declared.items()},
            seeds=() if counted else tuple(study.get("seeds") or ()),
            looks=counted and Looks(tuple(counted["looks"]), counted.get("smallest", 0.0)),
            race=competes and not study.get("search"),
            metric=Metric.read(study.get("metric")),
            tuned=tuple(tuned),
            stated={name: values[0] for name, values in tuned.items()} if listed else {},
            prices=study.get("prices") or {},
            excluded=study.get("exclude") or {},
            selects_on_test=(study.get("data") or {}).get("validation") == "test",
        )


def _labels(levels: Any) -> list[Any]:
    """Return levels as the tables name them: a file with a label goes by the label."""
    listed = levels if isinstance(levels, list) else [levels] if levels else []
    parts = (level if isinstance(level, Mapping) else [level] for level in listed)
    return [name for part in parts for name in part]


def wanted_trials(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials that the study as last run asks for."""
    return trials[trials["wanted"].fillna(False).astype(bool)]


def measured_trials(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials that comparisons use or will use, whatever became of them."""
    return trials[trials["measured"].fillna(False).astype(bool)]


def compared_trials(trials: pd.DataFrame, race: bool) -> pd.DataFrame:
    """Return the trials that charts of the outcome show: in a race also the stopped ones."""
    wanted, ended = wanted_trials(trials), [Status.COMPLETED, Status.STOPPED]
    compared, ended = (wanted, ended) if race else (measured_trials(wanted), ended[:1])
    return compared[compared["status"].isin(ended)]


def compared_runs(
    trials: pd.DataFrame, race: bool = False, metric: Metric = ACCURACY
) -> pd.DataFrame:
    """Return the trials that comparisons use: wanted, measured and completed, with a test value.

    In a race, which has no measure stage, those that completed. Rows by trial_id, with `accuracy`,
    the score by the metric of the final epoch on the test set, and `error` (in points from 0 to 100
    where it is a share), and `selected`, true where the cell's recipe was chosen on this very run.
    """
    runs = compared_trials(trials, race)
    scores = metric.scale * metric.of(runs, "final_test")
    chosen = (runs["stage"] == Stage.SEARCH) & (not race)
    runs = runs.assign(accuracy=scores, error=metric.errors(scores), selected=chosen)
    runs = runs[(runs["status"] == Status.COMPLETED) & scores.notna()]
    return runs.sort_values("trial_id", ignore_index=True)


def ordered_levels(runs: pd.DataFrame, factor: str) -> list[Any]:
    """Return a factor's levels from the least to the most of it; an absent one is left out.

    Numbers by value; models by their parameters; weights with `none` first; the rest by name.
    """
    levels = list(runs[factor].dropna().unique())
    if pd.api.types.is_numeric_dtype(runs[factor]):
        return sorted(levels)
    if factor == "model":
        size = model_sizes(runs)
        return sorted(levels, key=lambda name: (np.nan_to_num(float(size[name])), str(name)))
    return sorted(levels, key=lambda name: (str(name) != "none", str(name)))


def model_sizes(runs: pd.DataFrame) -> pd.Series:
    """Return the number of parameters by model, NaN where unknown."""
    return runs.groupby("model", observed=True)["n_parameters"].max()


def by_cell(frame: pd.DataFrame, factors: Sequence[str]) -> dict[tuple[str, ...], pd.DataFrame]:
    """Return the rows of each cell that occurs, by its levels as they are written."""
    names = list(factors)
    if not names:
        return {(): frame} if len(frame) else {}
    return {
        cell_key(dict(zip(names, levels, strict=True)), names): rows
        for levels, rows in frame.groupby(names, dropna=False, observed=True, sort=False)
    }


def combinations(frame: pd.DataFrame, factors: Sequence[str]) -> list[dict[str, Any]]:
    """Return the combinations of levels that occur, in the frame's order."""
    return records_of(frame[list(factors)].drop_duplicates()) if factors else [{}]


def where(frame: pd.DataFrame, levels: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows that have these levels."""
    chosen = np.ones(len(frame), dtype=bool)
    for factor, level in levels.items():
        column = frame[factor]
        chosen &= (column.isna() if is_absent(level) else column == level).to_numpy(bool)
    return frame[chosen]


def records_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a small frame as dictionaries."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]
