"""One `run` per run directory in an object store, as far as that can be had there.

No object store that pyarrow speaks to can lock, so the lock is advisory: an object that a run keeps
fresh, looks at before it starts and again and again while it runs. Two runs that start within the
same second may both go on until the first heartbeat; then one of them ends.
"""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.errors import RunError
from results.errors import ResultsError
from results.store.objects import ObjectPath

HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 30.0
"""A lock is taken over once its heartbeat is this old."""
SETTLE_SECONDS = 0.5
"""After a lock was put: who put one at the same time is seen by then."""


@contextmanager
def held(path: ObjectPath) -> Iterator[Callable[[], None]]:
    """Hold the lock object at `path`; yields what raises once another run has taken it.

    Raises
    ------
    RunError
        Another run holds it; the message names its host, process and start.
    """
    ours = _ours()
    _take(path, ours)
    lost: list[dict[str, Any]] = []
    ended = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, ours, lost, ended), daemon=True)
    beat.start()

    def check() -> None:
        if lost:
            raise RunError(
                f"{path.parent}: {_named(lost[0])} took this run directory over while this run "
                "was at work; it goes on, and this run has ended. Start one run at a time here."
            )

    try:
        yield check
    finally:
        ended.set()
        beat.join()
        with suppress(ResultsError, OSError):
            if not lost and _is_ours(holder_of(path), ours):
                path.unlink(missing_ok=True)


def is_held(path: ObjectPath) -> bool:
    """Return whether a run is at work: a lock object alone may be left by one that was killed."""
    holder = holder_of(path)
    # Nothing is written where a look is all that was asked for: by this machine's clock.
    return holder is not None and not _is_dead(holder) and _age(path, time.time()) < STALE_SECONDS


def refusal(place: object, holder: dict[str, Any] | None) -> str:
    """Return why a run may not begin where another one is at work."""
    return (
        f"{place}: {_named(holder or {})} is at work here. "
        "Wait for it, stop it, or choose another --out; `scalestudy status` shows how far it is."
    )


def _named(holder: dict[str, Any]) -> str:
    host, pid, since = (holder.get(key, "unknown") for key in ("host", "pid", "started_at"))
    return f"another run (host {host}, process {pid}, since {since})"


def _ours() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": _machine(),
        "token": uuid.uuid4().hex,
    }


def _take(path: ObjectPath, ours: dict[str, Any]) -> None:
    holder = holder_of(path)
    if holder is not None and not _is_dead(holder) and _age(path, _now(path)) < STALE_SECONDS:
        raise RunError(refusal(path.parent, holder))
    path.write_bytes(json.dumps(ours).encode())
    time.sleep(SETTLE_SECONDS)
    holder = holder_of(path)
    if not _is_ours(holder, ours):
        raise RunError(refusal(path.parent, holder))


def _beat(
    path: ObjectPath,
    ours: dict[str, Any],
    lost: list[dict[str, Any]],
    ended: threading.Event,
) -> None:
    while not ended.wait(HEARTBEAT_SECONDS):
        # A store that does not answer now may do so at the next beat.
        with suppress(ResultsError, OSError):
            holder = holder_of(path)
            if holder is not None and not _is_ours(holder, ours):
                lost.append(holder)
                return
            path.write_bytes(json.dumps(ours).encode())


def holder_of(path: ObjectPath) -> dict[str, Any] | None:
    """Return who put the lock; None where there is none, or none that says so."""
    try:
        holder = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return holder if isinstance(holder, dict) else None


def _is_ours(holder: dict[str, Any] | None, ours: dict[str, Any]) -> bool:
    return holder is not None and holder.get("token") == ours["token"]


def _is_dead(holder: dict[str, Any]) -> bool:
    """Return whether the holder was a process of this very machine, and is no more."""
    pid = holder.get("pid")
    if holder.get("machine") != _machine() or not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _machine() -> str:
    """Return what tells this boot of this machine, and this container on it, from all others."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        # Then nobody counts as dead before the heartbeat ends.
        return uuid.uuid4().hex


def _now(path: ObjectPath) -> float:
    """Return the time by the store's own clock, which all hosts share."""
    probe = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}"
    probe.write_bytes(b"")
    try:
        return probe.modified()
    finally:
        probe.unlink(missing_ok=True)


def _age(path: ObjectPath, now: float) -> float:
    try:
        return now - path.modified()
    except FileNotFoundError:
        # Given up just now.
        return STALE_SECONDS
