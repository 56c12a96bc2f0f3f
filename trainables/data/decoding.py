"""The one pass over all images: decoded into arrays on disk, or kept as stored; and looked at."""

from array import array
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainables.data.cache import checksum, sealed_json
from trainables.data.content import Content, tried
from trainables.data.info import DataInfo, Look
from trainables.data.pictures import Picture, decode, encoded
from trainables.data.reading import Item, Pixels, Reading, Split, in_order
from trainables.data.rows import Rows, write_head
from trainables.errors import DataError, PictureError
from trainables.recipe import Sides
from trainables.trial import Source

Progress = Callable[[int, int], None]
"""Told the number of images that are decoded, and of all that are to be."""

Floats = NDArray[np.float64]
_REPORTED = 1024
"""Images between two calls of a progress function."""
_VALUES = 2**20
"""Pixel values held as floats at once by a computation over all images."""


@dataclass
class Decoding:
    """A data set that is decoded into a folder: images and labels for train and test each.

    Images are brought to the goal, height and width in pixels; without one all are of one size,
    else DataError is raised. They are all decoded, and written so or as the data set stores them.
    """

    folder: Path
    reading: Reading
    source: Source
    goal: Sides | None
    progress: Progress | None
    as_stored: bool

    def run(self) -> tuple[DataInfo, Look]:
        """Decode all images; return what is there, and what the pixels tell."""
        known: int | None = None
        while (bits := self._pass(known)) != known:
            # Deep images are scaled by the bits that all of them use, which are known by now.
            known = bits
        checksums = {file.name: checksum(file) for file in sorted(self.folder.glob("*-*"))}
        names, given = self.reading.class_names, self._content.given_validation
        held: dict[str, object] = {"names": names, "given": given, "crc32": checksums}
        if self.as_stored and self._shape:
            held |= {"sides": self._shape[:2], "bits": known}
        (self.folder / "classes.json").write_bytes(sealed_json(held))
        height, width, _ = self._shape or (0, 0, 0)
        n_pixels = len(self._sums) * height * width
        _, deviation = _statistics(self._sums.sum(axis=0), max(1, n_pixels))
        is_even = bool(n_pixels and (deviation <= 1 / 255).all())
        seen = known, self._n_transparent, self._n_flat, self._flat
        return self._content.info(), Look(*seen, is_even, self._content.copies)

    def _pass(self, known: int | None) -> int | None:
        """Decode all; take and return bits of deep training images, or else of test images."""
        self._decode = partial(decode, sides=self.goal, source=self.source, bits=known)
        self._content = Content(self.reading, self.source)
        self._done = self._n_transparent = self._n_flat = 0
        self._peaks = {"train": 0, "test": 0}
        self._flat = ""
        self._shape: tuple[int, ...] | None = None
        self._sums = self._part("train", self.reading.train)
        np.save(self.folder / "train-sums.npy", self._sums)
        groups = self._content.part("train").groups
        if groups is not None:
            np.save(self.folder / "train-groups.npy", groups)
        self._part("test", self.reading.test)
        return (self._peaks["train"] or self._peaks["test"]).bit_length() or None

    def _part(self, part: str, split: Split) -> Floats:
        """Decode a part; return the `channel_sums` of its images."""
        total = self.reading.train.labels.size + self.reading.test.labels.size
        sums, edges = array("d"), array("q", [0])
        ending = "stored" if self.as_stored else "npy"
        with (self.folder / f"{part}-images.{ending}").open("wb") as file:
            for item, digest, found, sum_of in in_order(self._one, split.items()):
                self._done += 1
                if self.progress and (self._done % _REPORTED == 0 or self._done == total):
                    self.progress(self._done, total)
                if isinstance(found, PictureError):
                    self._content.add(digest, found)
                    continue
                self._content.add(digest, found.header, found.look)
                self._peaks[part] = max(self._peaks[part], found.peak)
                self._n_transparent += found.is_transparent
                if found.is_flat:
                    self._n_flat, self._flat = self._n_flat + 1, self._flat or item.where
                own = found.pixels.shape
                shape = self._shape = self._shape or own
                if own != shape:
                    one, other = (f"{width}×{height}" for height, width, _ in (shape, own))
                    said = f"{split.where}: holds images of {one} and of {other} pixels"
                    raise DataError(f"{said}; set recipe.image_size, what all are brought to")
                if not self.as_stored and file.tell() == 0:
                    write_head(file, "|u1", (split.labels.size, *shape))
                file.write(encoded(item) if self.as_stored else found.pixels.tobytes())
                edges.append(file.tell())
                sums.frombytes(sum_of)
            if self._shape and file.tell() and not self.as_stored:
                write_head(file, "|u1", (len(edges) - 1, *self._shape))
        np.save(self.folder / f"{part}-labels.npy", self._content.part(part).labels)
        if self.as_stored:
            np.save(self.folder / f"{part}-edges.npy", np.array(edges, np.int64))
        return np.array(sums).reshape(-1, 6)

    def _one(self, item: Item) -> tuple[Item, bytes, Picture | PictureError, bytes]:
        if self.as_stored:
            with suppress(PictureError):
                item = Item(item.where, encoded(item))
        digest, found = tried(self._decode, item)
        sums = channel_sums(found.pixels[None]) if isinstance(found, Picture) else np.zeros(0)
        return item, digest, found, sums.tobytes()


def channel_statistics(
    images: Pixels | Rows, indices: NDArray[np.int64] | None = None, sums: Floats | None = None
) -> tuple[Floats, Floats]:
    """Return mean and deviation of each colour channel, (3,), of pixels scaled to 0 … 1.

    Images are uint8, (n, height, width, 3); those by indices count, by default all. No pixel is
    read where the `channel_sums` of all images are given. The deviation is that of the pixels
    themselves (not an estimate from a sample), and at least one grey level, so that pixels can be
    divided by it.
    """
    chosen = np.arange(len(images)) if indices is None else np.sort(indices)
    _, height, width, _ = images.shape
    if sums is not None:
        total = sums[chosen].sum(axis=0)
    else:
        if isinstance(images, np.memmap):
            images = Rows.of(images)
        total, step = np.zeros(6), max(1, _VALUES // (height * width * 3))
        for start in range(0, chosen.size, step):
            total += channel_sums(images[chosen[start : start + step]]).sum(axis=0)
    return _statistics(total, chosen.size * height * width)


def _statistics(sums: Floats, n_pixels: int) -> tuple[Floats, Floats]:
    mean, squares = sums.reshape(2, 3) / n_pixels
    deviation = np.sqrt(np.maximum(squares - mean**2, 1.0))
    return mean / 255, deviation / 255


def channel_sums(images: Pixels) -> Floats:
    """Return the sums of each image's channels and of their squares, (n, 6).

    They are whole numbers below 2**53, so that sums of them are exact in any order.
    """
    pixels = images.reshape(len(images), -1, 3).astype(np.float64)
    return np.concatenate([pixels.sum(axis=1), np.einsum("npc,npc->nc", pixels, pixels)], axis=1)
