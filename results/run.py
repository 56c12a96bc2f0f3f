"""A run directory as frames and figures."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from results.errors import ResultsError
from results.phrases import model_labels
from results.store.objects import Location
from results.store.store import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from results.analysis.analysis import Analysis
    from results.answer.answer import Answer


def open(path: str | Location, prices: Mapping[str, float] | None = None) -> "Run":
    """Open a run directory, whether its study is finished, under way or was cut short.

    The path is the folder given to `scalestudy run` as `--out`, or the address (`s3://bucket/run`),
    a string. Prices, in one currency, are of a `label` and of an `hour` on a GPU or CPU, in place
    of the study's. Raises StoreError where no study has run there, or it cannot be read.
    """
    store = Store(path)
    store.study()
    return Run(store, prices or {})


class Run:
    """What a study has left so far. Tables are read once; open the run again for newer rows."""

    def __init__(self, store: Store, prices: Mapping[str, float] | None = None) -> None:
        self._store = store
        self._prices = dict(prices or {})
        self._tables: dict[str, pd.DataFrame] = {}

    def named_in_full(self, tables: Mapping[str, pd.DataFrame] | None = None) -> "Run":
        """Return the run whose analysis names models as its tables do, some of them replaced."""
        run = Run(self._store, self._prices)
        run._tables, run.labels = {**self._tables, **(tables or {})}, {}
        return run

    @cached_property
    def labels(self) -> dict[str, str]:
        """How analysis, page and figures write the models that they write in short."""
        labels = model_labels(self._table("trials")["model"].dropna().unique())
        return {model: label for model, label in labels.items() if model != label}

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
        return list(self.analysis.factors)

    @property
    def tuned(self) -> list[str]:
        """Recipe fields that are searched inside each cell."""
        return list(self.analysis.design.tuned)

    def trials(self, compared: bool = False) -> pd.DataFrame:
        """Return one row per trial that was ever planned; `compared`: those that comparisons use.

        These have three columns more: `accuracy` and `error` of the final epoch in points (0 to
        100), and `selected`, true where the cell's recipe was chosen on this very run.
        """
        return self.in_full(self.analysis.runs if compared else self._table("trials"))

    def epochs(self, compared: bool = False) -> pd.DataFrame:
        """Return one row per trial and epoch, in the order in which they arrived.

        By default all ever recorded, also of levels no longer asked for. `compared`: only what
        comparisons use, trials wanted, measured and completed, up to the budget as last run.
        """
        return self._chosen("epochs", compared)

    def predictions(self, compared: bool = False) -> pd.DataFrame:
        """Return one row per trial and test example: was it right at the trial's last epoch?

        By default also of completed search trials and of continued trials' earlier last epochs.
        `compared`: as in `epochs`, at the final epoch of the study as last run.
        """
        return self._chosen("predictions", compared)

    def environments(self) -> pd.DataFrame:
        """Return one row per pass: versions, hardware and settings."""
        return self._table("environments").copy(deep=False)

    def summary(self) -> pd.DataFrame:
        """Return one row per cell, also for those without a value.

        Columns are the factors, `n_train` (images), `state`, `reason` (where it is not complete),
        `seeds` completed and `seeds_wanted`; of every accuracy (0 to 1) and loss the mean over
        seeds, `_low` and `_high` (95 % t interval), `_sd`, `_min` and `_max`; `n_parameters`,
        `flops_per_image`, `seconds` (mean per trial); the recipe where all compared trials share
        it; and how many of its trials are in each stage and state.
        """
        return self.in_full(self.analysis.cells.summary)

    def labels_for(self, target: float) -> pd.DataFrame:
        """Return how many training images each series of cells needs for a test accuracy.

        One row per level of the factors but `fraction`: these, `n_train` (largest measured),
        `images`, `low` and `high` (nominal 95 %; NaN where not reached up to 64 times `n_train`),
        `basis` (measured, forecast, far forecast or empty) and `text`. Empty in a race, whose
        survivors are no fair mean. Raises ResultsError where the target lies outside 0 to 1.
        """
        if not 0 < target < 1:
            raise ResultsError(
                f"target: a share between 0 and 1 is needed, such as 0.9 for 90 %, not {target:g}."
            )
        return self.in_full(self.analysis.labels_for(target)[0])

    def findings(self) -> pd.DataFrame:
        """Return what stands against the study's comparisons, the gravest first.

        One row per finding: `severity` (error, warning, note), `code`, `cell` (empty where it is
        about the whole study), `evidence`, `advice`. All text; docs/statistics.md has the codes.
        """
        return self._findings.copy(deep=False)

    def answer(self) -> "Answer":
        """Return what the study says, in a headline and a few items."""
        return self._answer

    def levers(self) -> pd.DataFrame:
        """Return what helps more: a row per factor that varies, the best first.

        A factor's gain is the best cell minus the best cell at its reference level (weights `none`,
        the next smaller model, the stated recipe, an own factor's first level), all else chosen
        freely at all of the data; where the best cell stands at the reference, what the best other
        level gains. That of data is the forecast next doubling, or the last measured one.

        Columns are `lever` (data, model, weights, recipe or an own factor's name), `step` (from →
        to), `gain` with `low` and `high` (points; they hold together, and are NaN where the spread
        over seeds is unknown), `decided`, `best_probability` (of being the largest gain), `images`
        (more labels), `hours` (of GPU or CPU, more for a run; of a recipe, its search), `price`
        (NaN without prices), `basis` (measured, forecast, one seed).
        """
        return self.analysis.levers.copy(deep=False)

    @cached_property
    def _answer(self) -> "Answer":
        from results.answer.answer import answer

        return answer(self.analysis, self._findings)

    @cached_property
    def _findings(self) -> pd.DataFrame:
        from results.findings.findings import find

        return find(self.analysis)

    @cached_property
    def analysis(self) -> "Analysis":
        """All statistics of the study, each computed once, when it is first asked for."""
        # scipy takes longer to import than a table takes to read.
        from results.analysis.analysis import Analysis
        from results.analysis.runs import Design

        prices = {**(self.study.get("prices") or {}), **self._prices}
        design = Design.of(self.study | {"name": self.name, "prices": prices})
        labels = self.labels
        models = [labels.get(model, model) for model in design.levels.get("model", ())]
        design = replace(design, levels={**design.levels, "model": models})
        return Analysis(cache(lambda table: _renamed(self._table(table), labels)), design)

    @property
    def figures(self) -> list[str]:
        """Names that `figure` takes."""
        return list(self.drawings)

    def figure(self, name: str, width: float | None = None) -> "Figure":
        """Draw one of `figures`; raises ResultsError where there is none of that name.

        A width in inches lays it out for a column of a paper, with text of 8 points and without the
        title and the line on how to read it.
        """
        try:
            draw = self.drawings[name]
        except KeyError:
            near = difflib.get_close_matches(name, self.drawings, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ResultsError(
                f"There is no figure {name!r}; there are {', '.join(self.drawings)}.{hint}"
            ) from None
        if width is None:
            return draw()
        from results.figures.style import for_column

        return for_column(draw(), width)

    @cached_property
    def drawings(self) -> "dict[str, Callable[[], Figure]]":
        """What draws each figure."""
        # matplotlib takes longer to import than a table takes to read.
        from results.figures.catalogue import drawings_of

        return drawings_of(self.analysis)

    def _chosen(self, table: str, compared: bool) -> pd.DataFrame:
        return self.in_full(self.analysis.compared(table) if compared else self._table(table))

    def in_full(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return rows of the analysis with the models' full names."""
        return _renamed(frame, {label: model for model, label in self.labels.items()})

    def _table(self, table: str) -> pd.DataFrame:
        if table not in self._tables:
            rows = self._store.read(table)
            if "sequence" in rows.column_names:
                order = rows["sequence"].to_numpy()
                # Parts are named in that order, so that there is seldom anything to sort.
                if (order[1:] < order[:-1]).any():
                    rows = rows.sort_by("sequence")
                del order
            # Blocks of many columns would all be copied together once more; and a column that was
            # copied is given back before the next one, so that the rows are not held twice.
            frame = rows.to_pandas(split_blocks=True, self_destruct=True)
            self._tables[table] = frame
            if table == "epochs" and len(frame):
                # Weights go by the name that the study gave them last, not by that of their day.
                named = self._table("trials").drop_duplicates("trial_id", keep="last")
                names = frame["trial_id"].map(named.set_index("trial_id")["weights"])
                frame["weights"] = names.fillna(frame["weights"])
        return self._tables[table]


def _renamed(frame: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Return a frame of its own whose models have other names."""
    if not names or "model" not in frame:
        return frame.copy(deep=False)
    return frame.assign(model=frame["model"].replace(dict(names)))
