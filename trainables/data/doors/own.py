"""Images and labels that a user's own function returns."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainables.data.arrangement import Parts, Readable
from trainables.data.doors.columns import IMAGE_NAMES, LABEL_NAMES, numbered, texts
from trainables.data.reading import Note, Pixels, Split
from trainables.errors import DataError, first_line
from trainables.functions import load_function

Several = Pixels | Sequence[Pixels]
"""Images of one size as one array, (n, height, width, 3), or of unlike sizes as one array each."""


@dataclass(frozen=True)
class Function(Readable):
    """A user's own function, the one place where a study's data runs code."""

    reference: str
    """The function as package.module:function; it takes no arguments."""

    def evidence(self) -> None:
        """Return None: what a function gives can change with anything."""

    def parts(self) -> Parts:
        """Return what the function returns, checked."""
        where = f"data.source: {self.reference}"
        try:
            function = load_function(self.reference)
        except ImportError as problem:
            raise DataError(f"{where}: {problem}") from problem
        try:
            returned = function()
        except (Exception, SystemExit) as problem:
            raise DataError(f"{where} raised {type(problem).__name__}: {problem}") from problem
        given = _given(returned)
        parts = {1: ("train",), 2: ("train", "test"), 3: ("train", "validation", "test")}
        if (names := parts.get(len(given))) is None:
            raise DataError(
                f"{where} must return ((train_images, train_labels), (test_images, test_labels)), "
                "or three such pairs, the second of which validates; each pair may be a torch "
                "data set of images and labels, or have groups as a third array"
            )
        notes: list[Note] = []
        images: dict[str, Several] = {}
        labels: dict[str, Sequence[Any]] = {}
        groups: dict[str, NDArray[Any] | None] = {}
        for part, own in zip(names, given, strict=True):
            images[part] = _images(f"{where}, {part} images", own[0], notes)
            count = len(images[part])
            labels[part] = _labels(f"{where}, {part} labels", own[1], count)
            found = _labels(f"{where}, {part} groups", own[2], count) if len(own) == 3 else None
            groups[part] = None if found is None else np.array(found).astype(str)
        numbers, class_names, _ = numbered(labels, ())
        splits = {
            part: array_split(f"{self.reference}, {part}", images[part], own, groups[part])
            for part, own in numbers.items()
        }
        lack = f"{self.reference}: returns no test part"
        return Parts(splits, class_names, (self.reference,), tuple(dict.fromkeys(notes)), lack)


def _given(returned: Any) -> list[Sequence[Any]]:
    """Return images and labels, and groups where there are some, of each part; [] if in doubt."""
    try:
        entries = [*returned]
        if any(hasattr(entry, "batch_sampler") for entry in entries):
            return []  # of batches, in an order of its own
        parts = (isinstance(each, tuple | list) and len(each) in (2, 3) for each in entries)
        if len(entries) in (2, 4) and not any(parts) and not any(map(_is_dataset, entries)):
            return [*zip(entries[::2], entries[1::2], strict=True)]
        pairs = [_unzipped(part) if _is_dataset(part) else part for part in entries]
    except (TypeError, ValueError, IndexError, KeyError, StopIteration):
        return []
    return pairs if all(len(part) in (2, 3) for part in pairs) else []


def _is_dataset(entry: Any) -> bool:
    """Return whether it gives an image and its label at a time, as a tuple or by name."""
    if isinstance(entry, list) and len(entry) > 3:
        return isinstance(entry[0], dict | tuple) and len(entry[0]) in (2, 3)
    is_plain = isinstance(entry, tuple | list | dict) or hasattr(entry, "__array__")
    return hasattr(entry, "__getitem__") and not is_plain


def _unzipped(dataset: Any) -> Sequence[Any]:
    samples = [dataset[number] for number in range(len(dataset))]
    if isinstance(samples[0], dict):
        names = [next(n for n in samples[0] if n in usual) for usual in (IMAGE_NAMES, LABEL_NAMES)]
        samples = [[sample[name] for name in names] for sample in samples]
    return [*zip(*samples, strict=True)]


def _arrays(where: str, values: Any) -> list[NDArray[Any]]:
    """Return one array of all images, or, where they differ in size, one of each."""
    try:
        with suppress(ValueError):
            whole = np.asarray(values)
            if whole.dtype != object:
                return [whole]
        each = [np.asarray(image)[None] for image in values]
    except Exception as problem:  # whatever a library's arrays raise when they are not ready
        said = f"{where} cannot be read as an array ({first_line(problem)})"
        raise DataError(f"{said}; of a tensor: images.detach().cpu().numpy()") from problem
    if not each or any(image.dtype == object for image in each):
        raise DataError(f"{where} are no numbers; of PIL images: [np.asarray(i) for i in images]")
    return each


def _images(where: str, values: Any, notes: list[Note]) -> Several:
    """Return images as bytes, channels last, where there is no doubt what they are."""
    arrays = [_channels_last(where, array) for array in _arrays(where, values)]
    if any(array.dtype != np.uint8 for array in arrays):
        arrays = _bytes(where, arrays, notes)
    wide = [np.repeat(a, 3, axis=3) if a.shape[3] == 1 else np.ascontiguousarray(a) for a in arrays]
    return wide[0] if len(wide) == 1 else [image for array in wide for image in array]


def _channels_last(where: str, array: NDArray[Any]) -> NDArray[Any]:
    shape = array.shape
    mend = ": images.reshape(len(images), height, width, -1)" * (array.ndim == 2)
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim == 4 and 0 not in array.shape[1:]:
        if array.shape[3] in (1, 3):
            return array
        if array.shape[1] in (1, 3):
            return np.moveaxis(array, 1, 3)  # nothing but channels is so few
    if array.ndim == 4:
        mend = {2: ": images[..., :1]", 4: ": images[..., :3]"}.get(array.shape[3], "")
    needed = "images × height × width × 3, or images × height × width if grey"
    raise DataError(f"{where} have shape {shape}; needed is {needed}{mend}")


def _bytes(where: str, arrays: list[NDArray[Any]], notes: list[Note]) -> list[NDArray[Any]]:
    kind = np.result_type(*arrays)
    if kind.kind not in "fiub":
        raise DataError(f"{where} are {kind}; needed is uint8, 0 to 255")
    if kind.kind == "f" and not all(np.isfinite(array).all() for array in arrays):
        raise DataError(f"{where} hold values that are no numbers (NaN): np.nan_to_num(images)")
    low = min((array.min() for array in arrays if array.size), default=0)
    high = max((array.max() for array in arrays if array.size), default=0)
    if kind.kind in "fb" and low >= 0 and high <= 1:
        notes.append(Note("floats-scaled", "note", "values from 0 to 1 become 0 to 255"))
        return [np.floor(array * 255.0 + 0.5).astype(np.uint8) for array in arrays]
    is_whole = kind.kind in "iu" or not any((array % 1).any() for array in arrays)
    if low >= 0 and 1 < high <= 255 and is_whole:
        return [array.astype(np.uint8) for array in arrays]
    line = f"((images {-low:+g}) / {high - low:g} * 255).clip(0, 255)"
    if low >= 0 and high <= 255:
        line = "images.round()"
    said = f"{where} are {kind} from {low:g} to {high:g}"
    mend = f"images = {line}.astype('uint8'), with the same numbers for every part"
    raise DataError(f"{said}; needed are 0 to 255, or floats from 0 to 1: {mend}")


def _labels(where: str, values: Any, n_images: int) -> Sequence[Any]:
    try:
        array = np.asarray(values)
        if array.dtype == object:
            array = np.array(array.tolist())
        if array.dtype.kind == "S":
            array = array.astype(str)
    except Exception as problem:  # as in `_arrays`
        said = f"{where} cannot be read as an array ({first_line(problem)})"
        raise DataError(f"{said}; one class per image is needed") from problem
    if array.shape == (n_images, 1):
        array = array[:, 0]
    elif array.ndim == 2 and array.shape[0] == n_images and array.dtype.kind in "fiub":
        # One-hot rows, of at least two classes.
        is_one = np.isin(array, (0, 1)).all() and (array.sum(axis=1) == 1).all()
        array = array.argmax(axis=1) if array.shape[1] > 1 and is_one else array
    if array.shape != (n_images,):
        raise DataError(f"{where} have shape {array.shape}; needed is ({n_images},), one per image")
    if array.dtype.kind in "USb":
        return texts(array.tolist())
    is_float = array.dtype.kind == "f"
    absent = np.isnan(array) if is_float else np.array([label is None for label in array.tolist()])
    if absent.any():
        raise DataError(f"{where}: image {absent.argmax()} has none; every image needs one")
    if array.dtype.kind not in "fiu" or (is_float and (array % 1).any()):
        mend = "labels.argmax(axis=1) of scores, labels.astype(int)"
        raise DataError(f"{where} are {array.dtype}; needed are whole numbers or names: {mend}")
    return array.astype(np.int64).tolist()  # type: ignore[no-any-return]


def array_split(
    where: str, images: Several, labels: ArrayLike, groups: NDArray[Any] | None = None
) -> Split:
    """Return the split of images that are at hand, each of shape (height, width, 3)."""
    return Split(
        where,
        np.asarray(labels, dtype=np.int64),
        lambda: iter(images),
        lambda: (f"{where}, image {i}" for i in range(len(images))),
        groups,
    )
