"""Encoded images to pixels, all of one size."""

import hashlib
import io
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from trainables.data.reading import Item, Pixels
from trainables.errors import DataError

VERSION = 1
"""Raised when the pixels of an image come out differently."""

_PART = 32
"""Images per task of a thread: small ones would cost less than handing them over."""

Result = TypeVar("Result")


def examine(item: Item) -> tuple[bytes, int, int]:
    """Return an image's content digest, width and height, from its header alone.

    Raises
    ------
    DataError
        It is missing, no image, or too large to be decoded safely.
    """
    if isinstance(item.content, np.ndarray):
        height, width, _ = item.content.shape
        return _digest(item.content), width, height
    data = _encoded(item.where, item.content)
    with _open(item, data) as image:
        return _digest(data), image.width, image.height


def decode(item: Item, side: int | None) -> tuple[bytes, Pixels]:
    """Return an image's content digest and its pixels as RGB.

    Parameters
    ----------
    item
        An encoded image is turned upright as its EXIF data say. Alpha is dropped.
    side
        Side of the square result in pixels: the middle square, resized by an antialiased bicubic
        filter. None leaves the image as it is.

    Returns
    -------
    digest : 32 bytes
    pixels : uint8 array of shape (height, width, 3)

    Raises
    ------
    DataError
        It is missing, truncated, damaged, no image, or too large to be decoded safely.
    """
    if isinstance(item.content, np.ndarray):
        digest = _digest(item.content)
        if side is None or item.content.shape[:2] == (side, side):
            return digest, item.content
        return digest, _squared(Image.fromarray(item.content), side)
    data = _encoded(item.where, item.content)
    digest = _digest(data)
    with _open(item, data) as image:
        try:
            rgb = _as_rgb(ImageOps.exif_transpose(image))
        except MemoryError:
            raise
        except Exception as problem:  # Pillow's decoders raise whatever a damaged file makes them
            raise DataError(
                f"{item.where}: the image is damaged ({problem}); replace it or take it out"
            ) from problem
    return digest, np.asarray(rgb) if side is None else _squared(rgb, side)


def in_order(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Map over items with one thread per core, in order, holding only a few hundred at a time."""
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()

    def work(part: list[Item]) -> list[Result]:
        return [function(item) for item in part]

    parts = _parts(items)
    with ThreadPoolExecutor(threads) as pool:
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


def _parts(items: Iterable[Item]) -> Iterator[list[Item]]:
    rest = iter(items)
    while part := list(islice(rest, _PART)):
        yield part


def _encoded(where: str, content: bytes | Path) -> bytes:
    if isinstance(content, bytes):
        return content
    try:
        return content.read_bytes()
    except OSError as problem:
        raise DataError(f"{where}: cannot be read ({problem.strerror})") from problem


def _digest(content: bytes | Pixels) -> bytes:
    if isinstance(content, bytes):
        return hashlib.sha256(content).digest()
    shape = repr(content.shape).encode()
    return hashlib.sha256(shape + content.tobytes()).digest()


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
