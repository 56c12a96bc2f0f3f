"""Which images a data set holds and how they are read, as hashes; counted image by image."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from trainables.data.info import Copies
from trainables.data.pictures import Header, Picture, colour, encoded
from trainables.data.reading import Item, Reading, Split
from trainables.errors import PictureError
from trainables.recipe import Sides
from trainables.trial import Source

PARTS = ("train", "test")


Result = TypeVar("Result", Header, Picture)


def tried(function: Callable[[Item], Result], item: Item) -> tuple[bytes, Result | PictureError]:
    """Return an image's digest, and what a function says of it or why it cannot be read.

    The digest of one whose file cannot be read is of zeros.
    """
    try:
        result = function(item)
    except PictureError as problem:
        try:
            return hashlib.sha256(encoded(item)).digest(), problem
        except PictureError:
            return bytes(32), problem
    return result.digest, result


class Content:
    """The images of a data set, counted one after another in their order, train before test."""

    def __init__(self, reading: Reading, source: Source) -> None:
        self._source, self._reading = source, reading
        self._splits = {"train": reading.train, "test": reading.test}
        self._parts = {part: hashlib.sha256() for part in PARTS}
        self._whole = hashlib.sha256()
        for split in self._splits.values():
            self._whole.update(np.int64(split.labels.size).tobytes() + split.labels.tobytes())
        self._n_train, self._place = reading.train.labels.size, 0
        self.shapes: Counter[Sides] = Counter()
        """Number of images of each height and width, upright."""
        self.n_deep = self.n_alpha = self.stored_bytes = 0
        self.damaged: dict[int, PictureError] = {}
        """Why images cannot be read, by their places among all, train before test."""
        self.kept: dict[str, list[int]] = {part: [] for part in PARTS}
        """Places of those that can, in train and in test."""
        self._keys = {part: bytearray() for part in PARTS}

    def add(self, digest: bytes, found: Header | PictureError, key: bytes | None = None) -> None:
        """Count the next image; images with the same key, eight bytes, are copies of each other."""
        place, self._place = self._place, self._place + 1
        self._whole.update(digest)
        if isinstance(found, PictureError):
            self.damaged[place] = found
            return
        is_test = place >= self._n_train
        part = "test" if is_test else "train"
        self._parts[part].update(digest)
        # Of the first bytes: two unlike images share them once in 10¹⁹ pairs.
        self._keys[part] += key or digest[:8]
        self.kept[part].append(place - is_test * self._n_train)
        self.shapes[found.sides] += 1
        self.n_deep += found.is_deep
        self.n_alpha += found.has_alpha
        self.stored_bytes += found.n_bytes

    @property
    def test_images(self) -> NDArray[np.int64]:
        """Keys of the test images that can be read."""
        return np.frombuffer(self._keys["test"], np.int64)

    @property
    def copies(self) -> Copies:
        """Images that are there more than once, by their keys, among those that can be read."""
        return Copies.among(*(np.frombuffer(keys, np.uint64) for keys in self._keys.values()))

    def part(self, part: str) -> Split:
        """Return the images of a part, `train` or `test`, that can be read."""
        return self._splits[part].only(self.kept[part])

    @property
    def given_validation(self) -> int:
        """Number of training images, the last ones, that came along to validate and can be read."""
        first = self._n_train - self._reading.given_validation
        return sum(place >= first for place in self.kept["train"])

    def readable(self) -> Reading:
        """Return the images that can be read; raises DataError where a class has none of train."""
        train, test, given = self.part("train"), self.part("test"), self.given_validation
        return replace(self._reading, train=train, test=test, given_validation=given)

    @property
    def hash(self) -> str:
        """Hash of all images, as stored, and labels, in order."""
        return self._whole.hexdigest()[:32]

    @property
    def fingerprint(self) -> str:
        """Hash of content and of how it is read; the content's own where all read it alike."""
        skipped = {"skipped": [*self.damaged]} if self.damaged else {}
        return _with(self.hash, {**self._kinds(), **self._reading.arrangement, **skipped})

    def fingerprint_of(self, part: str) -> str:
        """Return the hash of one part, `train` or `test`: its images, labels and how it is read."""
        whole = self._parts[part].copy()
        whole.update(self.part(part).labels.tobytes())
        return _with(whole.hexdigest()[:32], self._kinds())

    def _kinds(self) -> dict[str, Any]:
        source = self._source
        found: dict[str, Any] = {}
        if self.n_deep:
            found["values"] = source.range or "bits"
        if self.n_alpha:
            found["background"] = colour(source)
        if source.fit != "crop" and any(height != width for height, width in self.shapes):
            found["fit"] = [source.fit, colour(source)] if source.fit == "pad" else source.fit
        return found


def _with(content: str, more: Mapping[str, Any]) -> str:
    if not more:
        return content
    return hashlib.sha256(json.dumps([content, more], sort_keys=True).encode()).hexdigest()[:32]
