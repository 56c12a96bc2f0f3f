"""The cells of a study: what was asked for, what became of it, and how accurate it is.

Scores and errors are of the final epoch, of shares in points (0 to 100); records hold 0 to 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from results.analysis.board import Board
from results.analysis.runs import Design, compared_runs, measured_trials, records_of, wanted_trials
from results.metric import ACCURACY, Metric
from results.phrases import cell_name, level_label
from results.records import RECIPE_COLUMNS, Stage, Status
from results.statistics.inference import Contrasts, contrasts_of, infer
from results.statistics.intervals import Array, grouped

METRICS = (
    *(f"{part}_{name}" for part in ("test", "val", "train") for name in ("accuracy", "loss")),
    *("test_balanced_accuracy", "val_metric", "test_metric"),
)
"""Columns of the public summary, in the units of the records."""
_TURNED = {"_low": "_high", "_high": "_low", "_min": "_max", "_max": "_min"}
_COUNTS = tuple(f"{stage}_{status}" for stage in Stage for status in Status)
_ENDS = ("", "_low", "_high", "_sd", "_min", "_max")


class State(StrEnum):
    """How far a cell has come."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"
    MISSING = "missing"


@dataclass(frozen=True)
class Cells:
    """Every cell of a study, in the order in which charts show them."""

    frame: pd.DataFrame
    """One row per cell.

    What it is and where it stands: the factors, `n_train`, `state`, `reason`, `completed`
    (trials), `seeds` (with a test accuracy), `seeds_wanted`, `missing_seeds` (list), and how
    many of its trials are in each stage and state.

    How accurate it is: `accuracy`, the score by the study's metric, and `error` on the test set,
    the accuracies in points and the losses of `METRICS`, each the mean over seeds, with `_low` and
    `_high` (95 % interval, inferred with those of all cells, cut where accuracies and losses end;
    NaN with one seed), `_error` and `_freedom` (what they rest on), `_speaks_of` (new seeds and
    images, or new seeds alone), `_sd`, `_min` and `_max`; `selection_seed` (NA where the recipe
    was given), and the mean without it, `accuracy_without_selection`.

    What it takes: the recipe where all compared trials share it, `n_parameters`,
    `flops_per_image`, `seconds` (mean of a run), `resource` (gpu or cpu), `resource_seconds`
    (seconds times the share of it), `search_resource_seconds` (of all its search trials).
    """
    factors: tuple[str, ...]
    levels: Mapping[str, list[Any]]
    board: Board
    """The compared runs by cell, in the order of `frame`, and seed."""
    race: bool = False
    """True where unlike trials competed, so that the study is a search and not a comparison."""

    @cached_property
    def summary(self) -> pd.DataFrame:
        """The cells as `results.Run.summary` gives them: accuracies from 0 to 1, as in records."""
        frame = self.frame.assign(seeds=self.frame["completed"])
        first = (*self.factors, "n_train", "state", "reason", "seeds", "seeds_wanted")
        columns = {name: frame[name] for name in first}
        for name in METRICS:
            inner, scale = _inner(name, self.board.metric)
            for end in _ENDS:
                own = _TURNED.get(end, end) if scale < 0 else end
                by = abs(scale) if end == "_sd" else scale
                columns[f"{name}{end}"] = frame[f"{inner}{own}"] / by
        rest = ("n_parameters", "flops_per_image", "seconds")
        recipe = [name for name in RECIPE_COLUMNS if name not in self.factors]
        return pd.DataFrame(columns | {name: frame[name] for name in (*rest, *recipe, *_COUNTS)})

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to train, unless what failed is tried again."""
        frame = self.frame
        open_trials = [name for name in _COUNTS if name.endswith((Status.PLANNED, Status.RUNNING))]
        is_missing = (frame["state"] == State.MISSING).any()
        return not (frame.empty or is_missing or frame[open_trials].to_numpy().any())

    @property
    def progress(self) -> str:
        """How many cells are in which state, such as `3 complete, 1 running`."""
        found = self.frame["state"].value_counts()
        parts = (f"{found[state]} {state}" for state in State if state in found)
        return ", ".join(parts) or "no trial is recorded yet"

    @property
    def resource(self) -> str:
        """GPU where any cell with a value had one, else CPU: what costs are stated in."""
        return "GPU" if (self.frame["resource"][self.frame["seeds"] > 0] == "gpu").any() else "CPU"

    def name(self, row: Mapping[str, Any], factors: Sequence[str] | None = None) -> str:
        """Return a cell's name, such as `resnet18 × none × 1/16`, by the factors that vary."""
        names = [f for f in (factors or self.factors) if len(self.levels.get(f, ())) > 1]
        return cell_name(row, names or list(factors or self.factors)[:1])

    def placed(self, trials: pd.DataFrame, column: str) -> pd.DataFrame:
        """Return those trials that belong to a cell, its place in `frame` in a further column."""
        places = self.frame[list(self.factors)].reset_index(names=column)
        return trials.merge(places, on=list(self.factors), how="inner")

    def ordered(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a table's rows in the order in which charts show cells."""
        return in_order(table, self.levels)


def cells_of(trials: pd.DataFrame, design: Design, predictions: pd.DataFrame) -> Cells:
    """Summarise wanted trials as `Cells`; ValueError if two compared runs share cell and seed."""
    factors = list(design.factors)
    wanted = wanted_trials(trials)
    levels = {name: _ordered(wanted[name], design.levels.get(name, ())) for name in factors}
    groups = wanted.groupby(factors, dropna=False, observed=True, sort=False)
    heads = groups.head(1)[factors]
    order = _order(heads, levels)
    # From here on a cell is named by its place in the frame.
    wanted = wanted.assign(cell=np.argsort(order)[groups.ngroup().to_numpy()])
    compared = wanted if design.race else measured_trials(wanted)
    done = compared[compared["status"] == Status.COMPLETED]
    runs, count = compared_runs(wanted, design.race, design.metric), len(heads)
    frame = heads.iloc[order].reset_index(drop=True)
    frame = frame.join(wanted.groupby("cell")[["n_train", "n_parameters", "flops_per_image"]].max())
    said = [name for name in (*RECIPE_COLUMNS, "head") if name in compared and name not in factors]
    own = compared.groupby("cell")[said]
    shared = own.first().where(own.nunique(dropna=False) == 1)
    fates = wanted["stage"].astype(str) + "_" + wanted["status"].astype(str)
    counts = pd.crosstab(wanted["cell"], fates)
    counts = counts.reindex(index=range(count), columns=list(_COUNTS), fill_value=0).astype(int)
    frame = frame.join(shared).join(counts)
    frame["completed"] = np.bincount(done["cell"], minlength=count)
    frame = frame.assign(**_seeds(wanted, compared, runs, design, count))
    frame = frame.assign(**_costs(wanted, done, count))
    places = frame[[*factors, "n_train", "n_parameters"]]
    board = Board.of(runs, factors, predictions, places, design.metric)
    frame = pd.concat([frame, pd.DataFrame(_values(done, board))], axis=1)
    errors = wanted[wanted["status"] == Status.FAILED].groupby("cell")["error"].first()
    rows = records_of(frame[["completed", "seeds_wanted", *_COUNTS]].assign(_error=errors))
    standing = [_standing(row, design.race) for row in rows]
    frame["state"] = pd.Series([state for state, _ in standing], dtype="str")
    frame["reason"] = [reason for _, reason in standing]
    return Cells(frame, design.factors, levels, board, design.race)


def pareto_front(cells: pd.DataFrame, cost: str) -> pd.Series:
    """Tell which cells none beats in error at the same cost, a column, or less; unknown: False."""
    known = cells[[cost, "error"]].astype(float).dropna()
    lowest = known.groupby(cost)["error"].min()
    front = lowest[lowest < lowest.cummin().shift(fill_value=np.inf)]
    return (known["error"] == known[cost].map(front)).reindex(cells.index, fill_value=False)


def in_order(table: pd.DataFrame, levels: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """Return a table's rows sorted by their levels; equals stay as they are."""
    return table.iloc[_order(table, levels)].reset_index(drop=True)


def _ordered(column: pd.Series, declared: Sequence[Any]) -> list[Any]:
    found = list(column.unique())
    if pd.api.types.is_numeric_dtype(column):
        return sorted(found, key=lambda level: (pd.isna(level), level))
    first = [level for level in dict.fromkeys(declared) if level in found]
    return first + sorted((level for level in found if level not in first), key=str)


def _order(table: pd.DataFrame, levels: Mapping[str, Sequence[Any]]) -> np.ndarray:
    """Return the places of a table's rows, sorted by their levels; equals stay as they are."""
    keys = [np.arange(len(table))]
    for factor in reversed(list(levels)):
        if factor in table:
            place = {level_label(factor, level): n for n, level in enumerate(levels[factor])}
            # A thousand models have a million differences, but few levels.
            codes, found = pd.factorize(table[factor], use_na_sentinel=False)
            labels = [level_label(factor, level) for level in found]
            keys.append(np.array([place[label] for label in labels], dtype=int)[codes])
    # The last key is the most important one.
    return np.lexsort(keys)


def _seeds(
    wanted: pd.DataFrame, compared: pd.DataFrame, runs: pd.DataFrame, design: Design, count: int
) -> dict[str, Any]:
    asked = [sorted(int(seed) for seed in design.seeds or wanted["seed"].unique())] * count
    if design.looks:
        most = measured_trials(wanted).groupby("cell")["seed"].max().reindex(range(count)).fillna(0)
        asked = [[*range(max(design.looks.seeds[0], int(seed) + 1))] for seed in most]
    out = compared[compared["trial_id"].isin(design.excluded)]
    left_out, there = (set(zip(own["cell"], own["seed"], strict=True)) for own in (out, runs))
    asked = [[seed for seed in seeds if (n, seed) not in left_out] for n, seeds in enumerate(asked)]
    missing = [[seed for seed in seeds if (n, seed) not in there] for n, seeds in enumerate(asked)]
    chosen_on = np.full(count, pd.NA, dtype=object)
    selected = runs[runs["selected"]]
    chosen_on[selected["cell"]] = selected["seed"].astype(int)
    return {
        "seeds": np.bincount(runs["cell"], minlength=count),
        "seeds_wanted": [max(len(seeds), 1) for seeds in asked],
        "missing_seeds": missing,
        "selection_seed": chosen_on,
    }


def _values(done: pd.DataFrame, board: Board) -> dict[str, np.ndarray]:
    place, count, metric = done["cell"].to_numpy(), len(board.cells), board.metric
    columns: dict[str, np.ndarray] = {}
    for (inner, scale), name in {_inner(name, metric): name for name in METRICS[::-1]}.items():
        if name.endswith("_metric"):
            bounds, values = metric.bounds, metric.of(done, f"final_{name.partition('_')[0]}")
        else:
            bounds = 0.0, 100.0 if name.endswith("accuracy") else np.inf
            values = done[f"final_{name}"]
        table = grouped(scale * values.to_numpy(float), place, count)
        # A loss may be infinite, of which nothing can be inferred.
        endless = np.isinf(table).any(axis=1, keepdims=True)
        known = contrasts_of(np.where(endless, np.nan, table))
        if inner == "accuracy":
            # Of each cell by itself: a contrast with nothing.
            known = board.outcomes.contrasts(np.arange(count)[:, None], np.ones((count, 1)))
        columns |= _spread(inner, table, known, board.covariates, bounds)
    fresh = np.where(board.selected, np.nan, board.outcomes.accuracy)
    columns["accuracy_without_selection"] = pd.DataFrame(fresh).mean(axis=1).to_numpy()
    return {**columns, "error": metric.errors(pd.Series(columns["accuracy"])).to_numpy()}


def _spread(
    name: str, table: Array, known: Contrasts, covariates: Array, bounds: tuple[float, float]
) -> dict[str, np.ndarray]:
    """Return the columns of a quantity between bounds, given with shape (cells, seeds)."""
    found, many = infer(known, covariates), known.seeds > 1
    values, told = pd.DataFrame(table), {}
    with np.errstate(invalid="ignore"):
        for end, how in (("", "mean"), ("_sd", "std"), ("_min", "min"), ("_max", "max")):
            told[f"{name}{end}"] = values.agg(how, axis=1).to_numpy(float)
    for end in ("error", "image_error", "freedom", "speaks_of"):
        told[f"{name}_{end}"] = getattr(found, end)
    for end in ("low", "high"):
        told[f"{name}_{end}"] = np.where(many, getattr(found, end), np.nan).clip(*bounds)
    return told


def _inner(name: str, metric: Metric) -> tuple[str, int]:
    """Return what a column of the summary is called in the frame, and is multiplied by there."""
    if name in ("test_metric", f"test_{metric.column}"):
        return "accuracy", metric.scale
    if name == "val_metric":
        return ("val_accuracy" if metric == ACCURACY else name), metric.scale
    return name, 100 if name.endswith("accuracy") else 1


def _costs(wanted: pd.DataFrame, done: pd.DataFrame, count: int) -> dict[str, Any]:
    # Cells are charged in GPU time where any of their trials had one, else in CPU time.
    place = wanted["cell"]
    on_gpu = np.bincount(place, weights=wanted["gpu"].fillna(0) > 0, minlength=count) > 0
    share = wanted["gpu"].where(on_gpu[place], wanted["cpu"]).fillna(1)
    spent = wanted["seconds"].fillna(0) * share
    searched = spent.where(wanted["stage"] == Stage.SEARCH, 0)
    return {
        "seconds": done.groupby("cell")["seconds"].mean(),
        "resource": np.where(on_gpu, "gpu", "cpu"),
        "resource_seconds": spent[done.index].groupby(done["cell"]).mean(),
        "search_resource_seconds": np.bincount(place, weights=searched, minlength=count),
    }


def _standing(row: Mapping[str, Any], race: bool) -> tuple[State, str | None]:
    search, measure = (
        {status: int(row[f"{stage}_{status}"]) for status in Status} for stage in Stage
    )
    total = {status: search[status] + measure[status] for status in Status}
    done, unfinished = int(row["completed"]), total[Status.PLANNED] + total[Status.RUNNING]
    if (done and not unfinished) if race else done >= row["seeds_wanted"]:
        return State.COMPLETE, None
    # A recipe was found, and its measurement has not begun.
    awaits = bool(search[Status.COMPLETED]) and not any(measure.values())
    fates = {
        State.PARTIAL: done,
        State.RUNNING: unfinished and sum(total.values()) > total[Status.PLANNED],
        State.MISSING: unfinished,
        State.FAILED: total[Status.FAILED],
        State.STOPPED: search[Status.STOPPED] and not awaits,
    }
    state = next((state for state, holds in fates.items() if holds), State.MISSING)
    error = row["_error"] if isinstance(row["_error"], str) else ""
    first = next(iter(error.strip().splitlines()), "no message was recorded")
    counts = {
        f"of {row['seeds_wanted']} seeds completed": 0 if race else done,
        f"failed ({first})": total[Status.FAILED],
        "stopped early": search[Status.STOPPED] if race or not done else 0,
        "running": total[Status.RUNNING],
        "planned, not run yet": total[Status.PLANNED],
    }
    parts = [f"{number} {what}" for what, number in counts.items() if number]
    if any(search.values()) and not any(measure.values()) and not race and not done:
        if search[Status.PLANNED] or search[Status.RUNNING]:
            parts.append("its recipe is not chosen yet")
        elif awaits:
            parts.append("its recipe is chosen, the measurement has not begun")
        else:
            parts.append("no recipe completed, so none could be chosen")
    return state, "; ".join(parts) or "no trial counts: none was recorded, or all are excluded"
