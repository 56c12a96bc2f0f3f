"""Runs that are asked to end, whatever they are doing just then."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import forks
import pytest
import yaml

from orchestrator.drivers import driver
from orchestrator.placement.shares import Node
from orchestrator.run.runner import run_study
from orchestrator.run.signals import Interrupted
from orchestrator.study.study import study_from
from results.store.store import Store
from trainables.training.simulated import Simulated

PLAIN: dict[str, Any] = {
    "name": "ends",
    "trainable": "simulated",
    "factors": {"model": ["a", "b"]},
    "recipe": {"epochs": 2000},
}
MOMENTS = {
    # Outside of Python, where no handler of Python's runs: a library that waits for a server.
    "looking": "import orchestrator.run.runner as r; r.find_inputs = stuck",
    "starting Ray": (
        "import ray; from orchestrator.drivers import connection as c; c.start_private = stuck"
    ),
    "training": "from trainables.training.simulated import Simulated as s; s.step = stuck",
    "reporting": "import results; results.write_report = stuck",
}
PROGRAM = """
import ctypes, sys
def stuck(*_, **__):
    print("held up", file=sys.stderr, flush=True)
    started = __import__("time").monotonic()
    # A lock that nobody gives back, waited for in C, and again after each signal.
    ctypes.CDLL(None).pthread_mutex_lock.argtypes = [ctypes.c_void_p]
    lock = ctypes.create_string_buffer(64)
    ctypes.CDLL(None).pthread_mutex_lock(lock)
    ctypes.CDLL(None).pthread_mutex_lock(lock)
{patch}
from orchestrator.commands.app import main
sys.argv = ["scalestudy", *sys.argv[1:]]
main()
"""


def started(folder: Path, moment: str, *words: str) -> forks.Forked:
    epochs = 1 if moment == "reporting" else 2000
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(PLAIN | {"recipe": {"epochs": epochs}}))
    program = PROGRAM.format(patch=MOMENTS.get(moment, ""))
    return forks.start(
        ["-c", program, "run", str(file), "--out", str(folder / "run"), *words], stderr=forks.PIPE
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("moment", [*MOMENTS])
def test_a_command_ends_soon_outside_of_python_too(
    moment: str, number: signal.Signals, tmp_path: Path
) -> None:
    words = [] if moment == "starting Ray" else ["--address", "none"]
    process = started(tmp_path, moment, *words)
    assert process.stderr
    said = ""
    while "held up" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    begun = time.monotonic()
    process.send_signal(number)
    _, rest = process.communicate(timeout=60)
    # Two seconds, and what a busy machine adds.
    assert time.monotonic() - begun < 10
    assert process.returncode == 130
    assert len([line for line in rest.splitlines() if "interrupted; " in line]) == 1
    end = "the study is done" if moment == "reporting" else "The same command goes on from there"
    assert end in rest


def test_a_second_one_in_the_middle_of_an_interval_fails_no_trial(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def step(_: Simulated) -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Simulated, "step", step)
    with pytest.raises(Interrupted, match="The same command goes on from there"):
        run_study(study_from(PLAIN), tmp_path, address="none")
    trials = Store(tmp_path).read("trials").to_pandas()
    assert set(trials["status"]) == {"planned"}
    assert trials["error"].isna().all()


def test_ray_is_never_left_half_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    done = []

    @contextmanager
    def starting(_: str | None) -> Iterator[list[Node]]:
        os.kill(os.getpid(), signal.SIGINT)
        done.append("started")
        try:
            yield [Node("here", 1, 0)]
        finally:
            done.append("ended")

    monkeypatch.setattr(driver, "cluster", starting)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(Interrupted):
        run_study(study_from(PLAIN), tmp_path)
    assert done == ["started", "ended"]


def status(folder: Path) -> tuple[dict[str, Any], str]:
    words = ["-m", "orchestrator", "status", str(folder / "run")]
    document = json.loads(forks.run([*words, "--json"], check=True).stdout)
    return document, forks.run(words, check=True).stdout


def test_status_says_what_ended_a_run_and_counts_nothing_as_running(tmp_path: Path) -> None:
    process = started(tmp_path, "", "--address", "none", "--no-report")
    while not list((tmp_path / "run").glob("epochs/*.parquet")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGHUP)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    document, words = status(tmp_path)
    assert (document["running"], document["ended_by"]) == (False, "a hangup")
    assert "no run is at work here; the last was ended by a hangup at 20" in words
    # Killed while a trial is under way, nobody can write that it is not.
    process = started(tmp_path, "training", "--address", "none", "--no-report")
    assert process.stderr
    while "held up" not in process.stderr.readline():
        assert process.poll() is None
    process.kill()
    process.wait()
    document, words = status(tmp_path)
    assert "running" not in document["trials"]
    assert "ended_by" not in document


def test_a_run_whose_reader_goes_away_trains_on(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(PLAIN | {"recipe": {"epochs": 2}}))
    words = ["run", str(file), "--out", str(tmp_path / "run"), "--address", "none", "--no-report"]
    os.close(ours)
    process = forks.start(["-m", "orchestrator", *words], stdout=theirs, stderr=theirs)
    os.close(theirs)
    assert process.wait(timeout=60) == 0
    assert status(tmp_path)[0]["share_done"] == 1.0
