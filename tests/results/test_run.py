import numpy as np
import pytest
from matplotlib.figure import Figure
from sample import Plan, write

import results
from results.errors import StoreError
from results.records import SCHEMAS


@pytest.fixture
def run(tmp_path):
    return results.open(write(tmp_path / "run", Plan(), np.random.default_rng(0)))


def test_tables_are_frames_with_the_columns_of_the_records(run):
    assert list(run.trials().columns) == SCHEMAS["trials"].names
    assert len(run.trials()) == 36
    assert len(run.epochs()) == 36 * 5
    assert run.predictions().empty
    assert list(run.environments()["ray"]) == ["2.60.0"]
    assert run.epochs()["sequence"].is_monotonic_increasing


def test_a_frame_is_the_callers_own(run):
    for frame in (run.trials(), run.summary()):
        frame["model"] = "mine"
    assert "mine" not in set(run.trials()["model"])
    assert "mine" not in set(run.summary()["model"])


def test_summary_holds_a_row_per_cell(run):
    summary = run.summary()
    assert len(summary) == 12
    best = summary.loc[summary["test_accuracy"].idxmax()]
    assert (best["model"], best["weights"], best["fraction"]) == ("resnet50", "IMAGENET1K_V1", 1.0)


def test_answer_and_findings(run):
    answer, findings = run.answer(), run.findings()
    assert answer.sentences[0].topic == "levers"
    assert answer.sentences[1].text.startswith("Of 12 cells, resnet50 × IMAGENET1K_V1 × 1 is")
    assert list(findings.columns) == ["severity", "code", "cell", "evidence", "advice"]
    assert set(findings["severity"]) <= {"error", "warning", "note"}
    findings["code"] = "mine"
    assert "mine" not in set(run.findings()["code"])


def test_study_factors_and_name(run):
    assert run.name == "sample"
    assert run.factors == ["model", "weights", "fraction"]
    assert run.study["seeds"] == [0, 1, 2]
    assert run.tuned == []


def test_every_named_figure_can_be_drawn(run):
    assert run.figures[0] == "data-size"
    assert isinstance(run.figure("data-size"), Figure)


def test_an_unknown_figure_is_answered_with_the_known_ones(run):
    with pytest.raises(
        results.ResultsError, match=r"no figure 'datasize'.*Did you mean 'data-size'"
    ):
        run.figure("datasize")


def test_a_folder_without_a_study_is_refused(tmp_path):
    with pytest.raises(StoreError, match="no study has run here"):
        results.open(tmp_path)


def test_reserved_search_keys_are_not_recipe_fields(tmp_path):
    plan = Plan(models=("resnet18",), search={"lr": [1e-3, 1e-4]})
    root = write(tmp_path / "run", plan, np.random.default_rng(0))
    text = (root / "study.yaml").read_text().replace("search:\n", "search:\n  samples: 8\n")
    (root / "study.yaml").write_text(text)
    assert results.open(root).tuned == ["lr"]
