"""Images in Parquet files, as Hugging Face lays them out."""

import json
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
from numpy.typing import NDArray

from trainables.data.reading import Item, Reading, Split
from trainables.errors import DataError

IMAGE_NAMES = ("image", "img", "images", "picture", "photo", "pixels", "jpg", "png", "webp")
LABEL_NAMES = (
    "label", "labels", "fine_label", "fine_labels", "class", "class_id", "class_label",
    "target", "targets", "category", "category_id", "y",
)  # fmt: skip
COARSE_NAMES = ("coarse_label", "coarse_labels")
"""Taken only where no finer label is there: CIFAR-100 has both."""

_ROWS = 64
"""Rows read at once: an image may have megabytes."""


@dataclass(frozen=True)
class Parquet:
    """Parquet files of images and labels."""

    path: Path | dict[str, Path]
    """A folder with train and test files, or a file, folder or pattern for each of the two."""

    def evidence(self) -> list[Path]:
        """Return all files."""
        return [file for part in ("train", "test") for file in self._files(part)]

    def read(self) -> Reading:
        """Return the data set: its labels and class names are read, its images when asked for."""
        train, test = self._files("train"), self._files("test")
        shared = set(train) & set(test)
        if shared:
            raise DataError(f"{min(shared)}: is named for both train and test; name one file each")
        columns = _common_columns(train + test)
        return Reading(
            _split(self._where("train"), train, columns),
            _split(self._where("test"), test, columns),
            columns.class_names,
        )

    def _where(self, part: str) -> str:
        return str(self.path[part] if isinstance(self.path, dict) else self.path / part)

    def _files(self, part: str) -> list[Path]:
        if isinstance(self.path, dict):
            return _listed(self.path[part])
        if not self.path.is_dir():
            raise DataError(
                f"data.path: {self.path} is not a folder; parquet needs one that holds train and "
                "test files, or {train: …, test: …}"
            )
        named = [file for file in _inside(self.path, "*") if _is_part(file, part)]
        folder = self.path / part
        if named and folder.is_dir():
            raise DataError(
                f"data.path: {self.path} holds both {named[0].name} and a folder {part}; "
                "say which with {train: …, test: …}"
            )
        both = [file for file in named if _is_part(file, "train") and _is_part(file, "test")]
        if both:
            raise DataError(f"{both[0]}: is it train or test? Say so with {{train: …, test: …}}")
        if not named and not folder.is_dir():
            raise DataError(
                f"data.path: {self.path} holds no {part}*.parquet and no folder {part}; "
                f"add it, or name the files with {{train: …, test: …}}"
            )
        return named or _listed(folder)


def _is_part(file: Path, part: str) -> bool:
    name = file.stem.lower()
    return name.startswith(part) or part in re.split(r"[^a-z]+", name)


def _inside(folder: Path, pattern: str) -> list[Path]:
    files = (file for file in folder.glob(f"{pattern}.parquet") if file.is_file())
    # Spark and others leave files of their own beside the data, marked by their first letter.
    return sorted(file for file in files if file.name[0] not in "._")


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


@dataclass(frozen=True)
class _Columns:
    """Names of the columns that hold images and labels."""

    image: str
    is_struct: bool
    label: str
    class_names: tuple[str, ...]

    @classmethod
    def of(cls, file: Path) -> "_Columns":
        with _opened(file) as parquet:
            schema = parquet.schema_arrow
        image, label = _image_column(file, schema), _label_column(file, schema)
        is_struct = pa.types.is_struct(schema.field(image).type)
        return cls(image, is_struct, label, _class_names(schema, label))


def _opened(file: Path) -> Any:
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as problem:
        raise _damaged(file, problem) from problem


def _damaged(file: Path, problem: Exception) -> DataError:
    return DataError(f"{file}: cannot be read as Parquet ({problem}); replace the file")


