"""Faults injected for real: what was recorded is safe, and the next run goes on."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import forks
import pandas as pd
import psutil
import pytest
import torch
from harness import (
    Command,
    assert_same_tables,
    end,
    explained_stops,
    kill_at_random,
    kill_at_random_operations,
    recorded_stops,
    table,
)

from orchestrator.study.study import study_from
from results.store.store import Store

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
COUNTED: dict[str, Any] = {**SEARCH, "seeds": {"at_least": 2, "at_most": 6}}
LONG_SEARCH: dict[str, Any] = {**SEARCH, "recipe": {"epochs": 9}}
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


STUDIES = pytest.mark.parametrize(
    ("study", "seed"),
    [(PLAIN, 1), (SEARCH, 2), (COUNTED, 3)],
    ids=["plain", "search", "counted seeds"],
)


@STUDIES
@pytest.mark.parametrize("kills", [8, pytest.param(20, marks=pytest.mark.long)])
def test_kills_change_no_row(study: dict[str, Any], seed: int, kills: int, tmp_path: Path) -> None:
    killed = Command(tmp_path / "killed", study)
    # A whole run has over a thousand, and each that goes on begins with thirty.
    assert kill_at_random_operations(killed, kills, 100, seed) == kills
    killed.finish()
    # Numbers depend neither on the process nor on how Python hashes in it.
    whole = Command(tmp_path / "whole", study, anew="search" in study)
    whole.finish()
    assert_same_tables(killed.out, whole.out)
    assert not list(Store(killed.out).checkpoints.glob("*"))


@pytest.mark.long
@STUDIES
def test_twenty_kills_at_any_time(study: dict[str, Any], seed: int, tmp_path: Path) -> None:
    """From outside, between two operations and in the middle of one."""
    killed = Command(tmp_path / "killed", study, pace=0.02, anew=True)
    hits = kill_at_random(killed, 20, 0.6, seed)
    killed.finish()
    whole = Command(tmp_path / "whole", study)
    whole.finish()
    assert hits > 0
    assert_same_tables(killed.out, whole.out)


def test_kills_in_real_training_change_no_digit(tmp_path: Path) -> None:
    killed = Command(tmp_path / "killed", TRAINED)
    # The first while it takes stock, the others while it trains: an epoch is seven operations.
    assert [killed.kill_before(operation) for operation in (22, 32, 32)] == [True] * 3
    killed.finish()
    whole = Command(tmp_path / "whole", TRAINED)
    whole.finish()
    assert_same_tables(killed.out, whole.out)


def assert_goes_on_as_if_uninterrupted(command: Command, folder: Path) -> None:
    """Finish a run without Ray and compare it with one that nobody touched."""
    again = Command(command.folder, command.study)
    again.finish()
    whole = Command(folder / "whole", command.study)
    whole.finish()
    assert_same_tables(again.out, whole.out)


@pytest.mark.ray
@pytest.mark.parametrize(
    ("number", "limit", "to_all"),
    [
        (signal.SIGINT, 60, False),
        pytest.param(signal.SIGINT, 15, False, marks=pytest.mark.long),
        pytest.param(signal.SIGTERM, 15, False, marks=pytest.mark.long),
        # As `timeout`, Slurm's scancel and systemd send it: to Ray's daemons too, before the run.
        pytest.param(signal.SIGTERM, 15, True, marks=pytest.mark.long),
    ],
)
def test_a_signal_ends_a_run_in_order(
    number: signal.Signals, limit: float, to_all: bool, tmp_path: Path
) -> None:
    command = Command(tmp_path, PLAIN, flags=(), pace=0.3)
    process = command.recording()
    family = psutil.Process(process.pid).children(recursive=True)
    for each in family if to_all else ():
        each.send_signal(number)
    output = end(process, number, limit)
    assert process.returncode == 130, output
    assert "The same command goes on from there" in output
    assert "Traceback" not in output
    psutil.wait_procs(family, timeout=5)
    assert [each.name() for each in family if each.is_running()] == []
    statuses = set(Store(command.out).read("trials")["status"].to_pylist())
    assert "running" not in statuses
    assert_goes_on_as_if_uninterrupted(command, tmp_path)


@pytest.mark.ray
@pytest.mark.long  # one signal is not
@pytest.mark.parametrize("limit", [60, 2])
def test_a_second_ctrl_c_leaves_at_once(limit: float, tmp_path: Path) -> None:
    command = Command(tmp_path, PLAIN, flags=(), pace=0.3)
    process = command.recording()
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    # Two that come before the first is seen are one.
    time.sleep(0.1)
    output = end(process, signal.SIGINT, limit)
    assert process.returncode == 130, output
    assert "left at once" in output
    assert "Traceback" not in output
    psutil.wait_procs(family, timeout=5)
    assert [each.name() for each in family if each.is_running()] == []
    assert_goes_on_as_if_uninterrupted(command, tmp_path)


@pytest.mark.ray
@pytest.mark.parametrize("limit", [60, pytest.param(2, marks=pytest.mark.long)])
def test_sigterm_and_sigkill_lose_nothing(ray_address: None, limit: float, tmp_path: Path) -> None:
    """As `ray job stop` does it, three seconds apart; what was seen is on disk within two."""
    command = Command(tmp_path, PLAIN, flags=(), pace=0.3)
    process = command.recording()
    process.send_signal(signal.SIGTERM)
    ends = time.monotonic() + limit
    while "running" in Store(command.out).read("trials")["status"].to_pylist():
        assert time.monotonic() < ends
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert_goes_on_as_if_uninterrupted(command, tmp_path)


@pytest.mark.parametrize("seeds", [1, 4], ids=["eight trials", "thirty"])
def test_checkpoints_are_those_of_what_runs(seeds: int, tmp_path: Path) -> None:
    """One, and that of a trial whose end has not been looked at yet is none."""
    study = {**PLAIN, "seeds": list(range(seeds)), "recipe": {"epochs": 3}}
    command = Command(tmp_path, study)
    assert command.most_checkpoints() == 1
    assert len(table(command.out, "trials")) == 8 * seeds
    assert list(command.store.checkpoints.glob("*")) == []


@pytest.mark.ray
@pytest.mark.parametrize("seeds", [2, pytest.param(13, marks=pytest.mark.long)])
def test_checkpoints_are_those_of_what_runs_at_once(
    ray_address: None, seeds: int, tmp_path: Path
) -> None:
    study = {**PLAIN, "seeds": list(range(seeds)), "recipe": {"epochs": 3}}
    command = Command(tmp_path, study, pace=0.03, flags=("--max-parallel", "2"))
    process = command.start()
    checkpoints, most = command.store.checkpoints, 0
    while process.poll() is None:
        most = max(most, len(list(checkpoints.glob("*"))))
        time.sleep(0.01)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert len(table(command.out, "trials")) == 8 * seeds
    # A worker writes its next one while the driver looks at the last.
    assert 1 <= most <= 4
    assert list(checkpoints.glob("*")) == []


class Malicious:
    """Leaves a mark where it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.file,))


