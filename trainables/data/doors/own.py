"""Images and labels that a user's own function returns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainables.data.arrangement import Parts, Readable
from trainables.data.doors.columns import numbered, texts
from trainables.data.reading import Note, Pixels, Split
from trainables.errors import DataError
from trainables.functions import load_function


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
        returned = self._call(where)
        names: tuple[str, ...] = ("train", "test")
        needed = (
            f"{where} must return ((train_images, train_labels), (test_images, test_labels)), or "
            "three such pairs, the second of which validates"
        )
        try:
            given = [(images, labels) for images, labels in returned]
        except (TypeError, ValueError) as problem:
            raise DataError(needed) from problem
        if len(given) == 3:
            names = ("train", "validation", "test")
        if len(given) != len(names):
            raise DataError(needed)
        notes: list[Note] = []
        images = {
            part: _images(f"{where}, {part} images", own[0], notes)
            for part, own in zip(names, given, strict=True)
        }
        raw = {
            part: _labels(f"{where}, {part} labels", own[1], len(images[part]))
            for part, own in zip(names, given, strict=True)
        }
        labels = numbered(raw, ())
        splits = {
            part: array_split(f"{self.reference}, {part}", images[part], labels.parts[part])
            for part in names
        }
        return Parts(splits, labels.class_names, (self.reference,), tuple(dict.fromkeys(notes)))

    def _call(self, where: str) -> Any:
        try:
            function = load_function(self.reference)
        except ImportError as problem:
            raise DataError(f"{where}: {problem}") from problem
        try:
            return function()
        except (Exception, SystemExit) as problem:
            raise DataError(f"{where} raised {type(problem).__name__}: {problem}") from problem


def _array(where: str, values: Any, mend: str) -> NDArray[Any]:
    try:
        array = np.asarray(values)
    except Exception as problem:  # whatever a library's arrays raise when they are not ready
        why = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise DataError(f"{where} cannot be read as an array ({why}); {mend}") from problem
    if array.dtype == object:
        raise DataError(f"{where} are no array of numbers; {mend}")
    return array


def _images(where: str, values: Any, notes: list[Note]) -> Pixels:
    """Return images as bytes, channels last, where there is no doubt what they are."""
    mend = "all of one size: np.stack(images); of a tensor: images.detach().cpu().numpy()"
    array = _array(where, values, mend)
    shape = f"{where} have shape {array.shape}"
    if array.ndim == 3:
        array = array[..., None]
    needed = f"{shape}; needed is images × height × width × 3, or images × height × width if grey"
    if array.ndim != 4 or 0 in array.shape[1:]:
        raise DataError(needed)
    if array.shape[3] not in (1, 3):
        if array.shape[1] not in (1, 3):
            raise DataError(needed)
        # Channels first: nothing else is so few.
        array = np.moveaxis(array, 1, 3)
    if array.dtype != np.uint8:
        array = _bytes(where, array, notes)
    return np.repeat(array, 3, axis=3) if array.shape[3] == 1 else np.ascontiguousarray(array)


def _bytes(where: str, array: NDArray[Any], notes: list[Note]) -> Pixels:
    kind = array.dtype
    if kind.kind not in "fiub":
        raise DataError(f"{where} are {kind}; needed is uint8, 0 to 255")
    if kind.kind == "f" and not np.isfinite(array).all():
        raise DataError(f"{where} hold values that are no numbers (NaN); mend them")
    low, high = (array.min(), array.max()) if array.size else (0, 0)
    if kind.kind == "f" and low >= 0 and high <= 1:
        notes.append(Note("floats-scaled", "note", "floats from 0 to 1 become 0 to 255"))
        return np.asarray(np.floor(array * 255.0 + 0.5), dtype=np.uint8)
    if low >= 0 and 1 < high <= 255 and (kind.kind in "iu" or not (array % 1).any()):
        return array.astype(np.uint8)
    raise DataError(
        f"{where} are {kind} from {low:g} to {high:g}; needed are 0 to 255, or floats from 0 to 1: "
        "images = ((images - images.min()) / (images.max() - images.min()) * 255).astype('uint8')"
    )


def _labels(where: str, values: Any, n_images: int) -> Sequence[Any]:
    array = _array(where, values, "one class per image is needed")
    if array.ndim == 2 and array.shape[0] == n_images and array.shape[1] == 1:
        array = array[:, 0]
    elif array.ndim == 2 and array.shape[0] == n_images and _is_one_hot(array):
        array = array.argmax(axis=1)
    if array.shape != (n_images,):
        raise DataError(f"{where} have shape {array.shape}; needed is ({n_images},), one per image")
    if array.dtype.kind in "USb":
        return texts(array.tolist())
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise DataError(
            f"{where} are {array.dtype}; needed are integers, 0 to classes − 1, or names: "
            "labels.astype(int)"
        )
    return array.tolist()  # type: ignore[no-any-return]


def _is_one_hot(array: NDArray[Any]) -> bool:
    if array.dtype.kind not in "fiub" or array.shape[1] < 2:
        return False
    return bool(np.isin(array, (0, 1)).all() and (array.sum(axis=1) == 1).all())


def array_split(where: str, images: Pixels, labels: ArrayLike) -> Split:
    """Return the split of images that are at hand, shape (n, height, width, 3)."""
    return Split(
        where,
        np.asarray(labels, dtype=np.int64),
        lambda: iter(images),
        lambda: (f"{where}, image {i}" for i in range(len(images))),
    )
