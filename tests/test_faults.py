"""Faults injected for real: what was recorded is safe, and the next run goes on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from harness import Command, assert_same_tables, end, kill_at_random, table

from results.store import Store

PLAIN: dict[str, Any] = {
    "name": "kills",
    "trainable": "simulated",
    "factors": {"model": ["a", "b"], "weights": ["none", "big"], "fraction": ["1/16", 1]},
    "recipe": {"epochs": 5},
    "seeds": [0, 1, 2],
    "checkpoint_seconds": 0,
}
SEARCH: dict[str, Any] = {
    **PLAIN,
    "factors": {"model": ["a", "b"], "fraction": ["1/16", 1]},
    "search": {"lr": ["1e-2", "1e-3", "1e-4"], "batch_size": [32, 256]},
}
TRAINED: dict[str, Any] = {
    "name": "trained",
    "factors": {"model": ["squeezenet1_1"], "fraction": ["1/8"]},
    "recipe": {
        "epochs": 4,
        "batch_size": 32,
        "optimizer": "sgd",
        "lr": "1e-2",
        "schedule": "cosine",
        "augmentation": "standard",
    },
    "seeds": [0, 1],
    "checkpoint_seconds": 0,
}


@pytest.mark.parametrize(("study", "seed"), [(PLAIN, 1), (SEARCH, 2)], ids=["plain", "search"])
def test_twenty_kills_change_no_row(study: dict[str, Any], seed: int, tmp_path: Path) -> None:
    killed = Command(tmp_path / "killed", study, pace=0.02)
    hits = kill_at_random(killed, 20, 0.6, seed)
    killed.finish()
    whole = Command(tmp_path / "whole", study)
    whole.finish()
    assert hits >= 5
    assert_same_tables(killed.out, whole.out)
    assert not list(Store(killed.out).checkpoints.glob("*"))


def test_kills_in_real_training_change_no_digit(tmp_path: Path) -> None:
    killed = Command(tmp_path / "killed", TRAINED)
    kill_at_random(killed, 3, 6.0, 3)
    killed.finish()
    whole = Command(tmp_path / "whole", TRAINED)
    whole.finish()
    assert_same_tables(killed.out, whole.out)


@pytest.mark.ray
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_in_order(number: signal.Signals, tmp_path: Path) -> None:
    command = Command(tmp_path, PLAIN, flags=(), pace=0.3)
    process = command.start()
    store = Store(command.out)
    while not (store.root.is_dir() and store.parts("epochs")):
        assert process.poll() is None
        time.sleep(0.2)
    family = psutil.Process(process.pid).children(recursive=True)
    seconds, output = end(process, number)
    assert process.returncode == 130, output
    assert "The same command goes on from there" in output
    assert "Traceback" not in output
    assert seconds < 15
    psutil.wait_procs(family, timeout=5)
    assert [each.name() for each in family if each.is_running()] == []
    statuses = set(store.read("trials")["status"].to_pylist())
    assert "running" not in statuses
    again = Command(tmp_path, PLAIN)
    again.finish()
    whole = Command(tmp_path / "whole", PLAIN)
    whole.finish()
    assert_same_tables(again.out, whole.out)


@pytest.mark.ray
@pytest.mark.long
def test_twenty_kills_with_ray(tmp_path: Path) -> None:
    killed = Command(tmp_path / "killed", PLAIN, flags=(), pace=0.1)
    hits = kill_at_random(killed, 20, 12.0, 4)
    killed.finish()
    whole = Command(tmp_path / "whole", PLAIN)
    whole.finish()
    assert hits >= 15
    assert_same_tables(killed.out, whole.out)


def test_a_damaged_part_is_set_aside_and_only_its_rows_are_trained_again(tmp_path: Path) -> None:
    command = Command(tmp_path / "one", PLAIN, pace=0.02)
    command.kill_after(0.8)
    command.finish()
    store = Store(command.out)
    *others, part = store.parts("epochs")
    untouched = {other: other.read_bytes() for other in others}
    part.write_bytes(part.read_bytes()[:-100])
    output = command.finish()
    assert f"{part} is damaged and was set aside" in output
    assert (store.damaged / f"epochs-{part.name}").exists()
    assert {other: other.read_bytes() for other in others if other.exists()} == untouched
    whole = Command(tmp_path / "whole", PLAIN)
    whole.finish()
    assert_same_tables(command.out, whole.out)


def test_a_truncated_checkpoint_is_named_and_not_used(tmp_path: Path) -> None:
    study = {**PLAIN, "recipe": {"epochs": 40}, "seeds": [0]}
    command = Command(tmp_path / "one", study, pace=0.02)
    for _ in range(10):
        assert command.kill_after(0.3)
        states = list(Store(command.out).checkpoints.glob("*/*.state"))
        if states:
            break
    for state in states:
        state.write_bytes(b"")
    output = " ".join(command.finish().split())
    assert "cannot be used" in output
    whole = Command(tmp_path / "whole", study)
    whole.finish()
    assert_same_tables(command.out, whole.out)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 300 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(words, check=False, capture_output=True).returncode:
        pytest.skip("a small file system can be mounted by root alone")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_loses_nothing(small_disk: Path, tmp_path: Path) -> None:
    study = {**PLAIN, "factors": {"model": list("abcdefgh"), "fraction": ["1/16", "1/2", 1]}}
    command = Command(small_disk, {**study, "recipe": {"epochs": 30}})
    process = command.start()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1, output
    assert "the disk is full; make room" in " ".join(output.split())
    assert "Traceback" not in output
    store = Store(command.out)
    for name in ("trials", "epochs"):
        store.read(name)
    words = ["mount", "-o", "remount,size=100m", str(small_disk)]
    subprocess.run(words, check=True)
    command.finish()
    whole = Command(tmp_path / "whole", command.study)
    whole.finish()
    assert_same_tables(command.out, whole.out)


def test_a_read_only_folder_is_refused(small_disk: Path) -> None:
    command = Command(small_disk, PLAIN)
    small_disk.joinpath("study.yaml").write_text("")
    process = command.start()
    process.communicate()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    run = [sys.executable, "-m", "orchestrator", "run", str(small_disk / "study.yaml")]
    where = ["--address", "none", "--out", str(small_disk / "new"), "--no-report"]
    done = subprocess.run([*run, *where], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the file system is read-only; choose another --out" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_rows_beyond_a_damaged_part_are_never_written_twice(tmp_path: Path) -> None:
    longer = {**PLAIN, "recipe": {"epochs": 7}}
    Command(tmp_path / "one", PLAIN).finish()
    command = Command(tmp_path / "one", longer)
    command.finish()
    first = Store(command.out).parts("epochs")[0]
    first.write_bytes(first.read_bytes()[:-50])
    for _ in range(2):
        command.finish()
    whole = Command(tmp_path / "whole", longer)
    whole.finish()
    ours, theirs = (table(out, "epochs") for out in (command.out, whole.out))
    assert not ours.duplicated(["trial_id", "epoch"]).any()
    # The budget that a row was recorded under stays with it.
    pd.testing.assert_frame_equal(ours.drop(columns="epochs"), theirs.drop(columns="epochs"))
