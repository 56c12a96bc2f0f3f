"""The checksum of a Parquet part, in the file itself, where no reader looks.

A Parquet file ends with its footer, the footer's length and four letters, and is read only where
the footer says that rows are. So the checksum of all other bytes stands just before the footer.
Files of other tools, and older ones, have none, and are not checked.
"""

import io
import zlib
from pathlib import Path
from typing import BinaryIO

from results.store.objects import Location

_MARK = b"scalestudy-crc32"
_SIZE = len(_MARK) + 4
_TAIL = 8
"""Bytes behind the footer: its length and the letters."""
_PIECE = 2**20


def sealed(content: bytes) -> bytes:
    """Return a Parquet file's content with the checksum of all that it holds."""
    file = io.BytesIO(content)
    _seal(file)
    return file.getvalue()


def seal(file: Path) -> None:
    """Write the checksum of all that a Parquet file holds into it."""
    with file.open("r+b") as opened:
        _seal(opened)


def is_intact(part: Location) -> bool:
    """Return whether a part holds what was written, as far as it says so.

    Raises OSError where it cannot be had.
    """
    if not isinstance(part, Path):
        return _is_intact(io.BytesIO(part.read_bytes()))
    with part.open("rb") as file:
        return _is_intact(file)


def _seal(file: BinaryIO) -> None:
    footer = _footer(file)
    file.seek(footer)
    content = file.read()
    checksum = zlib.crc32(content, _checksum(file, footer))
    file.seek(footer)
    file.write(_MARK + checksum.to_bytes(4, "big") + content)


def _is_intact(file: BinaryIO) -> bool:
    footer = _footer(file)
    if footer < _SIZE:
        return True
    file.seek(footer - _SIZE)
    mark = file.read(_SIZE)
    if not mark.startswith(_MARK):
        return True
    content = file.read()
    checksum = zlib.crc32(content, _checksum(file, footer - _SIZE))
    return mark == _MARK + checksum.to_bytes(4, "big")


def _footer(file: BinaryIO) -> int:
    """Return where the footer begins; 0 or less where this is no Parquet file."""
    size = file.seek(0, io.SEEK_END)
    if size < _TAIL:
        return 0
    file.seek(size - _TAIL)
    return size - _TAIL - int.from_bytes(file.read(4), "little")


def _checksum(file: BinaryIO, end: int) -> int:
    """Return the checksum of the bytes before a place."""
    file.seek(0)
    checksum = 0
    while end > 0:
        piece = file.read(min(_PIECE, end))
        if not piece:
            break
        checksum, end = zlib.crc32(piece, checksum), end - len(piece)
    return checksum
