"""Studies whose run directory lies in an object store, against real servers on loopback."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import forks
import pytest
from harness import (
    Command,
    assert_same_tables,
    kill_at_random,
    kill_at_random_operations,
    table,
)
from object_stores import Server
from test_faults import PLAIN, SEARCH, TRAINED

import results
from orchestrator.ledger.history import History
from orchestrator.ledger.rows import Rows
from orchestrator.run.recorder import Recorder
from results.errors import Unreachable
from results.store.files import write_whole
from results.store.objects import ObjectPath, located
from results.store.store import Store

SMALL: dict[str, Any] = {"factors": {"model": ["a"], "fraction": ["1/16", 1]}, "seeds": [0, 1]}
"""Every epoch of every trial is a request or two."""


@pytest.fixture(params=["s3", pytest.param("gs", marks=pytest.mark.long)])
def server(request: pytest.FixtureRequest, store_credentials: None) -> Server:
    """Return each kind of server in turn; Google's among the long tests."""
    found: Server = request.getfixturevalue(f"{request.param}_server")
    return found


def scalestudy(*words: str) -> "subprocess.CompletedProcess[str]":
    return forks.run(["-m", "orchestrator", *words])


def finished_here(folder: Path, study: dict[str, Any]) -> Path:
    """Return the run directory of the same study on disk, run without a cut."""
    command = Command(folder / "whole", study)
    command.finish()
    return command.out


@pytest.mark.long
def test_kills_at_any_time_change_no_row(server: Server, tmp_path: Path) -> None:
    killed = Command(tmp_path / "killed", SEARCH, pace=0.01, place=server.address())
    hits = kill_at_random(killed, 5, 2.5, 1)
    killed.finish()
    assert hits > 0
    assert_same_tables(str(killed.place), finished_here(tmp_path, SEARCH))


def test_kills_change_no_row(server: Server, tmp_path: Path) -> None:
    study = {**SEARCH, **SMALL}
    killed = Command(tmp_path / "killed", study, place=server.address())
    assert kill_at_random_operations(killed, 5, 40, 1) == 5
    output = killed.finish()
    assert "the lock of an object store is advisory" in output
    assert_same_tables(str(killed.place), finished_here(tmp_path, study))
    assert [*killed.store.checkpoints.glob("*")] == []
    assert not killed.store.lock.exists()
    # Nothing is left that a reader of the folder would trip over.
    names = {entry.name for entry in killed.store.root.iterdir()}
    assert names - {"checkpoints"} == {"study.yaml", "trials", "epochs", "environments"}


@pytest.mark.long
def test_kills_in_real_training_change_no_digit(s3: Server, tmp_path: Path) -> None:
    killed = Command(tmp_path / "killed", TRAINED, place=s3.address())
    process = killed.start()
    killed.started(process)
    ends = time.monotonic() + 120
    while not any(folder.glob("*.state") for folder in killed.store.checkpoints.iterdir()):
        assert process.poll() is None
        assert time.monotonic() < ends
        time.sleep(0.1)
    process.kill()
    process.communicate()
    killed.finish()
    assert_same_tables(str(killed.place), finished_here(tmp_path, TRAINED))


@pytest.mark.ray
@pytest.mark.long
def test_workers_write_their_checkpoints_to_the_store(s3: Server, tmp_path: Path) -> None:
    study = {**PLAIN, "seeds": [0, 1], "recipe": {"epochs": 20}}
    killed = Command(tmp_path / "killed", study, flags=(), pace=0.1, place=s3.address())
    process = killed.start()
    killed.started(process)
    ends = time.monotonic() + 120
    while len([*killed.store.checkpoints.iterdir()]) < 2 or not killed.store.parts("epochs"):
        assert process.poll() is None
        assert time.monotonic() < ends
        time.sleep(0.2)
    process.kill()
    process.communicate()
    killed.pace = 0.0
    killed.finish()
    assert_same_tables(str(killed.place), finished_here(tmp_path, study))
    attempts = killed.store.read("trials")["attempts"].to_pylist()
    assert max(attempts) == 2


