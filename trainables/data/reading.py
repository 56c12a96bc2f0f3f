"""A data set as its source gives it: labels at hand, images one after another, decoded when due."""

import hashlib
import io
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from trainables.errors import DataError

DECODING_VERSION = 1
"""Raised when the pixels of an image come out differently."""

_PART = 32
"""Images per task of a thread: small ones would cost less than handing them over."""

Pixels = NDArray[np.uint8]
"""Images as bytes: the last axis is red, green and blue."""
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False, slots=True)
class Item:
    """One image before decoding."""

    where: str
    """The file, or the file and the row, as messages name it."""
    content: bytes | Path | Pixels
    """An encoded image, the file that holds it, or pixels of shape (height, width, 3)."""


@dataclass(frozen=True, eq=False)
class Split:
    """The training or the test part of a data set."""

    where: str
    """The folder, file or function, as messages name it."""
    labels: NDArray[np.int64]
    """Class of every image, shape (n,)."""
    items: Callable[[], Iterator[Item]]
    """Returns the images, one for each label and in the same order, from the first at each call."""


@dataclass(frozen=True, eq=False)
class Reading:
    """A data set with its training and test part; every class 0 … k − 1 has training images.

    Raises DataError where a part is empty, or a label has no place among the classes.
    """

    train: Split
    test: Split
    class_names: tuple[str, ...]
    """Name of every class by its label; the labels themselves where a source gives no names."""

    def __post_init__(self) -> None:
        for split in (self.train, self.test):
            if not split.labels.size:
                raise DataError(f"{split.where}: no images; at least one is needed")
            self._check_range(split)
        trained = np.unique(self.train.labels)
        if trained.size < 2:
            raise DataError(f"{self.train.where}: all images are of one class; two are needed")
        untrained = np.setdiff1d(self.test.labels, trained)
        if untrained.size:
            raise DataError(
                f"{self.test.where}: has images of class {self._named(int(untrained[0]))}, of "
                f"which {self.train.where} has none; add some there or leave the class out"
            )
        # Not np.arange(max + 1): a column of identifiers may hold numbers of any size.
        gap = next((i for i, label in enumerate(trained) if label != i), trained.size)
        if gap <= max(int(trained[-1]), len(self.class_names) - 1):
            raise DataError(
                f"{self.train.where}: no image of class {self._named(gap)}; the labels of train "
                f"must be 0 to {max(trained.size, len(self.class_names)) - 1}, each one present"
            )
        if not self.class_names:
            names = tuple(str(label) for label in range(trained.size))
            object.__setattr__(self, "class_names", names)

    def _check_range(self, split: Split) -> None:
        low, high = int(split.labels.min()), int(split.labels.max())
        if low < 0:
            raise DataError(f"{split.where}: label {low}; labels start at 0, and none is missing")
        if self.class_names and high >= len(self.class_names):
            raise DataError(
                f"{split.where}: label {high}, but only {len(self.class_names)} classes are named "
                f"(0 to {len(self.class_names) - 1})"
            )

    def _named(self, label: int) -> str:
        return f"{label} ({self.class_names[label]})" if self.class_names else str(label)


def examine(item: Item) -> tuple[bytes, int, int]:
    """Return an image's content digest, width and height in pixels, from its header alone.

    Raises DataError where it is missing, no image, or too large to be decoded safely.
    """
    if isinstance(item.content, np.ndarray):
        height, width, _ = item.content.shape
        return _digest(item.content), width, height
    data = _encoded(item)
    with _open(item, data) as image:
        return hashlib.sha256(data).digest(), image.width, image.height


def decode(item: Item, side: int | None) -> tuple[bytes, Pixels]:
    """Return an image's content digest, 32 bytes, and its pixels as RGB, uint8 (height, width, 3).

    An encoded image is turned upright as its EXIF data say; alpha is dropped. The side is that of
    the square result in pixels: the middle square, resized by an antialiased bicubic filter; None
    leaves the image as it is. Raises DataError where it is missing, truncated, damaged, no image,
    or too large to be decoded safely.
    """
    if isinstance(item.content, np.ndarray):
        digest = _digest(item.content)
        if side is None or item.content.shape[:2] == (side, side):
            return digest, item.content
        return digest, _squared(Image.fromarray(item.content), side)
    data = _encoded(item)
    with _open(item, data) as image:
        try:
            rgb = _as_rgb(ImageOps.exif_transpose(image))
        except MemoryError:
            raise
        except Exception as problem:  # Pillow's decoders raise whatever a damaged file makes them
            raise DataError(
                f"{item.where}: the image is damaged ({problem}); replace it or take it out"
            ) from problem
    digest = hashlib.sha256(data).digest()
    return digest, np.asarray(rgb) if side is None else _squared(rgb, side)


def in_order(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Map over items with one thread per core, in order, holding only a few hundred at a time."""
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    rest = iter(items)

    def work(part: list[Item]) -> list[Result]:
        return [function(item) for item in part]

    with ThreadPoolExecutor(threads) as pool:
        # A part is read when its turn comes: `iter` ends at the first empty one.
        parts = iter(lambda: list(islice(rest, _PART)), [])
        while batch := list(islice(parts, 4 * (threads or 1))):
            for results in pool.map(work, batch):
                yield from results


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Pillow's warnings: of large images, checked here, and of odd but harmless headers.

    For a whole run over many images, as the filters belong to the process, not to its threads.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _encoded(item: Item) -> bytes:
    if not isinstance(item.content, Path):
        return bytes(item.content)
    try:
        return item.content.read_bytes()
    except OSError as problem:
        raise DataError(f"{item.where}: cannot be read ({problem.strerror})") from problem


def _digest(pixels: Pixels) -> bytes:
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()


@cache
def _formats() -> tuple[str, ...]:
    """Return plain raster formats; Pillow's others include EPS, which starts Ghostscript."""
    Image.init()
    usual = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
    return tuple(name for name in usual if name in Image.OPEN)


def _open(item: Item, data: bytes) -> Image.Image:
    if not data:
        raise DataError(f"{item.where}: is empty, not an image; replace it or take it out")
    try:
        image = Image.open(io.BytesIO(data), formats=_formats())
    except UnidentifiedImageError as problem:
        raise DataError(
            f"{item.where}: is not an image ({', '.join(_formats())}); replace it or take it out"
        ) from problem
    except Image.DecompressionBombError as problem:
        raise DataError(f"{item.where}: {problem}") from problem
    except MemoryError:
        raise
    except Exception as problem:  # as in `decode`
        raise DataError(
            f"{item.where}: the image's header is damaged ({problem}); replace it or take it out"
        ) from problem
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        raise DataError(
            f"{item.where}: {image.width}×{image.height} pixels are more than the {limit:,} that "
            "are decoded; make the image smaller"
        )
    return image


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("floating-point pixels have no fixed range; store 8-bit ones")
    if image.mode.startswith("I"):
        # 16-bit grey, which Pillow would clip at 255 rather than scale.
        grey = np.asarray(image).astype(np.int64)
        if grey.min() < 0 or grey.max() > 65535:
            raise ValueError("32-bit pixels have no fixed range; store 8-bit ones")
        return Image.fromarray(((grey + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def _squared(image: Image.Image, side: int) -> Pixels:
    return np.asarray(ImageOps.fit(image, (side, side), Image.Resampling.BICUBIC))
