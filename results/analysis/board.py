"""Compared runs laid out by cell and seed, with what each got right. Frames in, arrays out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from results.analysis.runs import ordered_levels
from results.metric import ACCURACY, Metric
from results.phrases import STANDARD_FACTORS, cell_name
from results.statistics.correctness import Flags, Outcomes, Places
from results.statistics.intervals import Array

UNEQUAL_CLASSES = 1.5
"""Times the images of the smallest class that the largest has, beyond which accuracy hides much."""
_MANY_LEVELS = 6
_MOST_DISPUTED = 120  # images that cells differ on which are told
_ROUNDING = 1e-3  # points by which an accuracy may miss the share of test images that were right


@dataclass(frozen=True)
class Board:
    """The compared runs of a study, one place for each cell and seed."""

    cells: pd.DataFrame
    """A row per cell: the factors, `n_train` and `n_parameters`."""
    factors: tuple[str, ...]
    levels: Mapping[str, Sequence[Any]]
    """The levels of each factor that has a compared run, least first."""
    outcomes: Outcomes
    images: Places
    """The test images that `outcomes` is of, in its order: their positions in the test set."""
    metric: Metric
    selected: Flags
    """Whether the cell's recipe was chosen on the run, shape (cells, seeds)."""

    @classmethod
    def of(
        cls,
        runs: pd.DataFrame,
        factors: Sequence[str],
        predictions: pd.DataFrame,
        cells: pd.DataFrame | None = None,
        metric: Metric = ACCURACY,
    ) -> "Board":
        """Lay out compared runs, which `runs.compared_runs` returns.

        Predictions have a row per trial, epoch and test example; those of other epochs than the
        runs' last are of other models. `cells`, where known, has a row each, and the runs their
        places in a column `cell`. Raises ValueError where two runs share cell and seed.
        """
        names = list(factors)
        if cells is not None:
            place = runs["cell"].to_numpy(int)
        else:
            groups = runs.groupby(names, dropna=False, sort=False)
            place = groups.ngroup().to_numpy()
            cells = groups.head(1)[[*names, "n_train", "n_parameters"]].reset_index(drop=True)
        seeds, seed = np.unique(runs["seed"].to_numpy(), return_inverse=True)
        twins = pd.Series(place * max(seeds.size, 1) + seed).duplicated().to_numpy()
        if twins.any():
            twin = runs[twins].iloc[0]
            raise ValueError(
                f"Two runs of {cell_name(twin, STANDARD_FACTORS[:2])} share seed {twin['seed']}: "
                "name every column in which runs differ in factors."
            )
        shape = (len(cells), seeds.size)
        accuracy, selected, row = np.full(shape, np.nan), np.zeros(shape, bool), np.full(shape, -1)
        accuracy[place, seed] = runs["accuracy"]
        # A loss may be infinite, of whose cell nothing can be inferred.
        accuracy[np.isinf(accuracy).any(axis=1)] = np.nan
        selected[place, seed] = runs["selected"]
        row[place, seed], right, images, weight = _recorded(runs, predictions, metric)
        levels = {name: ordered_levels(runs, name) for name in names}
        outcomes = Outcomes(accuracy, row, right, weight)
        return cls(cells, tuple(factors), levels, outcomes, images, metric, selected)

    def tested(self, examples: pd.DataFrame) -> pd.DataFrame:
        """Return the recorded test images that `images` names, in its order.

        None where one of them is not recorded, or those of several test sets are.
        """
        known = examples.set_index("example", drop=False)
        alike = known.index.is_unique and np.isin(self.images, known.index).all()
        return known.loc[self.images] if alike else known.iloc[:0]

    def grid(self, *named: str) -> tuple[pd.DataFrame, Places]:
        """Return the combinations of the other factors' levels, and the cell of each, else −1.

        The second has the shape (combinations, *levels of the named factors).
        """
        others = [name for name in self.factors if name not in named]
        groups = self.cells.groupby(others, dropna=False, sort=False)
        number = groups.ngroup().to_numpy()
        heads = groups.head(1)[others].reset_index(drop=True)
        levels = {name: pd.Index(list(self.levels[name])) for name in named}
        codes = [levels[name].get_indexer(pd.Index(self.cells[name])) for name in named]
        known = np.all([code >= 0 for code in codes], axis=0)
        places = np.full((len(heads), *map(len, levels.values())), -1)
        places[(number[known], *(code[known] for code in codes))] = np.flatnonzero(known)
        return heads, places

    @cached_property
    def covariates(self) -> Array:
        """What the noise of a cell may depend on, shape (cells, covariates).

        The log of its training images, and 0 or 1 for levels of the other factors; of many models
        the log of their parameters.
        """
        columns = [np.log(np.maximum(self.cells["n_train"].to_numpy(float), 1.0))]
        for name in self.factors:
            levels = list(self.levels[name])
            if name == "fraction" or len(levels) < 2:
                continue
            if len(levels) <= _MANY_LEVELS:
                columns += [(self.cells[name] == level).to_numpy(float) for level in levels[1:]]
            elif name == "model":
                columns.append(np.log(np.maximum(self.cells["n_parameters"].to_numpy(float), 1.0)))
        found: Array = np.nan_to_num(np.column_stack(columns))
        return found