def test_a_damaged_part_is_set_aside(s3: Server, tmp_path: Path) -> None:
    study = {**PLAIN, **SMALL}
    command = Command(tmp_path / "one", study, place=s3.address())
    command.finish()
    part = command.store.parts("epochs")[0]
    content = part.read_bytes()
    write_whole(part, content[:-100])
    said = scalestudy("status", str(command.place))
    assert said.returncode == 0
    assert f"{part.name} cannot be read. `scalestudy run` sets" in " ".join(said.stderr.split())
    output = command.finish()
    assert f"{part} is damaged and was set aside" in " ".join(output.split())
    assert (command.store.damaged / f"epochs-{part.name}").read_bytes() == content[:-100]
    assert_same_tables(str(command.place), finished_here(tmp_path, study))
    cleaned = json.loads(scalestudy("clean", str(command.place), "--yes", "--json").stdout)
    assert [item["reason"] for item in cleaned["items"]] == ["a damaged part that was set aside"]
    assert [*command.store.damaged.glob("*")] == []


def test_two_runs_in_one_place(s3: Server, tmp_path: Path) -> None:
    first = Command(tmp_path / "one", PLAIN, pace=0.5, place=s3.address())
    process = first.start()
    try:
        first.started(process)
        while not first.store.study_file.exists():
            assert process.poll() is None
            time.sleep(0.05)
        second = Command(tmp_path / "two", PLAIN, place=first.place).start()
        output, _ = second.communicate(timeout=120)
        assert second.returncode == 1
        assert f"process {process.pid}, since 20" in output
        status = json.loads(scalestudy("status", str(first.place), "--json").stdout)
        assert status["running"]
    finally:
        process.kill()
        process.communicate()


def test_the_other_commands(server: Server, tmp_path: Path) -> None:
    study = {**SEARCH, **SMALL}
    command = Command(tmp_path, study, place=server.address())
    file, place = str(tmp_path / "study.yaml"), str(command.place)
    command.finish()
    page = json.loads(scalestudy("report", place, "--json").stdout)["report"]
    assert page == str(command.store.report / "index.html")
    found = located(page)
    assert isinstance(found, ObjectPath)
    assert found.read_bytes().startswith(b"<!doctype html>")
    run = results.open(place)
    assert len(run.summary()) == 2
    assert len(run.epochs()) == len(table(place, "epochs"))
    planned = json.loads(scalestudy("plan", file, "--out", place, "--json").stdout)
    assert planned["trials"]["new"] == 0
    assert planned["out"] == place
    other = tmp_path / "other.yaml"
    other.write_text(Path(file).read_text().replace("name: kills", "name: other"))
    refused = scalestudy("run", str(other), "--out", place, "--address", "none")
    assert refused.returncode == 2
    assert "belongs to another study" in refused.stderr


def test_a_merged_folder_goes_on_in_a_store(s3: Server, tmp_path: Path) -> None:
    here = finished_here(tmp_path, {**PLAIN, **SMALL})
    there = Store(s3.address())
    for file in here.rglob("*"):
        if file.is_file():
            place = there.root
            for name in file.relative_to(here).parts:
                place = place / name
            write_whole(place, file.read_bytes())
    longer = {**PLAIN, **SMALL, "seeds": [0, 1, 2]}
    command = Command(tmp_path / "there", longer, place=str(there.root))
    command.finish()
    whole = Command(tmp_path / "longer", longer)
    whole.finish()
    assert_same_tables(str(there.root), whole.out)


def test_a_secret_in_an_address_is_refused_and_shown_nowhere(tmp_path: Path) -> None:
    command = Command(tmp_path, PLAIN, place="s3://AKIA123:hunter2@bucket/run")
    process = command.start()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "credentials do not belong in an address" in output
    assert "hunter2" not in output


def test_a_store_that_does_not_answer_for_a_while(
    s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(s3.address())
    rows = Rows(History(store))
    recorder = Recorder(store, rows, "pass")
    rows.update("t", {"status": "planned"})
    write, answers = ObjectPath.write_bytes, [False, True]

    def flaky(self: ObjectPath, content: bytes) -> None:
        if not answers.pop(0):
            raise Unreachable(f"{self}: cannot be reached")
        write(self, content)

    monkeypatch.setattr(ObjectPath, "write_bytes", flaky)
    monkeypatch.setattr("orchestrator.run.recorder.FLUSH_SECONDS", 0.0)
    monkeypatch.setattr("orchestrator.run.recorder._FLUSH_SHARE", 0.0)
    assert recorder.flush() == []
    assert store.parts("trials") == []
    assert len(rows.problems) == 1
    recorder.flush()
    assert store.read("trials")["trial_id"].to_pylist() == ["t"]
    rows.update("t", {"status": "completed"})
    answers[:] = [False]
    monkeypatch.setattr("orchestrator.run.recorder.OUTAGE_SECONDS", -1.0)
    with pytest.raises(Unreachable):
        recorder.flush()
