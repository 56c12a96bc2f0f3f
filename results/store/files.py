"""Files that are either whole or absent, whatever happens while they are written.

What a file system and an object store do in different ways is done here, for either place.
"""

import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from results.errors import StoreError
from results.store.objects import Location, ObjectPath

_REASONS = {
    errno.ENOSPC: "the disk is full; make room",
    errno.EDQUOT: "the disk quota is used up; make room",
    errno.EROFS: "the file system is read-only; choose another --out",
    errno.EACCES: "permission is denied; choose another --out, or mend the folder's permissions",
    errno.EPERM: "permission is denied; choose another --out, or mend the folder's permissions",
    errno.EEXIST: "a file stands where a folder is needed; choose another --out",
    errno.ENOTDIR: "a file stands where a folder is needed; choose another --out",
}


@contextmanager
def explained(path: Location) -> Iterator[None]:
    """Turn an operating system's refusal to write `path` into one sentence."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, f"{error.strerror or error}; mend that")
        raise StoreError(
            f"{path} cannot be written: {reason}, then run again (all rows so far are kept)."
        ) from error


def write_whole(path: Location, content: bytes) -> None:
    """Write a file so that a reader or a crash meets the old content or the new, never a part.

    Raises StoreError where the place refuses; the old content stays and no scrap is left.
    """
    if isinstance(path, ObjectPath):
        # A put is whole or absent by itself.
        path.write_bytes(content)
        return
    # A leading dot keeps half-written files out of every reader's glob.
    scrap = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    with explained(path):
        make_folder(path.parent)
        try:
            scrap.write_bytes(content)
            sync(scrap)
            scrap.replace(path)
        except BaseException:
            scrap.unlink(missing_ok=True)
            raise
        sync(path.parent)


def move(file: Location, target: Location) -> None:
    """Give a file another place in the same run directory; its folder is made where needed."""
    if isinstance(file, ObjectPath) and isinstance(target, ObjectPath):
        file.move(target)
    elif isinstance(file, Path) and isinstance(target, Path):
        with explained(target):
            make_folder(target.parent)
            file.replace(target)
    else:
        raise TypeError("a run directory lies in one place")


def remove(place: Location) -> None:
    """Remove a file, or a folder with all in it; do nothing where there is none."""
    if not place.is_dir():
        place.unlink(missing_ok=True)
    elif isinstance(place, Path):
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.remove()


def size(place: Location) -> int:
    """Return the size in bytes of a file, or of all files in a folder."""
    if isinstance(place, ObjectPath):
        return sum(info.size or 0 for info in [*place.below(recursive=True), place.info()])
    files = place.rglob("*") if place.is_dir() else [place]
    return sum(file.stat().st_size for file in files if file.is_file())


def modified(place: Location) -> float:
    """Return when a file was last written, by its place's clock (s); FileNotFoundError if none."""
    if isinstance(place, Path):
        return place.stat().st_mtime
    if (nanoseconds := place.info().mtime_ns) is None:
        raise FileNotFoundError(str(place))
    return float(nanoseconds) / 1e9


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, so that they survive a power cut."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


def sync(path: Path) -> None:
    """Make a file's content, or the renames and removals in a folder, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        flush_to_disk(handle)
    finally:
        os.close(handle)


def flush_to_disk(handle: int) -> None:
    """Have the system write what it holds of a file to the disk itself."""
    if hasattr(fcntl, "F_FULLFSYNC"):
        # On macOS an fsync ends once the disk has it, in a memory of its own.
        fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
    else:
        os.fsync(handle)
