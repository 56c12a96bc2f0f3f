"""Two processes want one lock, a thousand times, whatever befalls them and its file."""

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import forks
import pytest
from campaign import contender

CONTENDER = str(Path(contender.__file__))
LONG = [pytest.mark.long, pytest.mark.timeout(3600)]


def befall(mode: str, lock: Path, pids: list[int], generator: random.Random) -> None:
    """Do to the processes or the lock's file what a mode is of."""
    if mode == "paused":
        pid = generator.choice(pids)
        send(pid, signal.SIGSTOP)
        # Now and then for longer than a heartbeat may be old.
        time.sleep(1.1 * contender.STALE if generator.random() < 0.05 else 0.01)
        send(pid, signal.SIGCONT)
    elif mode.endswith("emptied"):
        with suppress(FileNotFoundError):
            os.truncate(lock, 0)
    elif mode.endswith("removed"):
        lock.unlink(missing_ok=True)
    else:
        time.sleep(1.1 * contender.STALE)
        for pid in pids:
            send(pid, signal.SIGCONT)


def send(pid: int, number: signal.Signals) -> None:
    # It may have ended by itself.
    with suppress(ProcessLookupError):
        os.kill(pid, number)


HERE = [("--", mode) for mode in ("paused", "emptied", "removed", "local")]
HOSTS = [("ab", mode) for mode in ("paused", "local")]
MORE = [("ab", mode) for mode in ("emptied", "removed", "local emptied", "local removed")]


@pytest.mark.parametrize(
    ("hosts", "mode", "rounds"),
    [
        *((*case, 8) for case in (*HERE, *HOSTS)),
        *(pytest.param(*case, 200, marks=LONG) for case in (*HERE, *HOSTS, *MORE)),
    ],
)
def test_there_are_never_two_writers(hosts: str, mode: str, rounds: int, tmp_path: Path) -> None:
    lock, log = tmp_path / "run.lock", tmp_path / "log"
    rounds = rounds // 4 if mode == "local" else rounds
    words = [CONTENDER, str(lock), str(log), str(rounds)]
    processes = [
        forks.start([*words, str(seed), mode, host], stderr=forks.STDOUT)
        for seed, host in enumerate(hosts, start=1)
    ]
    generator = random.Random(mode)
    while running := [each.pid for each in processes if each.poll() is None]:
        befall(mode, lock, running, generator)
        # A new holder that waits for longer before it writes is to get there too.
        time.sleep(generator.uniform(0, 1 if mode.startswith("local ") else 0.2))
    for process in processes:
        output, _ = process.communicate()
        if process.returncode == contender.NO_HOSTS:
            pytest.skip("this machine gives no process a host name and a network of its own")
        assert process.returncode == 0, output
    writer, writes = "", 0
    for line in log.read_text().splitlines():
        what, pid = line.split()
        if what == "begin":
            assert not writer, f"{pid} writes while {writer} does"
            writer, writes = pid, writes + 1
        elif what == "end":
            writer = ""
    # A run whose lock is removed as it begins writes nothing.
    assert writes >= rounds // 2
    print(f"\n{mode}: {2 * rounds} rounds, {writes} writes")
