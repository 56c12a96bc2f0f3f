"""From an encoded image to pixels: as viewers show it, of whatever depth, brought to one size."""

import hashlib
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageColor, ImageOps, UnidentifiedImageError

from trainables.data.reading import POINTER, Item, Pixels
from trainables.errors import PictureError
from trainables.recipe import Sides
from trainables.trial import Source

DECODING_VERSION = 1
"""Raised when the pixels of an image come out differently."""

_HASHED_BYTES = 2**17
"""Of the pixels of larger images, evenly spaced rows of about so many bytes tell copies apart."""
_TWO_BYTES = re.compile(r"(RGB[AXa]?|LA|[RGBA]);16([BLN])")
"""Pillow's names of 16-bit colour, of which it keeps the upper byte."""
_OTHER_KINDS = {
    "HEIC": rb".{4}ftyp(hei|hev|mif1|msf1)",
    "JPEG XL": rb"\xff\x0a|.{4}JXL ",
    "Photoshop": rb"8BPS",
    "DICOM": rb".{128}DICM",
    "PDF": rb"%PDF",
    "SVG": rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<svg",
    "a NumPy array": rb"\x93NUMPY",
    "OpenEXR": rb"\x76\x2f\x31\x01",
    "a TIFF of bands or numbers": rb"II\*\0|MM\0\*|II\+\0|MM\0\+",
}
"""How files begin that are whole, and that nothing here can read."""
_LATE = (b"eXIf", b"XML:com.adobe.xmp", b"Raw profile type exif")
"""How parts of a PNG begin that may say, behind its pixels, how it is turned."""
_PLAIN = Source()


def colour(source: Source) -> tuple[int, ...]:
    """Return red, green and blue of a study's background."""
    return ImageColor.getrgb(source.background)[:3]


class Header(NamedTuple):
    """What the first bytes of an image tell."""

    digest: bytes
    """SHA-256 of the image as stored."""
    sides: Sides
    """Height and width, upright."""
    is_deep: bool = False
    """Whether pixels have more than 8 bits per channel."""
    has_alpha: bool = False
    """Whether pixels may be transparent."""
    n_bytes: int = 0
    """Bytes as stored; 0 of what is stored as pixels."""


