"""What a submitted study takes along: itself, these packages, and the files and modules it names.

A relative path of a study file is shipped; an absolute one is read on the cluster.
"""

import ast
import importlib.util
import os
import sys
import sysconfig
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from orchestrator.errors import RunError, StudyError
from orchestrator.study.levels import WeightsLevel
from orchestrator.study.study import Study
from results.phrases import byte_size
from results.store.objects import is_address
from trainables.errors import TrainableError

LARGEST = 100 * 2**20
"""Bytes that Ray's job server takes in one upload (ray-project/ray#55877)."""
_ENTRY_BYTES = 250
"""Bytes that an archive holds of each file besides its content, about."""
_LONGEST_WAY = 200
"""Letters of a text that may name a file."""
STUDY_FILE = "study.yaml"
FILES = "files"
"""Folder of an archive that holds the files a study names."""
_OURS = ("orchestrator", "trainables", "results")
_INSTALLED = {"site-packages", "dist-packages"}
_LEFT = {"__pycache__", "node_modules"}


@dataclass(frozen=True)
class Parcel:
    """What is shipped, by its place in the folder in which the study is run."""

    base: Path
    """The folder that relative paths of the study are taken from."""
    code: dict[str, Path | bytes] = field(default_factory=dict)
    """The study, these packages and the user's own modules: files, or content of a file."""
    files: dict[str, Path] = field(default_factory=dict)
    elsewhere: list[str] = field(default_factory=list)
    """Absolute paths that the study names, which are read on the cluster."""
    needed: list[str] = field(default_factory=list)
    """Names of installed packages that the study names, which the cluster must have."""

    @property
    def size(self) -> int:
        """Bytes of the archive at most; weights and images are not compressed, nor would shrink."""
        return sum(self._sizes().values())

    def _sizes(self) -> dict[str, int]:
        return {
            place: _ENTRY_BYTES + (len(c) if isinstance(c, bytes) else c.stat().st_size)
            for place, c in (self.code | self.files).items()
        }

    def check_size(self) -> None:
        """Refuse a parcel of more than `LARGEST` bytes; name the largest parts and what to do."""
        sizes, parts = self._sizes(), Counter[str]()
        if self.size <= LARGEST:
            return
        for place, size in sizes.items():
            # By their first name below the folders that files keep: those of one folder together.
            parts[place.split("/")[2 if place in self.files else 0]] += size
        listed = ", ".join(f"{part} ({byte_size(size)})" for part, size in parts.most_common(3))
        raise StudyError(
            f"{len(sizes):,} files of {byte_size(self.size)} in all would be "
            f"shipped, and Ray takes at most {byte_size(LARGEST)} with a job; largest: {listed}. "
            "Put them where every node can read them and name them by absolute path: such paths "
            "are read on the cluster and not shipped."
        )

    def write(self, archive: Path) -> None:
        """Write the archive; the same contents make the same bytes, which Ray then has already."""
        with zipfile.ZipFile(archive, "w") as into:
            for place, content in [*sorted(self.code.items()), *sorted(self.files.items())]:
                # Of 1980, as all its kind: when a file was made is no content.
                entry = zipfile.ZipInfo(place)
                entry.external_attr = 0o644 << 16
                data = content if isinstance(content, bytes) else content.read_bytes()
                how = zipfile.ZIP_DEFLATED if place in self.code else zipfile.ZIP_STORED
                into.writestr(entry, data, how)

    def place(self, path: str) -> str:
        """Return where a path is shipped to: its own way down, whatever folder it starts from."""
        if Path(path).is_absolute():
            return path
        parts = Path(os.path.normpath(path)).parts
        ups = parts.count("..")
        return "/".join([FILES, str(ups), *parts[ups:]])

    def take(self, key: str, path: str) -> str:
        """Add the files at a path or a pattern; return the path that holds on the cluster."""
        if Path(path).is_absolute():
            self.elsewhere.append(path)
            return path
        root = (self.base / path).absolute()
        pattern = str(root.relative_to(root.anchor))
        found = [root] if root.exists() else sorted(Path(root.anchor).glob(pattern))
        if not found:
            raise StudyError(
                f"{key}: {path} is not there ({root}). Relative paths are shipped from this "
                "machine; a path on the cluster is named absolutely."
            )
        for entry in found:
            start = PurePosixPath(self.place(os.path.relpath(entry, self.base.absolute())))
            for file in walked(entry):
                self.files[(start / file.relative_to(entry)).as_posix()] = file
        return self.place(path)

    def take_weights(self, level: WeightsLevel, models: list[str]) -> Any:
        """Add the files of weights, one for each model; return the level as it holds there."""
        if level.path is None:
            return level.written()
        named = f"factors.weights: {level.label}"
        for model in models:
            path = Path(str(level.path_for(model)))
            self.take(named, str(path))
            if not path.is_absolute() and (path.suffix == ".json" or "-of-" in path.name):
                from trainables.models.tensors import weight_files

                whole = self.base / path
                try:
                    parts = [*weight_files(whole, level.label), *whole.parent.glob("*.index.json")]
                except TrainableError as error:
                    raise StudyError(str(error)) from error
                for part in parts:
                    self.take(named, os.path.relpath(part, self.base))
        # A path that was its own label keeps it: tables and charts show the label.
        return level.moved(self.place(level.path)).written()


