"""From the parts that a source brings to a training and a test set, and what validates."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.content import tried
from trainables.data.pictures import decode, quiet
from trainables.data.reading import Note, Reading, Split, in_order
from trainables.data.splits import carve
from trainables.errors import DataError, OtherLayout, PictureError
from trainables.functions import is_function, load_function
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
    lack: str = ""
    """What is to be said where there is no test part."""
    roots: Mapping[str, Path] = field(default_factory=dict)
    """File or folder of each part, where a study can name them."""


class Readable(ABC):
    """Where a data set comes from."""

    @abstractmethod
    def evidence(self) -> list[Path] | None:
        """Return files and folders one of which changes whenever it does; None where none need."""

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


def arranged(parts: Parts, source: Source) -> Reading:
    """Return the training and the test set that a study works with; raises DataError likewise."""
    splits, notes = _grouped(parts.splits, source), [*parts.notes]
    train, test, validation = splits["train"], splits.get("test"), splits.get("validation")
    if source.group != "content":
        notes += _across(splits)
    if test is None:
        if source.test is None:
            # Test on what validates, or carve a test part.
            if "validation" in parts.roots:
                other = parts.roots["validation"]
                block = {"path": {"train": parts.roots["train"], "test": other}}
                raise OtherLayout(f"{parts.lack}, but {other.name}", "test on it", block)
            raise OtherLayout(parts.lack, "hold a fifth of train back for it", {"test": 0.2})
        if not train.labels.size:
            raise DataError(f"{train.where}: no images; at least one is needed")
        groups = _numbers(train)
        kept, held_out = carve(train.labels, source.test, parts.class_names, "test", groups)
        train, test = train.only(kept), train.only(held_out)
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
    arrangement: dict[str, Any] = {"validation": given} if given else {}
    groups = _numbers(train)
    if groups is not None:
        arrangement["groups"] = sha256(groups.tobytes()).hexdigest()[:32]
        text = f"the training images are of {np.unique(groups).size} groups, which stay together"
        notes.append(Note("groups", "note", text))
    train = replace(train, groups=groups)
    return Reading(train, test, names, files, tuple(notes), arrangement, given)


def _joined(first: Split, second: Split) -> Split:
    groups = None
    if first.groups is not None and second.groups is not None:
        groups = np.concatenate([first.groups, second.groups])
    return Split(
        first.where,
        np.concatenate([first.labels, second.labels]),
        lambda: chain(first.contents(), second.contents()),
        lambda: chain(first.places(), second.places()),
        groups,
    )


def _grouped(splits: Mapping[str, Split], source: Source) -> dict[str, Split]:
    """Return the parts with their groups: as the source brought them, or as a study asks for."""
    asked = source.group
    if asked is None or any(split.groups is not None for split in splits.values()):
        return {**splits}
    if asked == "content":
        return {
            part: replace(split, groups=_looks(split, source)) for part, split in splits.items()
        }
    try:
        found = load_function(asked) if is_function(asked) else partial(_matched, asked)
        return {
            part: replace(split, groups=np.array([str(found(place)) for place in _inside(split)]))
            for part, split in splits.items()
        }
    except Exception as problem:  # of a function, which may raise anything
        raise DataError(f"data.group: {asked}: {problem}") from problem


def _numbers(split: Split) -> NDArray[np.int64] | None:
    """Return the place of the first image of each one's group; None where all are alone."""
    if split.groups is None:
        return None
    _, first, group = np.unique(split.groups, return_index=True, return_inverse=True)
    return None if first.size == group.size else first[group]


def _across(splits: Mapping[str, Split]) -> Iterator[Note]:
    train = splits["train"].groups
    for part in ("validation", "test"):
        other = splits[part].groups if part in splits else None
        if train is None or other is None:
            continue
        shared = np.intersect1d(train, other)
        if shared.size:
            text = f"{len(shared)} groups, such as {shared[0]}, have images in train and in {part}"
            advice = "data.group parts what is carved, not what comes along: move them to one side"
            yield Note("groups-across", "warning", text, advice)


def _inside(split: Split) -> Iterator[str]:
    """Return the places of images from the part's folder, so that it may lie anywhere."""
    return (place.removeprefix(split.where).lstrip("/") for place in split.places())


def _matched(pattern: str, place: str) -> str:
    match = re.search(pattern, place)
    if match is None:
        raise DataError(f"matches nothing in {place}")
    return match[1] if match.re.groups else match[0]


def _looks(split: Split, source: Source) -> NDArray[np.uint64]:
    """Return a number of each image that images with equal pixels share; its own if damaged."""
    decoded = partial(tried, partial(decode, sides=None, source=source))
    with quiet():
        found = [
            digest[:8] if isinstance(picture, PictureError) else picture.look
            for digest, picture in in_order(decoded, split.items())
        ]
    return np.frombuffer(b"".join(found), dtype=np.uint64)
