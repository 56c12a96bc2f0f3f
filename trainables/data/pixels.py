"""What only the pixels of a data set tell: learnt while it is decoded, kept by its content."""

import json
from dataclasses import asdict, dataclass, field
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from trainables.data.cache import recall, remember
from trainables.data.pictures import DECODING_VERSION, colour
from trainables.trial import Source

_LOOK = 1
"""Raised when the same pixels tell something else."""

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
        known, first, place = np.unique(train, return_index=True, return_inverse=True)
        firsts = first[place]
        again = np.flatnonzero(firsts != np.arange(train.size))
        at = np.minimum(np.searchsorted(known, test), max(known.size - 1, 0))
        seen = np.flatnonzero(known[at] == test) if known.size else np.arange(0)
        return cls(_pairs(again, firsts[again]), _pairs(seen, first[at[seen]]))


def _pairs(copies: NDArray[np.int64], firsts: NDArray[np.int64]) -> Pairs:
    return tuple(zip(copies.tolist(), firsts.tolist(), strict=True))


@dataclass(frozen=True)
class Damaged:
    """An image that cannot be read."""

    place: int
    """Position among all images, train before test, those that cannot be read included."""
    where: str
    why: str


@dataclass(frozen=True)
class Look:
    """What the pixels of a data set tell."""

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
    damaged: tuple[Damaged, ...] = ()
    """Images that were left out."""


def recall_look(content: str, source: Source) -> Look | None:
    """Return what was learnt of images with this content hash, or None."""
    facts = recall(_key(content, source))
    return None if facts is None else TypeAdapter(Look).validate_python(facts)


def remember_look(content: str, source: Source, look: Look) -> None:
    """Keep what was learnt of images with this content hash."""
    remember(_key(content, source), asdict(look))


def _key(content: str, source: Source) -> str:
    # How images fit a size does not change what their pixels tell.
    kind = (_LOOK, DECODING_VERSION, content, colour(source), source.range, source.max_pixels)
    return f"look-{sha256(json.dumps(kind).encode()).hexdigest()[:32]}"
