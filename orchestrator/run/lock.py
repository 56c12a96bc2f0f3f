"""One `run` per run directory, on one machine or on several that share it."""

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.errors import RunError
from orchestrator.run import advisory
from orchestrator.run.advisory import HEARTBEAT_SECONDS, STALE_SECONDS, refusal
from results.store.files import explained
from results.store.objects import Location, ObjectPath


@contextmanager
def held(path: Location) -> Iterator[Callable[[], None]]:
    """Hold the lock at `path`; yields what raises once another run has taken it.

    A process that dies gives its lock up at once on its own host; on another host, when its
    heartbeat ends. On a file system nobody can take a lock whose holder lives.

    Raises
    ------
    RunError
        Another run holds it; the message names its host, process and start.
    """
    with _held_file(path) if isinstance(path, Path) else advisory.held(path) as check:
        yield check


@contextmanager
def _held_file(path: Path) -> Iterator[Callable[[], None]]:
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = _open(path)
    ended = threading.Event()
    beat = threading.Thread(target=_beat, args=(handle, ended), daemon=True)
    beat.start()
    try:
        yield lambda: None
    finally:
        ended.set()
        beat.join()
        path.unlink(missing_ok=True)
        os.close(handle)


def is_held(path: Location) -> bool:
    """Return whether a run is at work: a lock file alone may be left by one that was killed."""
    if isinstance(path, ObjectPath):
        return advisory.is_held(path)
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        holder = _holder(handle)
        if holder is None or holder.get("host") == socket.gethostname():
            return False
        # Nothing is written where a look is all that was asked for: by this machine's clock.
        return time.time() - os.fstat(handle).st_mtime < STALE_SECONDS
    except OSError:
        return True
    finally:
        os.close(handle)


def holder(path: Location) -> dict[str, Any] | None:
    """Return host, pid and started_at of whoever holds or last held the lock; None if unknown."""
    if isinstance(path, ObjectPath):
        return advisory.holder_of(path)
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        return _holder(handle)
    finally:
        os.close(handle)


def _open(path: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = _holder(handle)
            os.close(handle)
            raise RunError(refusal(path.parent, holder)) from None
        # Whoever held it may have removed the file between our opening and locking it.
        if path.exists() and os.fstat(handle).st_ino == path.stat().st_ino:
            break
        os.close(handle)
    holder = _holder(handle)
    if holder and holder.get("host") != socket.gethostname() and _age(handle, path) < STALE_SECONDS:
        os.close(handle)
        raise RunError(refusal(path.parent, holder))
    ours = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps(ours).encode(), 0)
    os.fsync(handle)
    return handle


def _beat(handle: int, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT_SECONDS):
        os.utime(handle)


def _age(handle: int, path: Path) -> float:
    """Return the heartbeat's age by the file system's own clock, which all hosts share."""
    probe = path.with_name(f".{path.name}.{os.getpid()}")
    probe.touch()
    try:
        return probe.stat().st_mtime - os.fstat(handle).st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _holder(handle: int) -> dict[str, Any] | None:
    for _ in range(5):
        content = os.pread(handle, 4096, 0)
        if content:
            try:
                holder = json.loads(content)
            except ValueError:
                return None
            return holder if isinstance(holder, dict) else None
        time.sleep(0.02)
    return None
