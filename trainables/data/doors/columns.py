"""Which columns of a table hold images and labels, and what stands in them."""

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainables.data.reading import Note
from trainables.errors import DataError

IMAGE_NAMES = (
    "image", "img", "images", "picture", "photo", "pixels", "pixel_values", "jpg", "png", "webp",
)  # fmt: skip
PATH_NAMES = (*IMAGE_NAMES, "file_name", "filename", "file", "path", "filepath", "image_path")
LABEL_NAMES = (
    "label", "labels", "fine_label", "fine_labels", "class", "class_id", "class_label",
    "target", "targets", "category", "category_id", "y",
)  # fmt: skip
_NUMBERS = ("id", "index", "idx", "number", "__index_level_0__")
"""Columns of numbers that are no classes."""
AS_LABELS = "as a whole number, text, or true and false"
COARSE_NAMES = ("coarse_label", "coarse_labels")
"""Taken only where no finer label is there: CIFAR-100 has both."""


@dataclass(frozen=True)
class Columns:
    """Names of the columns that hold images and labels."""

    image: str
    kind: str
    """What an image is: `bytes`, `struct` of bytes and path, `path`, or `pixels`."""
    label: str
    class_names: tuple[str, ...]
    """Names of whole-number labels, where the file has them."""

    @classmethod
    def of(cls, file: Path, schema: pa.Schema, image: str | None, label: str | None) -> "Columns":
        """Return the columns of a file: the ones named, else those with a usual name or type."""
        for key, name in (("image", image), ("label", label)):
            if name is not None and name not in schema.names:
                names = ", ".join(schema.names)
                raise DataError(f"data.{key}: {file} has no column {name}; its columns are {names}")
        image = image or _image_column(file, schema)
        if (kind := _image_kind(schema.field(image).type)) is None:
            raise DataError(f"data.image: {file}: column {image} holds no images, nor their paths")
        label = label or _label_column(file, schema, image)
        if not _is_label(schema.field(label).type):
            said = f"column {label} is {schema.field(label).type}"
            raise DataError(f"{file}: {said}; one class per image is needed, {AS_LABELS}")
        return cls(image, kind, label, _class_names(schema, label))


def _image_kind(kind: pa.DataType) -> str | None:
    if pa.types.is_struct(kind):
        names = {field.name for field in kind}
        return "struct" if names & {"bytes", "path"} else None
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return "bytes"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "path"
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    depth = 0
    while isinstance(kind, (pa.ListType, pa.LargeListType, pa.FixedSizeListType)):
        kind, depth = kind.value_type, depth + 1
    return "pixels" if depth in (2, 3) and pa.types.is_integer(kind) else None


def _is_label(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = ("integer", "floating", "boolean", "string", "large_string")
    return any(getattr(pa.types, f"is_{test}")(kind) for test in tests)


def _image_column(file: Path, schema: pa.Schema) -> str:
    kinds = {field.name: _image_kind(field.type) for field in schema}
    fitting = [name for name, kind in kinds.items() if kind in ("bytes", "struct", "pixels")]
    usual = [name for name in fitting if name.lower() in IMAGE_NAMES]
    paths = [name for name, kind in kinds.items() if kind == "path" and name.lower() in PATH_NAMES]
    needed = "one column of bytes, of structs with bytes, of pixels or of paths is needed"
    return _only(usual or fitting or paths, "image", needed, file, schema)


def _label_column(file: Path, schema: pa.Schema, image: str) -> str:
    kinds = {field.name: field.type for field in schema if field.name != image}
    fitting = [name for name, kind in kinds.items() if _is_label(kind)]
    whole = [name for name in fitting if pa.types.is_integer(kinds[name])]
    declared = [name for name in whole if _class_names(schema, name)]
    fine = [name for name in whole if name.lower() in LABEL_NAMES]
    coarse = [name for name in whole if name.lower() in COARSE_NAMES]
    others = [name for name in fitting if name.lower() in LABEL_NAMES]
    # A file of nothing but images and one more column says which it is.
    last = fitting if len(kinds) == 1 and set(kinds).isdisjoint(_NUMBERS) else []
    needed = "one class per image is needed, in a column named label, class, category or target"
    return _only(fine or coarse or others or declared or last, "label", needed, file, schema)


def _only(fitting: list[str], what: str, needed: str, file: Path, schema: pa.Schema) -> str:
    if len(fitting) == 1:
        return fitting[0]
    several = f"{' and '.join(fitting)} may each be the {what}s"
    found = several if fitting else f"no column of {what}s"
    columns = ", ".join(f"{field.name} ({field.type})" for field in schema)
    raise DataError(f"{file}: {found}; {needed}; say which with data.{what}. Columns: {columns}")


def _class_names(schema: pa.Schema, label: str) -> tuple[str, ...]:
    with suppress(KeyError, TypeError, ValueError):
        names = json.loads(schema.metadata[b"huggingface"])["info"]["features"][label]["names"]
        return tuple(map(str, names)) if isinstance(names, list) else ()
    return ()


def numbered(
    parts: Mapping[str, Sequence[Any]], names: tuple[str, ...]
) -> tuple[dict[str, NDArray[np.int64]], tuple[str, ...], tuple[Note, ...]]:
    """Return labels as numbers from 0, text in order of name, with the classes' names, and notes.

    Labels of all parts are all text or all whole numbers. Names without images are dropped.
    """
    known = set(parts["train"]).union(*parts.values() if names else ())
    found = sorted(known, key=_in_order)
    below = next((label for label in found if not isinstance(label, str) and label < 0), None)
    if below is not None:
        raise DataError(f"label {below} is no class; labels start at 0, and none is missing")
    number = {label: place for place, label in enumerate(found)}
    for part, labels in parts.items():
        strange = next((label for label in labels if label not in number), None)
        if strange is not None and str(strange) in map(str, found):
            raise DataError(f"{part}: labels are numbers here and text in train, or the other way")
        if strange is not None:
            said = f"has images of class {strange}, of which train has none"
            raise DataError(f"{part}: {said}; {known_classes(str(strange), [*map(str, found)])}")
    numbers = {part: np.array([*map(number.get, own)], np.int64) for part, own in parts.items()}
    if not names:
        return numbers, tuple(map(str, found)), ()
    gone = ", ".join(name for place, name in enumerate(names) if place not in number)
    text = f"no image is of class {gone}; the others are numbered anew"
    notes = (Note("unused-names", "note", text),) if gone else ()
    return numbers, tuple(names[place] for place in found), notes


def _in_order(label: str | int) -> tuple[bool, int, str]:
    name = str(label)
    is_number = name.isascii() and name.isdigit()
    return (not is_number, int(name) if is_number else 0, name)


def texts(values: Iterable[Any]) -> list[str]:
    """Return labels as names: true and false as a study would write them."""
    return [str(v).lower() if isinstance(v, bool) else class_name(str(v)) for v in values]


def class_name(text: str) -> str:
    """Return a class's name as it is compared: systems write one name in two forms of Unicode."""
    return unicodedata.normalize("NFC", text.strip())


def known_classes(name: str, names: Sequence[str]) -> str:
    """Return which classes there are, and which of them may be meant by a name."""
    alike = {known.lower(): known for known in names}
    near = get_close_matches(name.lower(), alike, n=1, cutoff=0.8)
    meant = f"did you mean {alike[near[0]]}? " if near else ""
    return f"{meant}The classes are {shown(names, 20)}"


def shown(names: Sequence[str], most: int) -> str:
    """Return names as one text, of many the first ones."""
    return ", ".join([*names[:most], *["…"] * (len(names) > most)])
