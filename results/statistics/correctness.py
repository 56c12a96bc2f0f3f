"""What cells of a study got right, seed by seed and image by image. Arrays in, contrasts out.

The error that a finite test set brings is largely shared by models tested on the same images, so
that a paired comparison is far sharper than two accuracies side by side.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from results.statistics.inference import Contrasts, contrasts_of
from results.statistics.intervals import Array

Places = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Outcomes:
    """Accuracies of cells by seed, and which test images were right where that is recorded."""

    accuracy: Array
    """Of each cell and seed, in points, shape (cells, seeds); NaN where there is no run."""
    row: Places
    """Row of `right` for each cell and seed, shape (cells, seeds); −1 where none is recorded."""
    right: Flags
    """Whether each test image was right, shape (rows, images); the same image at the same place."""
    weight: Array | float = 1.0
    """What each image counts, 1 on average, shape (images,)."""

    def contrasts(self, cells: Places, weights: Array, seeds: Flags | None = None) -> Contrasts:
        """Return weighted sums of cells, paired over the seeds that all of a contrast's cells have.

        Cells of each contrast and what each counts have the shape (contrasts, most cells of one); a
        place with weight 0 counts for nothing. Seeds that each contrast may use, all by default,
        have the shape (contrasts, seeds).
        """
        counts = (weights != 0)[..., None]
        by_seed = np.where(counts, self.accuracy[cells] * weights[..., None], 0.0).sum(axis=1)
        # Seeds that gain alike differ by rounding at most, which is no spread.
        by_seed = by_seed.round(9)
        if seeds is not None:
            by_seed = np.where(seeds, by_seed, np.nan)
        used = ~np.isnan(by_seed)
        recorded = (self.row[cells] >= 0) | ~counts | ~used[:, None, :]
        tested = recorded.all(axis=(1, 2)) & used.any(axis=1) & (self.right.shape[1] > 1)
        sums = np.full((2, len(by_seed)), np.nan)
        for place in np.flatnonzero(tested):
            own = weights[place] != 0
            rows = self.row[np.ix_(cells[place][own], np.flatnonzero(used[place]))]
            right = np.einsum("k,kse->se", weights[place][own], self.right[rows], dtype=float)
            gains = 100 * right * self.weight
            # Over images of sums over seeds, and over both.
            sums[:, place] = np.sum(gains.sum(axis=0) ** 2), np.sum(gains**2)
        return contrasts_of(by_seed, np.where(tested, self.right.shape[1], 0), *sums)


def balanced(differences: Array) -> tuple[Flags, Flags]:
    """Return which cells and seeds to average over, so that each seed's mean is of the same cells.

    Where runs are missing, either the seeds or the cells that lack one are left out, whichever
    keeps more and at least two seeds; where no cell has every seed and no seed every cell, the
    best filled seed speaks. Differences have the shape (cells, seeds), NaN where there is none.
    """
    known = ~np.isnan(differences)
    cells, seeds = np.asarray(known.any(axis=1)), np.asarray(known.any(axis=0))
    table = known[np.ix_(cells, seeds)]
    if table.all():
        return cells, seeds

    def worth(choice: tuple[Any, Any]) -> tuple[bool, int, int]:
        rows, columns = (int(part.sum()) for part in choice)
        return bool(rows) and columns > 1, rows * columns, columns

    every = [np.ones(size, dtype=bool) for size in table.shape]
    kept = max([(every[0], table.all(axis=0)), (table.all(axis=1), every[1])], key=worth)
    if not worth(kept)[1]:
        best = np.arange(table.shape[1]) == table.sum(axis=0).argmax()
        kept = table[:, best].all(axis=1), best
    cells[cells], seeds[seeds] = kept
    return cells, seeds
