"""The demo's study: nothing stands against it, and its answer is decided."""

from pathlib import Path

import pytest

import scalestudy
from orchestrator.study.presets import preset_text
from results.findings.finding import Severity


@pytest.fixture
def file(tmp_path: Path) -> Path:
    written = tmp_path / "demo.yaml"
    written.write_text(preset_text("demo"))
    return written


def test_it_plans_without_a_finding(file: Path, tmp_path: Path) -> None:
    plan = scalestudy.plan_study(scalestudy.load_study(file), tmp_path / "run")
    assert plan.findings == []
    assert plan.trials["new"] == 128


@pytest.mark.ray
@pytest.mark.long
def test_it_is_decided(file: Path, tmp_path: Path) -> None:
    study = scalestudy.load_study(file)
    assert scalestudy.run_study(study, tmp_path / "run").exit_code == 0
    run = scalestudy.open(tmp_path / "run")
    assert set(run.findings()["severity"]) <= {Severity.NOTE}
    weights = run.levers().set_index("lever").loc["weights"]
    assert weights["decided"]
    assert weights["low"] > 0
    # Pretraining helps most where images are few.
    gains = run.analysis.differences("weights").groupby("n_train")["difference"].mean()
    assert gains.idxmax() == gains.index.min()
    assert gains.max() > 10