class Picture(NamedTuple):
    """A decoded image, and what its pixels tell."""

    digest: bytes
    pixels: Pixels
    """RGB, shape (height, width, 3)."""
    header: Header
    look: bytes
    """Eight bytes that images with the same pixels share, however they are stored."""
    peak: int = 0
    """The largest value of an image of more than 8 bits, where no range is stated."""
    is_transparent: bool = False
    """Whether something shows through."""

    @property
    def is_flat(self) -> bool:
        """Whether all pixels have one colour."""
        pixels = self.pixels
        is_likely = np.array_equal(pixels[0, 0], pixels[pixels.shape[0] // 2, -1])
        return bool(is_likely and (pixels == pixels[0, 0]).all())


def examine(item: Item, source: Source = _PLAIN) -> Header:
    """Return what an image's header tells, without decoding it; raises as `decode` does."""
    if isinstance(item.content, np.ndarray):
        height, width, _ = item.content.shape
        digest = hashlib.sha256(repr(item.content.shape).encode() + item.content.tobytes()).digest()
        return Header(digest, (height, width))
    data = encoded(item)
    with _open(item, data, source) as image:
        header = _header(data, image)
        with _damage_named(item):
            # Pillow decodes a PNG to look behind its pixels, whether or not anything is there.
            late = (data.find(mark, data.rfind(b"IDAT")) for mark in _LATE)
            is_early = image.format == "PNG" and max(late) < 0
            exif = Image.Image.getexif(image) if is_early else image.getexif()
            # The sides of a TIFF are turned as soon as it is opened.
            width, height = getattr(image, "_tile_size", image.size)
            is_turned = exif.get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
    return header._replace(sides=(width, height) if is_turned else (height, width))


def decode(
    item: Item,
    sides: Sides | int | None,
    source: Source = _PLAIN,
    bits: int | None = None,
    *,
    is_known: bool = False,
) -> Picture:
    """Return an image as RGB: upright as its EXIF data say, on the background, brought to a size.

    Sides are the height and width in pixels that it is brought to, as the source says, by an
    antialiased bicubic filter; one number is both, None leaves the image as it is. Of 16-bit images
    the largest value of so many bits becomes white, by default of those that the image itself uses.
    Of an image that is known, digest and look are not told. Raises PictureError where it is
    missing, truncated, damaged, no image, of a kind that is not read, or too large.
    """
    goal = (sides, sides) if isinstance(sides, int) else sides
    if isinstance(item.content, np.ndarray):
        header, pixels = examine(item), item.content
        if goal is not None and header.sides != goal:
            pixels = _fitted(Image.fromarray(pixels), goal, source)
        return Picture(header.digest, pixels, header, header.digest[:8])
    data = encoded(item)
    peak = 0
    with _open(item, data, source) as image:
        header = _header(b"" if is_known else data, image)
        with _damage_named(item):
            if header.is_deep:
                rgb, peak, is_transparent = _shallow(item, data, image, source, bits)
            else:
                rgb, is_transparent = _on_background(ImageOps.exif_transpose(image), source)
    header = header._replace(sides=(rgb.height, rgb.width))
    whole = np.asarray(rgb)
    pixels = whole if goal is None else _fitted(rgb, goal, source)
    look = b"" if is_known else _look(whole)
    return Picture(header.digest, pixels, header, look, peak, is_transparent)


@contextmanager
def _damage_named(item: Item, what: str = "the image") -> Iterator[None]:
    try:
        yield
    except (MemoryError, PictureError):
        raise
    except Exception as problem:  # Pillow's decoders raise whatever a damaged file makes them
        why = f"{what} is damaged ({problem}); replace it or take it out"
        raise PictureError(item.where, why) from problem


def cut_share(sides: Sides, goal: Sides) -> float:
    """Return the share of an image's pixels that `crop` cuts away to reach the shape of a goal."""
    ratio = sides[0] * goal[1] / (sides[1] * goal[0])
    return 1 - min(ratio, 1 / ratio)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Pillow, in the whole process, about large images, checked here, and odd headers."""
    limit = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def encoded(item: Item) -> bytes:
    """Return an encoded image's bytes; PictureError where its file cannot be read."""
    if not isinstance(item.content, Path):
        return bytes(item.content)
    try:
        return item.content.read_bytes()
    except OSError as problem:
        raise PictureError(item.where, f"cannot be read ({problem.strerror})") from problem


def _header(data: bytes, image: Image.Image) -> Header:
    digest, sides = hashlib.sha256(data).digest(), (image.height, image.width)
    is_wide = image.mode == "F" or image.mode.startswith("I")
    is_deep = is_wide or _TWO_BYTES.fullmatch(_raw_mode(image)) is not None
    return Header(digest, sides, is_deep, image.has_transparency_data, len(data))


def _look(pixels: Pixels) -> bytes:
    step = max(1, pixels.nbytes // _HASHED_BYTES)
    seen = repr(pixels.shape).encode() + pixels[::step].tobytes()
    return hashlib.blake2b(seen, digest_size=8).digest()


@cache
def _formats() -> tuple[str, ...]:
    """Return plain raster formats; Pillow's others include EPS, which starts Ghostscript."""
    Image.init()
    usual = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
    return tuple(name for name in usual if name in Image.OPEN)


def _open(item: Item, data: bytes, source: Source) -> Image.Image:
    if not data:
        raise PictureError(item.where, "is empty, not an image; replace it or take it out")
    large = f"more than the {source.max_pixels:,} that are decoded; set data.max_pixels"
    with _damage_named(item, "the image's header"):
        try:
            image = Image.open(io.BytesIO(data), formats=_formats())
        except UnidentifiedImageError as problem:
            raise PictureError(item.where, _no_image(data)) from problem
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as problem:
            raise PictureError(item.where, f"has too many pixels, {large}") from problem
    if image.width * image.height > source.max_pixels:
        raise PictureError(item.where, f"{image.width}×{image.height} pixels are {large}")
    if image.mode == "F" and source.range is None:
        raise PictureError(item.where, _numbers("floating-point pixels have"))
    return image


def _no_image(data: bytes) -> str:
    if data.startswith(POINTER):
        return "is a git-LFS pointer, not the image; run `git lfs pull` there"
    if re.match(rb"\s*<(?i:!doctype html|html)", data[:512]):
        return "is a web page that was saved instead of the image; fetch it again"
    for kind, beginning in _OTHER_KINDS.items():
        if re.match(beginning, data[:512], re.DOTALL):
            return f"is {kind}, not of a kind that is read; convert it to PNG or JPEG"
    return f"is not an image ({', '.join(_formats())}); replace it or take it out"


def _numbers(what: str) -> str:
    mend = "state the values that become black and white, such as data.range: [0, 1]"
    return f"is not of a kind that is read: {what} no fixed range; {mend}"


def _raw_mode(image: Image.Image) -> str:
    tiles: Sequence[Any] = getattr(image, "tile", ())
    args = tiles[0][3] if tiles else ""
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _shallow(
    item: Item, data: bytes, image: Image.Image, source: Source, bits: int | None
) -> tuple[Image.Image, int, bool]:
    """Return a deep image, scaled linearly, as RGB; its largest value; whether it shows through."""
    values = _values(data, image)
    colours = values if values.ndim == 2 else values[..., :3]
    alpha = values[..., 3] if values.ndim == 3 and values.shape[2] == 4 else None
    if not np.isfinite(colours).all():
        raise PictureError(item.where, "has pixels that are no numbers (NaN); mend or take it out")
    low, high = source.range or (0.0, 0.0)
    peak = 0
    if source.range is None:
        if colours.min() < 0 or colours.max() > 65535:
            raise PictureError(item.where, _numbers("pixels below 0 or of 32 bits have"))
        peak = int(colours.max())
        high = float(2 ** (bits or max(1, peak.bit_length())) - 1)
    scaled = np.clip((colours - low) * (255 / (high - low)), 0, 255) + 0.5
    rgb = Image.fromarray(scaled.astype(np.uint8)).convert("RGB")
    if alpha is None or alpha.min() == 65535:
        return rgb, peak, False
    rgb.putalpha(Image.fromarray((alpha / 257 + 0.5).astype(np.uint8)))
    return _on_background(rgb, source)[0], peak, True


def _values(data: bytes, image: Image.Image) -> NDArray[np.float64]:
    """Return the pixels of a deep image, upright: grey as (height, width), else colour, alpha.

    Of 16-bit colour Pillow keeps one byte, the upper one, named by their order in the file: read
    once more in the other order, it keeps the lower one.
    """
    found = _TWO_BYTES.fullmatch(_raw_mode(image))
    if found is None:
        return np.asarray(ImageOps.exif_transpose(image), dtype=np.float64)
    if found[1] == "LA":
        # As four bytes a pixel: upper and lower one of grey, then of alpha.
        upper = _as_stored(data, "RGBA", "RGBA")
        grey, alpha = (256 * upper[..., i] + upper[..., i + 1] for i in (0, 2))
        return np.stack([grey, grey, grey, alpha], axis=2)
    lower = _as_stored(data, image.mode, "B" if found[2] in "LN" else "L")
    return 256 * np.asarray(ImageOps.exif_transpose(image), dtype=np.float64) + lower


def _as_stored(data: bytes, mode: str, raw: str) -> NDArray[np.float64]:
    """Return the pixels where bytes are taken as another raw mode, or in another order of bytes."""
    image = Image.open(io.BytesIO(data), formats=_formats())

    def named(args: Any) -> Any:
        if isinstance(args, tuple):
            return (named(args[0]), *args[1:])
        return raw if len(raw) > 1 else f"{args[:-1]}{raw}"

    image.tile = [tile._replace(args=named(tile.args)) for tile in image.tile]
    image._mode = mode
    return np.asarray(ImageOps.exif_transpose(image), dtype=np.float64)


def _on_background(image: Image.Image, source: Source) -> tuple[Image.Image, bool]:
    """Return an image as RGB, and whether the background shows through."""
    if not image.has_transparency_data:
        return image.convert("RGB"), False
    clear = image if image.mode == "RGBA" else image.convert("RGBA")
    lowest, _ = clear.getchannel("A").getextrema()
    if lowest == 255:
        return clear.convert("RGB"), False
    behind = Image.new("RGBA", clear.size, (*colour(source), 255))
    behind.alpha_composite(clear)
    return behind.convert("RGB"), True


def _fitted(image: Image.Image, goal: Sides, source: Source) -> Pixels:
    size, smooth = (goal[1], goal[0]), Image.Resampling.BICUBIC
    if source.fit == "squash":
        return np.asarray(image.resize(size, smooth))
    if source.fit == "pad":
        return np.asarray(ImageOps.pad(image, size, smooth, color=colour(source)))
    return np.asarray(ImageOps.fit(image, size, smooth))
