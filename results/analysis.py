"""All statistics of a run, each computed once, when it is first asked for."""

from collections.abc import Sequence
from functools import cached_property
from itertools import combinations, pairwise

import numpy as np
import pandas as pd

from results.answer import BOOTSTRAP_SEED, Answer, answer
from results.contrasts import interactions, main_effects
from results.crossover import DRAWS
from results.fitting import fitting
from results.overview import Overview
from results.series import crossovers, data_worths, extrapolations

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
    """

    def __init__(self, overview: Overview, epochs: pd.DataFrame) -> None:
        self.overview = overview
        self._epochs = epochs

    @property
    def factors(self) -> Sequence[str]:
        """Columns that name a cell."""
        return self.overview.factors

    @property
    def cells(self) -> pd.DataFrame:
        """What `results.estimates.cell_estimates` returns."""
        return self.overview.cells

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
        """What `results.contrasts.main_effects` returns."""
        return main_effects(self.overview.runs, self.factors)

    @cached_property
    def interactions(self) -> pd.DataFrame:
        """What `results.contrasts.interactions` returns."""
        return interactions(self.overview.runs, self.factors)

    @cached_property
    def crossovers(self) -> pd.DataFrame:
        """What `results.series.crossovers` returns, for models that are neighbours in size.

        Every two models are compared where there are few.
        """
        models = self.overview.levels["model"]
        pairs = list(combinations(models, 2))
        if len(models) > _MANY_MODELS:
            pairs = [*pairwise(models), (models[0], models[-1])]
        settings = len(self.cells.drop_duplicates(self.overview.others("model", "fraction")))
        return crossovers(
            self.overview.runs,
            self.factors,
            np.random.default_rng(BOOTSTRAP_SEED),
            pairs,
            # The bootstrap only accompanies the test, and takes most of the time.
            draws=DRAWS if len(pairs) * settings <= _MANY_PAIRS else DRAWS // 10,
        )

    @cached_property
    def worths(self) -> pd.DataFrame:
        """What `results.series.data_worths` returns."""
        return data_worths(self.overview.runs, self.factors)

    @cached_property
    def extrapolations(self) -> pd.DataFrame:
        """What `results.series.extrapolations` returns."""
        return extrapolations(self.overview.runs, self.factors)

    @cached_property
    def fits(self) -> pd.DataFrame:
        """What `results.fitting.fitting` returns."""
        return fitting(self.overview.runs, self._epochs, self.factors)
