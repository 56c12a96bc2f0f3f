"""The sources a study can name, each read into labels and images not yet decoded."""

import importlib.util
import socket
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainables.data.arrangement import Parts, Readable
from trainables.data.cache import cache_folder, locked
from trainables.data.doors.folders import ImageFolder
from trainables.data.doors.own import Function, array_split
from trainables.data.doors.tables import Tables
from trainables.data.splits import carve
from trainables.errors import DataError
from trainables.trial import BUILT_IN, Source

_SILENCE = 60.0
"""Seconds without a byte after which a download is given up."""


@dataclass(frozen=True)
class Digits(Readable):
    """scikit-learn's 1,797 hand-written digits, 8×8 grey, brought to 32×32.

    A fifth of each class is the test part. Source: E. Alpaydin and C. Kaynak, "Optical Recognition
    of Handwritten Digits", UCI Machine Learning Repository, 1998 (its test half).
    """

    def evidence(self) -> list[Path]:
        """Return the library's file."""
        # To import the library takes seconds.
        found = importlib.util.find_spec("sklearn")
        place = Path(found.origin).parent if found and found.origin else Path()
        return [place / "datasets" / "data" / "digits.csv.gz"]

    def parts(self) -> Parts:
        """Return the data set, with all images enlarged."""
        rows = np.loadtxt(self.evidence()[0], delimiter=",")
        labels = rows[:, -1].astype(np.int64)
        # Enlarged bilinearly, from 0 to 16: weights are eighths, hence exact.
        centres = np.clip((np.arange(32) + 0.5) / 4 - 0.5, 0, 7)
        weights = np.clip(1 - np.abs(centres[:, None] - np.arange(8)), 0, 1)
        large = weights @ rows[:, :-1].reshape(-1, 8, 8) @ weights.T
        grey = np.floor(large * (255 / 16) + 0.5).astype(np.uint8)
        pixels = np.repeat(grey[..., None], 3, axis=3)
        drawn = zip(("train", "test"), carve(labels, 0.2), strict=True)
        splits = {p: array_split(f"digits, {p}", pixels[own], labels[own]) for p, own in drawn}
        return Parts(splits, tuple("0123456789"))


_CIFAR = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
"""The folder that torchvision unpacks of each data set."""


@dataclass(frozen=True)
class Cifar(Readable):
    """CIFAR-10 or CIFAR-100 through torchvision: found in a folder, else downloaded into it."""

    name: str
    folder: Path

    def evidence(self) -> list[Path] | None:
        """Return the unpacked files; None before they are there."""
        unpacked = self._root() / _CIFAR[self.name]
        return [unpacked, *sorted(unpacked.iterdir())] if unpacked.is_dir() else None

    def parts(self) -> Parts:
        """Return the data set; torchvision checks each file's MD5 before it is unpickled."""
        from trainables.vision import torchvision

        dataset = getattr(torchvision.datasets, self.name.upper())
        held = {part: self._part(dataset, part == "train") for part in ("train", "test")}
        splits = {
            p: array_split(f"{self.name}, {p}", own.data, own.targets) for p, own in held.items()
        }
        return Parts(splits, tuple(held["train"].classes))

    def _root(self) -> Path:
        """Return the folder that torchvision wants, also where the user named the one inside."""
        inside = self.folder.name == _CIFAR[self.name]
        return self.folder.parent if inside else self.folder

    def _part(self, dataset: Any, train: bool) -> Any:
        root = self._root()
        with suppress(RuntimeError):  # torchvision's word for absent or damaged
            return dataset(root, train=train)
        try:
            root.mkdir(parents=True, exist_ok=True)
            with locked(f"{self.name}-download"), ExitStack() as after:
                # A dead connection is to fail: torchvision sets no time limit of its own.
                after.callback(socket.setdefaulttimeout, socket.getdefaulttimeout())
                socket.setdefaulttimeout(_SILENCE)
                return dataset(root, train=train, download=True)
        except (OSError, RuntimeError, EOFError) as problem:
            raise DataError(
                f"data.source: {self.name} is not in {root} and cannot be downloaded from "
                f"{dataset.url} ({problem}); put {dataset.filename} from there, or its unpacked "
                f"folder {dataset.base_folder}, into {root}"
            ) from problem


def origin(source: Source) -> Readable:
    """Return the origin of a study's images; DataError where `path` is missing or of no use."""
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
        valid = f"{', '.join(BUILT_IN)} and package.module:function"
        raise DataError(f"data.source: {name} is unknown; valid are {valid}")
    if path is None:
        raise DataError(f"data.path: source {name} needs the folder that holds train and test")
    columns = source.image, source.label, source.group
    return ImageFolder(path, *columns) if name == "imagefolder" else Tables(path, name, *columns)
