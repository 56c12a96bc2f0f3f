"""What each run got right of each class of the test set. Arrays out."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from results.analysis.board import Board
from results.analysis.runs import where
from results.statistics.correctness import Places

UNEQUAL_CLASSES = 1.5
"""Times the images of the smallest class that the largest has, beyond which accuracy hides much."""


@dataclass(frozen=True)
class Classes:
    """How many test images of each class the compared runs got right."""

    names: Sequence[str]
    images: Places
    """Test images of each class, shape (classes,)."""
    right: Places
    """Those that a run got right, shape (cells, seeds, classes); −1 where it is not recorded."""

    @classmethod
    def of(cls, board: Board, examples: pd.DataFrame) -> "Classes":
        """Count by class; there is none where the classes of the test images are not recorded.

        `examples` are the images of the recorded test sets; of several, nothing is told.
        """
        rows, right = board.outcomes.row, board.outcomes.right
        known = examples.drop_duplicates("example").set_index("example")["class"]
        alike = len(known) == len(examples) and pd.Index(board.images).isin(known.index).all()
        if not len(known) or not right.size or not alike:
            return cls((), np.zeros(0, dtype=int), np.full((*rows.shape, 0), -1))
        code, names = pd.factorize(known.reindex(board.images))
        images = np.bincount(code)
        first = np.cumsum(images) - images
        by_class = right[:, np.argsort(code, kind="stable")]
        found = np.add.reduceat(by_class, first, axis=1, dtype=np.int64)[rows]
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
        best = self.right.max(axis=(0, 1), initial=-1)
        return [
            (name, int(size))
            for name, size, most in zip(self.names, self.images, best, strict=True)
            if most == 0
        ]


def by_class(
    classes: Classes, cells: pd.DataFrame, best: pd.DataFrame, levels: Sequence[str]
) -> pd.DataFrame:
    """Return the accuracy on each class with more data, at the levels of the best cell.

    Cells are the board's, `best` those that may be called the best, the best first. A row per
    class, the least accurate with the most data first: `class`, `images` (of the test set), and for
    each number of training images a column of points, the mean over seeds. Empty where classes are
    not recorded.
    """
    if best.empty or not len(classes.names):
        return pd.DataFrame()
    own = where(cells, {name: best.iloc[0][name] for name in levels}).sort_values("n_train")
    right = np.ma.masked_less(classes.right[own.index.to_numpy()], 0)
    shares = 100 * right.mean(axis=1).filled(np.nan) / classes.images
    sizes = [f"{images:,.0f} images" for images in own["n_train"]]
    table = pd.DataFrame(shares.T, columns=sizes).assign(images=classes.images)
    table.insert(0, "class", classes.names)
    return table.sort_values([sizes[-1], "class"], ignore_index=True)


def confusion(predictions: pd.DataFrame, examples: pd.DataFrame) -> pd.DataFrame:
    """Return what test images of each class are taken for, in percent of the class.

    Rows are true classes and columns predicted ones, by name. Empty where predictions or names are
    not recorded.
    """
    names = examples.drop_duplicates("label").set_index("label")["class"]
    if predictions.empty or names.empty:
        return pd.DataFrame()
    true, told = (
        predictions[side].map(lambda label: names.get(label, str(label)))
        for side in ("label", "prediction")
    )
    return 100 * pd.crosstab(true, told, normalize="index")
