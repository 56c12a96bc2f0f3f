"""The folder that keeps decoded images, and what is known of a data set."""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from results.errors import StoreError
from results.store.files import sync, write_whole
from trainables.errors import DataError

T = TypeVar("T")
FOLDER_VARIABLE = "SCALESTUDY_CACHE"
SETTLED_SECONDS = 3.0
"""A file changed more recently may change again within the same tick of the file system's clock."""

_checked: set[Path] = set()
"""Entries that this process has compared with their checksums."""


def cache_folder() -> Path:
    """Return the folder: `$SCALESTUDY_CACHE`, else scalestudy in `$XDG_CACHE_HOME` or ~/.cache.

    A user who has no home, or none to write to, has a folder among the temporary ones.
    """
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named).expanduser().absolute()
    # Where nobody knows a home, the ~ stays, which is no place.
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    folder = Path(base) / "scalestudy"
    there = next((place for place in (folder, *folder.parents) if os.access(place, os.F_OK)), None)
    if folder.is_absolute() and there and os.access(there, os.W_OK | os.X_OK):
        return folder
    spare = Path(tempfile.gettempdir()) / f"scalestudy-{os.getuid()}"
    with suppress(OSError):
        spare.mkdir(mode=0o700, exist_ok=True)
        # Another user may have made it, to have their own content read.
        if spare.lstat().st_uid == os.getuid():
            return spare
    return folder


def unwritable(problem: OSError) -> DataError:
    """Return the error of a cache folder that cannot be written to."""
    mend = f"free some room there or set {FOLDER_VARIABLE} to another folder"
    return DataError(f"cache folder {cache_folder()}: {problem.strerror or problem}; {mend}")


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a lock against all else on this node; however the process ends, it is released."""
    try:
        folder = cache_folder() / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / name).open("a")
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError as problem:
        raise unwritable(problem) from problem
    with handle:
        yield


@contextmanager
def replacing(entry: Path) -> Iterator[Path]:
    """Give an empty folder that becomes `entry` when the block ends, and vanishes when it raises.

    Enter it under a lock named for the entry. Processes that have an earlier entry's files mapped
    keep what they see.
    """
    entry.parent.mkdir(parents=True, exist_ok=True)
    for left in entry.parent.glob(f".{entry.name}.*"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{entry.name}.", dir=entry.parent))
    try:
        yield fresh
        for file in (*fresh.iterdir(), fresh):
            sync(file)
        if entry.exists():
            entry.rename(Path(tempfile.mkdtemp(prefix=f".{entry.name}.", dir=entry.parent)) / "old")
        fresh.rename(entry)
        sync(entry.parent)
    finally:
        for left in entry.parent.glob(f".{entry.name}.*"):
            shutil.rmtree(left, ignore_errors=True)


def kept(
    entry: Path,
    read: Callable[[Path], T | None],
    write: Callable[[Path], None],
    *,
    anew: bool = False,
) -> T:
    """Return what an entry holds, written first where this node has not done it yet.

    `read` returns None where it is not whole, `write` fills an empty folder; processes that want
    the same wait for one. `anew` writes what is there already too. Raises DataError where the
    cache folder has no room.
    """
    if not anew and (known := read(entry)) is not None:
        return known
    with locked(entry.name):
        known = None if anew else read(entry)  # written by another process meanwhile
        if known is None:
            try:
                with replacing(entry) as folder:
                    write(folder)
            except OSError as problem:
                raise unwritable(problem) from problem
            known = read(entry)
    if known is None:
        raise DataError(f"{entry}: damaged just after it was written; check the disk")
    return known


def is_as_written(entry: Path, checksums: Mapping[str, int]) -> bool:
    """Return whether an entry's files have these checksums, compared once in each process."""
    sums = checksums.items()
    if entry not in _checked and all(checksum(entry / name) == value for name, value in sums):
        _checked.add(entry)
    return entry in _checked


def checksum(file: Path) -> int:
    """Return the CRC-32 of a file's content."""
    found = 0
    with file.open("rb") as opened:
        while piece := opened.read(2**20):
            found = zlib.crc32(piece, found)
    return found


def sealed_json(content: object) -> bytes:
    """Return what a file of facts holds: a checksum, and the JSON that it is of."""
    text = json.dumps(content).encode()
    return b"%08x %s" % (zlib.crc32(text), text)


def opened_json(content: bytes) -> Any:
    """Return what `sealed_json` was given, or older JSON; ValueError where it was changed."""
    if content[:1] in (b"[", b"{"):
        return json.loads(content)
    written, _, text = content.partition(b" ")
    if written != b"%08x" % zlib.crc32(text):
        raise ValueError("not as it was written")
    return json.loads(text)


def evidence_key(evidence: Sequence[Path], *more: object) -> str | None:
    """Return a key that changes when one of the files does; None while one is too fresh or absent.

    The files' names, sizes, times and inodes stand for their content, as in git's index. A change
    counts once it is settled; whatever else is given changes the key too. No file, no key.
    """
    digest = hashlib.sha256(repr(more).encode())
    try:
        for path in evidence:
            state = path.stat()
            changed = max(state.st_mtime_ns, state.st_ctime_ns)
            if changed > time.time_ns() - SETTLED_SECONDS * 1e9:
                return None
            signs = (str(path), state.st_size, changed, state.st_mtime_ns, state.st_ino)
            digest.update(repr(signs).encode())
    except OSError:
        return None
    return digest.hexdigest()[:32] if evidence else None


def remember(key: str, facts: Mapping[str, object]) -> None:
    """Keep facts that JSON can hold under a key; do nothing where they cannot be written."""
    with suppress(StoreError):
        write_whole(_memory(key), sealed_json(facts))


def recall(key: str) -> dict[str, Any] | None:
    """Return what was remembered under a key, or None."""
    with suppress(OSError, ValueError):
        facts = opened_json(_memory(key).read_bytes())
        return facts if isinstance(facts, dict) else None
    return None


def _memory(key: str) -> Path:
    return cache_folder() / "inspected" / f"{key}.json"
