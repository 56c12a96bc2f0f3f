"""The command, with a look at each of its operations on files.

    python audited.py kill NUMBER FOLDER WORD…
    python audited.py most FILE FOLDER WORD…

`kill` ends the process by SIGKILL before the operation of that number that changes the folder, at
the same place on a fast machine and on a slow one; the folder may be an address in an object store.
`most` writes to the file how many entries the folder had at most.
"""

import os
import runpy
import signal
import sys
import threading
from pathlib import Path
from typing import Any

_CHANGES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}
_WRITES = os.O_WRONLY | os.O_RDWR


def changes(event: str, details: tuple[Any, ...], folder: str) -> bool:
    """Return whether an audit event is a change in a folder."""
    if event not in _CHANGES or not isinstance(details[0], str | bytes | os.PathLike):
        return False
    if event == "open" and not details[2] & _WRITES:
        return False
    return os.fsdecode(details[0]).startswith(folder)


def kill_before(number: int, folder: str) -> None:
    """End this process before an operation that changes a folder, counted from 1."""
    left, lock = number, threading.Lock()

    def look(event: str, details: tuple[Any, ...]) -> None:
        nonlocal left
        if changes(event, details, folder):
            with lock:
                left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)


def kill_before_request(number: int) -> None:
    """End this process before a request that changes an object store, counted from 1."""
    from results.store.objects import ObjectPath

    left, lock = number, threading.Lock()

    def counted(change: Any) -> Any:
        def counting(*given: Any, **named: Any) -> Any:
            nonlocal left
            with lock:
                left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            return change(*given, **named)

        return counting

    for name in ("write_bytes", "upload", "move", "unlink", "remove"):
        setattr(ObjectPath, name, counted(getattr(ObjectPath, name)))


def note_most(file: Path, folder: str) -> None:
    """Write down how many entries a folder has at most."""
    most = 0

    def look(event: str, details: tuple[Any, ...]) -> None:
        nonlocal most
        if changes(event, details, folder) and os.path.isdir(folder):  # noqa: PTH112
            found = len(os.listdir(folder))  # noqa: PTH208
            if found > most:
                most = found
                file.write_text(str(most))

    sys.addaudithook(look)


if __name__ == "__main__":
    kind, value, folder, *words = sys.argv[1:]
    if kind == "kill" and "://" in folder:
        kill_before_request(int(value))
    elif kind == "kill":
        kill_before(int(value), folder)
    else:
        note_most(Path(value), folder)
    sys.argv = ["scalestudy", *words]
    runpy.run_module("orchestrator", run_name="__main__", alter_sys=True)
