"""The benchmarks run, and their table says what the rows do."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"


def run(name: str, *words: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / name), *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(program: str, seconds: float, accuracies: list[float], **more: object) -> pd.DataFrame:
    """Return the last epochs of one program's round: a recipe each, in one cell."""
    cost = {"cpu_seconds": 1.0, "memory": 0, "memory_driver": 0, "memory_worker": 0, "load": 0.0}
    return pd.DataFrame(
        {
            "model": "resnet18",
            "fraction": "1/4",
            "lr": [0.1 * number for number in range(len(accuracies))],
            "batch_size": 32,
            "optimizer": "sgd",
            "epoch": 1,
            "accuracy": accuracies,
            "program": program,
            "round": 0,
            "seconds": seconds,
            **cost,
            **more,
        }
    )


@pytest.fixture
def comparison(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import comparison

    return comparison


def test_ratios_are_to_the_best_peer_and_to_the_notebook(comparison: object) -> None:
    both = [rows("scalestudy", 30.0, [0.5]), rows("notebook", 100.0, [0.52])]
    table = comparison.table(pd.concat([*both, rows("optuna_study", 60.0, [0.5])]), "time")
    assert "best peer as its tutorial writes it: 0.500 (0.500 to 0.500, at most 0.5" in table
    assert "the notebook loop: 0.300 (0.300 to 0.300, at most 0.4" in table
    assert "-2.00 points on average" in table


def test_a_search_is_held_against_the_best_of_the_whole_grid(comparison: object) -> None:
    mine = rows("scalestudy", 10.0, [0.40, 0.55], chosen=[False, True])
    whole = rows("scalestudy, whole grid", 20.0, [0.60, 0.55], chosen=[True, False])
    # What Ray Tune stops early is no whole grid, however fast.
    peers = [rows("notebook", 50.0, [0.5, 0.6]), rows("ray_tune", 5.0, [0.3])]
    measured = pd.concat([mine, whole, *peers])
    assert comparison.regret(measured, "scalestudy").regret.tolist() == pytest.approx([0.05])
    table = comparison.table(measured, "search")
    assert "best peer as its tutorial writes it: 0.200" in table
    assert "regret against the whole grid: 5.00 points on average" in table
    assert "ray_tune: 1 to 1 of 1 cells complete" in table


def test_trials_that_were_not_tested_are_no_part_of_the_regret(comparison: object) -> None:
    name = "scalestudy, test at the end"
    mine = rows(name, 10.0, [np.nan, np.nan, 0.55], chosen=[False, False, True])
    # All of the whole grid is tested; it chose by validation, and not the best.
    whole = rows(f"{name}, whole grid", 20.0, [0.60, 0.55], chosen=[False, True])
    measured = pd.concat([mine, whole, rows("notebook", 50.0, [0.5, 0.6])])
    assert comparison.regret(measured, name).regret.tolist() == pytest.approx([0.05])
    table = comparison.table(measured, "search")
    assert "best peer as its tutorial writes it: 0.200 (0.200 to 0.200, at most 0.15" in table
    assert f"- {name}: 1 to 1 of 1 cells complete" in table


def test_a_command_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import processes

    monkeypatch.setattr(processes, "_SAMPLE_SECONDS", 0.2)
    monkeypatch.setattr(processes, "_WORKED", 0.05)
    sleeping = [sys.executable, "-c", "import time; time.sleep(600)"]
    with pytest.raises(RuntimeError, match=r"sleep\(600\) hung for 2 s"):
        processes.measure(sleeping, tmp_path / "log", {}, patience=2)
    # One that computes is left alone for longer than that.
    computing = "import time\nwhile time.process_time() < 2.5: pass"
    cost = processes.measure([sys.executable, "-c", computing], tmp_path / "log", {}, patience=2)
    assert cost.seconds > 2


@pytest.mark.long
@pytest.mark.ray
def test_side_by_side(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="Optuna is one of the peers")
    said = run("side_by_side.py", "--quick", folder=tmp_path)
    for program in (
        "scalestudy",
        "scalestudy, test at the end",
        "notebook",
        "ray_tune",
        "optuna_study",
    ):
        assert f"| {program} |" in said
        assert f"time: {program} …" in said
    # What is measured is not measured again.
    again = run("side_by_side.py", "--quick", folder=tmp_path)
    assert "…" not in again
    assert again.splitlines()[-1] == said.splitlines()[-1]


@pytest.mark.long
@pytest.mark.ray
def test_what_each_saving_saves(tmp_path: Path) -> None:
    said = run("savings.py", "--quick", "--ways", "test: final", "together", folder=tmp_path)
    assert "test: final: " in said
    assert "together: " in said
    assert "winners" in said


@pytest.mark.long
@pytest.mark.ray
def test_a_study_that_saves_answers_as_one_that_does_not(tmp_path: Path) -> None:
    said = run("bias.py", "--quick", folder=tmp_path)
    assert "auto: 16 epochs trained" in said
    assert "small → large" in said
    assert "False" not in said


@pytest.mark.long
def test_the_head_alone_is_set_beside_the_whole_model(tmp_path: Path) -> None:
    assert "| 1/16 | 81 |" in run("frozen.py", "--quick", folder=tmp_path)


@pytest.mark.long
@pytest.mark.ray
def test_what_a_trial_costs_beside_bare_tune(tmp_path: Path) -> None:
    assert "ratio " in run("overhead.py", "--trials", "20", "--rounds", "1", folder=tmp_path)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "words", "last"),
    [
        ("pipeline.py", ("--images", "512", "--batch", "32", "--rounds", "1"), "training step"),
        ("trainer.py", ("--batch", "8", "--rounds", "1", "--whole"), "asked for"),
        ("trainer.py", ("--batch", "8", "--rounds", "1"), "| trainer, bf16 |"),
        ("throughput.py", (str(ROOT), "--rounds", "1"), " of it ("),
    ],
)
def test_steps_are_measured(name: str, words: tuple[str, ...], last: str, tmp_path: Path) -> None:
    assert last in run(name, *words, folder=tmp_path).splitlines()[-1]


@pytest.mark.long
@pytest.mark.ray
def test_a_forecast_is_set_beside_what_was_taken(tmp_path: Path) -> None:
    said = run("forecast.py", "--quick", folder=tmp_path)
    assert "| digits, 2 trials |" in said
