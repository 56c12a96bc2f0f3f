"""The cells of a study: what was asked for, what became of it, and how accurate it is.

One row per cell, whatever happened to it: a cell without a value says why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd

from results.phrases import STANDARD_FACTORS, cell_name, level_label
from results.records import RECIPE_COLUMNS, Stage, Status

METRICS = tuple(
    f"{part}_{measure}" for part in ("test", "val", "train") for measure in ("accuracy", "loss")
)


class State(StrEnum):
    """How far a cell has come."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"
    MISSING = "missing"

    @property
    def has_value(self) -> bool:
        """Whether at least one seed was trained to its end, so that a chart may show the cell."""
        return self in (State.COMPLETE, State.PARTIAL)


@dataclass(frozen=True)
class Cells:
    """Every cell of a study, in the order in which charts show them.

    Parameters
    ----------
    frame
        One row per cell: the factors, `n_train`, `state`, `reason`, `seeds` (with a value) and
        `seeds_wanted`, of every accuracy and loss (accuracies from 0 to 1) the mean over seeds,
        `_low` and `_high` (95 % t interval, cut where accuracies and losses end), `_min` and
        `_max`, the recipe where all compared trials share it, `n_parameters`, `flops_per_image`,
        `seconds` (mean per trial), and how many of the cell's trials are in each stage and state.
    factors
        Columns that name a cell.
    levels
        The levels of each factor, in order.
    race
        True where unlike trials competed, so that the study is a search and not a comparison.
    """

    frame: pd.DataFrame
    factors: tuple[str, ...]
    levels: Mapping[str, list[Any]]
    race: bool = False

    @property
    def series(self) -> tuple[str, ...]:
        """The factors but for `fraction`: together they name a line over data sizes."""
        return tuple(factor for factor in self.factors if factor != "fraction")

    @property
    def panels(self) -> tuple[str, ...]:
        """The factors but for `model` and `fraction`."""
        return tuple(factor for factor in self.series if factor != "model")

    @property
    def counts(self) -> dict[State, int]:
        """How many cells are in each state."""
        found = self.frame["state"].value_counts()
        return {state: int(found.get(state, 0)) for state in State}

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to train, unless what failed is tried again."""
        open_trials = [
            f"{stage}_{status}" for stage in Stage for status in (Status.PLANNED, Status.RUNNING)
        ]
        return (
            not self.frame.empty
            and not self.frame[open_trials].to_numpy().any()
            and not (self.frame["state"] == State.MISSING).any()
        )

    @property
    def progress(self) -> str:
        """How many cells are in which state, such as `3 complete, 1 running`."""
        parts = [f"{number} {state}" for state, number in self.counts.items() if number]
        return ", ".join(parts) or "no trial is recorded yet"

    def name(self, row: Mapping[str, Any], factors: Sequence[str] | None = None) -> str:
        """Return a cell's name, such as `resnet18 × none × 1/16`.

        Factors with a single level say nothing and are left out, unless all have one.
        """
        names = [f for f in (factors or self.factors) if len(self.levels.get(f, ())) > 1]
        names = names or list(factors or self.factors)[:1]
        return cell_name(row, names)


def records_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a small frame as dictionaries."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def factors_of(study: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of a study's factors, the three standard ones first."""
    declared = study.get("factors") or {}
    return (*STANDARD_FACTORS, *(name for name in declared if name in RECIPE_COLUMNS))


def is_race(study: Mapping[str, Any]) -> bool:
    """Whether unlike trials compete, so that the study has no measure stage."""
    stopping = study.get("early_stopping")
    return (
        not study.get("search")
        and isinstance(stopping, Mapping)
        and stopping.get("compare", "cell") != "cell"
    )


