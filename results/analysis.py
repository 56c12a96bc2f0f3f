"""All statistics of a run, each computed once, when it is first asked for."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pandas as pd

from results.answer import BOOTSTRAP_SEED, Answer, answer
from results.contrasts import interactions, main_effects
from results.fitting import fitting
from results.overview import Overview
from results.series import crossovers, data_worths, extrapolations


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
        """What `results.series.crossovers` returns."""
        generator = np.random.default_rng(BOOTSTRAP_SEED)
        return crossovers(self.overview.runs, self.factors, generator)

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
