"""The one pass over all images: decoded into arrays on disk, and looked at."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from trainables.data.cache import cache_folder, checksum, sealed_json
from trainables.data.content import Content, tried
from trainables.data.pictures import Picture, decode
from trainables.data.pixels import Damaged, Look
from trainables.data.reading import Item, Pixels, Reading, Split, in_order
from trainables.errors import DataError, PictureError
from trainables.recipe import Sides
from trainables.trial import Source

Progress = Callable[[int, int], None]
"""Told the number of images that are decoded, and of all that are to be."""

_REPORTED = 1024
"""Images between two calls of a progress function."""
_VALUES = 2**20
"""Pixel values held as floats at once by a computation over all images."""
_SAMPLED = 64
"""Deep images that are looked at for the bits that all use, and images for their statistics."""
_NAMED = 10
"""Damaged images that a message names; all stand in a file."""


def write_arrays(
    folder: Path,
    reading: Reading,
    source: Source,
    goal: Sides | None,
    progress: Progress | None,
) -> tuple[Content, Look]:
    """Decode a data set into a folder, as arrays of images and labels for train and test each.

    Images are brought to the goal, height and width in pixels; without one all are of one size,
    else DataError is raised. Returns what is there, and what the pixels tell.
    """
    bits = None
    while True:
        work = _Pass(folder, reading, source, goal, bits, progress)
        try:
            work.run()
        except _Deep:
            bits = _sampled_bits(reading, source)
            continue
        found = work.bits
        if found == bits:
            return work.content, work.look()
        # Rarely: those that were sampled use fewer bits than others.
        bits = found


class _Deep(Exception):
    """An image of more than 8 bits was met, and it is not known how many are used."""


@dataclass
class _Pass:
    folder: Path
    reading: Reading
    source: Source
    goal: Sides | None
    known: int | None
    """Bits that deep images use, where that is known."""
    progress: Progress | None

    def __post_init__(self) -> None:
        self._decode = partial(decode, sides=self.goal, source=self.source, bits=self.known)
        self._total = self.reading.train.labels.size + self.reading.test.labels.size
        self._done = self._peak = self._n_transparent = self._n_flat = 0
        self._flat = ""
        self._shape: tuple[int, ...] | None = None
        self.content = Content(self.reading, self.source)

    @property
    def bits(self) -> int | None:
        """Bits that deep training images use; without any, those of the test images are taken."""
        return max(1, self._peak.bit_length()) if self._peak else self.known

    def run(self) -> None:
        """Decode all images."""
        look = partial(tried, self._decode)
        for part, split in (("train", self.reading.train), ("test", self.reading.test)):
            with (self.folder / f"{part}-images.npy").open("wb") as file:
                each = in_order(lambda item: (item.where, *look(item)), split.items())
                for where, digest, found in each:
                    self._count(part, where, digest, found)
                    if isinstance(found, Picture):
                        self._write(file, split, found.pixels)
                if self._shape is not None and file.tell():
                    _head(file, len(self.content.kept[part]), self._shape)
            kept = self.content.part(part)
            np.save(self.folder / f"{part}-labels.npy", kept.labels)
            if part == "train" and kept.groups is not None:
                np.save(self.folder / "train-groups.npy", kept.groups)
        checksums = {file.name: checksum(file) for file in sorted(self.folder.glob("*.npy"))}
        names, given = self.reading.class_names, self.content.given_validation
        held = {"names": names, "given": given, "crc32": checksums}
        (self.folder / "classes.json").write_bytes(sealed_json(held))

    def look(self) -> Look:
        """Return what the pixels tell."""
        return Look(
            bits=self.known,
            n_transparent=self._n_transparent,
            n_flat=self._n_flat,
            flat=self._flat,
            is_even=bool(self.content.kept["train"])
            and _is_even(npy.open_memmap(self.folder / "train-images.npy", mode="r")),
            copies=self.content.copies,
            damaged=tuple(self.content.damaged),
        )

    def _count(self, part: str, where: str, digest: bytes, found: Picture | PictureError) -> None:
        self._done += 1
        done, total = self._done, self._total
        if self.progress is not None and (done % _REPORTED == 0 or done == total):
            self.progress(done, total)
        if isinstance(found, PictureError):
            self.content.add(digest, found)
            return
        if found.peak and self.known is None:
            raise _Deep
        if part == "train":
            self._peak = max(self._peak, found.peak)
        self._n_transparent += found.is_transparent
        if found.is_flat:
            self._n_flat, self._flat = self._n_flat + 1, self._flat or where
        self.content.add(digest, found.header, found.look)

    def _write(self, file: BinaryIO, split: Split, pixels: Pixels) -> None:
        if self._shape is None:
            self._shape = pixels.shape
        if pixels.shape != self._shape:
            first = self._shape
            raise DataError(
                f"{split.where}: holds images of {first[1]}×{first[0]} and of "
                f"{pixels.shape[1]}×{pixels.shape[0]} pixels; set recipe.image_size, what all are "
                "brought to"
            )
        if file.tell() == 0:
            _head(file, split.labels.size, self._shape)
        file.write(pixels.tobytes())


def _head(file: BinaryIO, count: int, shape: tuple[int, ...]) -> None:
    """Write the head of an array of images, which is as long for any count, and go to the end."""
    file.seek(0)
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
    npy.write_array_header_1_0(file, header)
    file.seek(0, 2)


def _sampled_bits(reading: Reading, source: Source) -> int:
    """Return the bits that the first deep training images use, or else those of test."""
    for split in (reading.train, reading.test):
        peaks = (_peak(item, source) for item in split.items())
        found = [*islice(filter(None, peaks), _SAMPLED)]
        if found:
            return max(found).bit_length()
    return 1


def _peak(item: Item, source: Source) -> int:
    try:
        return decode(item, None, source).peak
    except PictureError:
        return 0


def _is_even(images: Pixels) -> bool:
    """Return whether a sample of all images deviates by no more than a grey level."""
    if not len(images):
        return False
    sample = np.linspace(0, len(images) - 1, min(len(images), _SAMPLED)).astype(np.int64)
    _, deviation = channel_statistics(images, np.unique(sample))
    return bool((deviation <= 1 / 255).all())


def channel_statistics(
    images: Pixels, indices: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and deviation of each colour channel, (3,), of pixels scaled to 0 … 1.

    Images are uint8, (n, height, width, 3); those by indices count, by default all. The deviation
    is that of the pixels themselves (not an estimate from a sample), and at least one grey level,
    so that pixels can be divided by it.
    """
    chosen = np.arange(len(images)) if indices is None else np.sort(indices)
    total, squares, count = np.zeros(3), np.zeros(3), 0
    step = max(1, _VALUES // images[0].size)
    for start in range(0, chosen.size, step):
        # Whole numbers below 2**53 throughout: the sums are exact, in whatever chunks.
        pixels = images[chosen[start : start + step]].reshape(-1, 3).astype(np.float64)
        total += pixels.sum(axis=0)
        squares += np.einsum("pc,pc->c", pixels, pixels)
        count += len(pixels)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 1.0))
    return mean / 255, deviation / 255


def listed(damaged: Sequence[Damaged], content: str) -> str:
    """Return how many images of some content cannot be read: the first ones, all in a file."""
    lines = [f"{each.where}: {each.why}" for each in damaged]
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
