"""One of several processes that want one lock again and again, and write while they have it.

    python contender.py LOCK LOG ROUNDS SEED MODE HOST

Each line of the log is the begin or the end of a write, whole, in the order in which they were.
With modes that begin with `local`, the file system's locks bind nobody, and each process is another
machine. A HOST other than `-` is a host of that name with a network of its own, whose exit code is
NO_HOSTS where this machine gives none.
"""

import ctypes
import fcntl
import os
import random
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from orchestrator.errors import RunError
from orchestrator.run import lock
from results.errors import ResultsError

STALE = 1.0
"""Seconds, scaled down as the heartbeat is: 30 and 5 of a run."""
SETTLED = {True: 0.1, False: 0.02}
"""Seconds from the lock to the first write; a run reads its tables meanwhile. Where locks bind
nobody, a write that has begun must have ended by then, on a machine with other work too."""
NO_HOSTS = 5
_NEW_NAME, _NEW_NETWORK = 0x04000000, 0x40000000
"""Flags of unshare(2): CLONE_NEWUTS and CLONE_NEWNET."""


def become(host: str) -> None:
    """Be a host of this name, which no other process of this machine is."""
    if ctypes.CDLL(None).unshare(_NEW_NAME | _NEW_NETWORK):
        sys.exit(NO_HOSTS)
    socket.sethostname(host)
    lock._boot = lambda: host


def contend(path: Path, log: int, rounds: int, generator: random.Random, mode: str) -> None:
    """Take the lock and write, so many times."""
    utime, done, is_local = os.utime, 0, mode.startswith("local")

    def losing(*given: Any, **named: Any) -> None:
        if generator.random() < 0.3:
            raise OSError(116, "Stale file handle")
        utime(*given, **named)

    os.utime = losing
    lock.HEARTBEAT_SECONDS, lock.STALE_SECONDS = 0.02, STALE
    if is_local:
        fcntl.flock = lambda *_: None
        lock._boot = lambda: str(os.getpid())
    while done < rounds:
        try:
            with lock.held(path) as still_held:
                done += 1
                time.sleep(SETTLED[is_local])
                for _ in range(3):
                    still_held(look=True)
                    os.write(log, f"begin {os.getpid()}\n".encode())
                    os.write(log, f"end {os.getpid()}\n".encode())
                    if mode == "local" and generator.random() < 0.05:
                        # As a laptop that is closed; whoever started it wakes it.
                        os.kill(os.getpid(), signal.SIGSTOP)
                    time.sleep(generator.uniform(0, 0.002))
        except (RunError, ResultsError):
            os.write(log, f"refused {os.getpid()}\n".encode())
            time.sleep(generator.uniform(0, 0.01))


if __name__ == "__main__":
    place, lines, rounds, seed, mode, host = sys.argv[1:]
    handle = os.open(lines, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    if host != "-":
        become(host)
    contend(Path(place), handle, int(rounds), random.Random(int(seed)), mode)
