"""The parts of a table: written with a checksum, and read whole, with the columns of the table.

A Parquet file ends with its footer, the footer's length and four letters, and is read only where
the footer says that rows are. So the checksum of all other bytes stands just before the footer.
Files of other tools, and older ones, have none, and are not checked.
"""

import io
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from results.errors import StoreError
from results.records import SCHEMAS
from results.store.files import source
from results.store.objects import Location, ObjectPath

_MARK = b"scalestudy-crc32"
_SIZE = len(_MARK) + 4
_TAIL = 8
"""Bytes behind the footer: its length and the letters."""
_PIECE = 2**20


def sealed(content: bytes) -> bytes:
    """Return a Parquet file's content with the checksum of all that it holds."""
    file = io.BytesIO(content)
    seal(file)
    return file.getvalue()


def seal(file: BinaryIO) -> None:
    """Write the checksum of all that a Parquet file, opened to read and write, holds into it."""
    footer = _footer(file)
    file.seek(footer)
    content = file.read()
    checksum = zlib.crc32(content, _checksum(file, footer))
    file.seek(footer)
    file.write(_MARK + checksum.to_bytes(4, "big") + content)


def is_intact(part: Location) -> bool:
    """Return whether a part holds what was written, as far as it says so.

    Raises OSError where it cannot be had.
    """
    with part.open("rb") if isinstance(part, Path) else io.BytesIO(part.read_bytes()) as file:
        footer = _footer(file)
        file.seek(max(footer - _SIZE, 0))
        mark = file.read(_SIZE)
        if footer < _SIZE or not mark.startswith(_MARK):
            return True
        checksum = zlib.crc32(file.read(), _checksum(file, footer - _SIZE))
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


def read_parts(
    parts: Sequence[Location],
    table: str,
    columns: Iterable[str],
    where: pc.Expression | None = None,
) -> pa.Table:
    """Return the rows of parts; raises whatever damage makes of a reader."""
    ours = SCHEMAS[table]
    if not parts:
        return ours.empty_table().select([*columns])
    first = parts[0]
    if isinstance(first, ObjectPath):
        # A store keeps checksums of its own.
        keys = [part.key for part in parts if isinstance(part, ObjectPath)]
        found = ds.dataset(keys, ours, "parquet", first.filesystem)
    else:
        for part in parts:
            if not is_intact(part):
                raise pa.ArrowInvalid(f"{part.name} is not as it was written")
        found = ds.dataset(parts, schema=ours, format="parquet")
    return found.to_table([*columns], filter=where)


def is_sound(part: Location, table: str) -> bool:
    """Return whether every row can be read as it was written, with this table's columns.

    Raises StoreError where the part cannot be had, whatever it holds.
    """
    try:
        if not is_intact(part):
            return False
        file = pq.ParquetFile(source(part))
        ours = SCHEMAS[table]
        known = [field for field in file.schema_arrow if field.name in ours.names]
        if ours.names[0] not in file.schema_arrow.names or any(
            _kind(field.type) != _kind(ours.field(field.name).type) for field in known
        ):
            return False
        types = pa.schema([ours.field(field.name) for field in known])
        # Only a full read finds damage between the magic bytes.
        for batch in file.iter_batches(columns=types.names):
            pa.Table.from_batches([batch]).select(types.names).cast(types)
    except Exception as error:
        # Damaged bytes make anything of a reader: also names that are no text.
        if isinstance(error, StoreError):
            raise
        if isinstance(error, OSError) and error.errno:
            raise StoreError(f"{part} cannot be read: {error.strerror}.") from error
        return False
    return True


def _kind(kind: pa.DataType) -> str:
    """Return what a type's values are, however wide they are stored by other tools."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    for name in ("string", "integer", "floating", "boolean", "timestamp"):
        if getattr(pa.types, f"is_{name}")(kind):
            return name
    return str(kind).removeprefix("large_").removesuffix("_view")