def _is_bytes(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _is_bytes(field.type) for field in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _image_column(file: Path, schema: Any) -> str:
    fitting = [field.name for field in schema if _is_bytes(field.type)]
    usual = [name for name in fitting if name.lower() in IMAGE_NAMES]
    needed = (
        "one column of bytes, or of structs with bytes, is needed, named image or img where there "
        "are several"
    )
    return _only(usual or fitting, "images", needed, file, schema)


def _label_column(file: Path, schema: Any) -> str:
    whole = [field.name for field in schema if pa.types.is_integer(field.type)]
    fine = [name for name in whole if name.lower() in LABEL_NAMES]
    coarse = [name for name in whole if name.lower() in COARSE_NAMES]
    names = f"{', '.join(LABEL_NAMES[:-1])} or {LABEL_NAMES[-1]}"
    needed = f"one column of integers named {names} is needed"
    return _only(fine or coarse, "labels", needed, file, schema)


def _only(fitting: list[str], what: str, needed: str, file: Path, schema: Any) -> str:
    if len(fitting) == 1:
        return fitting[0]
    found = f"{' and '.join(fitting)} may each be the {what}" if fitting else f"no column of {what}"
    columns = ", ".join(f"{field.name} ({field.type})" for field in schema)
    raise DataError(f"{file}: {found}; {needed}. Columns: {columns}")


def _class_names(schema: Any, label: str) -> tuple[str, ...]:
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        names = features[label]["names"]
    except (KeyError, TypeError, ValueError):
        return ()
    return tuple(str(name) for name in names) if isinstance(names, list) else ()


def _common_columns(files: list[Path]) -> _Columns:
    common = _Columns.of(files[0])
    for file in files[1:]:
        columns = _Columns.of(file)
        names = common.class_names or columns.class_names
        if replace(columns, class_names=names) != replace(common, class_names=names) or (
            columns.class_names and columns.class_names != names
        ):
            raise DataError(
                f"{file}: differs from {files[0]} in its columns or class names; all files must "
                "be of one data set"
            )
        common = replace(common, class_names=names)
    return common


def _split(where: str, files: list[Path], columns: _Columns) -> Split:
    labels = [_labels(file, columns) for file in files]
    return Split(where, np.concatenate(labels), partial(_items, files, columns))


def _labels(file: Path, columns: _Columns) -> NDArray[np.int64]:
    try:
        with _opened(file) as parquet:
            column = parquet.read(columns=[columns.label]).column(columns.label)
    except (pa.ArrowException, OSError, KeyError) as problem:
        raise _damaged(file, problem) from problem
    if column.null_count:
        row = pc.index(pc.is_null(column), True).as_py()
        raise DataError(f"{file}, row {row}: {columns.label} is null; every image needs a label")
    labels: NDArray[np.int64] = column.to_numpy().astype(np.int64)
    top = len(columns.class_names) - 1
    outside = np.flatnonzero((labels < 0) | ((labels > top) & (top >= 0)))
    if outside.size:
        known = f"0 to {top}" if top >= 0 else "from 0 up"
        raise DataError(
            f"{file}, row {outside[0]}: {columns.label} is {labels[outside[0]]}, outside the "
            f"classes ({known})"
        )
    return labels


def _items(files: list[Path], columns: _Columns) -> Iterator[Item]:
    leaf = f"{columns.image}.bytes" if columns.is_struct else columns.image
    for file in files:
        for row, data in enumerate(chain.from_iterable(_batches(file, leaf))):
            where = f"{file}, row {row}"
            if data is None:
                raise DataError(
                    f"{where}: {columns.image} holds no bytes; store the images in the file"
                )
            yield Item(where, data)


def _batches(file: Path, leaf: str) -> Iterator[list[bytes | None]]:
    try:
        # Not buffered ahead: whole row groups would lie in memory beside the decoded images.
        with pq.ParquetFile(file, memory_map=True, pre_buffer=False) as parquet:
            for batch in parquet.iter_batches(batch_size=_ROWS, columns=[leaf]):
                column = batch.column(0)
                if pa.types.is_struct(column.type):
                    column = pc.struct_field(column, "bytes")
                yield column.to_pylist()
    except (pa.ArrowException, OSError) as problem:
        raise _damaged(file, problem) from problem
