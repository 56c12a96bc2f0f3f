"""A data set as its source gives it: labels at hand, images one after another, not yet decoded."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import compress, islice
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from trainables.data.splits import named
from trainables.errors import DataError
from trainables.machine import usable_cpus

_PART = 32
"""Images per task of a thread: small ones would cost less than handing them over."""

POINTER = b"version https://git-lfs"
"""Beginning of what git leaves in place of a large file that was not fetched."""

Pixels = NDArray[np.uint8]
"""Images as bytes: the last axis is red, green and blue."""
Result = TypeVar("Result")


@dataclass(frozen=True)
class Note:
    """One thing that is worth knowing about a data set."""

    code: str
    """Stable name of its kind, such as `images-cut`."""
    severity: Literal["note", "warning"]
    """Whether accuracy may suffer from it."""
    text: str
    advice: str = ""
    """What to do; empty where nothing need be done."""

    def __str__(self) -> str:
        return "; ".join(filter(None, (self.text, self.advice))) + "."


@dataclass(frozen=True, eq=False, slots=True)
class Item:
    """One image before decoding."""

    where: str
    content: bytes | Path | Pixels
    """An encoded image, the file that holds it, or pixels of shape (height, width, 3)."""


@dataclass(frozen=True, eq=False)
class Split:
    """The training or the test part of a data set."""

    where: str
    """The folder, file or function, as messages name it."""
    labels: NDArray[np.int64]
    """Class of every image, shape (n,)."""
    contents: Callable[[], Iterator[Any]]
    """Returns what the images are read from, one for each label and in the same order, from the
    first at each call: see `Item.content`."""
    places: Callable[[], Iterator[str]]
    """Returns where each image is, as messages name it, without reading it."""
    groups: NDArray[Any] | None = None
    """What images of one group share, shape (n,); None where each stands for itself."""

    def items(self) -> Iterator[Item]:
        """Return the images."""
        return map(Item, self.places(), self.contents())

    def only(self, places: Sequence[int] | NDArray[np.int64]) -> Self:
        """Return the images at some places, ascending."""
        if len(places) == self.labels.size:
            return self
        mask = np.zeros(self.labels.size, dtype=bool)
        mask[places] = True
        return replace(
            self,
            labels=self.labels[mask],
            contents=lambda: compress(self.contents(), mask),
            places=lambda: compress(self.places(), mask),
            groups=None if self.groups is None else self.groups[mask],
        )


@dataclass(frozen=True, eq=False)
class Reading:
    """A data set with its training and test part, whose labels are the places of class names.

    Raises DataError where a part is empty, or a class has no training images.
    """

    train: Split
    test: Split
    class_names: tuple[str, ...]
    files: tuple[str, ...] = ()
    remarks: tuple[Note, ...] = ()
    arrangement: Mapping[str, Any] = field(default_factory=dict)
    """What else than images and labels decides which of them a trial is given."""
    given_validation: int = 0

    def __post_init__(self) -> None:
        for split in (self.train, self.test):
            if not split.labels.size:
                raise DataError(f"{split.where}: no images; at least one is needed")
        trained = np.unique(self.train.labels)
        if trained.size < 2:
            raise DataError(f"{self.train.where}: all images are of one class; two are needed")
        untrained = np.setdiff1d(np.arange(len(self.class_names)), trained)
        if untrained.size:
            tested = " (test has some)" * bool(np.isin(untrained[0], self.test.labels))
            said = f"no image of class {named(untrained[0], self.class_names)}{tested}"
            mend = "add some there or leave the class out"
            raise DataError(f"{self.train.where}: {said}; {mend}")


def in_order(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Map over items with one thread per core, in order, holding only a few hundred at a time."""
    threads = usable_cpus()
    rest = iter(items)

    def work(part: list[Item]) -> list[Result]:
        return [function(item) for item in part]

    with ThreadPoolExecutor(threads) as pool:
        # A part is read when its turn comes: `iter` ends at the first empty one.
        parts = iter(lambda: list(islice(rest, _PART)), [])
        while batch := list(islice(parts, 4 * threads)):
            for results in pool.map(work, batch):
                yield from results
