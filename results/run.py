"""A run directory as frames and figures."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from results.analysis.cells import Cells, cells_of
from results.errors import ResultsError
from results.records import RECIPE_COLUMNS
from results.store.objects import Location
from results.store.store import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from results.analysis.analysis import Analysis


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
        return self._table("trials").copy(deep=False)

    def epochs(self, compared: bool = False) -> pd.DataFrame:
        """Return one row per trial and epoch, in the order in which they arrived.

        Parameters
        ----------
        compared
            Only what comparisons use: trials that are wanted, measured and completed, up to the
            budget that the study as last run asks for. By default all that was ever recorded,
            searches and levels that are not asked for any more included.
        """
        return self._chosen("epochs", compared)

    def predictions(self, compared: bool = False) -> pd.DataFrame:
        """Return one row per trial and test example: was it right at the trial's last epoch?

        Parameters
        ----------
        compared
            Only what comparisons use, as in `epochs`, at the final epoch of the study as last
            run. By default those of every search trial that completed as well, and of the earlier
            last epochs of trials that were continued.
        """
        return self._chosen("predictions", compared)

    def environments(self) -> pd.DataFrame:
        """Return one row per pass: versions, hardware and settings."""
        return self._table("environments").copy(deep=False)

    def summary(self) -> pd.DataFrame:
        """Return one row per cell, also for those without a value."""
        return self.cells.frame.copy(deep=False)

    @cached_property
    def cells(self) -> Cells:
        """Every cell with its state, means and spread over seeds."""
        return cells_of(self._table("trials"), self.study)

    @cached_property
    def analysis(self) -> "Analysis":
        """All statistics over the compared trials."""
        # scipy takes longer to import than a table takes to read.
        from results.analysis.analysis import Analysis
        from results.analysis.overview import Overview

        trials, epochs = self._table("trials"), self.epochs(compared=True)
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
        from results.figures.catalogue import drawings_of

        return drawings_of(self)

    def _chosen(self, table: str, compared: bool) -> pd.DataFrame:
        rows = self._table(table).copy(deep=False)
        if not compared:
            return rows
        from results.analysis.estimates import compared_runs

        runs = compared_runs(self._table("trials"), self.cells.race)
        budget = rows["trial_id"].map(runs.set_index("trial_id")["epochs_budget"]).astype(float)
        fits = rows["epoch"] <= budget if table == "epochs" else rows["epoch"] == budget
        return rows[fits].reset_index(drop=True)

    def _table(self, table: str) -> pd.DataFrame:
        if table not in self._tables:
            self._tables[table] = _frame(self._store.read(table))
        return self._tables[table]


def _frame(rows: pa.Table) -> pd.DataFrame:
    """Return rows as a frame, in the order in which they arrived; the table is used up."""
    if "sequence" in rows.column_names:
        order = rows["sequence"].to_numpy()
        # Parts are named in that order, so that there is seldom anything to sort.
        if (order[1:] < order[:-1]).any():
            rows = rows.sort_by("sequence")
        del order
    # Blocks of many columns would all be copied together once more; and a column that was copied
    # is given back before the next one, so that the rows are not held twice.
    frame: pd.DataFrame = rows.to_pandas(split_blocks=True, self_destruct=True)
    return frame
