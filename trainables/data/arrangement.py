"""From the parts that a source brings to a training and a test set, and what validates."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, compress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainables.data.reading import Note, Reading, Split
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

    splits: Mapping[str, Split]
    """Images of `train`, and of `validation` and `test` where these come along."""
    class_names: tuple[str, ...] = ()
    """Name of every class by its label; empty where the source gives no names."""
    files: tuple[str, ...] = ()
    """Files or folders that were read, by name."""
    notes: tuple[Note, ...] = ()
    """What there is to say about them."""
    lack: str = ""
    """Where there is no test part: what is there, and what to do."""


class Readable(ABC):
    """Where a data set comes from."""

    @abstractmethod
    def parts(self) -> Parts:
        """Return the data set: labels are read, images when asked for.

        Raises DataError, which names what is missing, unreadable or labelled in an impossible way.
        """

    def read(self, source: Source | None = None) -> Reading:
        """Return training and test set as a study's data block asks for.

        Raises DataError where there is no test part and none is to be carved, or both.
        """
        return arranged(self.parts(), source or Source())


def lack_of_test(lack: str, otherwise: str, there: Mapping[str, Path]) -> str:
    """Return what to do where there is no test part: as said, or test on what validates."""
    if "validation" not in there:
        return f"{lack}; {otherwise}"
    return (
        f"{lack}, but {there['validation'].name}; to test on it, write data.path: "
        f"{{train: {there['train']}, test: {there['validation']}}}"
    )


def arranged(parts: Parts, source: Source) -> Reading:
    """Return the training and the test set that a study works with; raises DataError likewise."""
    train, test = parts.splits["train"], parts.splits.get("test")
    validation, notes = parts.splits.get("validation"), [*parts.notes]
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
    if validation is not None:
        where, count = validation.where, validation.labels.size
        if source.validation is None:
            train, given = _joined(train, validation), count
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
    return Split(
        first.where,
        np.concatenate([first.labels, second.labels]),
        lambda: chain(first.contents(), second.contents()),
        lambda: chain(first.places(), second.places()),
    )


def _chosen(split: Split, chosen: NDArray[np.int64]) -> Split:
    mask = np.zeros(split.labels.size, dtype=bool)
    mask[chosen] = True
    return Split(
        split.where,
        split.labels[chosen],
        lambda: compress(split.contents(), mask),
        lambda: compress(split.places(), mask),
    )
