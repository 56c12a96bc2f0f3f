"""The tensors of a weights file, by name: what it is shows in its content, not in its suffix.

No code in a file is ever executed: torch reads it with `weights_only`, and what else it holds is
refused by name, but for plain values (namespaces, dates, paths, numbers), which run nothing.
"""

import argparse
import hashlib
import json
import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from pathlib import Path, PurePath
from types import SimpleNamespace
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from trainables.errors import WeightsError

LEVEL = "/"
"""Stands between the keys of nested mappings, as a dot does between the parts of a name."""

_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""Beginning of what torch.save wrote before version 1.6: a magic number, pickled."""
_STRANGERS = (
    (b"version https://git-lfs", "is a git-LFS pointer, not the weights; run `git lfs pull` there"),
    (b"<", "is a web page that was saved instead of the weights; download them again"),
    (b"{", "is text; of weights in parts, name the .index.json or the folder"),
    (b"\x1f\x8b", "is compressed with gzip; unpack it"),
    (b"\x89HDF", "is an HDF5 file as Keras writes it; save a PyTorch model's state_dict()"),
    (b"\x93NUMPY", "is an array of NumPy; save a PyTorch model's state_dict()"),
    (b"\x80", "is a plain pickle, which could run code; save the state_dict() by torch.save"),
)
"""Beginnings of files that are no weights, and what is said of them."""
_ARCHIVE = "is a zip archive that torch.save did not write; unpack it"
_INDEX = ".index.json"
_WHOLE = ("model.safetensors", "pytorch_model.bin")
"""Names of the weights in a folder of Hugging Face, with an index where they are in parts."""


def weight_files(path: Path, label: str) -> list[Path]:
    """Return the files of the weights at a path, all parts of one; WeightsError: none, or which?"""
    if path.is_dir():
        path = _in_folder(path, label)
    part = re.fullmatch(r"(.+)-\d{5}-of-\d{5}(\.\w+)", path.name)
    if part and path.with_name(f"{part[1]}{part[2]}{_INDEX}").exists():
        path = path.with_name(f"{part[1]}{part[2]}{_INDEX}")
    if not path.name.endswith(_INDEX):
        return [path]
    try:
        names = {str(name) for name in json.loads(path.read_bytes())["weight_map"].values()}
    except OSError as error:
        raise unreadable(path, label, error) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _refused(path, label, "is no index of weights in parts (no weight_map)") from error
    return [path.with_name(name) for name in sorted(names)]


def digest(path: Path, label: str) -> str:
    """Return the SHA-256 of the weights at a path; of several files, that of all their hashes."""
    try:
        found = []
        for file in weight_files(path, label):
            stat = file.stat()
            found.append(_digest(file, stat.st_size, stat.st_mtime_ns))
    except OSError as error:
        raise unreadable(Path(error.filename or path), label, error) from error
    return found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest()


def read_tensors(path: Path, label: str) -> dict[str, Tensor]:
    """Return every tensor at a path, by its name behind the keys of the mappings it lies in.

    In `state_dict/conv1.weight`, the file holds a mapping `state_dict`. Raises WeightsError, which
    says what the file is where it holds no weights.
    """
    found: dict[str, Tensor] = {}
    for file in weight_files(path, label):
        try:
            found |= _walk(_content(file, label))
        except OSError as error:
            raise unreadable(file, label, error) from error
    if not found:
        raise _refused(path, label, "holds no tensors by name, hence no state dict")
    return found


def unreadable(file: Path, label: str, error: OSError) -> WeightsError:
    """Return the error for a file that the system cannot read."""
    reason = error.strerror or str(error)
    return WeightsError(f"weights {label}: {file} cannot be read ({reason}); check the path")


def _refused(file: Path, label: str, why: str) -> WeightsError:
    return WeightsError(f"weights {label}: {file} {why}")


def _in_folder(folder: Path, label: str) -> Path:
    for name in _WHOLE:
        for candidate in (f"{name}{_INDEX}", name):
            if (folder / candidate).exists():
                return folder / candidate
    files = [file for file in sorted(folder.iterdir()) if file.is_file() and _kind(_start(file))]
    if len(files) == 1:
        return files[0]
    names = ", ".join(file.name for file in files[:6])
    why = f"holds several files of weights ({names}); name one" if files else "holds no weights"
    raise _refused(folder, label, f"is a folder that {why}")


def _start(file: Path) -> bytes:
    with file.open("rb") as handle:
        return handle.read(512)


def _kind(start: bytes) -> str | None:
    if start[8:9] == b"{":
        return "safetensors"
    return "torch" if start.startswith((b"PK\x03\x04", _LEGACY)) else None


def _content(file: Path, label: str) -> Any:
    start = _start(file)
    kind = _kind(start)
    if kind is None:
        begin = start.lstrip().lower() if start[:1].isspace() else start
        known = (why for sign, why in _STRANGERS if begin.startswith(sign))
        tar = "is a tar archive; unpack it" if start[257:262] == b"ustar" else None
        other = "is no weights file: torch.save's and safetensors are read"
        why = "is damaged: it is empty" if not start else tar or next(known, other)
        raise _refused(file, label, why)
    try:
        if kind == "safetensors":
            return safetensors.torch.load_file(file)
        if start.startswith(b"PK"):
            _refuse_programs(file, label)
        with torch.serialization.safe_globals(_harmless()):
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        thing = f"a {named[1]}" if named else "objects of Python's"
        said = f"is refused: it is damaged, or holds {thing} beside tensors, which could run code"
        mend = "torch.load(…, weights_only=False) it yourself, and torch.save the state_dict()"
        raise _refused(file, label, f"{said}; where you trust it, {mend} alone") from error
    except (WeightsError, OSError, MemoryError):
        raise
    except Exception as error:  # whatever a damaged file makes of a reader
        reason = str(error).splitlines()[0] if str(error) else "it ends early"
        why = f"is damaged ({reason}); fetch or save it again"
        raise _refused(file, label, why) from error


def _refuse_programs(file: Path, label: str) -> None:
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
    for sign, kind in (("/constants.pkl", "TorchScript"), ("archive_format", "of torch.export")):
        if any(name.endswith(sign) for name in names):
            why = f"is {kind}, a program and not only weights; save the model's state_dict()"
            raise _refused(file, label, why)
    if not any(name.endswith("data.pkl") for name in names):
        kinds = {Path(name).suffix for name in names}
        other = "holds arrays of NumPy" if kinds == {".npy"} else "is a model of Keras"
        is_known = kinds == {".npy"} or "model.weights.h5" in names
        why = f"{other}; save a PyTorch model's state_dict()" if is_known else _ARCHIVE
        raise _refused(file, label, why)


@lru_cache(maxsize=1)
def _harmless() -> list[Any]:
    """Return what a file may hold beside tensors: plain values that run nothing."""
    scalar, rebuild = np.float64(0).__reduce__()[0], np.zeros(1).__reduce__()[0]
    kinds = [np.dtype(kind) for kind in "?bhilqBHILQefdgUS"]
    cores = ("numpy.core.multiarray", "numpy._core.multiarray")  # before and since NumPy 2
    # Of whichever system: a path is only its text.
    paths = ("PurePath", "PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")
    return [
        *(argparse.Namespace, SimpleNamespace, datetime, date, timedelta, timezone),
        *(type(torch.__version__), np.dtype, np.ndarray, list, dict, int, float, frozenset),
        *(each for kind in kinds for each in (type(kind), kind.type)),
        (lambda *_: {}, "collections.defaultdict"),
        *((PurePath, f"{at}.{path}") for at in ("pathlib", "pathlib._local") for path in paths),
        *((scalar, f"{core}.scalar") for core in cores),
        *((rebuild, f"{core}._reconstruct") for core in cores),
    ]


def _walk(content: Any, place: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(content, list | tuple):
        content = dict(enumerate(content))
    for key, value in content.items() if isinstance(content, Mapping) else ():
        if isinstance(value, Tensor):
            yield f"{place}{key}", value
        elif isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            yield f"{place}{key}", torch.from_numpy(np.array(value))
        else:
            yield from _walk(value, f"{place}{key}{LEVEL}")


@lru_cache(maxsize=256)
def _digest(file: Path, size: int, changed: int) -> str:
    """Return the SHA-256 of a file; size and time of change tell contents apart in the cache."""
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
