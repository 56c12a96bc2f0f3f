"""One `run` per run directory, on one machine, on several that share it, or in an object store.

On a file system nobody can take a lock whose holder lives; a run whose lock file was removed, moved
or taken ends before it writes again. No object store can lock: there it is an object that is kept
fresh and looked at, and of two runs that start within a second one ends at the first heartbeat.
"""

import fcntl
import json
import os
import socket
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import psutil

from orchestrator.errors import RunError
from results.errors import ResultsError
from results.store.files import explained, flush_to_disk, make_folder, modified
from results.store.objects import Location

HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 30.0
"""A lock is taken over once its heartbeat is this old, unless its holder is known to live."""
SETTLE_SECONDS = 0.5
"""After a lock was put in an object store: who put one at the same time is seen by then."""
_READS, _READ_PAUSE = 5, 0.02
"""Looks at a lock file that its holder is about to write, and seconds between two of them."""

Holder = dict[str, Any]
"""What a lock says, as JSON of any version holds it: host, pid, started_at, machine, token."""
Check = Callable[..., None]
"""Raises once the lock is lost, as the last heartbeat found or, with `look=True`, as it is now."""


@contextmanager
def held(path: Location) -> Iterator[Check]:
    """Hold the lock at `path`; yields what raises once it is lost. RunError if it is another's.

    A process that dies gives it up at once on its own host, on another when its heartbeat ends.
    """
    lock = _lock(path)
    lock.take()
    ended = threading.Event()
    heart = threading.Thread(target=_beat, args=(lock, ended), daemon=True)
    heart.start()
    try:
        yield lock.check
    finally:
        ended.set()
        heart.join()
        lock.release()


def is_held(path: Location) -> bool:
    """Return whether a run is at work: a lock alone may be left by one that was killed."""
    return _lock(path).is_held()


def _beat(lock: "_Lock", ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT_SECONDS):
        # A file system or a store that does not answer now may do so at the next beat.
        with suppress(ResultsError, OSError):
            lock.beat()


def _lock(path: Location) -> "_Lock":
    return _FileLock(path, _boot()) if isinstance(path, Path) else _ObjectLock(path, _machine())


class _Lock(ABC):
    def __init__(self, path: Location, machine: str | None) -> None:
        self._path = path
        self._ours: Holder = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine,
            "token": uuid.uuid4().hex,
        }
        self._lost = ""

    @abstractmethod
    def take(self) -> None: ...

    @abstractmethod
    def _refresh(self) -> None: ...

    @abstractmethod
    def _may_live(self, holder: Holder) -> bool:
        """Return whether nothing but its heartbeat tells of a holder."""

    def beat(self) -> None:
        self._look()
        if not self._lost:
            self._refresh()

    def check(self, look: bool = False) -> None:
        if look:
            with suppress(ResultsError, OSError):
                self._look()
        if self._lost:
            raise RunError(f"{self._path.parent}: {self._lost}")

    def release(self) -> None:
        with suppress(ResultsError, OSError):
            self._look()
            if not self._lost:
                self._path.unlink(missing_ok=True)

    def holder(self) -> Holder | None:
        with suppress(OSError, ValueError):
            for _ in range(_READS):
                if content := self._path.read_bytes():
                    holder = json.loads(content)
                    return holder if isinstance(holder, dict) else None
                # Its holder is about to write it.
                time.sleep(_READ_PAUSE)
        return None

    def is_held(self) -> bool:
        theirs = self.holder()
        may_live = theirs is not None and self._may_live(theirs)
        # Nothing is written for a look: by this machine's clock.
        return may_live and self._age(time.time()) < STALE_SECONDS

    def _refuse_living(self) -> None:
        theirs = self.holder()
        if theirs is None or not self._may_live(theirs):
            return
        # By the clock of the file system or the store, which all hosts share.
        probe = self._path.parent / f".{self._path.name}.{uuid.uuid4().hex[:8]}"
        probe.write_bytes(b"")
        try:
            now = modified(probe)
        finally:
            probe.unlink(missing_ok=True)
        if self._age(now) < STALE_SECONDS:
            raise self._refusal(theirs)

    def _age(self, now: float) -> float:
        try:
            return now - modified(self._path)
        except FileNotFoundError:
            # Given up just now.
            return STALE_SECONDS

    def _look(self) -> None:
        theirs = None if self._lost else self.holder()
        if theirs and theirs.get("token") != self._ours["token"]:
            self._lost = (
                f"{_named(theirs)} took this run directory over while this run was at work; it "
                "goes on, and this run has ended. Start one run at a time here."
            )

    def _refusal(self, holder: Holder | None) -> RunError:
        return RunError(
            f"{self._path.parent}: {_named(holder or {})} is at work here. Wait for it, stop it, "
            "or choose another --out; `scalestudy status` shows how far it is."
        )


