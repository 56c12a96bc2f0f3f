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


def parts_of(name: str) -> set[str]:
    """Return the parts with a usual name among a name's words, such as train_images or val2017."""
    words = re.split(r"[^a-z]+", name.lower())
    return {part for part, usual in USUAL_NAMES.items() if not {*usual}.isdisjoint(words)}


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
        parts, source = self.parts(), source or Source()
        splits, names = parts.splits, parts.class_names
        notes, asked = [*parts.notes], source.group
        if asked is not None and all(split.groups is None for split in splits.values()):
            splits = {k: replace(v, groups=_groups(v, asked, source)) for k, v in splits.items()}
        train, test, validation = splits["train"], splits.get("test"), splits.get("validation")
        if asked != "content":
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
            kept, held_out = carve(train.labels, source.test, names, "test", groups)
            text = f"{held_out.size} of {train.labels.size} training images are the test set"
            notes.append(Note("test-carved", "note", text))
            train, test = train.only(kept), train.only(held_out)
        elif source.test is not None:
            raise DataError(f"data.test: {test.where} is the test set already; take data.test away")
        given = 0
        if validation is not None:
            count = validation.labels.size
            text = f"the {count} images of {validation.where} "
            if source.validation is None:
                train, given = _joined(train, validation), count
                text += "validate"
            else:
                why = "as the study states or its run directory began"
                text += f"are left aside: data.validation is {source.validation}, {why}"
            notes.append(Note("validation-part", "note", text))
        arrangement: dict[str, Any] = {"validation": given} if given else {}
        groups = _numbers(train)
        if groups is not None:
            arrangement["groups"] = sha256(groups.tobytes()).hexdigest()[:32]
            n_groups = np.unique(groups).size
            text = f"the training images are of {n_groups} groups, which stay together"
            notes.append(Note("groups", "note", text))
        train = replace(train, groups=groups)
        return Reading(train, test, names, parts.files, tuple(notes), arrangement, given)


def _joined(first: Split, second: Split) -> Split:
    groups = [each.groups for each in (first, second) if each.groups is not None]
    return Split(
        first.where,
        np.concatenate([first.labels, second.labels]),
        lambda: chain(first.contents(), second.contents()),
        lambda: chain(first.places(), second.places()),
        np.concatenate(groups) if len(groups) == 2 else None,
    )


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
        shared = np.arange(0) if train is None or other is None else np.intersect1d(train, other)
        if shared.size:
            text = f"{len(shared)} groups, such as {shared[0]}, have images in train and in {part}"
            advice = "data.group parts what is carved, not what comes along: move them to one side"
            yield Note("groups-across", "warning", text, advice)


def _matched(pattern: str, place: str) -> str:
    match = re.search(pattern, place)
    if match is None:
        raise DataError(f"matches nothing in {place}")
    return match[1] if match.re.groups else match[0]


def _groups(split: Split, asked: str, source: Source) -> NDArray[Any]:
    """Return the group of each image as a study asks for; its own if damaged, by content."""
    if asked == "content":
        decoded = partial(tried, partial(decode, sides=None, source=source))
        with quiet():
            found = in_order(decoded, split.items())
            looks = [d[:8] if isinstance(p, PictureError) else p.look for d, p in found]
        return np.frombuffer(b"".join(looks), dtype=np.uint64)
    # From the part's folder, so that it may lie anywhere.
    inside = (place.removeprefix(split.where).lstrip("/") for place in split.places())
    try:
        group = load_function(asked) if is_function(asked) else partial(_matched, asked)
        return np.array([str(group(place)) for place in inside])
    except Exception as problem:  # of a function, which may raise anything
        raise DataError(f"data.group: {asked}: {problem}") from problem
