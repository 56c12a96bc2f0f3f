"""Images in Parquet and Arrow files, as Hugging Face lays them out."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trainables.data.arrangement import USUAL_NAMES, Parts, Readable, lack_of_test
from trainables.data.doors.columns import Columns, numbered, texts
from trainables.data.reading import Split
from trainables.errors import DataError

_ROWS = 64
"""Rows read at once: an image may have megabytes."""
_SHARD = re.compile(r"(.*?)[-_.]?(\d+)-of-(\d+)")
"""Names of the parts of one table, as `datasets` writes them."""
_AGAIN = re.compile(r"(.*?)( ?\(\d+\)| - Copy| copy)+", re.IGNORECASE)
"""Names that browsers and file managers give a second copy."""


@dataclass(frozen=True)
class Parquet(Readable):
    """Parquet or Arrow files of images and labels."""

    path: Path | dict[str, Path]
    """A folder with files of each part, or a file, folder or pattern for each of them."""
    image: str | None = None
    """Column of the images, where its name does not tell."""
    label: str | None = None
    """Column of the labels, where its name does not tell."""

    def evidence(self) -> list[Path] | None:
        """Return all files; None where images lie beside them, which can change alone."""
        files = [*chain.from_iterable(self._files().values())]
        return None if any(map(_names_paths, files)) else files

    def parts(self) -> Parts:
        """Return the data set: its labels and class names are read, its images when asked for."""
        files = self._files()
        for part, others in files.items():
            shared = {
                file for other, theirs in files.items() if other != part for file in theirs
            }.intersection(others)
            if shared:
                raise DataError(
                    f"{min(shared)}: is named for both train and test; name one file each"
                )
        columns = self._columns([*chain.from_iterable(files.values())])
        raw = {part: [_labels(file, columns) for file in own] for part, own in files.items()}
        labels = numbered(
            {part: [*chain.from_iterable(own)] for part, own in raw.items()}, columns.class_names
        )
        splits = {
            part: Split(
                str(self.path[part] if isinstance(self.path, dict) else self.path / part),
                labels.parts[part],
                partial(_contents, own, columns),
                partial(_places, own, [len(each) for each in raw[part]]),
            )
            for part, own in files.items()
        }
        return Parts(
            splits,
            labels.class_names,
            tuple(file.name for own in files.values() for file in own),
            labels.notes,
            self._lack(files),
        )

    def _lack(self, files: dict[str, list[Path]]) -> str:
        if isinstance(self.path, dict):
            return "data.path names no test part; add one"
        lack = f"data.path: {self.path} holds no test*.parquet and no folder test"
        otherwise = "add it, or name the files with {train: …, test: …}"
        return lack_of_test(lack, otherwise, {part: own[0] for part, own in files.items()})

    def _columns(self, files: list[Path]) -> Columns:
        common = Columns.of(files[0], _schema(files[0]), self.image, self.label)
        for file in files[1:]:
            columns = Columns.of(file, _schema(file), self.image, self.label)
            names = common.class_names or columns.class_names
            if replace(columns, class_names=names) != replace(common, class_names=names) or (
                columns.class_names and columns.class_names != names
            ):
                raise DataError(
                    f"{file}: differs from {files[0]} in its columns or class names; all files "
                    "must be of one data set"
                )
            common = replace(common, class_names=names)
        return common

    def _files(self) -> dict[str, list[Path]]:
        """Return the files of each part that is there; train is always among them."""
        if isinstance(self.path, dict):
            return {part: _whole(_listed(path)) for part, path in self.path.items()}
        if not self.path.is_dir():
            raise DataError(
                f"data.path: {self.path} is not a folder; parquet needs one that holds train and "
                "test files, or {train: …, test: …}"
            )
        found = _parts_in(self.path)
        if not found and (self.path / "data").is_dir():
            # A repository as it was downloaded.
            found = _parts_in(self.path / "data")
        if "train" not in found:
            raise DataError(
                f"data.path: {self.path} holds no train*.parquet and no folder train; "
                "add it, or name the files with {train: …, test: …}"
            )
        return found


def _parts_in(folder: Path) -> dict[str, list[Path]]:
    files, found = _inside(folder, "*"), {}
    named = {part: [f for f in files if _is_part(f, part)] for part in USUAL_NAMES}
    for part, usual in USUAL_NAMES.items():
        own = named[part]
        both = [f for f in own for other in USUAL_NAMES if other != part and f in named[other]]
        if both:
            raise DataError(f"{both[0]}: is it train or test? Say so with {{train: …, test: …}}")
        folders = [e for e in folder.iterdir() if e.is_dir() and e.name.lower() in usual]
        if own and folders:
            raise DataError(
                f"data.path: {folder} holds both {own[0].name} and a folder {folders[0].name}; "
                "say which with {train: …, test: …}"
            )
        if own or folders:
            found[part] = _whole(own or _listed(folders[0]))
    return found


def _is_part(file: Path, part: str) -> bool:
    name, usual = file.stem.lower(), USUAL_NAMES[part]
    words = re.split(r"[^a-z]+", name)
    return name.startswith(part) or any(word in words for word in usual)


def _inside(folder: Path, pattern: str) -> list[Path]:
    found = chain(folder.glob(f"{pattern}.parquet"), folder.glob(f"{pattern}.arrow"))
    files = (file for file in found if file.is_file())
    # Spark, `datasets` and others leave files of their own beside the data.
    return sorted(file for file in files if not file.name.startswith((".", "_", "cache-")))


def _listed(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if path.is_dir():
        files = _inside(path, "**/*")
    else:
        found = Path(path.anchor).glob(str(path.relative_to(path.anchor)))
        files = sorted(file for file in found if file.is_file())
    if not files:
        raise DataError(f"data.path: {path} is no Parquet file and holds or matches none")
    return files


def _whole(files: list[Path]) -> list[Path]:
    """Return the files of one part; refuse a part of a table that is absent, or there twice."""
    choose = "keep one, or name the files with data.path: {train: …, test: …}"
    stems = {(file.parent, file.stem): file for file in files}
    shards: dict[tuple[Path, str], dict[int, set[int]]] = {}
    bases: dict[tuple[Path, str], Path] = {}
    for (folder, stem), file in stems.items():
        again = _AGAIN.fullmatch(stem)
        if again and (folder, again[1]) in stems:
            raise DataError(f"{stems[folder, again[1]]} and {file.name}: one file twice? {choose}")
        shard = _SHARD.fullmatch(stem)
        if shard:
            numbers = shards.setdefault((folder, shard[1]), {}).setdefault(int(shard[3]), set())
            numbers.add(int(shard[2]))
        bases.setdefault((folder, shard[1] if shard else re.sub(r"[-_.]?\d+$", "", stem)), file)
    for (folder, base), counts in shards.items():
        if len(counts) > 1:
            raise DataError(
                f"{folder / base}: holds parts of {len(counts)} exports (of "
                f"{' and of '.join(map(str, sorted(counts)))} files); {choose}"
            )
        ((count, numbers),) = counts.items()
        absent = sorted(set(range(count)) - numbers)
        if absent and max(numbers) < count:
            name = f"{base}-{absent[0]:05d}-of-{count:05d}"
            more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
            raise DataError(f"{folder / name}: is absent{more}; {len(numbers)} of {count} are here")
    for (folder, base), file in bases.items():
        for (other, longer), cut in bases.items():
            if folder == other and re.fullmatch(rf"{re.escape(base)}[-_. ]\D.*", longer):
                raise DataError(f"{file} and {cut.name}: is one a part of the other? {choose}")
    return files


def _is_arrow(file: Path) -> bool:
    return file.suffix == ".arrow"


def _stream(file: Path) -> Any:
    mapped = pa.memory_map(str(file))
    try:
        return pa.ipc.open_stream(mapped)
    except pa.ArrowInvalid:
        return pa.ipc.open_file(mapped)


def _opened(file: Path) -> Any:
    try:
        return _stream(file) if _is_arrow(file) else pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as problem:
        raise _damaged(file, problem) from problem


def _damaged(file: Path, problem: Exception) -> DataError:
    kind = "Arrow" if _is_arrow(file) else "Parquet"
    return DataError(f"{file}: cannot be read as {kind} ({problem}); replace the file")


def _schema(file: Path) -> pa.Schema:
    opened = _opened(file)
    if _is_arrow(file):
        return opened.schema
    with opened as parquet:
        return parquet.schema_arrow


def _names_paths(file: Path) -> bool:
    """Return whether a file may name images that lie beside it."""
    if _is_arrow(file):
        return True
    with _opened(file) as parquet:
        schema, metadata = parquet.schema_arrow, parquet.metadata
        if not any(pa.types.is_struct(field.type) for field in schema):
            return not any(_holds_bytes(field.type) for field in schema)
        for group in range(metadata.num_row_groups):
            for place in range(metadata.num_columns):
                column = metadata.row_group(group).column(place)
                if column.path_in_schema.endswith(".bytes"):
                    counted = column.statistics
                    if counted is None or not counted.has_null_count or counted.null_count:
                        return True
    return False


def _holds_bytes(kind: pa.DataType) -> bool:
    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_list)
    return any(test(kind) for test in tests)


def _column(file: Path, name: str) -> pa.ChunkedArray:
    try:
        opened = _opened(file)
        if _is_arrow(file):
            return opened.read_all().column(name)
        with opened as parquet:
            return parquet.read(columns=[name]).column(name)
    except (pa.ArrowException, OSError, KeyError) as problem:
        raise _damaged(file, problem) from problem


def _labels(file: Path, columns: Columns) -> list[Any]:
    column = _column(file, columns.label)
    if column.null_count:
        row = pc.index(pc.is_null(column), True).as_py()
        raise DataError(f"{file}, row {row}: {columns.label} is null; every image needs a label")
    if not pa.types.is_integer(column.type):
        return texts(column.to_pylist())
    labels = column.to_numpy().astype(np.int64)
    top = len(columns.class_names) - 1
    outside = np.flatnonzero((labels < 0) | ((labels > top) & (top >= 0)))
    if outside.size:
        known = f"0 to {top}" if top >= 0 else "from 0 up"
        raise DataError(
            f"{file}, row {outside[0]}: {columns.label} is {labels[outside[0]]}, outside the "
            f"classes ({known})"
        )
    return [*labels]


def _places(files: list[Path], counts: list[int]) -> Iterator[str]:
    for file, count in zip(files, counts, strict=True):
        yield from (f"{file}, row {row}" for row in range(count))


def _contents(files: list[Path], columns: Columns) -> Iterator[Any]:
    for file in files:
        for row, value in enumerate(chain.from_iterable(_batches(file, columns))):
            yield _content(f"{file}, row {row}", file, columns, value)


def _content(where: str, file: Path, columns: Columns, value: Any) -> Any:
    if isinstance(value, dict):
        data, path = value.get("bytes"), value.get("path")
        value = data if data is not None else _found(file, path) if path else None
    elif columns.kind == "path" and value is not None:
        value = _found(file, value)
    elif columns.kind == "pixels" and value is not None:
        value = _pixels(where, value)
    if value is None:
        raise DataError(
            f"{where}: {columns.image} holds no bytes and no path; store the images in the file"
        )
    return value


def _found(file: Path, path: str) -> Path:
    """Return the image that a path names: as it stands, else from the folder of the file."""
    places = (Path(path), file.parent / path, file.parent / Path(path).name)
    return next((place for place in places if place.is_file()), places[1])


def _pixels(where: str, value: Any) -> Any:
    try:
        pixels = np.array(value)
    except ValueError:
        pixels = np.array(None)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if (
        pixels.ndim != 3
        or pixels.dtype.kind not in "iu"
        or pixels.shape[2] not in (1, 3)
        or (pixels.min() < 0 or pixels.max() > 255)
    ):
        raise DataError(
            f"{where}: pixels are needed as whole numbers from 0 to 255, height × width × 3 or "
            "height × width"
        )
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)).astype(np.uint8))


def _batches(file: Path, columns: Columns) -> Iterator[list[Any]]:
    name = columns.image
    try:
        if _is_arrow(file):
            for batch in _stream_batches(file):
                column = batch.column(batch.schema.get_field_index(name))
                for start in range(0, len(column), _ROWS):
                    yield _values(column.slice(start, _ROWS))
            return
        # Not buffered ahead: whole row groups would lie in memory beside the decoded images.
        with pq.ParquetFile(file, memory_map=True, pre_buffer=False) as parquet:
            for batch in parquet.iter_batches(batch_size=_ROWS, columns=[name]):
                yield _values(batch.column(0))
    except (pa.ArrowException, OSError) as problem:
        raise _damaged(file, problem) from problem


def _values(column: pa.Array) -> list[Any]:
    """Return the rows of a column of images; of structs with bytes, the bytes alone."""
    if pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
        data = pc.struct_field(column, "bytes")
        if not data.null_count:
            return data.to_pylist()  # type: ignore[no-any-return]
    return column.to_pylist()  # type: ignore[no-any-return]


def _stream_batches(file: Path) -> Iterator[Any]:
    opened = _stream(file)
    if hasattr(opened, "num_record_batches"):
        return (opened.get_batch(number) for number in range(opened.num_record_batches))
    return iter(opened)
