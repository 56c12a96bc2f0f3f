"""The one pass over all images: decoded into arrays on disk, or kept as stored; and looked at."""

from array import array
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from trainables.data.cache import cache_folder, checksum, sealed_json
from trainables.data.content import Content, tried
from trainables.data.info import Look
from trainables.data.pictures import Picture, decode, encoded
from trainables.data.reading import Item, Pixels, Reading, Split, in_order
from trainables.data.rows import Rows, write_head
from trainables.errors import DataError, PictureError
from trainables.recipe import Sides
from trainables.trial import Source

Progress = Callable[[int, int], None]
"""Told the number of images that are decoded, and of all that are to be."""

_REPORTED = 1024
"""Images between two calls of a progress function."""
_VALUES = 2**20
"""Pixel values held as floats at once by a computation over all images."""
_NAMED = 10
"""Damaged images that a message names; all stand in a file."""


def write_arrays(
    folder: Path,
    reading: Reading,
    source: Source,
    goal: Sides | None,
    progress: Progress | None,
    as_stored: bool,
) -> tuple[Content, Look]:
    """Decode a data set into a folder, as arrays of images and labels for train and test each.

    Images are brought to the goal, height and width in pixels; without one all are of one size,
    else DataError is raised. They are all decoded, and written so or as the data set stores them.
    Returns what is there, and what the pixels tell.
    """
    bits = None
    while True:
        work = _Pass(folder, reading, source, goal, bits, progress, as_stored)
        work.run()
        if work.bits == bits:
            return work.content, work.look()
        # Deep images are scaled by the bits that all of them use, which are known by now.
        bits = work.bits


