"""What is forked behaves as what is started."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import forks
import pytest

SEES = "import os, sys; print(os.getcwd(), os.environ.get('SEEN'), sys.argv[1:], sys.path[0] == '')"


def test_words_folder_and_environment(tmp_path: Path) -> None:
    words, environment = ["-c", SEES, "a", "b"], {**os.environ, "SEEN": "yes"}
    forked = forks.run(words, cwd=tmp_path, env=environment)
    started = subprocess.run(
        [sys.executable, *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert forked.stdout == started.stdout == f"{tmp_path} yes ['a', 'b'] True\n"
    assert "SEEN" not in os.environ


@pytest.mark.parametrize(
    ("code", "ended", "said"),
    [
        ("pass", 0, ""),
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit('no')", 1, "no\n"),
        ("import os; os._exit(5)", 5, ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9, ""),
        ("import atexit, sys; atexit.register(sys.stderr.write, 'left')", 0, "left"),
    ],
)
def test_how_it_ends(code: str, ended: int, said: str) -> None:
    done = forks.run(["-c", code])
    assert (done.returncode, done.stderr) == (ended, said)


def test_signals_come_while_others_run() -> None:
    waiting = "import time; print('there', flush=True); time.sleep(600)"
    processes = [forks.start(["-c", waiting]) for _ in range(3)]
    for process, number in zip(processes, (signal.SIGKILL, signal.SIGTERM, None), strict=True):
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        assert process.poll() is None
        if number is not None:
            process.send_signal(number)
    assert [process.wait(timeout=60) for process in processes[:2]] == [-9, -15]
    with pytest.raises(subprocess.TimeoutExpired):
        processes[2].communicate(timeout=0.1)
    processes[2].kill()
    assert processes[2].wait(timeout=60) == -9
