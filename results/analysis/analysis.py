"""All statistics of a run, each computed once, when it is first asked for."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd

from results.analysis.contrasts import interactions, main_effects
from results.analysis.fitting import fitting
from results.analysis.overview import Overview
from results.analysis.series import crossovers
from results.answer.answer import BOOTSTRAP_SEED, Answer, answer
from results.phrases import level_label
from results.statistics.crossover import DRAWS

_MANY_MODELS = 5
_MANY_PAIRS = 60


class Analysis:
    """The statistics that figures, page and answer share.

    Parameters
    ----------
    overview
        The study's frames.
    epochs
        The table of epochs.
    levels
        The levels of each factor, in the order in which charts show them.
    """

    def __init__(
        self, overview: Overview, epochs: pd.DataFrame, levels: Mapping[str, Sequence[Any]]
    ) -> None:
        self.overview = overview
        self._epochs = epochs
        self._levels = levels

    @property
    def factors(self) -> Sequence[str]:
        """Columns that name a cell."""
        return self.overview.factors

    @cached_property
    def cells(self) -> pd.DataFrame:
        """What `results.analysis.estimates.cell_estimates` returns."""
        return self._ordered(self.overview.cells)

    @property
    def has_value(self) -> bool:
        """Whether there is anything to analyse."""
        return not self.overview.runs.empty

    @cached_property
    def answer(self) -> Answer:
        """The question, and the answer in five sentences."""
        return answer(self.overview)

    @cached_property
    def effects(self) -> pd.DataFrame:
        """What `results.analysis.contrasts.main_effects` returns."""
        return main_effects(self.overview.runs, self.factors)

    @cached_property
    def interactions(self) -> pd.DataFrame:
        """What `results.analysis.contrasts.interactions` returns."""
        return interactions(self.overview.runs, self.factors)

    @cached_property
    def crossovers(self) -> pd.DataFrame:
        """What `series.crossovers` returns, for models that are neighbours in size.

        Every two models are compared where there are few.
        """
        models = self.overview.levels["model"]
        pairs = list(combinations(models, 2))
        if len(models) > _MANY_MODELS:
            pairs = [*pairwise(models), (models[0], models[-1])]
        settings = len(self.cells.drop_duplicates(self.overview.others("model", "fraction")))
        # The bootstrap only accompanies the test, and takes most of the time.
        draws = DRAWS if len(pairs) * settings <= _MANY_PAIRS else DRAWS // 10
        generator = np.random.default_rng(BOOTSTRAP_SEED)
        return self._ordered(crossovers(self.overview.runs, self.factors, generator, pairs, draws))

    @cached_property
    def worths(self) -> pd.DataFrame:
        """What `results.analysis.series.data_worths` returns."""
        return self._ordered(self.overview.worths)

    @cached_property
    def extrapolations(self) -> pd.DataFrame:
        """What `results.analysis.series.extrapolations` returns."""
        return self._ordered(self.overview.extrapolations)

    @cached_property
    def fits(self) -> pd.DataFrame:
        """What `results.analysis.fitting.fitting` returns."""
        return self._ordered(fitting(self.overview.runs, self._epochs, self.factors))

    def differences(self, factor: str) -> pd.DataFrame:
        """What `results.analysis.contrasts.paired_differences` returns for a factor."""
        return self._ordered(self.overview.differences(factor))

    def _ordered(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows in the order in which charts show cells."""
        named = [factor for factor in self.factors if factor in table]
        if not named or table.empty:
            return table
        keys = []
        for factor in named:
            labels = [level_label(factor, level) for level in self._levels[factor]]
            place = {label: number for number, label in enumerate(labels)}
            # A thousand models have a million differences, but few levels.
            codes, found = pd.factorize(table[factor], use_na_sentinel=False)
            keys.append(np.array([place[level_label(factor, level)] for level in found])[codes])
        # lexsort takes its most important key last, and keeps the order of equals.
        return table.iloc[np.lexsort(keys[::-1])].reset_index(drop=True)
