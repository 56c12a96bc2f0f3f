"""Everything that a study's records say, each part computed once, when it is first asked for."""

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd

from results.analysis import contrasts
from results.analysis.board import Board, Classes, Mistakes, confusion
from results.analysis.cells import Cells, cells_of
from results.analysis.comparisons import Comparisons, compare_best, rivals
from results.analysis.fitting import fitting
from results.analysis.levers import levers
from results.analysis.runs import (
    EXCLUDED,
    Design,
    by_cell,
    compared_runs,
    compared_trials,
    model_sizes,
    wanted_trials,
    where,
)
from results.analysis.series import backtests, crossovers, data_worths, forecasts, labels_for
from results.metric import ACCURACY
from results.phrases import STANDARD_FACTORS, cell_name, listed, setting
from results.ranking import rank
from results.records import Status
from results.statistics.looks import Look

_SWAPPED = {"first": "second", "second": "first"}
_SWAPPED |= {f"error_{one}": f"error_{other}" for one, other in _SWAPPED.items()}
_MANY_MODELS = 5


class Analysis:
    """The statistics of a study, which every sentence, table, figure and finding reads.

    What is called accuracy is the score by the study's metric, in points (0 to 100) where it is a
    share; of losses less is better, so that their scores are negative. Every table has its rows in
    the order in which charts show cells. `read` returns a table of the study by its name.
    """

    def __init__(self, read: Callable[[str], pd.DataFrame], design: Design) -> None:
        self.table, self.design = read, design
        self.factors, self.metric = design.factors, design.metric

    @property
    def part(self) -> str:
        """The set that cells are compared on: `test`, or `validation` where none was tested."""
        return "validation" if self.is_untested else "test"

    @property
    def measure(self) -> str:
        """What cells are compared by in words, such as `test accuracy`."""
        return f"{self.part} {self.metric.name}"

    @cached_property
    def is_untested(self) -> bool:
        """Whether no compared trial has a test value, so that those of validation stand for it."""
        trials = compared_trials(self.table("trials"), self.design.race)
        trials = trials[trials["status"] == Status.COMPLETED]
        test, validation = (self.metric.of(trials, f"final_{part}") for part in ("test", "val"))
        return bool(test.isna().all() and validation.notna().any())

    @cached_property
    def trials(self) -> pd.DataFrame:
        """The table of trials: one row per trial that was ever planned; some may be `EXCLUDED`."""
        trials = self.table("trials")
        if self.is_untested:
            trials = trials.assign(final_test_metric=self.metric.of(trials, "final_val"))
            trials[f"final_test_{self.metric.column}"] = trials["final_test_metric"]
        out = trials["trial_id"].isin(self.design.excluded)
        return trials.assign(status=trials["status"].mask(out, EXCLUDED)) if out.any() else trials

    @cached_property
    def inventory(self) -> dict[str, Any]:
        """What the last pass read of the data, as a document; empty where it is not recorded."""
        recorded = self.table("environments")["data"].dropna()
        return json.loads(recorded.iloc[-1]) if len(recorded) else {}

    @cached_property
    def wanted(self) -> pd.DataFrame:
        """The trials that the study as last run asks for."""
        return wanted_trials(self.trials)

    @cached_property
    def cells(self) -> Cells:
        """Every cell with what became of it and how accurate it is."""
        return cells_of(self.trials, self.design, self.table("predictions"))

    @property
    def board(self) -> Board:
        """The compared runs by cell and seed, and what each got right."""
        return self.cells.board

    @cached_property
    def runs(self) -> pd.DataFrame:
        """The runs that comparisons use, by trial_id; see `runs.compared_runs` for its columns."""
        return compared_runs(self.trials, self.design.race, self.metric)

    def compared(self, table: str) -> pd.DataFrame:
        """Return compared runs' epochs up to the budget asked for, or their predictions at it."""
        rows = self.table(table)
        budgets = self.runs.set_index("trial_id")["epochs_budget"]
        budget = rows["trial_id"].map(budgets).astype(float)
        fits = rows["epoch"] <= budget if table == "epochs" else rows["epoch"] == budget
        return rows[fits].reset_index(drop=True)

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """The epochs that comparisons use."""
        return self.compared("epochs")

    def varies(self, factor: str) -> bool:
        """Return whether the compared runs have more than one level of a factor."""
        return bool(self.runs[factor].nunique(dropna=False) > 1)

    def by_cell(self, rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
        """Return the rows of each cell that has some, with its name by all factors."""
        parts = by_cell(rows, self.factors).values()
        return [(cell_name(own.iloc[0], self.factors), own) for own in parts]

    def others(self, *named: str) -> list[str]:
        """Return the factors besides the named ones."""
        return [name for name in self.factors if name not in named]

    def name(self, row: Mapping[Any, Any] | pd.Series, *without: str) -> str:
        """Return a cell's name by the factors that vary, empty where none does."""
        return cell_name(row, [name for name in self.others(*without) if self.varies(name)])

    def setting(self, row: Mapping[Any, Any] | pd.Series, *without: str) -> str:
        """Return in words what holds besides the named factors, empty where nothing varies."""
        return setting({name: row[name] for name in self.others(*without) if self.varies(name)})

    @property
    def is_ranked(self) -> bool:
        """Whether anything may be compared: some cell has two seeds, and the study is no race."""
        return not self.design.race and bool((self.cells.frame["seeds"] > 1).any())

    @property
    def awaits_seeds(self) -> bool:
        """Whether several seeds are declared of some cell, and no cell has two of them yet."""
        return not self.is_ranked and bool((self.cells.frame["seeds_wanted"] > 1).any())

    @cached_property
    def ranked(self) -> pd.DataFrame:
        """The cells that may be called the best, best first: with two seeds, else with one."""
        frame = self.cells.frame
        frame = frame[frame["seeds"] > (1 if (frame["seeds"] > 1).any() else 0)]
        accuracy = frame["accuracy"]
        return frame.loc[sorted(frame.index, key=lambda place: (rank(accuracy[place]), -place))]

    def best_level(self, factor: str) -> Any:
        """Return the best cell's level of a factor; None where no cell has a value."""
        return None if self.ranked.empty else self.ranked.iloc[0][factor]

    @cached_property
    def _fair(self) -> pd.DataFrame:
        """The cells that may be called the best; none in a race."""
        return self.ranked if not self.design.race else self.ranked.iloc[:0]

    @property
    def comparisons(self) -> Comparisons:
        """How the best cells stand against the others, all claims of the answer together."""
        return self.looked[-1]

    @cached_property
    def looked(self) -> list[Comparisons]:
        """The comparisons at each look so far, on the seeds up to it; the last on all that are."""
        looks, found = self.design.looks, list[Comparisons]()
        for number, study in enumerate([*map(self.up_to, self.looks_taken[:-1]), self]):
            look = Look(looks, number, found[-1].spent if found else {}) if looks else None
            known = study._fair, study._inferred["rivals"], study.factors, study.forecasts
            found.append(compare_best(*known, study.crossovers["p_value"].to_numpy(float), look))
        return found

    @property
    def looks_taken(self) -> tuple[int, ...]:
        """The numbers of seeds at the looks so far, where they are counted."""
        most = self.cells.frame["seeds"].max()
        looks = self.design.looks.seeds if self.design.looks else ()
        return tuple(seeds for seeds in looks if seeds <= most) or looks[:1]

    def up_to(self, seeds: int) -> "Analysis":
        """Return the analysis of a study that has only so many of its counted seeds."""

        def read(name: str) -> pd.DataFrame:
            table = self.table(name)
            return table[table["seed"] < seeds] if name == "trials" else table

        return Analysis(read, self.design)

    @cached_property
    def levers(self) -> pd.DataFrame:
        """What each lever gains at all of the data, the best first; see `levers.levers`."""
        declared = {k: v for k, v in self.design.levels.items() if k not in STANDARD_FACTORS}
        return levers(self.comparisons, self.wanted, {**self.board.levels, **declared}, self.design)

    @cached_property
    def _inferred(self) -> dict[str, pd.DataFrame]:
        """All differences that anything is said of, by kind."""
        board, names = self.board, self.factors
        families = {f"steps:{name}": contrasts.steps(board, name) for name in names}
        families |= {f"effects:{name}": contrasts.effects(board, name) for name in names}
        if "none" in board.levels["weights"]:
            families["replacements"] = contrasts.replacements(board)
        pairs = np.array(rivals(self._fair, names), dtype=int).reshape(-1, 2)
        keys = pd.DataFrame(pairs, columns=["best", "other"])
        best, other = self._fair.index.to_numpy(int)[pairs].T
        families["rivals"] = contrasts.pairs_of(board, other, best, keys)
        found = contrasts.inferred(board, families)
        return {name: self.cells.ordered(table) for name, table in found.items()}

    @cached_property
    def classes(self) -> Classes:
        """What each compared run got right of each class of the test set."""
        board = self.board
        if self.metric != ACCURACY:
            runs = self.cells.placed(self.runs, "cell").dropna(subset=["final_test_accuracy"])
            runs = runs.assign(accuracy=100 * runs["final_test_accuracy"])
            board = Board.of(runs, self.factors, self.table("predictions"), board.cells)
        return Classes.of(board, self.table("examples"))

    @cached_property
    def by_class(self) -> pd.DataFrame:
        """Accuracy on each class with more data, of the best cell's series.

        A row per class, the least accurate with the most data first: `class`, `images` (of the test
        set), and points (mean over seeds) by training images. Empty where classes are not recorded.
        """
        classes, best = self.classes, self._fair
        if best.empty or not len(classes.names):
            return pd.DataFrame()
        series = {name: best.iloc[0][name] for name in self.others("fraction")}
        own = where(self.board.cells, series).sort_values("n_train")
        right = np.ma.masked_less(classes.right[own.index.to_numpy()], 0)
        shares = 100 * right.mean(axis=1).filled(np.nan) / classes.images
        sizes = [f"{images:,.0f} images" for images in own["n_train"]]
        table = pd.DataFrame(shares.T, columns=sizes).assign(images=classes.images)
        table.insert(0, "class", classes.names)
        return table.sort_values([sizes[-1], "class"], ignore_index=True)

    @cached_property
    def confusion(self) -> pd.DataFrame:
        """What the best cell takes each class for; see `board.confusion`."""
        own = self.runs.merge(self._fair.head(1)[list(self.factors)])["trial_id"]
        rows = self.compared("predictions")
        return confusion(rows[rows["trial_id"].isin(own)], self.table("examples"))

    @property
    def is_uneven(self) -> bool:
        """Whether balanced accuracy stands beside accuracy, since test classes are unequal."""
        return self.classes.are_unequal and self.metric == ACCURACY

    @cached_property
    def mistakes(self) -> Mistakes:
        """The test images that the compared runs get wrong."""
        largest = self.runs[self.runs["n_train"] == self.runs["n_train"].max()]
        rows = self.compared("predictions")
        own = rows[rows["trial_id"].isin(largest["trial_id"])]
        return Mistakes.of(self.board, self.table("examples"), own)

    def taken_for(self, cell: pd.Series | Mapping[str, Any]) -> str:
        """Name what runs of a cell take every test image for, none by rights, and how many do."""
        own = where(self.board.cells, {name: cell[name] for name in self.factors}).index
        found = [int(place) for place in self.classes.only[own].ravel() if place >= 0]
        names = listed(sorted({self.classes.names[place] for place in found}), "or")
        runs = int((self.classes.right[own] >= 0).all(axis=2).sum())
        return names if len(found) in (0, runs) else f"{names} in {len(found)} of {runs} runs"

    def differences(self, factor: str) -> pd.DataFrame:
        """Return the differences between every two levels of a factor, cell by cell, in points.

        One row per pair of levels and cell of the other factors, pairs without a common seed left
        out: `first`, `second` (levels, least first), the other factors, `n_train` (of the first),
        the errors of `contrasts.pairs_of`, the columns `contrasts.DIFFERENCE`, and `difference`,
        `low`, `high`, `n_seeds`, `decided` ending in `_without_selection`, for the seeds on which
        no recipe was chosen. What is decided is marked among the differences of all factors.
        """
        return self._inferred[f"steps:{factor}"]

    @cached_property
    def effects(self) -> pd.DataFrame:
        """What each factor is worth on average, in points, by factor and pair of levels.

        Columns: `factor`, `first`, `second`, `n_cells` averaged over, and those of `differences`.
        """
        tables = [self._inferred[f"effects:{name}"] for name in self.factors]
        # Of what is empty not even the types of its columns are known.
        return pd.concat([own for own in tables if len(own)] or tables[:1], ignore_index=True)

    @cached_property
    def crossovers(self) -> pd.DataFrame:
        """Sizes at which bigger models overtake smaller ones; see `series.crossovers`.

        Compared are every two models of unlike size, of many the neighbours in size and the
        smallest with the largest; and all of a model trained with its head alone.
        """
        models = self.board.levels["model"]
        pairs = list(combinations(models, 2))
        if len(models) > _MANY_MODELS:
            pairs = [*pairwise(models), (models[0], models[-1])]
        sizes = model_sizes(self.runs)
        pairs = [(small, big) for small, big in pairs if sizes[small] != sizes[big]]
        found = self.cells.ordered(crossovers(self.differences("model"), self.factors, pairs))
        if "freeze" not in self.factors:
            return found
        # What trains less is the smaller one, and comes second by name.
        heads = self.differences("freeze").rename(columns=_SWAPPED)
        heads = crossovers(heads, self.factors, [("backbone", "none")], "freeze")
        return pd.concat([found, self.cells.ordered(heads)], ignore_index=True)

    @cached_property
    def worths(self) -> pd.DataFrame:
        """What pretraining is worth in times the data; see `series.data_worths`."""
        return self.cells.ordered(data_worths(self._inferred.get("replacements"), self.factors))

    @cached_property
    def forecasts(self) -> pd.DataFrame:
        """The error of each series at 2 to 64 times its data; see `series.forecasts`.

        Empty in a race, whose survivors are no fair mean, and of what is no share: not calibrated.
        """
        return self.cells.ordered(forecasts(self._curves, self.cells.frame, self.factors))

    @cached_property
    def backtests(self) -> pd.DataFrame:
        """What smaller sizes forecast of the largest one; see `series.backtests`."""
        return self.cells.ordered(backtests(self._curves, self.cells.frame, self.factors))

    @cached_property
    def _curves(self) -> pd.DataFrame:
        """The runs that learning curves are forecast from."""
        is_fair = self.metric.is_percent and not self.design.race
        return self.runs[self.runs["error"].notna() & is_fair]

    def labels_for(self, *targets: float) -> list[pd.DataFrame]:
        """Return how many images each series needs for targets; see `series.labels_for`."""
        wanted = [self.metric.error(self.metric.scale * target) for target in targets]
        frame = self.cells.frame
        ends = {end: self.metric.error(frame[f"accuracy_{end}"]) for end in ("low", "high")}
        frame = frame.assign(error_low=ends["high"], error_high=ends["low"])
        return labels_for(wanted, frame, self.forecasts, self.others("fraction"))

    @cached_property
    def fits(self) -> pd.DataFrame:
        """Whether each cell is under-trained or over-fits; see `fitting.fitting`."""
        return self.cells.ordered(fitting(self.runs, self.epochs, self.factors))
