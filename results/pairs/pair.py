"""Two studies side by side: what each cell gained. Runs in, frames out.

Differences are second study minus first, in points of final test accuracy (or another metric's
scores). They are made only where both were tested on the same images and neither is a race, and
paired where the records allow: over the same trials, seeds with the same subset, and test images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd

from results.analysis.board import Board
from results.analysis.cells import Cells, cells_of, in_order
from results.analysis.contrasts import effects, inferred, steps
from results.analysis.runs import by_cell, measured_trials, records_of
from results.metric import Metric
from results.pairs.alignment import aligned
from results.phrases import cell_key, cell_name, changed, few, level_label, model_labels
from results.records import RECIPE_COLUMNS
from results.run import Run, open
from results.statistics.inference import IMAGES, TASK
from results.statistics.intervals import quantile, unpaired_difference
from results.store.objects import Location

_NO_WIDTH = 1e-9  # points
_SIDES = ("first", "second")
_OF_SIDE = (
    *("images", "state", "seeds", "accuracy", "accuracy_low", "accuracy_high"),
    *("seconds", "resource_seconds", "resource"),
)
"""Columns that a table of pairs has of each study."""
_CONTRAST = ("difference", "low", "high", "decided")
_Row = dict[str, Any]  # part of a row of `Pair.cells`: values of many types, by column
_COLUMNS = [
    "where",
    *(f"{name}_{side}" for side in _SIDES for name in _OF_SIDE),
    *("difference", "low", "high", "n_seeds", "basis", "decided"),
    *(f"{name}_without_selection" for name in _CONTRAST),
    *("error_ratio", "cost_ratio", "recipe", "reason"),
]


class Basis(StrEnum):
    """What the interval of a difference rests on."""

    SAME = "same trials"
    """The very same trials: there is nothing to tell apart."""
    BOTH = "paired over seeds and test images"
    SEEDS = "paired over seeds"
    EQUAL = "paired over seeds that gain exactly the same"
    """Equal by chance, as with few seeds: no interval, since one of no width claims too much."""
    UNPAIRED = "seeds, unpaired"
    """Too few seeds share a subset, so that Welch's interval is all there is."""
    IMAGES = "paired over test images of one seed"
    """An interval of one seed alone says nothing of others, so that it never decides."""
    ONE_SEED = "one seed"
    """One seed in one of the studies, and no test images in common: there is no interval."""
    NONE = "not compared"


