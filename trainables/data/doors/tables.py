"""Images in tables, or named by them: Parquet and Arrow as Hugging Face lays them out, CSV."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from filecmp import cmp
from functools import partial
from itertools import chain, combinations, groupby
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from trainables.data.arrangement import USUAL_NAMES, Parts, Readable, parts_of
from trainables.data.doors import formats
from trainables.data.doors.columns import AS_LABELS, Columns, numbered, texts
from trainables.data.reading import Split
from trainables.errors import DataError, OtherLayout
from trainables.functions import is_function

_NUMBERED = re.compile(r"(.*?)(?:[-_.]?(\d+)(?:-of-(\d+)(?:-[0-9a-f]{16})?)?)?")
"""Names of the files of one table, as `datasets` and others number them."""
_AGAIN = re.compile(r"( ?\(\d+\)| - Copy| copy)+$", re.IGNORECASE)
"""What browsers and file managers add to the name of a second copy."""
_SPLITS = ("split", "subset", "partition", "set", "fold")
"""Columns that may say which part a row is of."""
_CHOOSE = "say which with data.path: {train: …, test: …}"


@dataclass(frozen=True)
class Tables(Readable):
    """Files of images, or of their paths, and labels."""

    path: Path | dict[str, Path]
    """A folder with files of each part, a file, folder or pattern for each of them, or one file."""
    kind: str = "parquet"
    """`parquet`, Arrow files included, or `csv`."""
    image: str | None = None
    """Column of the images, where its name does not tell."""
    label: str | None = None
    group: str | None = None
    """Column of what keeps images together; other ways to say it are none of a table."""

    def evidence(self) -> list[Path] | None:
        """Return all files; None where images lie beside them, which can change alone."""
        files = [*chain.from_iterable(self._files().values())]
        named = (formats.names_paths(file, self.image, self.label) for file in files)
        return None if any(named) else files

    def parts(self) -> Parts:
        """Return the data set: its labels and class names are read, its images when asked for."""
        files = self._files()
        counts = Counter(chain.from_iterable(files.values()))
        if shared := [file for file, count in counts.items() if count > 1]:
            raise DataError(f"{min(shared)}: is named for both train and test; name one file each")
        columns = self._columns([*counts])
        raw = {part: [_labels(file, columns) for file in own] for part, own in files.items()}
        joined = {part: [*chain.from_iterable(own)] for part, own in raw.items()}
        labels, class_names, notes = numbered(joined, columns.class_names)
        places = self.path
        if not isinstance(places, dict):
            places = {part: places / part if places.is_dir() else places for part in files}
        splits = {}
        for part, own in files.items():
            lengths = [*map(len, raw[part])]
            images = partial(_contents, own, columns), partial(_places, own, columns, lengths)
            splits[part] = Split(str(places[part]), labels[part], *images, self._groups(own))
        # With its folder where that names the part.
        usual = {*chain.from_iterable(USUAL_NAMES.values())}
        named = ((file.name, file.parent.name) for file in counts)
        shown = tuple(f"{up}/{own}" if up.lower() in usual else own for own, up in named)
        roots = {part: own[0] for part, own in files.items()}
        return Parts(splits, class_names, shown, notes, self._lack("test"), roots)

    def _lack(self, part: str) -> str:
        if isinstance(self.path, dict):
            return f"data.path names no {part} part"
        if self.path.is_file():
            columns = (name for name in formats.schema_of(self.path).names if name in _SPLITS)
            split = "".join(f"; make a file for each part of its column {n}" for n in columns)
            return f"data.path: {self.path} is one file{split}"
        return f"data.path: {self.path} holds no {part}*.{self.kind} and no folder {part}"

    def _groups(self, files: list[Path]) -> NDArray[Any] | None:
        asked = self.group
        if asked is None or asked == "content" or is_function(asked):
            return None
        columns = formats.schema_of(files[0]).names
        if asked not in columns:
            if self.kind == "csv":
                return None  # a regular expression on the path
            there = f"its columns are {', '.join(columns)}"
            raise DataError(f"data.group: {files[0]} has no column {asked}; {there}")
        return np.concatenate([_whole_column(file, asked).cast(pa.string()) for file in files])

    def _columns(self, files: list[Path]) -> Columns:
        asked = self.image, self.label
        found = {file: Columns.of(file, formats.schema_of(file), *asked) for file in files}
        names = next((own.class_names for own in found.values() if own.class_names), ())
        common = replace(found[files[0]], class_names=names)
        for file, own in found.items():
            if own not in (common, replace(common, class_names=())):
                said = f"differs from {files[0]} in its columns or class names"
                raise DataError(f"{file}: {said}; all files must be of one data set")
        return common

    def _files(self) -> dict[str, list[Path]]:
        """Return the files of each part that is there; train is always among them."""
        if isinstance(self.path, dict):
            return {part: _whole(self._listed(path)) for part, path in self.path.items()}
        if self.path.is_file():
            formats.schema_of(self.path)
            return {"train": [self.path]}
        if not self.path.is_dir():
            needs = "needs one that holds train and test files, or {train: …, test: …}"
            raise DataError(f"data.path: {self.path} is not a folder; {self.kind} {needs}")
        found = self._parts_in(self.path)
        if not found and (self.path / "data").is_dir():
            # A repository as it was downloaded.
            found = self._parts_in(self.path / "data")
        if "train" not in found:
            files = self._inside(self.path, "*")
            if len(files) == 1:
                block = {"path": {"train": files[0]}, "test": 0.2}
                raise OtherLayout(f"{self._lack('train')}, but {files[0].name}", "part it", block)
            raise DataError(f"{self._lack('train')}; add it, or {_CHOOSE}")
        return found

    def _parts_in(self, folder: Path) -> dict[str, list[Path]]:
        said, found = {}, {}
        for file in self._inside(folder, "*"):
            begins = {part for part in USUAL_NAMES if file.stem.lower().startswith(part)}
            said[file] = begins | parts_of(file.stem)
            if len(said[file]) > 1:
                raise DataError(f"{file}: is it train or test? {_CHOOSE}")
        for part, usual in USUAL_NAMES.items():
            own = [file for file, parts in said.items() if part in parts]
            folders = [e for e in folder.iterdir() if e.is_dir() and e.name.lower() in usual]
            folders = [e for e in folders if self.kind == "parquet" or self._inside(e, "**/*")]
            if own and folders:
                both = f"{own[0].name} and a folder {folders[0].name}"
                raise DataError(f"data.path: {folder} holds both {both}; {_CHOOSE}")
            if own or folders:
                found[part] = _whole(own or self._listed(folders[0]))
        return found

    def _inside(self, folder: Path, pattern: str) -> list[Path]:
        suffixes = formats.SUFFIXES[self.kind]
        found = chain.from_iterable(folder.glob(f"{pattern}{suffix}") for suffix in suffixes)
        files = (file for file in found if file.is_file())
        # Spark, `datasets` and others leave files of their own beside the data.
        return sorted(file for file in files if not file.name.startswith((".", "_", "cache-")))

    def _listed(self, path: Path) -> list[Path]:
        if path.is_file():
            return [path]
        if path.is_dir():
            files = self._inside(path, "**/*")
        else:
            found = Path(path.anchor).glob(str(path.relative_to(path.anchor)))
            files = sorted(file for file in found if file.is_file())
        if not files:
            kind = self.kind.capitalize() if self.kind == "parquet" else self.kind.upper()
            raise DataError(f"data.path: {path} is no {kind} file and holds or matches none")
        return files


def _whole(files: list[Path]) -> list[Path]:
    """Return the files of one part; refuse a part of a table that is absent, or there twice."""
    tables: dict[tuple[Path, str, str | None], dict[str | None, Path]] = {}
    for file in sorted(files, key=lambda file: (len(file.name), file)):
        matched = _NUMBERED.fullmatch(_AGAIN.sub("", file.stem))
        name, number, count = matched.groups() if matched else (file.stem, None, None)
        for (folder, other, of), present in tables.items():
            is_part = re.fullmatch(rf"{re.escape(other)}[-_. ]\D.*", name)
            if folder == file.parent and (is_part or (other == name and of != count)):
                both = f"{next(iter(present.values()))} and {file.name}"
                raise DataError(f"{both}: is one a part of the other? keep one, or {_CHOOSE}")
        present = tables.setdefault((file.parent, name, count), {})
        if (twin := present.setdefault(number, file)) is not file:
            raise _twice(twin, file)
    sizes = {file: file.stat().st_size for file in files}
    for _, alike in groupby(sorted(files, key=sizes.__getitem__), sizes.__getitem__):
        for pair in combinations(alike, 2):
            if cmp(*pair, shallow=False):
                raise _twice(*pair)
    for (folder, name, count), present in tables.items():
        numbers = {int(number) for number in present if number is not None}
        begin = 0 if count else min(numbers, default=2)
        end = int(count) if count else max(numbers, default=0) + 1
        absent = sorted(set(range(begin, end)) - numbers)
        # What begins at neither 0 nor 1, such as years, may have gaps.
        if absent and begin < 2 and max(numbers) < end:
            of = f"-{absent[0]:05d}-of-{end:05d}" if count else f", number {absent[0]}"
            more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
            here = f"{len(numbers)} of {end - begin} are here"
            raise DataError(f"{folder / name}{of}: is absent{more}; {here}")
    return files


def _twice(one: Path, other: Path) -> DataError:
    return DataError(f"{one} and {other.name}: one file twice? keep one, or {_CHOOSE}")


def _row(file: Path, row: int) -> str:
    # Of CSV as editors count lines, the header's the first.
    return f"{file}, row {row + 2 if formats.is_csv(file) else row}"


def _whole_column(file: Path, name: str) -> pa.ChunkedArray:
    column = formats.column_of(file, name)
    absent = pc.is_null(column, nan_is_null=True)
    if formats.is_csv(file):
        column = pc.utf8_trim_whitespace(column)
        absent = pc.is_in(pc.ascii_lower(column), pa.array(["", "nan"]))
    if pc.any(absent).as_py():
        where = _row(file, pc.index(absent, True).as_py())
        raise DataError(f"{where}: {name} is null; every image needs one")
    return column


def _labels(file: Path, columns: Columns) -> list[Any]:
    name, column = columns.label, _whole_column(file, columns.label)
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return texts(column.to_pylist())
    values = column.to_numpy()
    if (broken := np.flatnonzero(values % 1)).size:
        said = f"{name} is {values[broken[0]]:g}, which is no class"
        raise DataError(f"{_row(file, broken[0])}: {said}; one per image is needed, {AS_LABELS}")
    labels = values.astype(np.int64)
    top = len(columns.class_names) - 1
    if (outside := np.flatnonzero((labels < 0) | ((labels > top) & (top >= 0)))).size:
        known = f"0 to {top}" if top >= 0 else "from 0 up"
        unlabelled = "; the part has no labels" if (labels == -1).all() else ""
        said = f"{name} is {labels[outside[0]]}, outside the classes ({known})"
        raise DataError(f"{_row(file, outside[0])}: {said}{unlabelled}")
    return [*labels]


def _places(files: list[Path], columns: Columns, counts: list[int]) -> Iterator[str]:
    for file, count in zip(files, counts, strict=True):
        if formats.is_csv(file):
            paths = formats.column_of(file, columns.image).to_pylist()
            for row, path in enumerate(paths):
                yield f"{_found(file, path)} ({_row(Path(file.name), row)})"
        else:
            yield from (_row(file, row) for row in range(count))


def _contents(files: list[Path], columns: Columns) -> Iterator[Any]:
    for file in files:
        batches = map(formats.values_of, formats.batches_of(file, columns.image))
        for row, value in enumerate(chain.from_iterable(batches)):
            where, data, path = _row(file, row), value, ""
            if isinstance(value, dict):
                data, path = value.get("bytes"), value.get("path", "")
            elif columns.kind == "path":
                data, path = None, value
            elif columns.kind == "pixels" and value is not None:
                data = _pixels(where, value)
            if data is None and not path:
                lack = f"{columns.image} holds no bytes and no path"
                raise DataError(f"{where}: {lack}; store the images in the file")
            yield _found(file, path) if data is None else data


def _found(file: Path, path: str) -> Path:
    """Return the image that a path names: from the folder of the file, else as it stands."""
    folder, written = file.parent, Path(path.strip())
    windows = PureWindowsPath(path.strip())
    places = (folder / written, written, folder / windows.as_posix(), folder / windows.name)
    try:
        return next((place for place in places if place.is_file()), places[0])
    except OSError as problem:  # too long, of images as text
        why = f"{path[:30]}… is no path ({problem.strerror})"
        raise DataError(f"{file}: {why}; store images as bytes") from problem


def _pixels(where: str, value: Any) -> Any:
    try:
        pixels = np.array(value)
    except ValueError:
        pixels = np.array(None)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    is_image = pixels.ndim == 3 and pixels.dtype.kind in "iu" and pixels.shape[2] in (1, 3)
    if not is_image or pixels.min() < 0 or pixels.max() > 255:
        needed = "whole numbers from 0 to 255, height × width × 3 or height × width"
        raise DataError(f"{where}: pixels are needed as {needed}")
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)).astype(np.uint8))
