"""One `run` per run directory, on one machine, on several that share it, or in an object store.

On a file system nobody can take a lock whose holder lives, as long as its file stays there: a run
whose lock file was removed, moved or taken ends before it writes again. No object store that
pyarrow speaks to can lock, so there the lock is advisory: an object that a run keeps fresh, looks
at before it starts and again and again while it runs. Two runs that start within the same second
may both go on until the first heartbeat; then one of them ends.
"""

import fcntl
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import psutil

from orchestrator.errors import RunError
from results.errors import ResultsError
from results.store.files import explained
from results.store.objects import Location, ObjectPath

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
    """Hold the lock at `path`; yields what raises once it is lost.

    A process that dies gives its lock up at once on its own host; on another host, when its
    heartbeat ends. Raises RunError where another run holds it: its host, process and start.
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


def holder(path: Location) -> Holder | None:
    """Return what whoever holds or last held the lock wrote into it; None if unknown."""
    return _lock(path).holder()


def _beat(lock: "_FileLock | _ObjectLock", ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT_SECONDS):
        # A file system or a store that does not answer now may do so at the next beat.
        with suppress(ResultsError, OSError):
            lock.beat()


def _lock(path: Location) -> "_FileLock | _ObjectLock":
    return _FileLock(path) if isinstance(path, Path) else _ObjectLock(path)


class _FileLock:
    """A file that its holder has locked; another host is told by the file's time alone."""

    def __init__(self, path: Path) -> None:
        self._path, self._handle = path, -1
        self._ours = _ours() | {"machine": _boot(), "token": uuid.uuid4().hex}
        self._lost = ""

    def take(self) -> None:
        with explained(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle = self._locked()
            theirs = _read(handle)
            if _is_elsewhere(theirs) and self._age(handle) < STALE_SECONDS:
                os.close(handle)
                raise _refusal(self._path, theirs)
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(self._ours).encode(), 0)
            os.fsync(handle)
        self._handle = handle

    def beat(self) -> None:
        self._look()
        if not self._lost:
            os.utime(self._handle)

    def check(self, look: bool = False) -> None:
        if look:
            with suppress(OSError):
                self._look()
        if self._lost:
            raise RunError(f"{self._path.parent}: {self._lost}")

    def release(self) -> None:
        with suppress(OSError):
            self._look()
        if not self._lost:
            self._path.unlink(missing_ok=True)
        os.close(self._handle)

    def _look(self) -> None:
        """Find out whether the file is still the one that was locked, and says so."""
        if self._lost:
            return
        try:
            content, there = self._path.read_bytes(), self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            self._lost = self._gone()
            return
        theirs = _parsed(content)
        if theirs and theirs.get("token") != self._ours["token"]:
            self._lost = _taken(theirs)
        elif there.st_ino != os.fstat(self._handle).st_ino:
            self._lost = self._gone()

    def _gone(self) -> str:
        try:
            place = Path(f"/proc/self/fd/{self._handle}").readlink()
        except OSError:  # not Linux
            place = self._path
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

    def holder(self) -> Holder | None:
        with suppress(OSError), self._path.open("rb") as file:
            return _read(file.fileno())
        return None

    def is_held(self) -> bool:
        try:
            file = self._path.open("rb")
        except OSError:
            return False
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return True
            # At once: a run that starts meanwhile must not be refused for a look.
            fcntl.flock(file, fcntl.LOCK_UN)
            # Nothing is written where a look is all that was asked for: by this machine's clock.
            age = time.time() - os.fstat(file.fileno()).st_mtime
            return _is_elsewhere(_read(file.fileno())) and age < STALE_SECONDS

    def _locked(self) -> int:
        """Return the opened and locked file."""
        for attempt in count(1):
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                theirs = _read(handle)
                os.close(handle)
                # Whoever only looks whether a run is at work holds it for an instant.
                if attempt < _READS:
                    time.sleep(_READ_PAUSE)
                    continue
                raise _refusal(self._path, theirs) from None
            # Whoever held it may have removed the file between our opening and locking it.
            if self._path.exists() and os.fstat(handle).st_ino == self._path.stat().st_ino:
                return handle
            os.close(handle)
        raise AssertionError("a lock is had, or it is said whose it is")

    def _age(self, handle: int) -> float:
        """Return the heartbeat's age by the file system's own clock, which all hosts share."""
        probe = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        probe.touch()
        try:
            return probe.stat().st_mtime - os.fstat(handle).st_mtime
        finally:
            probe.unlink(missing_ok=True)


