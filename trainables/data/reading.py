"""A data set as its source gives it, not yet decoded: labels at hand, images one after another."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trainables.errors import DataError

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False, slots=True)
class Item:
    """One image before decoding."""

    where: str
    """File, or file and row, for messages."""
    content: bytes | Path | Pixels
    """An encoded image, the file that holds it, or pixels of shape (height, width, 3)."""


@dataclass(frozen=True, eq=False)
class Split:
    """The train or test part."""

    where: str
    """Folder, file or function, for messages."""
    labels: NDArray[np.int64]
    items: Callable[[], Iterator[Item]]
    """Starts over at each call; one item for each label, in the same order."""


@dataclass(frozen=True, eq=False)
class Reading:
    """Both parts, checked when made: every class 0 … k − 1 can be trained on."""

    train: Split
    test: Split
    class_names: tuple[str, ...]
    """Empty where the source names none: the labels are the names then."""

    def __post_init__(self) -> None:
        for split in (self.train, self.test):
            if not split.labels.size:
                raise DataError(f"{split.where}: no images; at least one is needed")
            self._check_range(split)
        trained = np.unique(self.train.labels)
        if trained.size < 2:
            raise DataError(f"{self.train.where}: all images are of one class; two are needed")
        untrained = np.setdiff1d(self.test.labels, trained)
        if untrained.size:
            raise DataError(
                f"{self.test.where}: has images of class {self._named(int(untrained[0]))}, of "
                f"which {self.train.where} has none; add some there or leave the class out"
            )
        # Not np.arange(max + 1): a column of identifiers may hold numbers of any size.
        gap = next((i for i, label in enumerate(trained) if label != i), trained.size)
        if gap <= max(int(trained[-1]), len(self.class_names) - 1):
            raise DataError(
                f"{self.train.where}: no image of class {self._named(gap)}; the labels of train "
                f"must be 0 to {max(trained.size, len(self.class_names)) - 1}, each one present"
            )
        if not self.class_names:
            names = tuple(str(label) for label in range(trained.size))
            object.__setattr__(self, "class_names", names)

    def _check_range(self, split: Split) -> None:
        low, high = int(split.labels.min()), int(split.labels.max())
        if low < 0:
            raise DataError(f"{split.where}: label {low}; labels start at 0, and none is missing")
        if self.class_names and high >= len(self.class_names):
            raise DataError(
                f"{split.where}: label {high}, but only {len(self.class_names)} classes are named "
                f"(0 to {len(self.class_names) - 1})"
            )

    def _named(self, label: int) -> str:
        return f"{label} ({self.class_names[label]})" if self.class_names else str(label)


class Origin(Protocol):
    """Where a data set comes from."""

    def evidence(self) -> list[Path] | None:
        """Return the files and folders that change whenever the data set does, without reading any.

        None where there is no such list, as for a user's function.
        """
        ...

    def read(self) -> Reading:
        """Return the data set; images are not read before they are asked for.

        Raises
        ------
        DataError
            Something is missing, unreadable or labelled in an impossible way; it is named.
        """
        ...
