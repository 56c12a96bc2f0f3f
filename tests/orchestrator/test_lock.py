"""One run per directory."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.errors import RunError
from orchestrator.lock import STALE_SECONDS, held

HOLD = "import sys, time; from pathlib import Path; from orchestrator.lock import held\n" + (
    "with held(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)"
)


def hold(path: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    )
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
