"""Everything that a study's records say, each part computed once, when it is first asked for."""

from collections.abc import Callable, Mapping
from functools import cached_property
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd

from results.analysis.cells import Cells, cells_of
from results.analysis.comparisons import Comparisons, compare_best
from results.analysis.contrasts import interactions, main_effects, paired_differences
from results.analysis.fitting import fitting
from results.analysis.forecasts import forecasts, labels_for, scored
from results.analysis.levers import levers
from results.analysis.runs import Design, compared_runs, ordered_levels, wanted_trials
from results.analysis.searches import search_budgets
from results.analysis.series import crossovers, data_worths
from results.phrases import STANDARD_FACTORS, cell_name, setting
from results.ranking import rank
from results.statistics.crossover import DRAWS
from results.statistics.looks import Look

_BOOTSTRAP_SEED = 0
_MANY_MODELS = 5
_MANY_PAIRS = 60


class Analysis:
    """The statistics of a study, which every sentence, table, figure and finding reads.

    Accuracies and errors are in points (percentage points, 0 to 100). Every table has its rows in
    the order in which charts show cells. `read` returns a table of the study by its name.
    """

    def __init__(self, read: Callable[[str], pd.DataFrame], design: Design) -> None:
        self.table = read
        self.design = design
        self._differences: dict[str, pd.DataFrame] = {}

    @property
    def factors(self) -> tuple[str, ...]:
        """Columns that together name a cell."""
        return self.design.factors

    @cached_property
    def trials(self) -> pd.DataFrame:
        """The table of trials: one row per trial that was ever planned."""
        return self.table("trials")

    @cached_property
    def wanted(self) -> pd.DataFrame:
        """The trials that the study as last run asks for."""
        return wanted_trials(self.trials)

    @cached_property
    def cells(self) -> Cells:
        """Every cell with what became of it and how accurate it is."""
        return cells_of(self.trials, self.design)

    @cached_property
    def runs(self) -> pd.DataFrame:
        """The runs that comparisons use, by trial_id; see `runs.compared_runs` for its columns."""
        return compared_runs(self.trials, self.design.race)

    def compared(self, table: str) -> pd.DataFrame:
        """Return the rows of epochs or predictions that comparisons use.

        Epochs of the compared runs up to the budget that the study asks for, predictions at it.
        """
        rows = self.table(table)
        budgets = self.runs.set_index("trial_id")["epochs_budget"]
        budget = rows["trial_id"].map(budgets).astype(float)
        fits = rows["epoch"] <= budget if table == "epochs" else rows["epoch"] == budget
        return rows[fits].reset_index(drop=True)

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """The epochs that comparisons use."""
        return self.compared("epochs")

    @cached_property
    def levels(self) -> dict[str, list[Any]]:
        """The levels of each factor that has a compared run, least first."""
        return {name: ordered_levels(self.runs, name) for name in self.factors}

    @cached_property
    def _varying(self) -> set[str]:
        return {name for name in self.factors if self.runs[name].nunique(dropna=False) > 1}

    def varies(self, factor: str) -> bool:
        """Return whether the compared runs have more than one level of a factor."""
        return factor in self._varying

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

    @cached_property
    def ranked(self) -> pd.DataFrame:
        """The cells that may be called the best, the most accurate first.

        Those with two seeds where there are any, else those with one.
        """
        frame = self.cells.frame
        frame = frame[frame["seeds"] > (1 if (frame["seeds"] > 1).any() else 0)]
        accuracy = frame["accuracy"]
        return frame.loc[sorted(frame.index, key=lambda place: (rank(accuracy[place]), -place))]

    @cached_property
    def correct(self) -> dict[str, np.ndarray]:
        """Correctness of the compared runs on the test images that all have, by trial_id.

        Empty where predictions are missing; a run without any is left out.
        """
        rows = self.compared("predictions")
        trial, ids = pd.factorize(rows["trial_id"])
        example, examples = pd.factorize(rows["example"])
        if not len(rows) or len(rows) < len(ids) * len(examples):
            return {}
        table = np.zeros((len(ids), len(examples)), dtype=bool)
        table[trial, example] = rows["correct"].to_numpy(bool)
        return dict(zip(ids, table, strict=True))

    @property
    def comparisons(self) -> Comparisons:
        """How the best cells stand against the others, all claims of the answer together."""
        return self.looked[-1]

    @cached_property
    def looked(self) -> list[Comparisons]:
        """The comparisons at each look so far, on the seeds up to it; the last on all that are."""
        looks, found = self.design.looks, list[Comparisons]()
        if looks is None:
            return [self._compared(None)]
        for number, seeds in enumerate(self.looks_taken):
            last = number + 1 == len(self.looks_taken)
            study = self if last else self.up_to(seeds)
            before = found[-1].spent if found else {}
            found.append(study._compared(Look(looks, number, before)))
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

    def _compared(self, look: Look | None) -> Comparisons:
        fair = self.ranked if not self.design.race else self.ranked.iloc[:0]
        crossings = self.crossovers["p_value"].to_numpy(float)
        return compare_best(
            *(fair, self.runs, self.correct, self.factors, self.forecasts, crossings, look)
        )

    @cached_property
    def levers(self) -> pd.DataFrame:
        """What each lever gains at all of the data, the best first; see `levers.levers`."""
        levels = self.levels | {
            name: declared
            for name, declared in self.design.levels.items()
            if name not in STANDARD_FACTORS
        }
        return levers(self.comparisons, self.wanted, levels, self.design, self.design.prices)

    @cached_property
    def search_budgets(self) -> pd.DataFrame:
        """The expected best of fewer recipes than were tried; see `searches.search_budgets`."""
        return self.cells.ordered(search_budgets(self.wanted, self.factors))

    def differences(self, factor: str) -> pd.DataFrame:
        """Return the differences between every two levels of a factor, cell by cell, in points.

        See `contrasts.paired_differences` for its columns.
        """
        if factor not in self._differences:
            found = paired_differences(self.runs, self.factors, factor)
            self._differences[factor] = self.cells.ordered(found)
        return self._differences[factor]

    @cached_property
    def effects(self) -> pd.DataFrame:
        """What each factor is worth on average, in points; see `contrasts.main_effects`."""
        return main_effects(self.runs, self.factors)

    @cached_property
    def interactions(self) -> pd.DataFrame:
        """How far one factor's effect depends on another's; see `contrasts.interactions`."""
        return interactions(self.runs, self.factors)

    @cached_property
    def crossovers(self) -> pd.DataFrame:
        """Sizes at which bigger models overtake smaller ones; see `series.crossovers`.

        Every two models are compared; where there are many, those that are neighbours in size, and
        the smallest and the largest.
        """
        models = self.levels["model"]
        pairs = list(combinations(models, 2))
        if len(models) > _MANY_MODELS:
            pairs = [*pairwise(models), (models[0], models[-1])]
        settings = len(self.cells.frame.drop_duplicates(self.others("model", "fraction")))
        # The bootstrap only accompanies the test, and takes most of the time.
        draws = DRAWS if len(pairs) * settings <= _MANY_PAIRS else DRAWS // 10
        generator = np.random.default_rng(_BOOTSTRAP_SEED)
        found = crossovers(self.runs, self.factors, generator, pairs, draws)
        return self.cells.ordered(found)

    @cached_property
    def worths(self) -> pd.DataFrame:
        """What pretraining is worth in times the data; see `series.data_worths`."""
        return self.cells.ordered(data_worths(self.runs, self.factors))

    @cached_property
    def forecasts(self) -> pd.DataFrame:
        """The error of each series at 2 to 64 times its data; see `forecasts.forecasts`.

        Empty in a race, whose survivors are no fair mean.
        """
        runs = self.runs.iloc[:0] if self.design.race else self.runs
        return self.cells.ordered(forecasts(runs, self.factors))

    @cached_property
    def scored(self) -> pd.DataFrame:
        """Recorded forecasts against what was measured later; see `forecasts.scored`."""
        return self.cells.ordered(scored(self.table("forecasts"), self.runs, self.factors))

    def labels_for(self, target: float) -> pd.DataFrame:
        """Return how many images each series needs for a target; see `forecasts.labels_for`."""
        return labels_for(target, self.cells.frame, self.forecasts, self.cells.series)

    @cached_property
    def fits(self) -> pd.DataFrame:
        """Whether each cell is under-trained or over-fits; see `fitting.fitting`."""
        return self.cells.ordered(fitting(self.runs, self.epochs, self.factors))
