"""Files that are either whole or absent, whatever happens while they are written."""

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from results.errors import StoreError

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
def explained(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal to write `path` into one sentence."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, f"{error.strerror or error}")
        raise StoreError(
            f"{path} cannot be written: {reason}, then run again (all rows so far are kept)."
        ) from error


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, meets the old content or the new, never a part.

    Raises
    ------
    StoreError
        The file system refuses; the old content is untouched and no scrap is left.
    """
    # A leading dot keeps half-written files out of every reader's glob.
    scrap = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with scrap.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            scrap.replace(path)
        except BaseException:
            scrap.unlink(missing_ok=True)
            raise
        sync(path.parent)


def sync(path: Path) -> None:
    """Make a file's content, or the renames and removals in a folder, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
