"""The parts of a table: written with a checksum, replaced while they are read, and read whole.

A Parquet file ends with its footer, the footer's length and four letters, and is read only where
the footer says that rows are: the checksum of all else is just before it. Other tools' have none.
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
from results.store.objects import Location, ObjectPath

_MARK = b"scalestudy-crc32"
_SIZE = len(_MARK) + 4
_TAIL = 8  # bytes behind the footer: its length and the letters
_MAGIC = 4  # bytes before the first rows of any Parquet file
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


def replacement(old: bytes, rows: pa.Table) -> bytes:
    """Return the content of a file with the rows given, for readers of the old file too.

    Polars and DuckDB open a file twice: for its footer, then for its rows. Between the two it may
    have been replaced. So the new file holds the old one's rows as well, where the old footer says
    that they are; its own names the new rows alone. `old` is the content of the file whose name it
    takes, or empty. It is at most about three times as large as its rows need.
    """
    begin, end = _span(old)
    content, room = _written(rows, b"", old[begin:end], begin)
    if end and room < 0:
        # Only after the old rows, where next time there will be room before them.
        content, _ = _written(rows, old[_MAGIC:end])
    return sealed(content)


def _written(
    rows: pa.Table, before: bytes, after: bytes = b"", place: int = 0
) -> tuple[bytes, int]:
    """Return a file with rows between bytes, and the room before `after`; below 0 they overlap."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, rows.schema, compression="zstd") as writer:
        # Past the writer, which asks the sink where its own rows come to stand.
        sink.write(before)
        writer.write_table(rows)
        room = place - sink.tell()
        sink.write(bytes(max(room, 0)))
        sink.write(after)
    return sink.getvalue().to_pybytes(), room


def _span(file: bytes) -> tuple[int, int]:
    """Return where the rows that a file's footer names begin and end."""
    try:
        metadata = pq.read_metadata(io.BytesIO(file))
    except (pa.ArrowException, OSError):
        # No file, or one that nobody can be reading.
        return 0, 0
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    chunks = [group.column(place) for group in groups for place in range(group.num_columns)]
    begins = [
        min(filter(None, (chunk.dictionary_page_offset, chunk.data_page_offset)), default=_MAGIC)
        for chunk in chunks
    ]
    ends = [at + chunk.total_compressed_size for at, chunk in zip(begins, chunks, strict=True)]
    return min(begins, default=0), max(ends, default=0)


def is_intact(part: Location) -> bool:
    """Return whether a part holds what was written, so far as it says; OSError if unavailable."""
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
    tail = file.seek(0, io.SEEK_END) - _TAIL
    file.seek(max(tail, 0))
    return tail - int.from_bytes(file.read(4), "little")


def _checksum(file: BinaryIO, end: int) -> int:
    file.seek(0)
    checksum = 0
    for begin in range(0, end, _PIECE):
        checksum = zlib.crc32(file.read(min(_PIECE, end - begin)), checksum)
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
    if stored := [part for part in parts if isinstance(part, ObjectPath)]:
        # A store keeps checksums of its own.
        found = ds.dataset([part.key for part in stored], ours, "parquet", stored[0].filesystem)
    else:
        for part in parts:
            if not is_intact(part):
                raise pa.ArrowInvalid(f"{part.name} is not as it was written")
        found = ds.dataset(parts, schema=ours, format="parquet")
    return found.to_table([*columns], filter=where)


def is_sound(part: Location, table: str) -> bool:
    """Return whether all rows are readable with this table's columns; StoreError if unavailable."""
    try:
        if not is_intact(part):
            return False
        file = pq.ParquetFile(part if isinstance(part, Path) else io.BytesIO(part.read_bytes()))
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