def cells_of(trials: pd.DataFrame, study: Mapping[str, Any]) -> Cells:
    """Summarise the wanted trials of a study, one row per cell.

    Parameters
    ----------
    trials
        The table of trials, one row per trial.
    study
        The resolved study.
    """
    factors = factors_of(study)
    race = is_race(study)
    keys = list(factors)
    wanted = trials[trials["wanted"].fillna(False).astype(bool)]
    compared = wanted if race else wanted[wanted["measured"].fillna(False).astype(bool)]
    done = compared[compared["status"] == Status.COMPLETED]
    levels = {factor: _ordered(wanted[factor], _declared(study, factor)) for factor in factors}

    frame = _grouped(wanted, keys)["n_train"].max().to_frame()
    index = frame.index
    frame["seeds"] = _grouped(done, keys).size().reindex(index, fill_value=0)
    seeds = study.get("seeds") or wanted["seed"].unique()
    frame["seeds_wanted"] = max(len(seeds), 1)
    statistics = _grouped(done, keys)[[f"final_{metric}" for metric in METRICS]].agg(
        ["mean", "std", "count", "min", "max"]
    )
    for metric in METRICS:
        part = statistics[f"final_{metric}"].reindex(index)
        half = half_width(part["std"], part["count"])
        frame[metric] = part["mean"]
        most = 1.0 if metric.endswith("accuracy") else np.inf
        frame[f"{metric}_low"] = (part["mean"] - half).clip(0.0, most)
        frame[f"{metric}_high"] = (part["mean"] + half).clip(0.0, most)
        frame[f"{metric}_min"], frame[f"{metric}_max"] = part["min"], part["max"]
    for column in ("n_parameters", "flops_per_image"):
        frame[column] = _grouped(wanted, keys)[column].max()
    frame["seconds"] = _grouped(done, keys)["seconds"].mean().reindex(index)
    recipe = [name for name in RECIPE_COLUMNS if name not in factors]
    frame = frame.join(_only_values(compared, keys, recipe))
    counts = _counts(wanted, keys).reindex(index, fill_value=0)
    frame = frame.join(counts)
    failures = wanted[wanted["status"] == Status.FAILED]
    frame["_error"] = _grouped(failures, keys)["error"].first().reindex(index)
    frame = frame.reset_index()
    frame["state"] = _states(frame, race)
    frame["reason"] = _reasons(frame, race)
    for factor in factors:
        # NaN never equals itself, so that a level left at its default goes by its label.
        order = {level_label(factor, level): place for place, level in enumerate(levels[factor])}
        places = frame[factor].map(
            {level: order[level_label(factor, level)] for level in frame[factor].unique()}
        )
        frame[f"_{factor}"] = places.fillna(len(order))
    frame = frame.sort_values([f"_{factor}" for factor in factors], ignore_index=True)
    frame = frame.drop(columns=["_error", *(f"_{factor}" for factor in factors)])
    head = [*factors, "n_train", "state", "reason"]
    rest = [column for column in frame.columns if column not in head]
    return Cells(frame[[*head, *rest]], factors, levels, race)


def combinations(frame: pd.DataFrame, factors: Sequence[str]) -> list[dict[str, Any]]:
    """Return the combinations of levels that occur, in the frame's order."""
    if not factors:
        return [{}]
    return records_of(frame[list(factors)].drop_duplicates())