class _ObjectLock:
    """An object that says whose it is."""

    def __init__(self, path: ObjectPath) -> None:
        self._path = path
        self._ours = _ours() | {"machine": _machine(), "token": uuid.uuid4().hex}
        self._lost: Holder | None = None

    def take(self) -> None:
        theirs = self.holder()
        if self._is_alive(theirs) and self._age(self._now()) < STALE_SECONDS:
            raise _refusal(self._path, theirs)
        self._put()
        time.sleep(SETTLE_SECONDS)
        theirs = self.holder()
        if not self._is_ours(theirs):
            raise _refusal(self._path, theirs)

    def beat(self) -> None:
        holder = self.holder()
        if holder is not None and not self._is_ours(holder):
            self._lost = holder
        if not self._lost:
            self._put()

    def check(self, look: bool = False) -> None:
        if self._lost:
            raise RunError(f"{self._path.parent}: {_taken(self._lost)}")

    def release(self) -> None:
        with suppress(ResultsError, OSError):
            if not self._lost and self._is_ours(self.holder()):
                self._path.unlink(missing_ok=True)

    def holder(self) -> Holder | None:
        try:
            return _parsed(self._path.read_bytes())
        except FileNotFoundError:
            return None

    def is_held(self) -> bool:
        # Nothing is written where a look is all that was asked for: by this machine's clock.
        return self._is_alive(self.holder()) and self._age(time.time()) < STALE_SECONDS

    def _put(self) -> None:
        self._path.write_bytes(json.dumps(self._ours).encode())

    def _is_ours(self, holder: Holder | None) -> bool:
        return holder is not None and holder.get("token") == self._ours["token"]

    def _is_alive(self, holder: Holder | None) -> bool:
        """Return whether there is a holder that is not a process of this machine that has ended."""
        if holder is None:
            return False
        pid = holder.get("pid")
        is_here = holder.get("machine") == _machine()
        return not (is_here and isinstance(pid, int)) or psutil.pid_exists(pid)

    def _now(self) -> float:
        """Return the time by the store's own clock, which all hosts share."""
        probe = self._path.parent / f".{self._path.name}.{uuid.uuid4().hex[:8]}"
        probe.write_bytes(b"")
        try:
            return probe.modified()
        finally:
            probe.unlink(missing_ok=True)

    def _age(self, now: float) -> float:
        try:
            return now - self._path.modified()
        except FileNotFoundError:
            # Given up just now.
            return STALE_SECONDS


def _ours() -> Holder:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _machine() -> str:
    """Return what tells this boot of this machine, and this container on it, from all others."""
    try:
        return f"{_boot()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        # Then nobody counts as dead before the heartbeat ends.
        return uuid.uuid4().hex


def _boot() -> str | None:
    """Return what tells this boot of this machine from all others, None where that is unknown."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def _read(handle: int) -> Holder | None:
    """Return what a lock file says; None where it says nothing, or is empty for too long."""
    for _ in range(_READS):
        content = os.pread(handle, 4096, 0)
        if content:
            return _parsed(content)
        time.sleep(_READ_PAUSE)
    return None


def _is_elsewhere(holder: Holder | None) -> bool:
    """Return whether the system's own lock says nothing of a holder: it is on another machine."""
    if holder is None:
        return False
    # Two machines may bear one name.
    if holder.get("machine") and (boot := _boot()):
        return bool(holder["machine"] != boot)
    return bool(holder.get("host") != socket.gethostname())


def _taken(holder: Holder) -> str:
    return (
        f"{_named(holder)} took this run directory over while this run was at work; it goes on, "
        "and this run has ended. Start one run at a time here."
    )


def _parsed(content: bytes) -> Holder | None:
    try:
        holder = json.loads(content)
    except ValueError:
        return None
    return holder if isinstance(holder, dict) else None


def _refusal(path: Location, holder: Holder | None) -> RunError:
    return RunError(
        f"{path.parent}: {_named(holder or {})} is at work here. "
        "Wait for it, stop it, or choose another --out; `scalestudy status` shows how far it is."
    )


def _named(holder: Holder) -> str:
    host, pid, since = (holder.get(key, "unknown") for key in ("host", "pid", "started_at"))
    return f"another run (host {host}, process {pid}, since {since})"