def pack(study: Study, base: Path) -> Parcel:
    """Gather what a study needs where it is run; its relative paths are taken from `base`."""
    models, levels = study.factors["model"], study.factors["weights"]
    beside = [f"{m.partition(':')[2]}-{one.label}.safetensors" for m in models for one in levels]
    modules, installed = own_modules(study.functions, beside)
    parcel, values = Parcel(base, needed=installed), study.written()
    # A simulation reads neither data nor weights, whatever the study says of them.
    if study.trainable != "simulated":
        path = study.data.path
        if isinstance(path, dict):
            values["data"]["path"] = {
                split: parcel.take(f"data.path.{split}", str(part)) for split, part in path.items()
            }
        elif path is not None:
            values["data"]["path"] = parcel.take("data.path", str(path))
        values["factors"]["weights"] = [parcel.take_weights(level, models) for level in levels]
    if study.reuse:
        values["reuse"] = [
            place if is_address(place) else parcel.take("reuse", place) for place in study.reuse
        ]
    declared = yaml.safe_dump(values, sort_keys=False, allow_unicode=True).encode()
    parcel.code.update({**modules, **_packages(), STUDY_FILE: declared})
    return parcel


def _packages() -> dict[str, Path | bytes]:
    root = Path(__file__).parents[2]
    files = (file for package in _OURS for file in walked(root / package))
    shipped: dict[str, Path | bytes] = {file.relative_to(root).as_posix(): file for file in files}
    try:
        about = metadata.distribution("scalestudy")
    except metadata.PackageNotFoundError:
        raise RunError(
            "submit ships what scalestudy needs, and it is not installed in this Python; "
            "pip install it (pip install . in a checkout)."
        ) from None
    if text := about.read_text("METADATA") or about.read_text("PKG-INFO"):
        shipped[f"scalestudy-{about.version}.dist-info/METADATA"] = text.encode()
    return shipped


def own_modules(
    names: Iterable[str], beside: Sequence[str] = ()
) -> tuple[dict[str, Path], list[str]]:
    """Find the files of a user's own modules, and of those that they import; nothing is run.

    Files of names that may lie `beside` a module come along, as those that its code names. Ray
    ships a module that is named to it (`py_modules`), but none that this one imports. Files are
    returned by their place on the module search path, with the packages among those asked for that
    are installed: whoever runs the study needs them too.
    """
    files, installed = dict[str, Path](), list[str]()
    waiting = [(name.partition(":")[0].partition(".")[0], name) for name in names]
    seen = set(_OURS) | sys.stdlib_module_names
    standard = Path(sysconfig.get_path("stdlib"))
    while waiting:
        top, name = waiting.pop()
        if top in seen:
            continue
        seen.add(top)
        spec = None
        with suppress(ImportError, ValueError):
            spec = importlib.util.find_spec(top)
        if spec is None and name:  # else imported by a module, perhaps only where it is there
            raise StudyError(
                f"{name}: no module {top} on the search path here; is its folder on PYTHONPATH?"
            )
        found = (spec.submodule_search_locations or [spec.origin or ""]) if spec else []
        places = [Path(place) for place in found if place]
        if any(_INSTALLED & {*place.parts} or place.is_relative_to(standard) for place in places):
            installed += [top] if name else []
            continue
        own = {
            f"{top}/{file.relative_to(place).as_posix()}" if place.is_dir() else file.name: file
            for place in places
            for file in walked(place)
        }
        files |= own
        for way, file in own.items():
            if file.suffix == ".py":
                imported, texts = _named_in(file)
                waiting += [(used, "") for used in imported]
                files |= _beside(way, file, {*texts, *beside})
    return files, installed


def walked(place: Path) -> Iterator[Path]:
    """Yield a file, or those under a folder in order, but hidden ones and what Python leaves."""
    if place.is_file():
        yield place
    for entry in sorted(place.iterdir()) if place.is_dir() else ():
        if not (entry.name[0] == "." or entry.name in _LEFT or entry.suffix == ".pyc"):
            yield from walked(entry)


def _beside(place: str, script: Path, texts: Iterable[str]) -> dict[str, Path]:
    """Return the files that a module names by their way from its folder: it may well read them."""
    ways = (Path(text) for text in texts if text and len(text) < _LONGEST_WAY)
    return {
        (PurePosixPath(place).parent / way).as_posix(): file
        for way in ways
        if not (way.is_absolute() or ".." in way.parts)
        and (file := script.parent / way).is_file()
        and file.suffix != ".py"
    }


def _named_in(file: Path) -> tuple[set[str], set[str]]:
    """Return the top-level names that a module imports, and the texts in it."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        # It says so itself, once it is called.
        return set(), set()
    names, texts = set[str](), set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.add(node.value)
    return names, texts