def where(frame: pd.DataFrame, levels: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows that have these levels."""
    chosen = np.ones(len(frame), dtype=bool)
    for factor, level in levels.items():
        column = frame[factor]
        chosen &= (column.isna() if pd.isna(level) else column == level).to_numpy(bool)
    return frame[chosen]


def compared_trials(trials: pd.DataFrame, race: bool) -> pd.DataFrame:
    """Return the trials that charts of the outcome show: in a race also the stopped ones."""
    wanted = trials[trials["wanted"].fillna(False).astype(bool)]
    if race:
        return wanted[wanted["status"].isin([Status.COMPLETED, Status.STOPPED])]
    measured = wanted["measured"].fillna(False).astype(bool)
    return wanted[measured & (wanted["status"] == Status.COMPLETED)]


def half_width(deviation: pd.Series, seeds: pd.Series) -> pd.Series:
    """Return what follows the ± of 95 % t intervals of many cells: t(n−1)·s/√n.

    Parameters
    ----------
    deviation
        Standard deviation over seeds, with n − 1 in the denominator; NaN with one seed.
    seeds
        Number n of seeds.
    """
    # Takes longer to import than a table takes to read.
    from scipy.special import stdtrit

    freedom = (seeds - 1).where(seeds > 1)
    quantile = pd.Series(stdtrit(freedom.to_numpy(float), 0.975), seeds.index)
    return deviation * quantile / seeds**0.5


def _grouped(frame: pd.DataFrame, keys: list[str]) -> Any:
    return frame.groupby(keys, dropna=False, observed=True, sort=False)


def _declared(study: Mapping[str, Any], factor: str) -> list[Any]:
    """Return a factor's levels as the tables name them, in the order of the study file."""
    named = (study.get("factors") or {}).get(factor) or []
    labels: list[Any] = []
    for level in named if isinstance(named, list) else [named]:
        labels.extend(level if isinstance(level, Mapping) else [level])
    return labels


def _ordered(column: pd.Series, declared: list[Any]) -> list[Any]:
    found = list(column.unique())
    if pd.api.types.is_numeric_dtype(column):
        return sorted(found, key=lambda level: (pd.isna(level), level))
    first = [level for level in dict.fromkeys(declared) if level in found]
    return first + sorted((level for level in found if level not in first), key=str)


def _only_values(frame: pd.DataFrame, keys: list[str], columns: list[str]) -> pd.DataFrame:
    """Return per cell the value that all its compared trials share, else nothing."""
    grouped = _grouped(frame, keys)[columns]
    same = grouped.nunique(dropna=False) == 1
    shared: pd.DataFrame = grouped.first().where(same)
    return shared


def _counts(wanted: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    counts = (
        wanted.groupby([*keys, "stage", "status"], dropna=False, observed=True)
        .size()
        .unstack(["stage", "status"], fill_value=0)
    )
    columns = pd.MultiIndex.from_product([list(Stage), list(Status)])
    counts = counts.reindex(columns=columns, fill_value=0)
    counts.columns = pd.Index([f"{stage}_{status}" for stage, status in columns])
    return counts


def _states(frame: pd.DataFrame, race: bool) -> np.ndarray:
    def count(*statuses: Status) -> pd.Series:
        return sum(
            (frame[f"{stage}_{status}"] for stage in Stage for status in statuses),
            start=pd.Series(0, frame.index),
        )

    unfinished = count(Status.PLANNED, Status.RUNNING)
    enough = (frame["seeds"] > 0) if race else (frame["seeds"] >= frame["seeds_wanted"])
    whole = enough & (unfinished == 0) if race else enough
    started = count(Status.RUNNING, Status.COMPLETED, Status.STOPPED, Status.FAILED) > 0
    only_search = frame[[f"measure_{status}" for status in Status]].sum(axis=1) == 0
    awaiting = only_search & (frame["search_completed"] > 0)
    return np.select(
        [
            whole,
            frame["seeds"] > 0,
            (unfinished > 0) & started,
            unfinished > 0,
            count(Status.FAILED) > 0,
            (frame["search_stopped"] > 0) & ~awaiting,
        ],
        [
            State.COMPLETE,
            State.PARTIAL,
            State.RUNNING,
            State.MISSING,
            State.FAILED,
            State.STOPPED,
        ],
        State.MISSING,
    )


def _reasons(frame: pd.DataFrame, race: bool) -> list[str | None]:
    reasons: list[str | None] = [None] * len(frame)
    unfinished = frame[frame["state"] != State.COMPLETE]
    for place, row in zip(unfinished.index, records_of(unfinished), strict=True):
        reasons[place] = _reason(row, race)
    return reasons


def _reason(row: Mapping[str, Any], race: bool) -> str:
    def total(status: Status) -> int:
        return int(row[f"search_{status}"] + row[f"measure_{status}"])

    planned, running, failed = (
        total(status) for status in (Status.PLANNED, Status.RUNNING, Status.FAILED)
    )
    parts = []
    if failed:
        error = row["_error"] if isinstance(row["_error"], str) else ""
        first = next(iter(error.strip().splitlines()), "no message was recorded")
        parts.append(f"{failed} failed ({first})")
    if row["search_stopped"] and (race or not row["seeds"]):
        parts.append(f"{int(row['search_stopped'])} stopped early")
    if running:
        parts.append(f"{running} running")
    if planned:
        parts.append(f"{planned} planned, not run yet")
    searched = sum(int(row[f"search_{status}"]) for status in Status)
    measured = sum(int(row[f"measure_{status}"]) for status in Status)
    if searched and not measured and not race and not row["seeds"]:
        open_search = int(row["search_planned"] + row["search_running"])
        if open_search:
            parts.append("its recipe is not chosen yet")
        elif row["search_completed"]:
            parts.append("its recipe is chosen, the measurement has not begun")
        else:
            parts.append("no recipe completed, so none could be chosen")
    if row["seeds"] and not race:
        parts.insert(0, f"{int(row['seeds'])} of {int(row['seeds_wanted'])} seeds completed")
    return "; ".join(parts) or "no trial was recorded"
