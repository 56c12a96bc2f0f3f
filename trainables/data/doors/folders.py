"""Images in folders, one per class."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from trainables.data.arrangement import USUAL_NAMES, Parts, Readable, parts_of
from trainables.data.doors.columns import class_name, known_classes, shown
from trainables.data.doors.tables import Tables
from trainables.data.reading import Note, Split
from trainables.errors import DataError, OtherLayout

_LITTER = {"Thumbs.db", "desktop.ini", "__MACOSX", "@eaDir", "lost+found"}
"""What systems leave in folders of images; so is what begins with a dot and holds no images."""
_NO_IMAGES = {
    ".cache", ".csv", ".db", ".doc", ".docx", ".html", ".ini", ".json", ".jsonl", ".log", ".md",
    ".npy", ".npz", ".parquet", ".pdf", ".pickle", ".pkl", ".py", ".rst", ".rtf", ".sh", ".sha256",
    ".md5", ".toml", ".tsv", ".txt", ".url", ".xlsx", ".xml", ".yaml", ".yml", ".zip", ".gz",
    ".tar", ".tgz", ".mp4", ".mov", ".avi", ".mp3", ".wav", ".lnk", ".bak", ".tmp", ".part",
    ".pyc", ".ipynb", ".h5", ".mat", ".pt", ".pth", ".geojson", ".shp", ".dbf", ".prj", ".xmp",
    ".aae", ".thm",
}  # fmt: skip
"""Endings of what lies beside images; what ends otherwise is read, or refused by name."""
_IMAGES = {
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm",
    ".pgm", ".pbm", ".jp2", ".avif", ".heic",
}  # fmt: skip
_SHOWN = 3


@dataclass(frozen=True)
class ImageFolder(Readable):
    """train/<class>/… and test/<class>/…, images of any size; a class is named by its folder."""

    path: Path | dict[str, Path]
    """The folder that holds the parts, or a folder for each of them."""
    image: str | None = None
    """Column of a metadata.csv beside the images that names them; so is that of the classes."""
    label: str | None = None
    group: str | None = None

    def evidence(self) -> list[Path] | None:
        """Return all folders and images."""
        roots = self._roots()
        if self._listed(roots):
            return None
        folders = (folder for root in roots.values() for folder in _classes(root, []))
        return [place for folder in folders for place in (folder, *_images(folder, []))]

    def parts(self) -> Parts:
        """Return the data set: its images are listed, and read when asked for."""
        roots = self._roots()
        if listed := self._listed(roots):
            return replace(listed.parts(), roots=roots, lack=self._lack("test"))
        passed_over: list[Path] = []
        inside: dict[str, dict[Path, list[Path]]] = {}
        for part, root in roots.items():
            inside[part] = {f: _images(f, passed_over) for f in _classes(root, passed_over)}
            if not inside[part]:
                needed = f"{part}/<class>/<image>"
                raise DataError(f"{root}: holds no class folders; needed are {needed}")
            if passed_over and not any(inside[part].values()):
                raise DataError(f"{root}: holds no images, but such files as {passed_over[-1]}")
        names = [*dict.fromkeys(class_name(f.name) for f, own in inside["train"].items() if own)]
        splits = {part: self._split(roots[part], own, names) for part, own in inside.items()}
        notes = tuple(_notes(passed_over, [*inside["train"]], names))
        files = tuple(map(str, roots.values()))
        return Parts(splits, tuple(names), files, notes, self._lack("test"), roots)

    def _lack(self, part: str) -> str:
        if isinstance(self.path, dict):
            return f"data.path names no {part} part"
        usual = {*chain.from_iterable(USUAL_NAMES.values())}
        names = [f.name for f in _folders_of(self.path) if f.name.lower() not in usual][:8]
        return f"{self.path}: no folder {part}{'; it holds ' * bool(names)}{', '.join(names)}"

    def _listed(self, roots: dict[str, Path]) -> Tables | None:
        lists = {part: root / "metadata.csv" for part, root in roots.items()}
        tables = Tables(lists, "csv", self.image, self.label, self.group)
        return tables if lists["train"].is_file() else None

    def _roots(self) -> dict[str, Path]:
        """Return the folder of each part that is there; train is always among them."""
        if isinstance(self.path, dict):
            return self.path
        folders = _folders_of(self.path)
        found = _usual_parts(folders)
        if "train" in found:
            return found
        message = self._lack("train")
        alike = {part: [f for f in folders if part in parts_of(f.name)] for part in USUAL_NAMES}
        path = {part: fitting[0] for part, fitting in alike.items() if len(fitting) == 1}
        if "train" in path:
            raise OtherLayout(message, "read them so", {"path": path})
        inside = [folder for folder in folders if "train" in _usual_parts(_folders_of(folder))]
        if len(inside) == 1:
            raise OtherLayout(message, "read what is inside", {"path": inside[0]})
        if not found and sum(map(_holds_images, folders)) > 1:
            block = {"path": {"train": self.path}, "test": 0.2}
            raise OtherLayout(message, "take these as classes and hold a fifth back to test", block)
        needed = "train/<class>/<image> and test/<class>/<image>, data.path: {train: …, test: …}"
        listed = "or the path of a CSV of images and classes"
        raise DataError(f"{message}. Needed are {needed}, {listed}")

    @staticmethod
    def _split(root: Path, inside: dict[Path, list[Path]], names: list[str]) -> Split:
        labels: list[int] = []
        for folder, images in inside.items():
            name = class_name(folder.name)
            if images and name not in names:
                known = known_classes(name, names)
                raise DataError(f"{folder}: no training image of that class; {known}")
            labels += [names.index(name)] * len(images) if images else []
        files = [*chain.from_iterable(inside.values())]
        given = np.asarray(labels, np.int64)
        return Split(str(root), given, lambda: iter(files), lambda: map(str, files))


def _usual_parts(folders: list[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for part, usual in USUAL_NAMES.items():
        fitting = [folder for folder in folders if folder.name.lower() in usual]
        if len(fitting) > 1:
            listed = " and ".join(folder.name for folder in fitting)
            path = "data.path: {train: …, validation: …, test: …}"
            raise DataError(f"{fitting[0].parent}: holds {listed}; say which is {part} with {path}")
        if fitting:
            found[part] = fitting[0]
    return found


def _folders_of(folder: Path) -> list[Path]:
    return [entry for entry in _entries(folder) if entry.is_dir()]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as problem:
        needed = "folders train and test, each with one folder of images per class"
        said = f"cannot be read ({problem.strerror})"
        raise DataError(f"{folder}: {said}; needed are {needed}") from problem


def _classes(root: Path, passed_over: list[Path]) -> list[Path]:
    """Return the class folders of a part in order of name, empty ones too."""
    folders: list[Path] = []
    for entry in _entries(root):
        if entry.is_dir():
            is_class = not _is_litter(entry) or _holds_images(entry)
            (folders if is_class else passed_over).append(entry)
        elif entry.suffix.lower() in _IMAGES and not entry.name.startswith("."):
            raise DataError(f"{entry}: lies outside the class folders; move it into one or away")
        elif not entry.is_file():
            raise DataError(f"{entry}: is no regular file; take it away")
        else:
            passed_over.append(entry)
    return sorted(folders, key=lambda folder: class_name(folder.name))


def _is_litter(entry: Path) -> bool:
    return entry.name in _LITTER or entry.name[0] == "."


def _holds_images(folder: Path) -> bool:
    """Return whether a folder that may be litter is a class such as .net."""
    known = folder.name in (".ipynb_checkpoints", ".git", ".cache", ".thumbnails")
    return not (known or folder.name in _LITTER) and bool(_images(folder, []))


def _images(folder: Path, passed_over: list[Path]) -> list[Path]:
    found: list[Path] = []
    for entry in _entries(folder):
        if _is_litter(entry):
            passed_over.append(entry)
        elif entry.is_dir():
            if entry.is_symlink() and folder.resolve().is_relative_to(entry.resolve()):
                raise DataError(f"{entry}: is a link to a folder that holds it; take it away")
            found += _images(entry, passed_over)
        elif not entry.is_file():
            raise DataError(f"{entry}: is no regular file; take it away")
        elif entry.suffix.lower() in _NO_IMAGES:
            passed_over.append(entry)
        else:
            found.append(entry)
    return found


def _notes(passed_over: list[Path], folders: list[Path], names: list[str]) -> Iterator[Note]:
    if empty := [folder.name for folder in folders if class_name(folder.name) not in names]:
        text = f"folders of train without images are no classes: {shown(empty, _SHOWN)}"
        yield Note("empty-folder", "note", text)
    # What systems leave everywhere is not worth a line.
    if told := [str(path) for path in passed_over if not _is_litter(path)]:
        text = f"{len(told)} files are no images: {shown(told, _SHOWN)}"
        yield Note("passed-over", "note", text)