def test_a_malicious_checkpoint_is_refused(tmp_path: Path) -> None:
    command = Command(tmp_path / "one", {**TRAINED, "seeds": [0]})
    assert command.kill_before(40)
    states = list(command.store.checkpoints.glob("*/*.state"))
    assert states
    for state in states:
        torch.save({"trial_id": Malicious(tmp_path / "executed")}, state)
    output = " ".join(command.finish().split())
    assert "cannot be used" in output
    assert not (tmp_path / "executed").exists()
    whole = Command(tmp_path / "whole", command.study)
    whole.finish()
    assert_same_tables(command.out, whole.out)


def test_no_secret_is_written_out(tmp_path: Path) -> None:
    secrets = {
        "RAY_AUTH_TOKEN": "ray-token-4711",
        "WANDB_API_KEY": "wandb-key-4711",
        "AWS_SECRET_ACCESS_KEY": "aws-key-4711",
        "HF_TOKEN": "hf-token-4711",
    }
    command = Command(tmp_path, PLAIN, environment=secrets)
    output = command.finish()
    report = ["-m", "orchestrator", "report", str(command.out)]
    forks.run(report, check=True, env={**os.environ, **secrets})
    written = [file for file in command.out.rglob("*") if file.is_file()]
    assert {file.suffix for file in written} >= {".parquet", ".html", ".yaml"}
    for secret in secrets.values():
        assert secret not in output
        assert [file for file in written if secret.encode() in file.read_bytes()] == []
    # Parquet is compressed: what it holds is looked at as text.
    for name in ("trials", "epochs", "environments"):
        text = Store(command.out).read(name).to_pandas().to_csv()
        assert [secret for secret in secrets.values() if secret in text] == []


