"""The lock of an object store: advisory, by an object that is kept fresh."""

import json
import os
import time
from typing import Any

import forks
import pytest
from object_stores import Server

from orchestrator.errors import RunError
from orchestrator.run import lock
from orchestrator.run.lock import held, is_held
from results.store.objects import ObjectPath, located

HOLD = (
    "import sys, time\nfrom orchestrator.run.lock import held\n"
    "from results.store.objects import located\n"
    "with held(located(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)"
)


def hold(path: ObjectPath) -> forks.Process:
    process = forks.start(["-c", HOLD, str(path)])
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def place(server: Server) -> ObjectPath:
    path = located(server.address("run/run.lock"))
    assert isinstance(path, ObjectPath)
    return path


def test_a_second_run_is_refused_by_name_and_a_dead_one_taken_over(store_server: Server) -> None:
    path = place(store_server)
    process = hold(path)
    try:
        assert is_held(path)
        with pytest.raises(RunError, match=f"process {process.pid}, since 20"), held(path):
            pass
        assert json.loads(path.read_bytes())["pid"] == process.pid
    finally:
        process.kill()
        process.communicate()
    # It was of this machine: nobody waits for its heartbeat to end.
    assert path.exists()
    assert not is_held(path)
    with held(path) as check:
        assert json.loads(path.read_bytes())["pid"] == os.getpid()
        assert is_held(path)
        check()
    assert not path.exists()
    assert [*path.parent.iterdir()] == []


def test_another_machines_lock_holds_while_its_heart_beats(
    store_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = place(store_server)
    # The same process number and host name say nothing: it is another machine.
    theirs = {"host": "elsewhere", "pid": os.getpid(), "machine": "other", "token": "theirs"}
    path.write_bytes(json.dumps(theirs).encode())
    assert is_held(path)
    with pytest.raises(RunError, match="host elsewhere"), held(path):
        pass
    monkeypatch.setattr(lock, "STALE_SECONDS", 0.0)
    assert not is_held(path)
    with held(path):
        assert json.loads(path.read_bytes())["token"] != "theirs"


@pytest.mark.parametrize("content", [b"", b"\x00\xff garbage", b"[1, 2]"])
def test_a_lock_that_says_nothing_is_taken_over(s3: Server, content: bytes) -> None:
    path = place(s3)
    path.write_bytes(content)
    with held(path):
        assert json.loads(path.read_bytes())["pid"] == os.getpid()


def test_the_heart_beats_and_notices_another_run(
    s3: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.05)
    path = place(s3)
    theirs: dict[str, Any] = {"host": "elsewhere", "pid": 1, "token": "theirs"}
    with held(path) as check:
        path.unlink()
        await_(path.exists)
        check()
        path.write_bytes(json.dumps(theirs).encode())
        with pytest.raises(RunError, match=r"host elsewhere.*took this run directory over"):
            await_(lambda: check() is not None)
    # The lock is theirs now.
    assert json.loads(path.read_bytes()) == theirs


def test_who_puts_the_lock_at_the_same_time_wins_alone(
    s3: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = place(s3)
    theirs = json.dumps({"host": "elsewhere", "pid": 1, "token": "theirs"}).encode()
    monkeypatch.setattr(lock.time, "sleep", lambda seconds: path.write_bytes(theirs))
    with pytest.raises(RunError, match="host elsewhere"), held(path):
        pass
    assert path.read_bytes() == theirs


def await_(condition: Any) -> None:
    ends = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)