def _recorded(
    runs: pd.DataFrame, predictions: pd.DataFrame, metric: Metric
) -> tuple[Places, Flags, Places, Array]:
    """Return each run's row in a table of correctness, −1 where it has none, the table, and the
    test images of its columns with their weights. A run is left out where it was tested on other
    images than most, or its accuracy is not the weighted share of images that were right, as by
    another metric. By balanced accuracy all classes weigh alike."""
    own = predictions[predictions["trial_id"].isin(runs["trial_id"])]
    if own.empty:
        return np.full(len(runs), -1), np.zeros((0, 0), bool), np.zeros(0, int), np.zeros(0)
    # A trial that was continued has predictions of its earlier final epochs too.
    trial, names = pd.factorize(own["trial_id"])
    epoch = own["epoch"].to_numpy(int)
    span = int(epoch.max()) + 1
    model, keys = pd.factorize(trial * span + epoch)
    image, images = pd.factorize(own["example"])
    seen, right = (np.zeros((keys.size, len(images)), dtype=bool) for _ in range(2))
    seen[model, image] = True
    flag = "in_first_five" if metric.column == "top5" else "correct"
    right[model, image] = own[flag].fillna(False).to_numpy(bool)
    shared = seen[seen.sum(axis=1).argmax()]
    whole = np.asarray(seen[:, shared].all(axis=1), dtype=bool)
    right = right[:, shared]
    number = {(names[key // span], key % span): place for place, key in enumerate(keys)}
    budgets = runs["epochs_budget"].fillna(-1).astype(int)
    rows = np.array(
        [number.get(key, -1) for key in zip(runs["trial_id"], budgets, strict=True)], dtype=int
    )
    weight = np.ones(right.shape[1])
    if metric.column == "balanced_accuracy":
        label = own.drop_duplicates("example").set_index("example")["label"].reindex(images[shared])
        weight = len(label) / (label.nunique() * label.map(label.value_counts()).to_numpy(float))
    share = 100 * (right @ weight) / max(len(weight), 1)
    fits = np.abs(share[rows] - runs["accuracy"].to_numpy(float)) < _ROUNDING
    known = np.where((rows >= 0) & whole[rows] & fits, rows, -1)
    return known, right, np.asarray(images, dtype=int)[shared], weight


@dataclass(frozen=True)
class Classes:
    """How many test images of each class the compared runs got right."""

    names: Sequence[str]
    images: Places
    right: Places
    """Those that a run got right, shape (cells, seeds, classes); −1 where it is not recorded."""

    @classmethod
    def of(cls, board: Board, examples: pd.DataFrame) -> "Classes":
        """Count by class; there is none where the classes of the test images are not recorded.

        `examples` are the images of the recorded test sets; of several, nothing is told.
        """
        rows, right = board.outcomes.row, board.outcomes.right
        known = board.tested(examples)
        if known.empty:
            return cls((), np.zeros(0, dtype=int), np.full((*rows.shape, 0), -1))
        code, names = pd.factorize(known["class"])
        images = np.bincount(code)
        by_class = right[:, np.argsort(code, kind="stable")]
        found = np.add.reduceat(by_class, np.cumsum(images) - images, axis=1, dtype=np.int64)[rows]
        return cls(list(names), images, np.where(rows[..., None] >= 0, found, -1))

    @property
    def largest(self) -> float:
        """Share of the test images that are of the largest class; 0 where classes are unknown."""
        return float(self.images.max() / self.images.sum()) if len(self.names) else 0.0

    @property
    def are_unequal(self) -> bool:
        """Whether accuracy hides what becomes of small classes."""
        sizes = self.images
        return len(sizes) > 1 and bool(sizes.max() > UNEQUAL_CLASSES * sizes.min())

    @cached_property
    def only(self) -> Places:
        """The class that a run takes every test image for, shape (cells, seeds); −1 without one.

        Such a run is right on all images of that class and on no other.
        """
        if len(self.names) < 2:
            return np.full(self.right.shape[:2], -1)
        hit = self.right > 0
        place = hit.argmax(axis=2)
        most = np.take_along_axis(self.right, place[..., None], axis=2)[..., 0]
        return np.where((hit.sum(axis=2) == 1) & (most == self.images[place]), place, -1)

    @property
    def never(self) -> list[tuple[str, int]]:
        """Classes, with their images, that no run is ever right on."""
        places = np.flatnonzero(self.right.max(axis=(0, 1), initial=-1) == 0).tolist()
        return [(self.names[place], int(self.images[place])) for place in places]


@dataclass(frozen=True)
class Mistakes:
    """Test images that compared runs get wrong."""

    missed: pd.DataFrame
    """Those that every run at the largest amount of data gets wrong, the most alike first.

    Columns: `example` (position in the test set), `class`, `place` (where it is found), `taken`
    (the class that most of the runs take it for) and `share` (of the runs, 0 to 1).
    """
    runs: int
    disputed: pd.DataFrame
    """Those that cells differ on, the most disputed first: `example`, `class`, `place`."""
    right: Array
    """Share of a cell's runs that are right on them, shape (cells, disputed); NaN without a run."""

    @classmethod
    def of(cls, board: Board, examples: pd.DataFrame, predictions: pd.DataFrame) -> "Mistakes":
        """Find them; there are none where test images, or what runs got right, are not recorded.

        Predictions are those of the compared runs at their last epoch.
        """
        row, right = board.outcomes.row, board.outcomes.right
        tested = (row >= 0).any(axis=1)
        names = board.tested(examples)[["example", "class", "place"]].reset_index(drop=True)
        if names.empty or not tested.any():
            nothing = pd.DataFrame(columns=["example", "class", "place", "taken", "share"])
            return cls(nothing, 0, nothing, np.zeros((len(row), 0)))
        sizes = board.cells["n_train"].to_numpy()
        most = row[(sizes == sizes[tested].max())[:, None] & (row >= 0)]
        missed = names[~right[most].any(axis=0)]
        shares = np.full((len(row), len(names)), np.nan)
        shares[tested] = [right[own[own >= 0]].mean(axis=0) for own in row[tested]]
        # What most of a cell's seeds do is what the cell does.
        agreed = (shares[tested] > 0.5).mean(axis=0)
        order = np.argsort(np.abs(agreed - 0.5), kind="stable")
        differ = order[(agreed[order] > 0) & (agreed[order] < 1)][:_MOST_DISPUTED]
        taken = _taken(predictions, missed, examples)
        return cls(taken, most.size, names.iloc[differ], shares[:, differ])


def _taken(predictions: pd.DataFrame, missed: pd.DataFrame, examples: pd.DataFrame) -> pd.DataFrame:
    """Return missed images with what most runs take them for, the most alike first."""
    own = predictions[predictions["example"].isin(missed["example"])]
    own = own[~own["correct"].fillna(False).astype(bool)]
    classes = examples.drop_duplicates("label").set_index("label")["class"]
    counts = own.groupby("example")["prediction"].value_counts(normalize=True).reset_index()
    first = counts.drop_duplicates("example").set_index("example")
    taken, share = (missed["example"].map(first[name]) for name in ("prediction", "proportion"))
    found = missed.assign(taken=taken.map(classes), share=share)
    return found.sort_values("share", ascending=False, kind="stable", ignore_index=True)


def confusion(predictions: pd.DataFrame, examples: pd.DataFrame) -> pd.DataFrame:
    """Return what test images of each class are taken for, in %; true classes by predicted ones.

    Empty where predictions or names are not recorded.
    """
    names = examples.drop_duplicates("label").set_index("label")["class"]
    if predictions.empty or names.empty:
        return pd.DataFrame()
    # Rows that were put together may share their labels.
    rows = predictions.reset_index(drop=True)
    true, told = (
        rows[side].map(lambda label: names.get(label, str(label)))
        for side in ("label", "prediction")
    )
    return 100 * pd.crosstab(true, told, normalize="index")
