"""A trial's folder: on a disk, or in an object store that every node reaches. Torch-free.

On a disk, what is written is synced and renamed into place; in an object store a put is whole or
absent by itself.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
_PATIENCE = 60.0
_PAUSE = 2.0
"""Seconds for which a store that does not answer is asked again, and between two attempts."""
_PIECE = 2**24


class Folder(Protocol):
    """Files by name, each whole or absent."""

    def names(self) -> list[str]:
        """Return the names of the files, in order; none where there is no folder."""
        ...

    def read(self, name: str) -> bytes:
        """Return a file's content."""
        ...

    def write(self, name: str, write: Callable[[Path], object]) -> None:
        """Write a file: `write` is given the path of a scrap, which then takes the name."""
        ...

    def file(self, name: str) -> AbstractContextManager[Path]:
        """Enter to get a path at which the file can be read."""
        ...

    def rename(self, name: str, other: str) -> None:
        """Give a file another name."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file; nothing where there is none."""
        ...

    def clear(self) -> None:
        """Remove the folder."""
        ...


def open_folder(place: str | Path) -> Folder:
    """Return the folder at a path, or at an address such as `s3://bucket/run/checkpoints/abc`."""
    scheme, separator, rest = str(place).partition("://")
    if not separator:
        return _DiskFolder(Path(place))
    path, _, query = rest.partition("?")
    bucket, _, key = path.partition("/")
    filesystem, root = _connect(f"{scheme}://{bucket}?{query}")
    return _ObjectFolder(filesystem, f"{root}/{key}", f"{scheme}://{path}")


def within(place: str, name: str) -> str:
    """Return the place of a name inside another place."""
    path, question, query = place.partition("?") if "://" in place else (place, "", "")
    return f"{path}/{name}{question}{query}"


class _DiskFolder:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    def names(self) -> list[str]:
        return sorted(file.name for file in self._path.glob("*"))

    def read(self, name: str) -> bytes:
        return (self._path / name).read_bytes()

    def write(self, name: str, write: Callable[[Path], object]) -> None:
        scrap = self._path / f"{name}.writing"
        self._path.mkdir(parents=True, exist_ok=True)
        try:
            write(scrap)
            _sync(scrap)
            scrap.replace(self._path / name)
        except OSError:
            with suppress(OSError):
                scrap.unlink(missing_ok=True)
            raise
        _sync(self._path)

    @contextmanager
    def file(self, name: str) -> Iterator[Path]:
        yield self._path / name

    def rename(self, name: str, other: str) -> None:
        (self._path / name).replace(self._path / other)

    def remove(self, name: str) -> None:
        (self._path / name).unlink(missing_ok=True)

    def clear(self) -> None:
        shutil.rmtree(self._path, ignore_errors=True)


class _ObjectFolder:
    def __init__(self, filesystem: Any, key: str, shown: str) -> None:
        self._filesystem, self._key, self._shown = filesystem, key, shown

    def __str__(self) -> str:
        return self._shown

    def names(self) -> list[str]:
        from pyarrow.fs import FileSelector

        selector = FileSelector(self._key, allow_not_found=True)
        infos = _persistently(lambda: self._filesystem.get_file_info(selector))
        return sorted(info.base_name for info in infos)

    def read(self, name: str) -> bytes:
        def fetch() -> bytes:
            with self._filesystem.open_input_stream(f"{self._key}/{name}") as stream:
                content: bytes = stream.read()
            return content

        return _persistently(fetch)

    def write(self, name: str, write: Callable[[Path], object]) -> None:
        with tempfile.TemporaryDirectory(prefix="scalestudy-") as scratch:
            file = Path(scratch) / name
            write(file)
            _persistently(lambda: self._put(file))

    def _put(self, file: Path) -> None:
        # In pieces: a state may be larger than what memory is left.
        place = f"{self._key}/{file.name}"
        with file.open("rb") as source, self._filesystem.open_output_stream(place) as stream:
            shutil.copyfileobj(source, stream, _PIECE)

    @contextmanager
    def file(self, name: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="scalestudy-") as scratch:
            file = Path(scratch) / name
            _persistently(lambda: self._get(file))
            yield file

    def _get(self, file: Path) -> None:
        place = f"{self._key}/{file.name}"
        with file.open("wb") as target, self._filesystem.open_input_stream(place) as stream:
            shutil.copyfileobj(stream, target, _PIECE)

    def rename(self, name: str, other: str) -> None:
        self._filesystem.move(f"{self._key}/{name}", f"{self._key}/{other}")

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            _persistently(lambda: self._filesystem.delete_file(f"{self._key}/{name}"))

    def clear(self) -> None:
        # What is left takes room and harms nobody; the next run or `clean` removes it.
        with suppress(OSError):
            self._filesystem.delete_dir(self._key)


@cache
def _connect(address: str) -> tuple[Any, str]:
    """Return a pyarrow file system and the bucket; one for all trials of a worker."""
    # Only where there is an object store: the first one takes a second to load.
    from pyarrow.fs import FileSystem

    filesystem, bucket = FileSystem.from_uri(address)
    return filesystem, bucket


def _persistently(ask: Callable[[], T]) -> T:
    """Return what a store answers, asked again for a while: training must not end for a hiccup."""
    ends = time.monotonic() + _PATIENCE
    while True:
        try:
            return ask()
        except FileNotFoundError:
            raise
        except OSError:
            if time.monotonic() > ends:
                raise
        time.sleep(_PAUSE)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
