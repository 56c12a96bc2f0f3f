"""What is known of a data set, by its headers and by its pixels, and how it is kept."""

import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import PlainSerializer, PlainValidator, TypeAdapter

from trainables.data.pictures import DECODING_VERSION, colour
from trainables.data.reading import Note
from trainables.data.splits import Training
from trainables.errors import DataError
from trainables.recipe import Sides
from trainables.trial import Source

_LOOK = 1
"""Raised when the same pixels tell something else."""
_AS_ARRAY = PlainValidator(lambda labels: np.array(labels, dtype=np.int64))
_Numbers = Annotated[NDArray[np.int64], _AS_ARRAY, PlainSerializer(lambda labels: labels.tolist())]

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Copies:
    """Images that are there more than once, by their places in train and in test."""

    train: Pairs = ()
    """Each training image that repeats an earlier one, and the first of them."""
    test: Pairs = ()
    """Each test image that is a training image too, and the first of those."""

    @classmethod
    def among(cls, train: NDArray[np.uint64], test: NDArray[np.uint64]) -> "Copies":
        """Return the copies among images of which equal ones share a number, shape (n,) each."""
        both = np.concatenate([train, test])
        _, first, place = np.unique(both, return_index=True, return_inverse=True)
        in_train, in_test = np.split(first[place], [train.size])
        again = np.flatnonzero(in_train != np.arange(train.size))
        seen = np.flatnonzero(in_test < train.size)
        pairs = ((again, in_train[again]), (seen, in_test[seen]))
        return cls(*(tuple(map(tuple, np.stack(each, axis=1).tolist())) for each in pairs))


@dataclass(frozen=True)
class Look:
    """What the pixels of a data set tell: learnt while it is decoded, kept by its content."""

    bits: int | None = None
    """Bits that the training images of more than 8 use; None where there are none, or a range is
    stated."""
    n_transparent: int = 0
    """Number of images through which the background shows."""
    n_flat: int = 0
    flat: str = ""
    """The first of those."""
    is_even: bool = False
    """Whether all images together hardly differ from one grey level."""
    copies: Copies = field(default_factory=Copies)
    """By pixels: however an image is stored."""


@dataclass(frozen=True, eq=False)
class DataInfo:
    """What is known of a data set without decoding it."""

    fingerprint: str
    """Hash of all images, as stored, and labels, in order, and of how they are read where not all
    would read them alike; of no path, name or date."""
    train_labels: _Numbers
    """Shape (n_train,), each class 0 … n_classes − 1 at least once."""
    test_labels: _Numbers
    """Shape (n_test,)."""
    class_names: tuple[str, ...]
    sides: Sides | None
    """Height and width in pixels of all images, upright; None where they differ."""
    content: str = ""
    """Hash of images and labels alone."""
    train_fingerprint: str = ""
    """The same of the training images, and of how they are read."""
    test_fingerprint: str = ""
    test_images: _Numbers = field(default_factory=lambda: np.zeros(0, np.int64))
    """Hash of every test image as stored, shape (n_test,); empty where it was not kept."""
    shapes: tuple[tuple[Sides, int], ...] = ()
    """Each height and width of images, upright, and how many have it."""
    n_deep: int = 0
    """Number of images with more than 8 bits per channel."""
    n_alpha: int = 0
    """Number of images that may be transparent."""
    stored_bytes: int = 0
    """Bytes of all images as stored; 0 where that is as pixels."""
    copies: Copies = field(default_factory=Copies)
    """Images that are there more than once, to the last byte as stored."""
    left_out: tuple[int, ...] = ()
    """Places of the images that cannot be read, among all, train before test."""
    skipped: str = ""
    """How many they are, and where they are listed; of one, which and why."""
    files: tuple[str, ...] = ()
    remarks: tuple[Note, ...] = ()
    given_validation: int = 0
    groups: _Numbers | None = None
    """Number of the group of every training image, shape (n_train,); None without groups."""
    look: Look | None = None
    """What the pixels tell; None before they were decoded."""

    def __post_init__(self) -> None:
        self.train_labels.setflags(write=False)
        self.test_labels.setflags(write=False)

    @property
    def n_train(self) -> int:
        """Number of training images, those for validation included."""
        return self.train_labels.size

    @property
    def n_test(self) -> int:
        """Number of test images."""
        return self.test_labels.size

    @property
    def n_classes(self) -> int:
        """Number of classes, each of which has training images."""
        return len(self.class_names)

    @property
    def training(self) -> Training:
        """What splits of the training images depend on."""
        return Training(self.train_labels, self.class_names, self.given_validation, self.groups)

    @property
    def known_copies(self) -> Copies:
        """Images that are there more than once: by pixels once decoded, before as stored."""
        return self.look.copies if self.look else self.copies

    def decoded_bytes(self, goal: Sides | None) -> int:
        """Return the bytes of all images as RGB; DataError where they have no size in common."""
        sides = goal or self.sides
        if sides is None:
            size = "such as 224, or 96x224 (height and width in pixels)"
            said = "recipe.image_size: the images differ in size; set what all are brought to"
            raise DataError(f"{said}, {size}")
        return (self.n_train + self.n_test) * sides[0] * sides[1] * 3


INFO, LOOK = TypeAdapter(DataInfo), TypeAdapter(Look)
"""To what JSON can hold, and back."""


def look_key(content: str, source: Source) -> str:
    """Return the key under which the cache keeps the look of images with this content hash."""
    # How images fit a size does not change what their pixels tell.
    kind = (_LOOK, DECODING_VERSION, content, colour(source), source.range, source.max_pixels)
    return f"look-{sha256(json.dumps(kind).encode()).hexdigest()[:32]}"