@pytest.mark.ray
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_kills_of_a_parallel_search(tmp_path: Path) -> None:
    """No order in which trials arrive decides who is stopped, nor does any kill."""
    killed = Command(tmp_path, LONG_SEARCH, flags=(), pace=0.1)
    hits = kill_at_random(killed, 20, 12.0, 5)
    killed.finish()
    assert hits >= 12
    study = study_from(LONG_SEARCH)
    trials = Store(killed.out).read("trials").to_pandas().set_index("trial_id")
    epochs = Store(killed.out).read("epochs").to_pandas()
    assert not epochs.duplicated(["trial_id", "epoch"]).any()
    # Every row is the one that an undisturbed trial has.
    whole = Command(tmp_path / "whole", {**LONG_SEARCH, "early_stopping": "none"})
    whole.finish()
    ours, theirs = (
        table(out, "epochs").set_index(["trial_id", "epoch"]) for out in (killed.out, whole.out)
    )
    shared = ours.index.intersection(theirs.index)
    assert len(shared) > 0.5 * len(ours)
    # A trial may be first trained in another stage, where another recipe has won.
    ours, theirs = (rows.loc[shared].drop(columns="stage") for rows in (ours, theirs))
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
    stopped = recorded_stops(killed.out)
    assert stopped
    assert stopped == explained_stops(killed.out, study.stopping, [*study.factors])
    # Every cell has its winner and all its seeds.
    measured = trials[trials.measured]
    assert (measured.status == "completed").all()
    cells = measured.groupby(["model", "fraction"]).seed.agg(sorted)
    assert len(cells) == 4
    assert all(seeds == [0, 1, 2] for seeds in cells)
    print(f"\n{hits} kills, {len(epochs)} rows, {len(stopped)} stops replayed")


@pytest.mark.ray
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_twenty_kills_with_ray(tmp_path: Path) -> None:
    killed = Command(tmp_path / "killed", PLAIN, flags=(), pace=0.1)
    hits = kill_at_random(killed, 20, 12.0, 4)
    killed.finish()
    whole = Command(tmp_path / "whole", PLAIN)
    whole.finish()
    assert hits >= 15
    assert_same_tables(killed.out, whole.out)


def test_a_damaged_part_is_set_aside_and_only_its_rows_are_trained_again(tmp_path: Path) -> None:
    command = Command(tmp_path / "one", PLAIN)
    assert command.kill_before(300)
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
    command = Command(tmp_path / "one", study)
    # In the middle of the first trial.
    assert command.kill_before(100)
    states = [Path(str(state)) for state in command.store.checkpoints.glob("*/*.state")]
    assert states
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
    run = ["-m", "orchestrator", "run", str(small_disk / "study.yaml")]
    where = ["--address", "none", "--out", str(small_disk / "new"), "--no-report"]
    done = forks.run([*run, *where])
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
