"""A Parquet file that takes another's name while that is being read.

Polars and DuckDB open a file twice: for its footer, then for its rows. Between the two it may have
been replaced. So the new file holds the old one's rows as well, at the place where the old footer
says that they are; its own footer names the new rows alone.
"""

import io

import pyarrow as pa
import pyarrow.parquet as pq

from results.store.parts import sealed

_MAGIC = 4
"""Bytes before the first rows of any Parquet file."""


def replacement(old: bytes, rows: pa.Table) -> bytes:
    """Return the content of a file with the rows given, for readers of the old file too.

    `old` is the content of the file whose name it takes, empty where there is none. It is about
    three times as large as its rows need, at most.
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
    """Return a file with its rows between bytes that its footer does not name.

    The room is that between its rows and the place of `after`; negative where they overlap.
    """
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, rows.schema, compression="zstd") as writer:
        # Past the writer, which asks the sink where its own rows come to stand.
        sink.write(before)
        writer.write_table(rows)
        room = place - sink.tell()
        sink.write(bytes(max(room, 0)))
        sink.write(after)
    content: bytes = sink.getvalue().to_pybytes()
    return content, room


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
    sizes = [chunk.total_compressed_size for chunk in chunks]
    ends = [begin + size for begin, size in zip(begins, sizes, strict=True)]
    return min(begins, default=0), max(ends, default=0)
