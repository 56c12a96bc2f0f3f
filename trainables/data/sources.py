"""The sources a study can name, each read into labels and images not yet decoded."""

import importlib.util
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainables.data.cache import cache_folder, locked
from trainables.data.parquet import Parquet
from trainables.data.reading import Item, Pixels, Reading, Split
from trainables.data.splits import carve
from trainables.errors import DataError
from trainables.functions import load_function
from trainables.trial import BUILT_IN, Source

_SILENCE = 60.0
"""Seconds without a byte after which a download is given up."""


@dataclass(frozen=True)
class Digits:
    """scikit-learn's 1,797 hand-written digits, 8×8 grey, brought to 32×32.

    A fifth of each class is the test part. Source: E. Alpaydin and C. Kaynak, "Optical Recognition
    of Handwritten Digits", UCI Machine Learning Repository, 1998 (its test half).
    """

    def evidence(self) -> list[Path]:
        """Return a file that every new version of scikit-learn replaces; nothing is imported."""
        found = importlib.util.find_spec("sklearn")
        return [Path(found.origin)] if found is not None and found.origin else []

    def read(self) -> Reading:
        """Return the data set, with all images enlarged."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        labels = digits.target
        pixels = np.repeat(_enlarged(digits.images)[..., None], 3, axis=3)
        train, test = carve(labels, 0.2)
        return Reading(
            _array_split("digits, train", pixels[train], labels[train]),
            _array_split("digits, test", pixels[test], labels[test]),
            tuple(str(name) for name in digits.target_names),
        )


def _enlarged(images: NDArray[np.float64]) -> Pixels:
    """Enlarge 8×8 images of 0 to 16 to 32×32 of 0 to 255, bilinearly, pixel centres kept.

    All weights are eighths, so the result is exact and the same everywhere.
    """
    centres = np.clip((np.arange(32) + 0.5) / 4 - 0.5, 0, 7)
    weights = np.clip(1 - np.abs(centres[:, None] - np.arange(8)), 0, 1)
    grey: Pixels = np.floor(weights @ images @ weights.T * (255 / 16) + 0.5).astype(np.uint8)
    return grey


_CIFAR = {
    "cifar10": ("CIFAR10", "cifar-10-batches-py"),
    "cifar100": ("CIFAR100", "cifar-100-python"),
}
"""torchvision's class of each data set, and the folder that it unpacks."""


@dataclass(frozen=True)
class Cifar:
    """CIFAR-10 or CIFAR-100 through torchvision: found in a folder, else downloaded into it."""

    name: str
    """`cifar10` or `cifar100`."""
    folder: Path
    """Where the data set is, or is to be."""
    dataset: Any = None
    """A class with the interface of torchvision's data sets; by default torchvision's own."""

    def evidence(self) -> list[Path] | None:
        """Return the unpacked files; None before they are there."""
        unpacked = self._root() / _CIFAR[self.name][1]
        return [unpacked, *sorted(unpacked.iterdir())] if unpacked.is_dir() else None

    def read(self) -> Reading:
        """Return the data set; torchvision checks each file's MD5 before it is unpickled."""
        dataset = self.dataset
        if dataset is None:
            from torchvision import datasets

            dataset = getattr(datasets, _CIFAR[self.name][0])
        parts = {"train": self._part(dataset, True), "test": self._part(dataset, False)}
        train, test = (
            _array_split(f"{self.folder}, {part}", held.data, held.targets)
            for part, held in parts.items()
        )
        return Reading(train, test, tuple(parts["train"].classes))

    def _root(self) -> Path:
        """Return the folder that torchvision wants, also where the user named the one inside."""
        inside = self.folder.name == _CIFAR[self.name][1]
        return self.folder.parent if inside else self.folder

    def _part(self, dataset: Any, train: bool) -> Any:
        root = self._root()
        try:
            return dataset(root, train=train)
        except RuntimeError:  # torchvision's word for absent or damaged
            pass
        made = [folder for folder in (root, *root.parents) if not folder.exists()]
        try:
            root.mkdir(parents=True, exist_ok=True)
            with locked(f"{self.name}-download"), _impatient():
                return dataset(root, train=train, download=True)
        except (OSError, RuntimeError, EOFError) as problem:
            # Innermost first, up to the first that something is in.
            with suppress(OSError):
                for folder in made:
                    folder.rmdir()
            raise DataError(
                f"data.source: {self.name} is not in {root} and cannot be downloaded from "
                f"{dataset.url} ({problem}); put {dataset.filename} from there, or its unpacked "
                f"folder {dataset.base_folder}, into {root}"
            ) from problem


