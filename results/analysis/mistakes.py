"""Which test images the models get wrong: those that all miss, and those that cells differ on."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from results.analysis.board import Board
from results.statistics.correctness import Places
from results.statistics.intervals import Array

_MOST = 120
"""Images that cells differ on which are told."""


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
        names = board.tested(examples)[["example", "class", "place"]].reset_index(drop=True)
        if names.empty or (row < 0).all():
            nothing = pd.DataFrame(columns=["example", "class", "place", "taken", "share"])
            return cls(nothing, 0, nothing, np.zeros((len(row), 0)))
        sizes = board.cells["n_train"].to_numpy()
        most = row[(sizes == sizes[(row >= 0).any(axis=1)].max())[:, None] & (row >= 0)]
        missed = names[~right[most].any(axis=0)]
        tested = (row >= 0).any(axis=1)
        shares = np.full((len(row), len(names)), np.nan)
        shares[tested] = [right[own[own >= 0]].mean(axis=0) for own in row[tested]]
        differ = _disputed(shares[tested])
        taken = _taken(predictions, missed, examples)
        return cls(taken, most.size, names.iloc[differ], shares[:, differ])


def _disputed(shares: Array) -> Places:
    """Return the places of the images on which cells differ, the most disputed first."""
    # What most of a cell's seeds do is what the cell does.
    agreed = (shares > 0.5).mean(axis=0)
    order = np.argsort(np.abs(agreed - 0.5), kind="stable")
    found: Places = order[(agreed[order] > 0) & (agreed[order] < 1)][:_MOST]
    return found


def _taken(predictions: pd.DataFrame, missed: pd.DataFrame, examples: pd.DataFrame) -> pd.DataFrame:
    """Return missed images with what most runs take them for, the most alike first."""
    own = predictions[predictions["example"].isin(missed["example"])]
    own = own[~own["correct"].fillna(False).astype(bool)]
    classes = examples.drop_duplicates("label").set_index("label")["class"]
    counts = own.groupby("example")["prediction"].value_counts(normalize=True).reset_index()
    first = counts.drop_duplicates("example").set_index("example")
    found = missed.assign(
        taken=missed["example"].map(first["prediction"]).map(classes),
        share=missed["example"].map(first["proportion"]),
    )
    return found.sort_values("share", ascending=False, kind="stable", ignore_index=True)