@dataclass
class _Pass:
    folder: Path
    reading: Reading
    source: Source
    goal: Sides | None
    known: int | None
    """Bits that deep images use, where that is known."""
    progress: Progress | None
    as_stored: bool

    def __post_init__(self) -> None:
        self._decode = partial(decode, sides=self.goal, source=self.source, bits=self.known)
        self._total = self.reading.train.labels.size + self.reading.test.labels.size
        self._done = self._n_transparent = self._n_flat = 0
        self._peaks = {"train": 0, "test": 0}
        self._flat = ""
        self._shape: tuple[int, ...] | None = None
        self._sums = np.zeros((0, 6))
        self.content = Content(self.reading, self.source)

    @property
    def bits(self) -> int | None:
        """Bits that deep training images use; without any, those of the test images are taken."""
        return (self._peaks["train"] or self._peaks["test"]).bit_length() or None

    def run(self) -> None:
        """Decode all images."""
        ending = "stored" if self.as_stored else "npy"
        for part, split in (("train", self.reading.train), ("test", self.reading.test)):
            sums, edges = array("d"), array("q", [0])
            with (self.folder / f"{part}-images.{ending}").open("wb") as file:
                for item, digest, found, sum_of in in_order(self._one, split.items()):
                    self._count(part, item.where, digest, found)
                    if isinstance(found, Picture):
                        self._write(file, split, found.pixels, item.content)
                        edges.append(file.tell())
                        sums.frombytes(sum_of)
                if self._shape is not None and file.tell() and not self.as_stored:
                    write_head(file, "|u1", (len(self.content.kept[part]), *self._shape))
            kept = self.content.part(part)
            np.save(self.folder / f"{part}-labels.npy", kept.labels)
            if self.as_stored:
                np.save(self.folder / f"{part}-edges.npy", np.array(edges, np.int64))
            if part == "train":
                self._sums = np.array(sums).reshape(-1, 6)
                np.save(self.folder / "train-sums.npy", self._sums)
                if kept.groups is not None:
                    np.save(self.folder / "train-groups.npy", kept.groups)
        checksums = {file.name: checksum(file) for file in sorted(self.folder.glob("*-*"))}
        names, given = self.reading.class_names, self.content.given_validation
        held: dict[str, object] = {"names": names, "given": given, "crc32": checksums}
        if self.as_stored and self._shape:
            held |= {"sides": self._shape[:2], "bits": self.known}
        (self.folder / "classes.json").write_bytes(sealed_json(held))

    def look(self) -> Look:
        """Return what the pixels tell."""
        height, width, _ = self._shape or (0, 0, 0)
        n_pixels = len(self._sums) * height * width
        _, deviation = _statistics(self._sums.sum(axis=0), max(1, n_pixels))
        return Look(
            bits=self.known,
            n_transparent=self._n_transparent,
            n_flat=self._n_flat,
            flat=self._flat,
            is_even=bool(n_pixels and (deviation <= 1 / 255).all()),
            copies=self.content.copies,
        )

    def _one(self, item: Item) -> tuple[Item, bytes, Picture | PictureError, bytes]:
        if self.as_stored:
            with suppress(PictureError):
                item = Item(item.where, encoded(item))
        digest, found = tried(self._decode, item)
        sums = channel_sums(found.pixels[None]) if isinstance(found, Picture) else np.zeros(0)
        return item, digest, found, sums.tobytes()

    def _count(self, part: str, where: str, digest: bytes, found: Picture | PictureError) -> None:
        self._done += 1
        done, total = self._done, self._total
        if self.progress is not None and (done % _REPORTED == 0 or done == total):
            self.progress(done, total)
        if isinstance(found, PictureError):
            self.content.add(digest, found)
            return
        self._peaks[part] = max(self._peaks[part], found.peak)
        self._n_transparent += found.is_transparent
        if found.is_flat:
            self._n_flat, self._flat = self._n_flat + 1, self._flat or where
        self.content.add(digest, found.header, found.look)

    def _write(
        self, file: BinaryIO, split: Split, pixels: Pixels, content: bytes | Path | Pixels
    ) -> None:
        if self._shape is None:
            self._shape = pixels.shape
        if pixels.shape != self._shape:
            first = self._shape
            raise DataError(
                f"{split.where}: holds images of {first[1]}×{first[0]} and of "
                f"{pixels.shape[1]}×{pixels.shape[0]} pixels; set recipe.image_size, what all are "
                "brought to"
            )
        if isinstance(content, bytes) and self.as_stored:
            file.write(content)
            return
        if file.tell() == 0:
            write_head(file, "|u1", (split.labels.size, *self._shape))
        file.write(pixels.tobytes())


def channel_statistics(
    images: Pixels | Rows,
    indices: NDArray[np.int64] | None = None,
    sums: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
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


def _statistics(
    sums: NDArray[np.float64], n_pixels: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mean, squares = sums.reshape(2, 3) / n_pixels
    deviation = np.sqrt(np.maximum(squares - mean**2, 1.0))
    return mean / 255, deviation / 255


def channel_sums(images: Pixels) -> NDArray[np.float64]:
    """Return the sums of each image's channels and of their squares, (n, 6).

    They are whole numbers below 2**53, so that sums of them are exact in any order.
    """
    pixels = images.reshape(len(images), -1, 3).astype(np.float64)
    return np.concatenate([pixels.sum(axis=1), np.einsum("npc,npc->nc", pixels, pixels)], axis=1)


def listed(damaged: Iterable[PictureError], content: str) -> str:
    """Return how many images of some content cannot be read: the first ones, all in a file."""
    lines = [*map(str, damaged)]
    if len(lines) == 1:
        return lines[0]
    file, where = cache_folder() / f"unreadable-{content[:12]}.txt", ""
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(lines) + "\n")
        where = f", all listed in {file}"
    shown = "".join(f"\n  {line}" for line in lines[:_NAMED])
    more = f"\n  … and {len(lines) - _NAMED} more" if len(lines) > _NAMED else ""
    return (
        f"{len(lines)} images cannot be read{where}; mend them (paths in a CSV start from "
        f"its folder), or leave them out with data.damaged: skip:{shown}{more}"
    )
