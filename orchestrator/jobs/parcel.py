"""What a submitted study takes along: itself, these packages, and the files and modules it names.

A relative path of a study file is shipped; an absolute one is read on the cluster.
"""

import os
import re
import zipfile
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from orchestrator.errors import RunError, StudyError
from orchestrator.jobs.own_modules import OURS, own_modules, references, walked
from orchestrator.study.levels import WeightsLevel
from orchestrator.study.study import Study
from results.phrases import byte_size

LARGEST = 100 * 2**20
"""Bytes that Ray's job server takes in one upload (ray-project/ray#55877)."""
_ENTRY_BYTES = 250
"""Of the archive's own, per file, about."""
STUDY_FILE = "study.yaml"
FILES = "files"
"""Folder of an archive that holds the files a study names."""


@dataclass(frozen=True)
class Parcel:
    """Contents by their place in the folder in which the study is run.

    Parameters
    ----------
    code
        The study, these packages and the user's own modules.
    files
        Weights and images.
    origins
        For each file, what the study calls it or the folder it is in.
    elsewhere
        Absolute paths of the study: they are read on the cluster.
    needed
        Installed packages that the study names: the cluster must have them.
    """

    code: dict[str, Path | bytes]
    files: dict[str, Path] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    elsewhere: list[str] = field(default_factory=list)
    needed: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of the archive, at most: files are not compressed, nor would they shrink."""
        sizes = [_size(content) for content in (*self.code.values(), *self.files.values())]
        return sum(sizes) + _ENTRY_BYTES * len(sizes)

    def check_size(self, largest: int = LARGEST) -> None:
        """Refuse what would not go through.

        Raises
        ------
        StudyError
            With the largest parts and what to do.
        """
        if self.size <= largest:
            return
        parts: dict[str, int] = {}
        for place, content in (*self.code.items(), *self.files.items()):
            part = self.origins.get(place) or place.partition("/")[0]
            parts[part] = parts.get(part, 0) + _size(content)
        biggest = sorted(parts, key=lambda part: -parts[part])[:3]
        listed = ", ".join(f"{part} ({byte_size(parts[part])})" for part in biggest)
        raise StudyError(
            f"{len(self.code) + len(self.files):,} files of {byte_size(self.size)} in all would be "
            f"shipped, and Ray takes at most {byte_size(largest)} with a job; largest: {listed}. "
            "Put them where every node can read them and name them by absolute path: such paths "
            "are read on the cluster and not shipped."
        )

    def write(self, archive: Path) -> None:
        """Write the archive; the same contents make the same bytes, which Ray then has already."""
        with zipfile.ZipFile(archive, "w") as into:
            for place, content in sorted(self.code.items()):
                _add(into, place, content, zipfile.ZIP_DEFLATED)
            for place, content in sorted(self.files.items()):
                _add(into, place, content, zipfile.ZIP_STORED)


def pack(study: Study, base: Path) -> Parcel:
    """Gather what a study needs where it is run.

    Parameters
    ----------
    study
        As its file declares it, paths not yet rooted.
    base
        The folder that relative paths start from.

    Raises
    ------
    StudyError
        A file or module that the study names is not there.
    """
    named = _Named(base)
    values = study.written()
    # A simulation reads neither data nor weights, whatever the study says of them.
    if study.trainable != "simulated":
        values["data"] = _shipped_data(study, named, values["data"])
        models = [str(model) for model in study.factors["model"]]
        values["factors"]["weights"] = [
            _shipped_weights(level, models, named) for level in study.factors["weights"]
        ]
    modules, installed = own_modules(references(study))
    code: dict[str, Path | bytes] = {
        **modules,
        **_packages(),
        STUDY_FILE: yaml.safe_dump(values, sort_keys=False, allow_unicode=True).encode(),
    }
    return Parcel(code, named.files, named.origins, named.elsewhere, installed)


def _shipped_data(study: Study, named: "_Named", written: dict[str, Any]) -> dict[str, Any]:
    path = study.data.path
    if path is None:
        return written
    if isinstance(path, dict):
        moved: Any = {
            split: named.take(f"data.path.{split}", str(part)) for split, part in path.items()
        }
    else:
        moved = named.take("data.path", str(path))
    return {**written, "path": moved}


def _shipped_weights(level: WeightsLevel, models: list[str], named: "_Named") -> Any:
    location = level.location
    # A torchvision name under a label of one's own is no path.
    if location is None or re.fullmatch(r"\w+", location):
        return level.written()
    key = f"factors.weights: {level.label}"
    moved = {named.take(key, location.replace("{model}", model)) for model in models}
    place = moved.pop() if "{model}" not in location else named.place(location)
    # A path that was its own label keeps it: tables and charts show the label.
    return {level.label: place}


class _Named:
    """Files that a study names, as they are found."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self.files: dict[str, Path] = {}
        self.origins: dict[str, str] = {}
        self.elsewhere: list[str] = []

    def place(self, path: str) -> str:
        """Return where a path is shipped to: its own way down, whatever folder it starts from."""
        if Path(path).is_absolute():
            return path
        parts = Path(os.path.normpath(path)).parts
        ups = sum(part == ".." for part in parts)
        return "/".join([FILES, str(ups), *parts[ups:]])

    def take(self, key: str, path: str) -> str:
        """Note the files at a path or a pattern; return the path that holds on the cluster."""
        if Path(path).is_absolute():
            self.elsewhere += [path] if path not in self.elsewhere else []
            return path
        root = (self._base / path).absolute()
        pattern = str(root.relative_to(root.anchor))
        found = [root] if root.exists() else sorted(Path(root.anchor).glob(pattern))
        if not found:
            raise StudyError(
                f"{key}: {path} is not there ({root}). Relative paths are shipped from this "
                "machine; a path on the cluster is named absolutely."
            )
        for entry in found:
            start = self.place(os.path.relpath(entry, self._base.absolute()))
            for file in walked(entry) if entry.is_dir() else [entry]:
                below = file.relative_to(entry).as_posix()
                place = start if below == "." else f"{start}/{below}"
                self.files[place] = file
                self.origins[place] = path
        return self.place(path)


def _packages() -> dict[str, Path | bytes]:
    """Return the files of these packages, wherever they are installed, and what they need."""
    root = Path(__file__).parents[2]
    shipped: dict[str, Path | bytes] = {}
    for package in OURS:
        for file in walked(root / package):
            shipped[file.relative_to(root).as_posix()] = file
    try:
        about = metadata.distribution("scalestudy")
    except metadata.PackageNotFoundError:
        raise RunError(
            "submit ships what scalestudy needs, and it is not installed in this Python; "
            "pip install it (pip install . in a checkout)."
        ) from None
    text = about.read_text("METADATA") or about.read_text("PKG-INFO")
    if text:
        shipped[f"scalestudy-{about.version}.dist-info/METADATA"] = text.encode()
    return shipped


def _size(content: Path | bytes) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _add(archive: zipfile.ZipFile, place: str, content: Path | bytes, how: int) -> None:
    entry = zipfile.ZipInfo(place)  # of 1980, as all its kind: when it was made is no content
    entry.external_attr = 0o644 << 16
    entry.compress_type = how
    data = content if isinstance(content, bytes) else content.read_bytes()
    archive.writestr(entry, data)
