"""Wanted − recorded, as a study grows and shrinks."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import StudyError
from orchestrator.plan import plan_study
from orchestrator.runner import run_study
from orchestrator.study import study_from
from results.store import Store

BASE: dict[str, Any] = {
    "name": "grown",
    "trainable": "simulated",
    "factors": {"model": ["a", "b"], "fraction": ["1/4", 1]},
    "recipe": {"epochs": 3},
    "seeds": [0, 1],
}


def counts(values: dict[str, Any], out: Path) -> tuple[int, ...]:
    """Return (wanted, new, reused, continued, orphaned) after checking that they add up."""
    trials = plan_study(study_from(values), out).trials
    assert trials["wanted"] == trials["new"] + trials["reused"] + trials["continued"]
    assert trials["recorded"] == trials["reused"] + trials["continued"] + trials["orphaned"]
    return tuple(trials[key] for key in ("wanted", "new", "reused", "continued", "orphaned"))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    run_study(study_from(BASE), tmp_path / "run", address="none")
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, (8, 0, 8, 0, 0)),
        ({"factors": {"model": ["a", "b", "c"], "fraction": ["1/4", 1]}}, (12, 4, 8, 0, 0)),
        ({"factors": {"model": ["a", "b"], "fraction": ["1/4", "1/2", 1]}}, (12, 4, 8, 0, 0)),
        ({"factors": {"model": ["a"], "fraction": ["1/4", 1]}}, (4, 0, 4, 0, 4)),
        ({"factors": {"model": ["a", "b"], "fraction": [0.25, 45000]}}, (8, 0, 8, 0, 0)),
        ({"seeds": [0, 1, 2]}, (12, 4, 8, 0, 0)),
        ({"recipe": {"epochs": 5}}, (8, 0, 0, 8, 0)),
        ({"recipe": {"epochs": 2}}, (8, 0, 8, 0, 0)),
        ({"recipe": {"epochs": 3, "schedule": "cosine"}}, (8, 8, 0, 0, 8)),
        ({"recipe": {"epochs": 3, "lr": "0.001"}}, (8, 0, 8, 0, 0)),
        ({"recipe": {"epochs": 3, "momentum": 0.5}}, (8, 0, 8, 0, 0)),
    ],
)
def test_counts(out: Path, change: dict[str, Any], expected: tuple[int, ...]) -> None:
    assert counts({**BASE, **change}, out) == expected


def test_a_level_taken_away_and_put_back_is_not_trained_again(out: Path) -> None:
    before = Store(out).read("epochs").num_rows
    run_study(study_from({**BASE, "factors": {"model": ["a"]}}), out, address="none")
    run_study(study_from(BASE), out, address="none")
    assert Store(out).read("epochs").num_rows == before
    assert all(Store(out).read("trials")["wanted"].to_pylist())


def test_fewer_epochs_read_the_recorded_rows(out: Path) -> None:
    run_study(study_from({**BASE, "recipe": {"epochs": 2}}), out, address="none")
    trials = Store(out).read("trials").to_pandas().set_index("trial_id")
    epochs = Store(out).read("epochs").to_pandas()
    second = epochs[epochs.epoch == 2].set_index("trial_id").test_accuracy
    assert (trials.final_test_accuracy == second[trials.index]).all()


@pytest.mark.parametrize("change", [{"name": "other"}, {"data": {"validation": 0.2}}])
def test_another_study_is_refused(out: Path, change: dict[str, Any]) -> None:
    before = {file: file.read_bytes() for file in out.rglob("*.parquet")}
    if "name" in change:
        with pytest.raises(StudyError, match="belongs to another study"):
            run_study(study_from({**BASE, **change}), out, address="none")
    else:
        assert counts({**BASE, **change}, out)[1] == 8
    assert {file: file.read_bytes() for file in out.rglob("*.parquet")} == before
