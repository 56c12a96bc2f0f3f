"""Two studies side by side: what each cell gained. Runs in, frames out.

Differences are second study minus first, in points of final test accuracy. They are made only
where both were tested on the same images and neither is a race, and paired as far as the records
allow: over the same trials, over seeds that drew the same subset, over the same test images.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from results.analysis.contrasts import main_effects, paired_test_set
from results.analysis.estimates import by_cell, cell_estimates, compared_runs, measured_trials
from results.pairs.caveats import caveats, not_comparable
from results.phrases import STANDARD_FACTORS, cell_key, cell_name, level_label
from results.records import RECIPE_COLUMNS
from results.run import Run
from results.statistics.intervals import paired_difference, unpaired_difference

NO_WIDTH = 1e-9
"""Width of an interval that counts as none, in points."""
_SIDES = ("first", "second")


class Basis(StrEnum):
    """What the interval of a difference rests on."""

    SAME = "same trials"
    """The very same trials: there is nothing to tell apart."""
    BOTH = "paired over seeds and test images"
    SEEDS = "paired over seeds"
    EQUAL = "paired over seeds that gain exactly the same"
    """Equal by chance, as few seeds and a coarse accuracy make likely: no interval, since one of no
    width would claim more than anybody knows."""
    UNPAIRED = "seeds, unpaired"
    """The seeds do not share subsets, so that Welch's interval is all there is."""
    IMAGES = "paired over test images of one seed"
    """Says nothing of other seeds, so that it never decides."""
    ONE_SEED = "one seed"
    """No interval."""
    NONE = "not compared"

    @property
    def is_paired(self) -> bool:
        """Whether seeds are compared one by one."""
        return self in (Basis.BOTH, Basis.SEEDS, Basis.EQUAL)