class _FileLock(_Lock):
    """A file that its holder has locked; another host is told by the file's time alone."""

    _path: Path
    _handle = -1

    def take(self) -> None:
        with explained(self._path):
            make_folder(self._path.parent)
            self._handle = self._locked()
            try:
                self._refuse_living()
                os.ftruncate(self._handle, 0)
                os.pwrite(self._handle, json.dumps(self._ours).encode(), 0)
                flush_to_disk(self._handle)
            except BaseException:
                os.close(self._handle)
                raise

    def release(self) -> None:
        super().release()
        os.close(self._handle)

    def is_held(self) -> bool:
        try:
            with self._path.open("rb") as file:
                # For an instant: a run that starts meanwhile must not be refused for a look.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return isinstance(error, BlockingIOError)
        return super().is_held()

    def _refresh(self) -> None:
        os.utime(self._handle)

    def _may_live(self, holder: Holder) -> bool:
        # Two machines may bear one name. On this one the system's own lock tells.
        key = "machine" if holder.get("machine") and self._ours["machine"] else "host"
        return bool(holder.get(key) != self._ours[key])

    def _look(self) -> None:
        super()._look()
        there = -1
        with suppress(FileNotFoundError, NotADirectoryError):
            there = self._path.stat().st_ino
        if not self._lost and there != os.fstat(self._handle).st_ino:
            self._lost = self._gone()

    def _gone(self) -> str:
        place = self._path
        with suppress(OSError):  # not Linux
            place = Path(f"/proc/self/fd/{self._handle}").readlink()
        if place.exists() and place != self._path.absolute():
            return (
                f"the run directory was moved to {place.parent} while this run was at work; its "
                "rows are there, and this run has ended. Start it again with --out naming that "
                "folder."
            )
        what = "run.lock" if self._path.parent.is_dir() else "the run directory"
        return (
            f"{what} was removed or replaced while this run was at work; it has ended, so that no "
            "two runs write. The same command goes on from what is there."
        )

    def _locked(self) -> int:
        for attempt in count(1):
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Whoever held it may have removed the file between our opening and locking it.
                if self._path.exists() and os.fstat(handle).st_ino == self._path.stat().st_ino:
                    return handle
            except (BlockingIOError, FileNotFoundError, PermissionError):
                # Whoever only looks whether a run is at work holds it for an instant.
                if attempt >= _READS:
                    os.close(handle)
                    raise self._refusal(self.holder()) from None
                time.sleep(_READ_PAUSE)
            os.close(handle)
        raise AssertionError("a lock is had, or it is said whose it is")


class _ObjectLock(_Lock):
    def take(self) -> None:
        self._refuse_living()
        self._refresh()
        time.sleep(SETTLE_SECONDS)
        self._look()
        if self._lost or not self.holder():
            raise self._refusal(self.holder())

    def _refresh(self) -> None:
        self._path.write_bytes(json.dumps(self._ours).encode())

    def _may_live(self, holder: Holder) -> bool:
        # Of this machine's processes it is known.
        pid, is_here = holder.get("pid"), holder.get("machine") == self._ours["machine"]
        return not (is_here and isinstance(pid, int)) or psutil.pid_exists(pid)


def _machine() -> str:
    """Return what tells this boot of this machine, and this container on it, from all others."""
    try:
        return f"{_boot()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        # Then nobody counts as dead before the heartbeat ends.
        return uuid.uuid4().hex


def _boot() -> str | None:
    """Return what tells this boot of this machine from all others, None where that is unknown."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return None


def _named(holder: Holder) -> str:
    host, pid, since = (holder.get(key, "unknown") for key in ("host", "pid", "started_at"))
    return f"another run (host {host}, process {pid}, since {since})"
