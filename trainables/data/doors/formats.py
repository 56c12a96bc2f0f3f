"""Tables as files, read a column at a time: Parquet, Arrow, CSV."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from trainables.data.doors.columns import Columns
from trainables.data.reading import POINTER
from trainables.errors import DataError

SUFFIXES = {"parquet": (".parquet", ".arrow"), "csv": (".csv", ".tsv")}
_ROWS = 64
"""Rows read at once: an image may have megabytes."""


def is_csv(file: Path) -> bool:
    """Return whether a file is text with a header and a row per image."""
    return file.suffix.lower() in (*SUFFIXES["csv"], ".txt")


def schema_of(file: Path) -> pa.Schema:
    """Return the columns of a file; raises DataError where it cannot be read."""
    opened = _opened(file)
    return opened.schema_arrow if isinstance(opened, pq.ParquetFile) else opened.schema


def column_of(file: Path, name: str) -> pa.ChunkedArray:
    """Return a column of a file; raises DataError where it cannot be read."""
    kind = schema_of(file).field(name).type
    return pa.chunked_array([*batches_of(file, name, rows=2**16)], kind)


def batches_of(file: Path, name: str, rows: int = _ROWS) -> Iterator[pa.Array]:
    """Return a column of a file some rows at a time; raises DataError where it is damaged."""
    try:
        opened = _opened(file)
        if isinstance(opened, pq.ParquetFile):
            opened = opened.iter_batches(batch_size=rows, columns=[name])
        for batch in opened:
            for start in range(0, len(batch), rows):
                yield batch.column(name).slice(start, rows)
    except (pa.ArrowException, OSError) as problem:
        raise _damaged(file, problem) from problem


def values_of(column: pa.Array) -> list[Any]:
    """Return the rows of a column of images; of structs with bytes, the bytes alone."""
    if pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
        data = pc.struct_field(column, "bytes")
        if not data.null_count:
            return data.to_pylist()  # type: ignore[no-any-return]
    return column.to_pylist()  # type: ignore[no-any-return]


def names_paths(file: Path, image: str | None, label: str | None) -> bool:
    """Return whether a file may name images that lie beside it; raises as `Columns.of` does."""
    opened = _opened(file)
    if not isinstance(opened, pq.ParquetFile):
        return True
    schema, metadata = opened.schema_arrow, opened.metadata
    columns = Columns.of(file, schema, image, label)
    if columns.kind != "struct":
        return columns.kind == "path"
    if schema.field(columns.image).type.get_field_index("bytes") < 0:
        return True
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    found = (group.column(place) for group in groups for place in range(metadata.num_columns))
    own = (each.statistics for each in found if each.path_in_schema == f"{columns.image}.bytes")
    return any(each is None or not each.has_null_count or each.null_count for each in own)


def _opened(file: Path) -> Any:
    try:
        with file.open("rb") as opened:
            if opened.read(len(POINTER)) == POINTER:
                raise DataError(f"{file}: is a git-LFS pointer; run `git lfs pull` there")
        if is_csv(file):
            return _text(file).to_reader()
        if file.suffix != ".arrow":
            # Not buffered ahead: whole row groups would lie in memory beside the decoded images.
            return pq.ParquetFile(file, memory_map=True, pre_buffer=False)
        mapped = pa.memory_map(str(file))
        try:
            return pa.ipc.open_stream(mapped)
        except pa.ArrowInvalid:
            return pa.ipc.open_file(mapped).read_all().to_reader()
    except (pa.ArrowException, OSError, UnicodeDecodeError, StopIteration) as problem:
        raise _damaged(file, problem) from problem


def _text(file: Path) -> pa.Table:
    """Return a CSV file, every column as text; what separates columns is told by the header."""
    with file.open(encoding="utf-8-sig", newline="") as opened:
        header = opened.readline()
    separator = max(",;\t|", key=header.count)
    names = [name.strip() for name in next(csv.reader([header], delimiter=separator), ())]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{file}: two columns are called {twice[0]}; rename one")
    header_apart = pa_csv.ReadOptions(column_names=names, skip_rows=1)
    separated = pa_csv.ParseOptions(delimiter=separator, newlines_in_values=True)
    as_text = pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    return pa_csv.read_csv(file, header_apart, separated, as_text)


def _damaged(file: Path, problem: Exception) -> DataError:
    if "utf-8" in str(problem).lower():
        return DataError(f"{file}: is not UTF-8 ({problem}); save it anew as that")
    kind = "CSV" if is_csv(file) else {".arrow": "Arrow"}.get(file.suffix.lower(), "Parquet")
    return DataError(f"{file}: cannot be read as {kind} ({problem}); replace the file")
