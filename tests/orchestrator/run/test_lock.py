"""One run per directory."""

import errno
import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import forks
import pytest

from orchestrator.errors import RunError
from orchestrator.run import lock
from orchestrator.run.lock import STALE_SECONDS, held, is_held
from results.errors import StoreError

HOLD = "import sys, time; from pathlib import Path; from orchestrator.run.lock import held\n" + (
    "with held(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)"
)


def hold(path: Path) -> forks.Process:
    process = forks.start(["-c", HOLD, str(path)])
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_run_is_refused_by_name_and_a_dead_one_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    process = hold(path)
    try:
        with pytest.raises(RunError, match=f"process {process.pid}, since 20"), held(path):
            pass
    finally:
        process.kill()
        process.communicate()
    with held(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert not path.exists()


def test_another_hosts_lock_holds_while_its_heart_beats(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    theirs = {"host": "elsewhere", "pid": 1, "started_at": "2026-01-01T00:00:00+00:00"}
    path.write_text(json.dumps(theirs))
    with pytest.raises(RunError, match="host elsewhere, process 1"), held(path):
        pass
    old = time.time() - STALE_SECONDS - 1
    os.utime(path, (old, old))
    with held(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_a_lock_that_is_not_there_or_was_left_is_not_held(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    assert not is_held(path)
    process = hold(path)
    try:
        assert is_held(path)
    finally:
        process.kill()
        process.communicate()
    assert path.exists()
    assert not is_held(path)
    with held(path):
        assert is_held(path)
    assert not is_held(path)


def test_whether_another_host_is_at_work_is_told_by_its_heart(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1}))
    assert is_held(path)
    os.utime(path, (0, 0))
    assert not is_held(path)


@pytest.mark.parametrize("content", [b"", b"\x00\xff garbage", b"[1, 2]"])
def test_a_lock_file_that_says_nothing_is_taken_over(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.lock"
    path.write_bytes(content)
    with held(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_the_heart_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.run.lock.HEARTBEAT_SECONDS", 0.01)
    path = tmp_path / "run.lock"
    with held(path):
        os.utime(path, (0, 0))
        ends = time.monotonic() + 10
        while path.stat().st_mtime == 0:
            assert time.monotonic() < ends
            time.sleep(0.01)
    assert sorted(tmp_path.iterdir()) == []


def lost(path: Path, change: Callable[[], object]) -> str:
    """Return what a run is told after a change to its lock, and that nothing was removed by it."""
    with held(path) as still_held:
        still_held(look=True)
        change()
        still_held()
        with pytest.raises(RunError) as ended:
            still_held(look=True)
        # From then on, whoever asks.
        with pytest.raises(RunError):
            still_held()
    return str(ended.value)


def test_a_lock_that_was_removed_or_taken_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "run" / "run.lock"
    assert "run.lock was removed or replaced" in lost(path, path.unlink)

    def replace() -> None:
        path.unlink()
        path.write_text("")

    assert "run.lock was removed or replaced" in lost(path, replace)
    theirs = {"host": "elsewhere", "pid": 7, "token": "theirs"}
    assert "(host elsewhere, process 7" in lost(path, lambda: path.write_text(json.dumps(theirs)))
    # It is theirs, and stays.
    assert json.loads(path.read_text()) == theirs


def test_a_run_directory_that_was_moved_or_removed_is_lost(tmp_path: Path) -> None:
    path, other = tmp_path / "run" / "run.lock", tmp_path / "other"
    said = lost(path, lambda: path.parent.rename(other))
    assert f"was moved to {other} while this run was at work; its rows are there" in said
    assert "the run directory was removed" in lost(path, lambda: shutil.rmtree(path.parent))

    def replace() -> None:
        path.parent.rename(tmp_path / "third")
        path.parent.mkdir()

    assert f"was moved to {tmp_path / 'third'}" in lost(path, replace)
    assert [*path.parent.iterdir()] == []


def test_a_look_refuses_no_run(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    path.touch()
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            is_held(path)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for _ in range(50):
            with held(path):
                pass
            path.touch()
    finally:
        ended.set()
        looking.join()


def test_a_beat_that_fails_does_not_end_the_heart(monkeypatch: pytest.MonkeyPatch) -> None:
    beats: list[int] = []
    ended = threading.Event()

    class Faltering:
        def beat(self) -> None:
            beats.append(1)
            if len(beats) == 3:
                ended.set()
            raise OSError(116, "Stale file handle")

    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.001)
    lock._beat(Faltering(), ended)  # type: ignore[arg-type]
    assert len(beats) == 3


def test_two_machines_of_one_name_are_two(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    theirs = {"host": socket.gethostname(), "pid": 1, "machine": "another boot"}
    path.write_text(json.dumps(theirs))
    with pytest.raises(RunError, match="process 1"), held(path):
        pass


def test_a_refused_run_leaves_the_lock_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    process = hold(path)
    try:
        before = path.read_text()
        with pytest.raises(RunError, match="choose another --out"), held(path):
            pass
        assert path.read_text() == before
        assert [*tmp_path.iterdir()] == [path]
    finally:
        process.kill()
        process.communicate()


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = pytest.raises(StoreError, match="a file stands where a folder is needed")
    with refused, held(tmp_path / "file" / "run.lock"):
        pass


def test_a_file_system_without_locks_is_no_other_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As Lustre is where it is mounted without them.
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    refused = pytest.raises(StoreError, match="cannot be written: Function not implemented")
    with refused, held(tmp_path / "run.lock"):
        pass


def test_a_second_run_of_the_command_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text("name: s\ntrainable: simulated\n")
    out = tmp_path / "run"
    process = hold(out / "run.lock")
    words = ["run", str(file), "--out", str(out), "--address", "none", "--json"]
    try:
        second = forks.run(["-m", "orchestrator", *words])
    finally:
        process.kill()
        process.communicate()
    assert second.returncode == 1
    answer = json.loads(second.stdout)
    assert f"process {process.pid}, since 20" in answer["error"]
    assert f"host {socket.gethostname()}" in answer["error"]
    assert [*out.iterdir()] == [out / "run.lock"]
