"""Every call of this process that changes files below a folder: counted, noted, made to fail.

Python's own calls are stood in for, and the three ways around them that the product takes: Parquet
written to a path by Arrow, `renameat2`, and files opened by number. One thread is assumed.
"""

import builtins
import errno
import io
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from results.store import merging

FAULTS = {
    "kill": None,
    "ENOSPC": errno.ENOSPC,
    "EIO": errno.EIO,
    "short": errno.ENOSPC,
}
"""What a call may meet; `short` are writes that end in the middle, for want of room."""
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclass
class Event:
    """One call: its name, the file it changes, and another or the place, and what is written."""

    name: str
    path: str
    other: str = ""
    content: bytes = b""


@dataclass
class Calls:
    """The calls below a folder.

    `at` is the number of the call, from 1, that `fault` befalls, 0 for none. With `noting`, every
    call is kept with what it wrote, and what `mark` notes in between.
    """

    folder: str
    at: int = 0
    fault: str = "kill"
    noting: bool = False
    count: int = 0
    names: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def install(self) -> None:
        """Stand in for the calls of this process, until its end."""
        for name in ("mkdir", "rmdir", "unlink", "remove", "truncate", "utime", "ftruncate"):
            setattr(os, name, self._one(name, getattr(os, name)))
        for name in ("rename", "replace", "link"):
            setattr(os, name, self._two(name, getattr(os, name)))
        os.fsync = self._one("fsync", lambda _: None)  # type: ignore[assignment]
        os.open = self._opened(os.open)  # type: ignore[assignment]
        os.pwrite = self._pwrite(os.pwrite)  # type: ignore[assignment]
        io.open = builtins.open = self._file(io.open)  # type: ignore[assignment]
        pq.ParquetWriter = self._writer(pq.ParquetWriter)
        exchange = merging._exchange

        def exchanging(one: Path, other: Path) -> bool:
            event = Event("exchange", str(one), str(other))
            try:
                self._meet(event)
            except OSError:
                return False
            done = exchange(one, other)
            self._note(event if done else Event("", ""))
            return done

        merging._exchange = exchanging

    def mark(self, content: bytes) -> None:
        """Note something between two calls."""
        self.events.append(Event("mark", "", content=content))

    def _meet(self, event: Event) -> bytes | None:
        """Count a call; fail where it is the one. Returns what a short write still writes."""
        if not self._is_ours(event):
            return None
        self.count += 1
        self.names.append(event.name)
        if self.count != self.at:
            return None
        if self.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault != "short":
            number = FAULTS[self.fault]
            assert number
            raise OSError(number, os.strerror(number), event.path)
        return event.content[: len(event.content) // 2] if event.content else None

    def _is_ours(self, event: Event) -> bool:
        return event.path.startswith(self.folder) or event.other.startswith(self.folder)

    def _note(self, event: Event) -> None:
        """Keep a call that did what it was to do."""
        if self.noting and self.folder in (
            event.path[: len(self.folder)],
            event.other[: len(self.folder)],
        ):
            self.events.append(event)

    def _path(self, place: Any, dir_fd: int | None = None) -> str:
        if isinstance(place, int):
            return str(Path(f"/proc/self/fd/{place}").readlink())
        path = os.fsdecode(place)
        if dir_fd is not None:
            return f"{Path(f'/proc/self/fd/{dir_fd}').readlink()}/{path}"
        return os.path.abspath(path)  # noqa: PTH100

    def _one(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def calling(place: Any, *more: Any, dir_fd: int | None = None, **named: Any) -> Any:
            path = self._path(place, dir_fd)
            event = Event(name, path)
            self._meet(event)
            if dir_fd is not None:
                named["dir_fd"] = dir_fd
            answer = call(place, *more, **named)
            self._note(event)
            return answer

        return calling

    def _two(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def calling(one: Any, other: Any, **named: Any) -> Any:
            event = Event(name, self._path(one), self._path(other))
            self._meet(event)
            answer = call(one, other, **named)
            self._note(event)
            return answer

        return calling

    def _opened(self, call: Callable[..., int]) -> Callable[..., int]:
        def opening(place: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            if not flags & _WRITES:
                return call(place, flags, mode, dir_fd=dir_fd)
            event = Event("open", self._path(place, dir_fd))
            self._meet(event)
            answer = call(place, flags, mode, dir_fd=dir_fd)
            self._note(event)
            return answer

        return opening

    def _pwrite(self, call: Callable[..., int]) -> Callable[..., int]:
        def writing(handle: int, content: bytes, offset: int) -> int:
            event = Event("write", self._path(handle), str(offset), bytes(content))
            half = self._meet(event)
            written = call(handle, content if half is None else half, offset)
            self._note(event)
            return written

        return writing

    def _file(self, call: Callable[..., Any]) -> Callable[..., Any]:
        calls = self

        class Raw(io.FileIO):
            def write(self, content: Any) -> int:
                whole, place = bytes(content), self.tell()
                event = Event("write", os.fsdecode(self.name), str(place), whole)
                half = calls._meet(event)
                if half is None:
                    calls._note(event)
                    return super().write(content) or 0
                super().write(half)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def opening(
            file: Any,
            mode: str = "r",
            buffering: int = -1,
            encoding: str | None = None,
            errors: str | None = None,
            newline: str | None = None,
            closefd: bool = True,
            opener: Any = None,
        ) -> Any:
            reads = not set(mode) & set("wax+")
            if reads or opener or isinstance(file, int):
                return call(file, mode, buffering, encoding, errors, newline, closefd, opener)
            path = self._path(file)
            if not path.startswith(self.folder):
                return call(file, mode, buffering, encoding, errors, newline, closefd, opener)
            before = os.path.exists(path)  # noqa: PTH110
            name = "open" if before and "w" not in mode else "create"
            event = Event(name, path)
            self._meet(event)
            calls._note(event)
            raw = Raw(path, mode.replace("b", "").replace("t", ""))
            buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            if "b" in mode:
                return buffered
            return io.TextIOWrapper(buffered, encoding or "utf-8", errors, newline)

        return opening

    def _writer(self, writer: Any) -> Any:
        calls = self

        class Writing(writer):  # type: ignore[misc]
            def __init__(self, where: Any, *given: Any, **named: Any) -> None:
                self._path = str(where) if isinstance(where, str | Path) else ""
                calls._meet(Event("create", self._path))
                super().__init__(where, *given, **named)
                calls._note(Event("create", self._path))

            def write_table(self, *given: Any, **named: Any) -> None:
                half = calls._meet(Event("parquet", self._path, content=b"rows"))
                super().write_table(*given, **named)
                if half is not None:
                    # Arrow has written some of it, and says so when it ends.
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            def close(self) -> None:
                was_open = self.is_open
                if was_open:
                    calls._meet(Event("parquet", self._path))
                super().close()
                if was_open and self._path:
                    content = Path(self._path).read_bytes()
                    calls._note(Event("write", self._path, "0", content))

        return Writing
