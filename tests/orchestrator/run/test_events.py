import json
import logging
from pathlib import Path

import pytest
from studies import study

from orchestrator.errors import RunError
from orchestrator.run.events import written_to
from orchestrator.run.runner import run_study
from orchestrator.study.recipes import SEARCH_SEED


def events(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_every_trial_is_told_from_start_to_end(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    declared = study(
        factors={"model": ["a", "b"]}, search={"lr": ["1e-3", "1e-2", "1e9"]}, seeds=[0, 1]
    )
    with written_to(file):
        run_study(declared, tmp_path / "run", address="none")
    told = events(file)
    by_trial: dict[object, list[object]] = {}
    for event in told:
        by_trial.setdefault(event["trial"], []).append(event["event"])
        assert event["cell"] in ("a × none × 1", "b × none × 1")
        assert event["stage"] in ("search", "measure")
        assert event["seed"] in (0, 1, SEARCH_SEED)
    for names in by_trial.values():
        assert names[0] == "started"
        assert names[-1] in ("completed", "stopped", "failed")
    failed = [event for event in told if event["event"] == "failed"]
    assert len(failed) == 2
    assert all(event["level"] == "warning" for event in failed)
    assert all(event["kind"] == "diverged" for event in failed)
    # Quiet once it is left.
    run_study(declared, tmp_path / "again", address="none")
    assert events(file) == told
    assert logging.getLogger("scalestudy").level == logging.NOTSET


def test_handlers_of_ones_own_get_values(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="scalestudy"):
        run_study(study(seeds=[0]), tmp_path, address="none")
    assert any(getattr(record, "about", {}).get("event") == "epoch" for record in caplog.records)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    refused = pytest.raises(RunError, match=r"--log .*absent/x: cannot be written")
    with refused, written_to(tmp_path / "absent" / "x"):
        pass


def test_a_log_on_a_full_disk_is_given_up_and_the_run_goes_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with written_to(Path("/dev/full")):
        assert run_study(study(seeds=[0]), tmp_path, address="none").exit_code == 0
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("--log /dev/full: given up, it cannot be written ([Errno 28]")