@dataclass(frozen=True)
class Pair:
    """Two studies, cell by cell.

    Parameters
    ----------
    first, second
        The studies.
    """

    first: Run
    second: Run

    @cached_property
    def names(self) -> tuple[str, str]:
        """What the two are called: by their study, by their folder where that is the same."""
        runs = (self.first, self.second)
        for names in ([run.name for run in runs], [run.path.name for run in runs]):
            if names[0] != names[1]:
                return names[0], names[1]
        return str(self.first.path), str(self.second.path)

    @cached_property
    def factors(self) -> tuple[str, ...]:
        """Columns that name a cell: the factors of either study."""
        own = [name for run in (self.first, self.second) for name in run.factors]
        return tuple(dict.fromkeys([*STANDARD_FACTORS, *own]))

    @cached_property
    def runs(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """What `results.analysis.estimates.compared_runs` returns for each."""
        first, second = (
            compared_runs(run.trials(), run.cells.race) for run in (self.first, self.second)
        )
        return first, second

    @cached_property
    def cells(self) -> pd.DataFrame:
        """What `results.pairs.comparison.compare` returns."""
        known = [self._estimates(run) for run in (self.first, self.second)]
        own = [by_cell(frame, self.factors) for frame in known]
        groups = [by_cell(runs, self.factors) for runs in self.runs]
        refusal = not_comparable(self.first, self.second)
        rows = []
        for key in self._ordered(known):
            sides = [None if key not in side else side[key].iloc[0] for side in own]
            levels = next(side for side in sides if side is not None)
            row: dict[str, Any] = {name: levels[name] for name in self.factors}
            row["where"] = "both" if all(side is not None for side in sides) else ""
            for name, side in zip(_SIDES, sides, strict=True):
                row["where"] = row["where"] or (name if side is not None else "")
                row |= _side_columns(name, side)
            pair = [side.get(key) for side in groups]
            row |= self._difference(row, pair, refusal)
            rows.append(row)
        return pd.DataFrame(rows, columns=[*self.factors, *_COLUMNS])

    @cached_property
    def varying(self) -> list[str]:
        """The factors of which the cells have more than one level."""
        return [name for name in self.factors if self.cells[name].nunique(dropna=False) > 1]

    def cell_name(self, row: Mapping[str, Any]) -> str:
        """Name a row of `cells` by the factors that vary."""
        return cell_name(row, self.varying) or "the only cell"

    @cached_property
    def overall(self) -> pd.DataFrame:
        """The mean difference over the cells that are paired seed by seed.

        Columns as `contrasts.main_effects` returns; no row where no cell is paired.
        """
        paired = self.cells[[Basis(basis).is_paired for basis in self.cells["basis"]]]
        keys = {cell_key(row, self.factors) for row in paired.to_dict("records")}
        own = [
            runs.assign(study=place)
            for place, side in enumerate(self.runs)
            for key, runs in by_cell(side, self.factors).items()
            if key in keys
        ]
        if not own:
            return main_effects(self.runs[0].iloc[:0], ())
        both = pd.concat(own, ignore_index=True)
        return main_effects(both, (*self.factors, "study"), named=("study",))

    @cached_property
    def caveats(self) -> pd.DataFrame:
        """What to know when reading the differences, the gravest first; see `findings`."""
        return caveats(self.first, self.second, self.names, self.factors, self.cells)

    def _estimates(self, run: Run) -> pd.DataFrame:
        trials = run.trials()
        added = [name for name in self.factors if name not in run.factors]
        if set(added) & set(run.tuned):
            # The recipes of its search would each look like a cell.
            trials = measured_trials(trials)
        return cell_estimates(trials, self.factors, run.study.get("seeds"), run.cells.race)

    def _ordered(self, known: list[pd.DataFrame]) -> list[tuple[str, ...]]:
        """Return the cells of either, as charts order them: the first study's, then what is new."""
        places: list[dict[str, int]] = []
        for name in self.factors:
            levels: list[Any] = []
            for run, frame in zip((self.first, self.second), known, strict=True):
                levels += run.cells.levels.get(name, list(frame[name].unique()))
            if pd.api.types.is_numeric_dtype(pd.Series(levels)):
                levels = sorted(levels, key=lambda level: (pd.isna(level), level))
            labels = dict.fromkeys(level_label(name, level) for level in levels)
            places.append({label: place for place, label in enumerate(labels)})
        keys = dict.fromkeys(
            cell_key(row, self.factors) for frame in known for row in frame.to_dict("records")
        )
        return sorted(
            keys, key=lambda key: [order[label] for order, label in zip(places, key, strict=True)]
        )

    def _difference(
        self, row: Mapping[str, Any], pair: list[pd.DataFrame | None], refusal: str
    ) -> dict[str, Any]:
        missing = _missing(row, self.names)
        if missing or refusal or pair[0] is None or pair[1] is None:
            return {"basis": Basis.NONE, "decided": False, "reason": missing or refusal}
        found = _contrast(pair[0], pair[1], self._predictions)
        errors = 100 - row["accuracy_first"], 100 - row["accuracy_second"]
        same = row["resource_first"] == row["resource_second"]
        costs = row["resource_seconds_first"], row["resource_seconds_second"]
        return {
            **found,
            "error_ratio": errors[1] / errors[0] if errors[0] > 0 else np.nan,
            "cost_ratio": costs[1] / costs[0] if same and costs[0] > 0 else np.nan,
            "recipe": _recipe_changes(pair[0], pair[1], self.factors),
            "reason": "",
        }

    @cached_property
    def _predictions(self) -> pd.DataFrame:
        tables = [run.predictions() for run in (self.first, self.second)]
        known = [table for table in tables if not table.empty]
        if not known:
            return tables[0]
        both = pd.concat(known, ignore_index=True)
        return both.drop_duplicates(["trial_id", "epoch", "example"])


_CONTRAST = ("difference", "low", "high", "decided")
_COLUMNS = [
    "where",
    *(
        f"{name}_{side}"
        for side in _SIDES
        for name in (
            "images",
            "state",
            "seeds",
            "accuracy",
            "accuracy_low",
            "accuracy_high",
            "seconds",
            "resource_seconds",
            "resource",
        )
    ),
    *_CONTRAST[:3],
    "n_seeds",
    "basis",
    "decided",
    *(f"{name}_without_selection" for name in _CONTRAST),
    "error_ratio",
    "cost_ratio",
    "recipe",
    "reason",
]


def _side_columns(name: str, side: pd.Series | None) -> dict[str, Any]:
    if side is None:
        return {f"seeds_{name}": 0, f"state_{name}": "absent"}
    return {
        f"images_{name}": int(side["n_train"]),
        f"state_{name}": str(side["state"]),
        f"seeds_{name}": int(side["seeds"]),
        **{
            f"{column}_{name}": side[column]
            for column in ("accuracy", "accuracy_low", "accuracy_high", "seconds")
        },
        f"resource_seconds_{name}": side["resource_seconds"],
        f"resource_{name}": str(side["resource"]),
    }


def _missing(row: Mapping[str, Any], names: tuple[str, str]) -> str:
    """Return why there are no two values, empty where there are."""
    if row["where"] != "both":
        return f"only in {names[_SIDES.index(row['where'])]}"
    without = [
        f"no value in {name} ({row[f'state_{side}']})"
        for name, side in zip(names, _SIDES, strict=True)
        if not row[f"seeds_{side}"]
    ]
    return "; ".join(without)


def _contrast(
    first: pd.DataFrame, second: pd.DataFrame, predictions: pd.DataFrame
) -> dict[str, Any]:
    """Compare the runs of one cell in both studies, second minus first."""
    if _trials(first) == _trials(second):
        row = dict.fromkeys(_CONTRAST[:3], 0.0)
        return {**row, "basis": Basis.SAME, "decided": False, "n_seeds": len(first)}
    shared = first.merge(second, on="seed", suffixes=("", "_second"))
    same = (shared["n_train"] == shared["n_train_second"]) & (
        (shared["subset_hash"] == shared["subset_hash_second"])
        | (shared["subset_hash"].isna() & shared["subset_hash_second"].isna())
    )
    shared = shared[same]
    if len(shared) < 2:
        return _unpaired(first, second, shared, predictions)
    basis = Basis.SEEDS
    found = paired_difference(shared["accuracy_second"], shared["accuracy"])
    mean, low, high = found.mean, found.low, found.high
    own = [side[side["seed"].isin(shared["seed"])] for side in (first, second)]
    exact = paired_test_set(own[1], own[0], predictions)
    if high - low <= NO_WIDTH:
        # The test images alone would say nothing of other seeds.
        basis = Basis.EQUAL
    elif exact is not None and exact.n_seeds == len(shared):
        basis, mean, low, high = Basis.BOTH, exact.difference, exact.low, exact.high
    clean = shared[~(shared["selected"] | shared["selected_second"])]
    return {
        **_columns(mean, low, high),
        "n_seeds": len(shared),
        "basis": basis,
        **_without_selection(clean),
    }


def _trials(runs: pd.DataFrame) -> set[tuple[Any, ...]]:
    """Return what was trained: a trial, and for how long, which its id leaves open."""
    return set(runs[["trial_id", "epochs_budget"]].itertuples(index=False, name=None))


def _unpaired(
    first: pd.DataFrame, second: pd.DataFrame, shared: pd.DataFrame, predictions: pd.DataFrame
) -> dict[str, Any]:
    before, after = (side["accuracy"].to_numpy(dtype=float) for side in (first, second))
    seeds = min(before.size, after.size)
    if seeds > 1:
        mean, low, high = unpaired_difference(after, before)
        return {**_columns(mean, low, high), "n_seeds": seeds, "basis": Basis.UNPAIRED}
    if len(shared):
        own = [side[side["seed"].isin(shared["seed"])] for side in (first, second)]
        exact = paired_test_set(own[1], own[0], predictions)
        if exact is not None:
            found = _columns(exact.difference, exact.low, exact.high)
            return {**found, "n_seeds": 1, "basis": Basis.IMAGES, "decided": False}
    mean = float(after.mean() - before.mean())
    return {**_columns(mean, np.nan, np.nan), "n_seeds": 1, "basis": Basis.ONE_SEED}


def _columns(mean: float, low: float, high: float, ending: str = "") -> dict[str, Any]:
    known = high - low > NO_WIDTH
    ends = (low, high) if known else (np.nan, np.nan)
    values = (mean, *ends, known and not low <= 0 <= high)
    return {f"{name}{ending}": value for name, value in zip(_CONTRAST, values, strict=True)}


def _without_selection(clean: pd.DataFrame) -> dict[str, Any]:
    if clean.empty:
        return {}
    found = paired_difference(clean["accuracy_second"], clean["accuracy"])
    return _columns(found.mean, found.low, found.high, "_without_selection")


def _recipe_changes(first: pd.DataFrame, second: pd.DataFrame, factors: tuple[str, ...]) -> str:
    """Return the recipe fields in which the runs of one cell differ."""
    changes = []
    for name in RECIPE_COLUMNS:
        if name in factors:
            continue
        values = [_values(side[name]) for side in (first, second)]
        if values[0] != values[1]:
            changes.append(f"{name} {values[0]} → {values[1]}")
    return ", ".join(changes)


def _values(column: pd.Series) -> str:
    labels = dict.fromkeys(level_label(str(column.name), value, bare=True) for value in column)
    return " or ".join(sorted(labels))
