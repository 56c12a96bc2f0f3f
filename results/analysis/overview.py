"""What several sentences and sections of a report use, computed once from a study's tables."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import pandas as pd

from results.analysis.contrasts import paired_differences
from results.analysis.estimates import cell_estimates, compared_runs, ordered_levels
from results.analysis.series import data_worths, extrapolations
from results.findings.diagnoses import diagnose_cells
from results.phrases import STANDARD_FACTORS, cell_name, setting


class Overview:
    """The frames of a study and the names of its cells.

    Parameters
    ----------
    trials, epochs, predictions, environments
        The study's tables.
    factors
        Columns that name a cell.
    seeds
        The study's seeds; by default those of the wanted trials.
    race
        The study has no measure stage.

    Attributes
    ----------
    cells
        What `results.analysis.estimates.cell_estimates` returns.
    runs
        What `results.analysis.estimates.compared_runs` returns.
    levels
        The levels of each factor that has a run, least first.
    """

    def __init__(
        self,
        trials: pd.DataFrame,
        epochs: pd.DataFrame,
        factors: Sequence[str] = STANDARD_FACTORS,
        seeds: Sequence[int] | None = None,
        race: bool = False,
        predictions: pd.DataFrame | None = None,
        environments: pd.DataFrame | None = None,
    ) -> None:
        self.factors = tuple(factors)
        self.race = race
        self.predictions = predictions
        self.cells = cell_estimates(trials, factors, seeds, race)
        self.runs = compared_runs(trials, race)
        self.levels = {name: ordered_levels(self.runs, name) for name in factors}
        self._differences: dict[str, pd.DataFrame] = {}
        self._tables = (trials, epochs, environments)

    @cached_property
    def findings(self) -> pd.DataFrame:
        """What `results.findings.diagnoses.diagnose` returns."""
        trials, epochs, environments = self._tables
        return diagnose_cells(
            trials,
            epochs,
            self.cells,
            self.runs,
            self.factors,
            self.race,
            environments,
            self.predictions,
            self.differences,
        )

    @cached_property
    def worths(self) -> pd.DataFrame:
        """What `results.analysis.series.data_worths` returns."""
        return data_worths(self.runs, self.factors)

    @cached_property
    def extrapolations(self) -> pd.DataFrame:
        """What `results.analysis.series.extrapolations` returns."""
        return extrapolations(self.runs, self.factors)

    def differences(self, factor: str) -> pd.DataFrame:
        """What `results.analysis.contrasts.paired_differences` returns for a factor."""
        if factor not in self._differences:
            self._differences[factor] = paired_differences(self.runs, self.factors, factor)
        return self._differences[factor]

    def varies(self, factor: str) -> bool:
        """Whether a factor has more than one level."""
        return len(self.levels.get(factor, ())) > 1

    def others(self, *named: str) -> list[str]:
        """Return the factors besides the named ones."""
        return [name for name in self.factors if name not in named]

    def name(self, row: Any, *without: str) -> str:
        """Name a cell by the factors that have more than one level."""
        shown = [name for name in self.others(*without) if self.varies(name)]
        return cell_name(row, shown)

    def setting(self, row: Any, *without: str) -> str:
        """Say what holds besides the named factors, in words."""
        return setting({name: row[name] for name in self.others(*without) if self.varies(name)})

    @property
    def best(self) -> pd.Series | None:
        """The most accurate cell, among those with two seeds where there are any."""
        known = self.cells[self.cells["seeds"] > 0]
        ranked = known[known["seeds"] > 1]
        table = (known if ranked.empty else ranked).sort_values("accuracy")
        return None if table.empty else table.iloc[-1]

    @property
    def is_ranked(self) -> bool:
        """Whether anything may be compared."""
        return not self.race and bool((self.cells["seeds"] > 1).any())
