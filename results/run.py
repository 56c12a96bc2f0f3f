"""A run directory as frames and figures."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from results.cells import Cells, cells_of
from results.errors import ResultsError
from results.location import Location
from results.records import RECIPE_COLUMNS
from results.store import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from results.analysis import Analysis


@dataclass(frozen=True)
class Drawing:
    """One figure that a run can draw.

    Parameters
    ----------
    draw
        Makes the figure.
    alt
        What is to be seen, for those who cannot see it.
    """

    draw: Callable[[], "Figure"]
    alt: str


def open(path: str | Location) -> "Run":
    """Open a run directory, whether its study is finished, under way or was cut short.

    Parameters
    ----------
    path
        The folder that `scalestudy run` was given as `--out`, or the address (`s3://bucket/run`),
        which is a string.

    Raises
    ------
    StoreError
        No study has run there, or it cannot be read.
    """
    store = Store.at(path)
    store.study()
    return Run(store)


class Run:
    """What a study has left so far. Tables are read once; open the run again for newer rows.

    Parameters
    ----------
    store
        The run directory.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tables: dict[str, pd.DataFrame] = {}

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def path(self) -> Location:
        """The run directory."""
        return self._store.root

    @cached_property
    def study(self) -> dict[str, Any]:
        """The resolved study, as last run."""
        return self._store.study()

    @property
    def name(self) -> str:
        """The study's name."""
        return str(self.study.get("name", self.path.name))

    @property
    def factors(self) -> list[str]:
        """Names of the factors: the columns that together name a cell."""
        return list(self.cells.factors)

    @property
    def tuned(self) -> list[str]:
        """Recipe fields that are searched inside each cell."""
        return [field for field in self.study.get("search") or {} if field in RECIPE_COLUMNS]

    def trials(self) -> pd.DataFrame:
        """Return one row per trial that was ever planned."""
        return self._table("trials").copy()

    def epochs(self) -> pd.DataFrame:
        """Return one row per trial and epoch, in the order in which they arrived."""
        return self._table("epochs").copy()

    def predictions(self) -> pd.DataFrame:
        """Return one row per measured trial and test example: was it right at the last epoch?"""
        return self._table("predictions").copy()

    def environments(self) -> pd.DataFrame:
        """Return one row per pass: versions, hardware and settings."""
        return self._table("environments").copy()

    def summary(self) -> pd.DataFrame:
        """Return one row per cell, also for those without a value."""
        return self.cells.frame.copy()

    @cached_property
    def cells(self) -> Cells:
        """Every cell with its state, means and spread over seeds."""
        return cells_of(self._table("trials"), self.study)

    @cached_property
    def analysis(self) -> "Analysis":
        """All statistics over the compared trials."""
        # scipy takes longer to import than a table takes to read.
        from results.analysis import Analysis
        from results.overview import Overview

        trials, epochs = self._table("trials"), self._table("epochs")
        predictions = self._table("predictions")
        overview = Overview(
            trials,
            epochs,
            self.factors,
            self.study.get("seeds"),
            self.cells.race,
            None if predictions.empty else predictions,
            self._table("environments"),
        )
        return Analysis(overview, epochs, self.cells.levels)

    @property
    def figures(self) -> list[str]:
        """Names that `figure` takes."""
        return list(self.drawings)

    def figure(self, name: str) -> "Figure":
        """Draw a figure.

        Parameters
        ----------
        name
            One of `figures`.

        Raises
        ------
        ResultsError
            There is no figure of that name.
        """
        try:
            drawing = self.drawings[name]
        except KeyError:
            near = difflib.get_close_matches(name, self.drawings, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ResultsError(
                f"There is no figure {name!r}; there are {', '.join(self.drawings)}.{hint}"
            ) from None
        return drawing.draw()

    @cached_property
    def drawings(self) -> dict[str, Drawing]:
        """Every figure with its description."""
        # matplotlib takes longer to import than a table takes to read.
        from results.figures import drawings_of

        return drawings_of(self)

    def _table(self, table: str) -> pd.DataFrame:
        if table not in self._tables:
            rows = self._store.read(table)
            if "sequence" in rows.column_names:
                rows = rows.sort_by("sequence")
            self._tables[table] = rows.to_pandas()
        return self._tables[table]