@contextmanager
def _impatient() -> Iterator[None]:
    """Let a dead connection fail: torchvision sets no time limit of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SILENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


_HIDDEN = ("Thumbs.db", "desktop.ini")
"""What Windows leaves in folders of images."""


@dataclass(frozen=True)
class ImageFolder:
    """train/<class>/… and test/<class>/…, images of any size; a class is named by its folder."""

    path: Path | dict[str, Path]
    """The folder that holds both parts, or a folder for each of them."""

    def evidence(self) -> list[Path]:
        """Return all folders and images."""
        folders = [folder for part in ("train", "test") for folder in self._classes(part)]
        return [path for folder in folders for path in (folder, *_walked(folder))]

    def read(self) -> Reading:
        """Return the data set: its images are listed, and read when asked for."""
        names = [folder.name for folder in self._classes("train")]
        return Reading(self._split("train", names), self._split("test", names), tuple(names))

    def _root(self, part: str) -> Path:
        return self.path[part] if isinstance(self.path, dict) else self.path / part

    def _classes(self, part: str) -> list[Path]:
        root = self._root(part)
        entries = _shown(root)
        loose = next((entry for entry in entries if not entry.is_dir()), None)
        if loose is not None:
            raise DataError(f"{loose}: lies outside the class folders; move it into one or away")
        if not entries:
            raise DataError(f"{root}: holds no class folders; needed are {part}/<class>/<image>")
        return entries

    def _split(self, part: str, names: list[str]) -> Split:
        labels: list[int] = []
        files: list[Path] = []
        for folder in self._classes(part):
            inside = _walked(folder)
            if not inside:
                raise DataError(f"{folder}: holds no images; add some or take the folder away")
            if folder.name not in names:
                raise DataError(
                    f"{folder}: no folder of that name in {self._root('train')}; the classes there "
                    f"are {', '.join(names[:20])}{', …' if len(names) > 20 else ''}"
                )
            labels += [names.index(folder.name)] * len(inside)
            files += inside
        where = str(self._root(part))
        return Split(
            where, np.asarray(labels, np.int64), lambda: (Item(str(file), file) for file in files)
        )


def _shown(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as problem:
        raise DataError(
            f"{folder}: cannot be read ({problem.strerror}); needed are folders train and test, "
            "each with one folder of images per class"
        ) from problem
    return [entry for entry in entries if entry.name[0] != "." and entry.name not in _HIDDEN]


def _walked(folder: Path) -> list[Path]:
    files: list[Path] = []
    for entry in _shown(folder):
        if entry.is_dir():
            files += _walked(entry)
        elif entry.is_file():
            files.append(entry)
        else:
            raise DataError(f"{entry}: is no regular file; take it away")
    return files


@dataclass(frozen=True)
class Function:
    """A user's own function, the one place where a study's data runs code."""

    reference: str
    """The function as package.module:function; it takes no arguments."""

    def evidence(self) -> None:
        """Return None: what a function gives can change with anything."""

    def read(self) -> Reading:
        """Return what the function returns, checked."""
        where = f"data.source: {self.reference}"
        returned = self._call(where)
        try:
            (train_images, train_labels), (test_images, test_labels) = returned
        except (TypeError, ValueError) as problem:
            raise DataError(
                f"{where} must return ((train_images, train_labels), (test_images, test_labels))"
            ) from problem
        parts = (("train", train_images, train_labels), ("test", test_images, test_labels))
        train, test = (
            _array_split(
                f"{self.reference}, {part}",
                _checked_images(f"{where}, {part} images", images),
                _checked_labels(f"{where}, {part} labels", labels, len(images)),
            )
            for part, images, labels in parts
        )
        return Reading(train, test, ())

    def _call(self, where: str) -> Any:
        try:
            function = load_function(self.reference)
        except ImportError as problem:
            raise DataError(f"{where}: {problem}") from problem
        try:
            return function()
        except (Exception, SystemExit) as problem:
            raise DataError(f"{where} raised {type(problem).__name__}: {problem}") from problem


Origin = Digits | Cifar | ImageFolder | Parquet | Function
"""Where a data set comes from: `evidence` returns the files and folders that change whenever it
does, or None where there is no such list; `read` returns it, and raises DataError, which names what
is missing, unreadable or labelled in an impossible way."""


def origin(source: Source) -> Origin:
    """Return the origin of the images that a study's data block names.

    Raises DataError where `path` is missing but needed, or set where nothing would read it.
    """
    name, path = source.source, source.path
    if source.is_function or name == "digits":
        if path is not None:
            raise DataError(f"data.path: source {name} reads no files; take path away")
        return Function(name) if source.is_function else Digits()
    if name in _CIFAR:
        if isinstance(path, dict):
            raise DataError(f"data.path: {name} needs one folder, not {{train: …, test: …}}")
        return Cifar(name, path if path is not None else cache_folder() / "downloads")
    if name not in BUILT_IN:
        raise DataError(
            f"data.source: {name} is unknown; valid are {', '.join(BUILT_IN)} and "
            "package.module:function"
        )
    if path is None:
        raise DataError(f"data.path: source {name} needs the folder that holds train and test")
    return Parquet(path) if name == "parquet" else ImageFolder(path)


def _checked_images(where: str, images: Any) -> Pixels:
    array = np.asarray(images)
    if array.dtype != np.uint8:
        raise DataError(f"{where} are {array.dtype}; needed is uint8, 0 to 255")
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[3] not in (1, 3) or 0 in array.shape[1:]:
        raise DataError(
            f"{where} have shape {np.shape(images)}; needed is images × height × width × 3 "
            "(channels last), or images × height × width for grey ones"
        )
    return np.repeat(array, 3, axis=3) if array.shape[3] == 1 else array


def _checked_labels(where: str, labels: Any, n_images: int) -> NDArray[np.integer]:
    array = np.asarray(labels)
    if array.shape != (n_images,):
        raise DataError(f"{where} have shape {array.shape}; needed is ({n_images},), one per image")
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise DataError(f"{where} are {array.dtype}; needed are integers, 0 to classes − 1")
    return array


def _array_split(where: str, images: Pixels, labels: ArrayLike) -> Split:
    def items() -> Iterator[Item]:
        return (Item(f"{where}, image {i}", image) for i, image in enumerate(images))

    return Split(where, np.asarray(labels, dtype=np.int64), items)