@dataclass(frozen=True)
class Pair:
    """Two studies, cell by cell."""

    first: Run
    second: Run
    mended: str | None = None
    """Which labels of the same test images differ; None where the images are not known to be so."""

    @classmethod
    def of(cls, first: str | Location | Run, second: str | Location | Run) -> Self:
        """Return the pair of two run directories, or of what `results.open` returned for them."""
        before, after = (run if isinstance(run, Run) else open(run) for run in (first, second))
        run, mended = aligned(before, after)
        return cls(run, after.named_in_full(), mended)

    @cached_property
    def names(self) -> tuple[str, str]:
        """Names of the two: their studies', or their folders' where those are the same."""
        first, second = self.first, self.second
        if first.name != second.name:
            return first.name, second.name
        if first.path.name != second.path.name:
            return first.path.name, second.path.name
        return str(first.path), str(second.path)

    @cached_property
    def factors(self) -> tuple[str, ...]:
        """Columns that name a cell: the factors of either study."""
        return tuple(dict.fromkeys([*self.first.factors, *self.second.factors]))

    @cached_property
    def varying(self) -> list[str]:
        """Factors of which the cells of both together have more than one level."""
        return [name for name in self.factors if self.cells[name].nunique(dropna=False) > 1]

    def cell_name(self, row: Mapping[str, Any]) -> str:
        """Name a row of `cells` by the factors that vary."""
        model = self.labels[row["model"]]
        return cell_name({**row, "model": model}, self.varying) or "the only cell"

    @cached_property
    def labels(self) -> dict[str, str]:
        """How people read the models of both."""
        return model_labels(self.cells["model"].unique())

    @property
    def metric(self) -> Metric:
        """What both are compared by."""
        return self.second.analysis.metric

    @property
    def refusal(self) -> str:
        """Why no difference between the studies may be made; empty where one may."""
        if self.first.analysis.design.race or self.second.analysis.design.race:
            return "a race is a search, not a comparison: its survivors are no fair mean"
        if self.first.analysis.metric != self.metric:
            return "not the same metric"
        if self.is_known:
            return "" if self._is_same_test else "not the same test images"
        if _declared_data(self.first) == _declared_data(self.second):
            return ""
        return "data without a fingerprint, under other names: not known to be the same test images"

    @property
    def is_known(self) -> bool:
        """Whether the content of both studies' data is recorded."""
        return all(any(prints) for prints in zip(*map(self._prints, ("test", "data")), strict=True))

    @cached_property
    def train_change(self) -> str:
        """How the training images differ where the test images do not; empty where neither do."""
        if not self.is_known or not self._is_same_test or self._equal("train"):
            return ""
        sides = [run.analysis.inventory for run in (self.first, self.second)]
        counts = [
            {name: str(known["train"]) for name, known in side.get("classes", {}).items()}
            for side in sides
        ]
        changes = changed(counts, absent="0")
        totals = " → ".join(str(side.get("train", "?")) for side in sides)
        classes = ", ".join(few(changes)) if changes else "no class gains or loses any"
        kind = "" if len({*totals.split(" → ")}) > 1 else "; labels were mended or images replaced"
        return f"training images differ: {totals} ({classes}){kind}"

    @property
    def _is_same_test(self) -> bool:
        return self.mended is not None or self._equal("test")

    def _prints(self, part: str) -> list[set[str]]:
        """Return each study's fingerprints of train, test or all data, as its passes have them."""
        column = f"{part}_fingerprint"
        return [set(run.environments()[column].dropna()) for run in (self.first, self.second)]

    def _equal(self, part: str) -> bool:
        """Return whether a part of the data is the same, of older passes whether all of it is."""
        first, second = self._prints(part)
        if not (first and second):
            first, second = self._prints("data")
        return first == second

    @cached_property
    def _runs(self) -> tuple[dict[tuple[str, ...], pd.DataFrame], ...]:
        """The runs that comparisons use of each, by cell."""
        return tuple(by_cell(run.analysis.runs, self.factors) for run in (self.first, self.second))

    @cached_property
    def cells(self) -> pd.DataFrame:
        """What `compare` returns."""
        known = [self._cells_of(run) for run in (self.first, self.second)]
        frame = self._sides([cells.frame for cells in known])
        before, after = self._runs
        refusal, rows = self.refusal, []
        paired = {} if refusal else by_cell(self._paired["steps:study"], self.factors)
        for row in records_of(frame):
            if reason := self._missing(row) or refusal:
                rows.append({"basis": Basis.NONE, "decided": False, "reason": reason})
                continue
            key = cell_key(row, self.factors)
            both = before[key], after[key]
            recipe = _recipe_changes(both, self.factors)
            rows.append({**_contrast(*both, paired.get(key)), "recipe": recipe, "reason": ""})
        told = [name for name in _COLUMNS if name not in frame]
        frame = frame.join(pd.DataFrame(rows, index=frame.index, columns=told))
        errors = [self.metric.error(frame[f"accuracy_{side}"].astype(float)) for side in _SIDES]
        costs = [frame[f"resource_seconds_{side}"].astype(float) for side in _SIDES]
        alike = frame["resource_first"] == frame["resource_second"]
        compared = frame["basis"] != Basis.NONE
        frame["error_ratio"] = (errors[1] / errors[0]).where(compared & (errors[0] > 0))
        frame["cost_ratio"] = (costs[1] / costs[0]).where(compared & alike & (costs[0] > 0))
        levels = {name: _merged([cells.levels[name] for cells in known]) for name in self.factors}
        return in_order(frame[[*self.factors, *_COLUMNS]], levels)

    @cached_property
    def overall(self) -> pd.DataFrame:
        """The mean difference over cells paired by seed, as `Analysis.effects`; else no row."""
        table = self._paired["effects:study"]
        return table[table["n_seeds"] > 1]

    @cached_property
    def _paired(self) -> dict[str, pd.DataFrame]:
        """Second minus first over seeds that drew the same subset, all cells inferred together."""
        before, after = self._runs
        both = [self.first.analysis.runs.iloc[:0].assign(study=0)]
        # A seed fixes initial weights and batches, also where train has grown.
        alike = ["seed"] if self.train_change else ["seed", "n_train", "subset_hash"]
        for key in before.keys() & after.keys() if not self.refusal else ():
            sides = before[key], after[key]
            if _trials(sides[0]) != _trials(sides[1]):
                seeds = sides[0][alike].merge(sides[1][alike])["seed"]
                both += [
                    side[side["seed"].isin(seeds)].assign(study=place)
                    for place, side in enumerate(sides)
                ]
        runs = pd.concat([part for part in both if len(part)] or both, ignore_index=True)
        board = Board.of(runs, (*self.factors, "study"), self._predictions, metric=self.metric)
        families = {"steps:study": steps(board, "study"), "effects:study": effects(board, "study")}
        return inferred(board, families)

    def _cells_of(self, run: Run) -> Cells:
        trials = run.analysis.trials
        if {*self.factors} & {*run.tuned} - {*run.factors}:
            # The recipes of its search would each look like a cell.
            trials = measured_trials(trials)
        design = replace(run.analysis.design, factors=self.factors)
        return cells_of(trials, design, run.predictions())

    def _sides(self, frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
        named = [
            frame.rename(columns={"n_train": "images"}).set_axis(
                [cell_name(row, self.factors) for row in records_of(frame)], axis=0
            )
            for frame in frames
        ]
        both = pd.concat(named)
        both = both.loc[~both.index.duplicated(), list(self.factors)]
        first, second = (both.index.isin(frame.index) for frame in named)
        both["where"] = np.select([first & second, first], ["both", "first"], "second")
        for side, frame in zip(_SIDES, named, strict=True):
            own = frame[list(_OF_SIDE)].reindex(both.index)
            own = own.fillna({"state": "absent", "seeds": 0}).astype({"seeds": int})
            both = both.join(own.add_suffix(f"_{side}"))
        return both

    def _missing(self, row: Mapping[str, Any]) -> str:
        """Return why a cell has no two values; empty where it has."""
        if row["where"] != "both":
            return f"only in {self.names[_SIDES.index(row['where'])]}"
        reasons = []
        for name, side in zip(self.names, _SIDES, strict=True):
            if not row[f"seeds_{side}"]:
                reasons.append(f"no value in {name} ({row[f'state_{side}']})")
            elif not np.isfinite(row[f"accuracy_{side}"]):
                reasons.append(f"a score in {name} is infinite")
        return "; ".join(reasons)

    @cached_property
    def _predictions(self) -> pd.DataFrame:
        tables = [run.predictions() for run in (self.first, self.second)]
        known = [table for table in tables if not table.empty] or tables[:1]
        return pd.concat(known, ignore_index=True).drop_duplicates(["trial_id", "epoch", "example"])


def compare(first: str | Location | Run, second: str | Location | Run) -> pd.DataFrame:
    """Put two studies side by side, one row per cell of either.

    Studies are run directories, or what `results.open` returned for them. Columns are the factors;
    `where` (both, first, second); then, with `_first` and `_second`: `images`, `state`, `seeds`,
    `accuracy` with `accuracy_low` and `accuracy_high` (points; t interval), `seconds` and
    `resource_seconds` (of one run), `resource` (gpu or cpu). Of the difference second − first, in
    points: `difference`, `low` and `high` (NaN where nothing gives an interval), `n_seeds`, `basis`
    (see `Basis`), `decided`, the same without seeds on which a recipe was chosen (ending in
    `_without_selection`), `error_ratio` (second / first), `cost_ratio` (of resource-seconds of one
    resource), `recipe` (fields that differ, as `lr 0.001 → 0.01`), and `reason` (why a cell is not
    compared, or empty). Raises StoreError where no study has run in one, or it cannot be read.
    """
    return Pair.of(first, second).cells


def _declared_data(run: Run) -> tuple[object, object]:
    """Return the trainable and where the data are, but for the share that validates."""
    return run.study.get("trainable"), {**(run.study.get("data") or {}), "validation": None}


def _merged(levels: Sequence[Sequence[Any]]) -> list[Any]:
    """Return a factor's levels in two studies: numbers by value, else what is new at the end."""
    known = list(dict.fromkeys(level for own in levels for level in own))
    numeric = pd.api.types.is_numeric_dtype(pd.Series(known))
    return sorted(known, key=lambda level: (pd.isna(level), level)) if numeric else known


def _trials(runs: pd.DataFrame) -> set[tuple[Any, ...]]:
    """Return what was trained: a trial, and for how long, which its id leaves open."""
    return set(runs[["trial_id", "epochs_budget"]].itertuples(index=False, name=None))


def _contrast(first: pd.DataFrame, second: pd.DataFrame, paired: pd.DataFrame | None) -> _Row:
    if _trials(first) == _trials(second):
        return _difference(0.0, 0.0, 0.0, len(first), Basis.SAME) | {"low": 0.0, "high": 0.0}
    row = None if paired is None else records_of(paired)[0]
    if row is not None and row["n_seeds"] > 1:
        basis = Basis.BOTH if row["speaks_of"] == TASK else Basis.SEEDS
        basis = Basis.EQUAL if np.isnan(row["low"]) else basis
        told = [*_CONTRAST, "n_seeds"]
        if row["n_seeds_without_selection"]:
            told += [f"{name}_without_selection" for name in _CONTRAST]
        return {**{name: row[name] for name in told}, "basis": basis}
    seeds = min(len(first), len(second))
    if seeds > 1:
        welch = unpaired_difference(second["accuracy"], first["accuracy"])
        return _difference(*welch, seeds, Basis.UNPAIRED)
    if row is not None and row["speaks_of"] == IMAGES:
        half, mean = float(quantile(row["freedom"])) * row["standard_error"], row["difference"]
        return _difference(mean, mean - half, mean + half, 1, Basis.IMAGES) | {"decided": False}
    mean = float(second["accuracy"].mean() - first["accuracy"].mean())
    return _difference(mean, np.nan, np.nan, 1, Basis.ONE_SEED)


def _difference(mean: float, low: float, high: float, seeds: int, basis: Basis) -> _Row:
    """Return the columns of a difference; an interval without width is none."""
    known = high - low > _NO_WIDTH
    ends = (low, high) if known else (np.nan, np.nan)
    values = (mean, *ends, known and not low <= 0 <= high, seeds, basis)
    return dict(zip((*_CONTRAST, "n_seeds", "basis"), values, strict=True))


def _recipe_changes(both: Sequence[pd.DataFrame], factors: Sequence[str]) -> str:
    recipes = [
        {
            name: " or ".join(sorted({level_label(name, level, bare=True) for level in runs[name]}))
            for name in RECIPE_COLUMNS
            if name not in factors
        }
        for runs in both
    ]
    return ", ".join(changed(recipes))
