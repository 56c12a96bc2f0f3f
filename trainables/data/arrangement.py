"""From the parts that a source brings to a training and a test set, and what validates."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, compress
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trainables.data.reading import Item, Note, Reading, Split
from trainables.data.splits import carve
from trainables.errors import DataError
from trainables.trial import Source

USUAL_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing"),
}
"""What the parts of a data set are called, the most usual name first, in small letters."""


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts of a data set as its source brings them."""

    train: Split
    """Images to train on, and to hold out of."""
    test: Split | None
    """None where none comes along."""
    class_names: tuple[str, ...] = ()
    """Name of every class by its label; empty where the source gives no names."""
    validation: Split | None = None
    """None where none comes along."""
    files: tuple[str, ...] = ()
    """Files or folders that were read, by name."""
    notes: tuple[Note, ...] = ()
    """What there is to say about them."""
    lack: str = ""
    """Where there is no test part: what is there, and what to do."""


class HasParts(Protocol):
    """Where a data set comes from."""

    def parts(self) -> Parts:
        """Return the data set: labels are read, images when asked for.

        Raises DataError, which names what is missing, unreadable or labelled in an impossible way.
        """


class Readable:
    """What every origin can do."""

    def read(self: HasParts, source: Source | None = None) -> Reading:
        """Return training and test set as a study's data block asks for.

        Raises DataError where there is no test part and none is to be carved, or both.
        """
        return arranged(self.parts(), source or Source())


def arranged(parts: Parts, source: Source) -> Reading:
    """Return the training and the test set that a study works with; raises DataError likewise."""
    train, test, notes = parts.train, parts.test, [*parts.notes]
    if test is None:
        if source.test is None:
            raise DataError(f"{parts.lack}; data.test: 0.2 would hold a fifth of train back for it")
        kept, held_out = carve(train.labels, source.test, parts.class_names, "test")
        train, test = _chosen(train, kept), _chosen(train, held_out)
        text = f"{held_out.size} of {kept.size + held_out.size} training images are the test set"
        notes.append(Note("test-carved", "note", text))
    elif source.test is not None:
        raise DataError(f"data.test: {test.where} is the test set already; take data.test away")
    given = 0
    if parts.validation is not None:
        where, count = parts.validation.where, parts.validation.labels.size
        if source.validation is None:
            train, given = _joined(train, parts.validation), count
            text = f"the {count} images of {where} validate"
        else:
            text = (
                f"the {count} images of {where} are left aside: data.validation is "
                f"{source.validation}, as the study states or its run directory began"
            )
        notes.append(Note("validation-part", "note", text))
    names, files = parts.class_names, parts.files
    arrangement = {"validation": given} if given else {}
    return Reading(train, test, names, files, tuple(notes), arrangement, given)


def _joined(first: Split, second: Split) -> Split:
    def items() -> Iterator[Item]:
        return chain(first.items(), second.items())

    def places() -> Iterator[str]:
        return chain(first.each_place(), second.each_place())

    return Split(first.where, np.concatenate([first.labels, second.labels]), items, places)


def _chosen(split: Split, places: NDArray[np.int64]) -> Split:
    mask = np.zeros(split.labels.size, dtype=bool)
    mask[places] = True

    def of(values: Callable[[], Iterator[Any]]) -> Callable[[], Iterator[Any]]:
        return lambda: compress(values(), mask)

    return Split(split.where, split.labels[places], of(split.items), of(split.each_place))
