"""A study is judged by what its metric says, from search to page."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from orchestrator.errors import StudyError
from orchestrator.run.runner import run_study
from orchestrator.study.study import study_from
from results import open as results_open
from results import write_comparison, write_report
from trainables.training.simulated import Simulated

HERE = "field.test_metric"
VALUES: dict[str, Any] = {
    "name": "scores",
    "factors": {"model": ["a", "b"], "fraction": ["1/4", "1/2", 1]},
    "recipe": {"epochs": 2, "batch_size": 32},
    "seeds": [0, 1, 2],
    "data": {"source": "digits"},
}


class Own(Simulated):
    """Reports what is no accuracy, of a curve that is simulated: less at more data."""

    def step(self) -> dict[str, Any]:
        row = super().step()
        error = 1 - row["test_accuracy"]
        return {"epoch": row["epoch"], **self.told(1 - row["val_accuracy"], error)}

    def told(self, val: float, test: float) -> dict[str, Any]:
        return {"val_rmse": 300 * val, "test_rmse": 300 * test, "mae": 1.0}


class MinusLoss(Own):
    def told(self, val: float, test: float) -> dict[str, Any]:
        return {"val_score": -val, "test_score": -test}


class Percent(Own):
    def told(self, val: float, test: float) -> dict[str, Any]:
        return {"val_map": 100 - 100 * val, "test_map": 100 - 100 * test}


class Gain(Own):
    """Its score has no end, and may be of either sign."""

    def told(self, val: float, test: float) -> dict[str, Any]:
        return {"val_reward": 500 * (0.3 - val), "test_reward": 500 * (0.3 - test)}


class Untested(Own):
    def told(self, val: float, test: float) -> dict[str, Any]:
        return {"val_accuracy": 1 - val}


class InPercent(Own):
    def told(self, val: float, test: float) -> dict[str, Any]:
        return {"val_accuracy": 60.3}


def trained(out: Path, **values: Any) -> Any:
    study = study_from({**VALUES, **values})
    return study, run_study(study, out, address="none")


@pytest.mark.parametrize(
    ("name", "metric", "said"),
    [
        ("Own", {"column": "rmse", "goal": "min", "unit": "px"}, " px"),
        ("MinusLoss", {"column": "val_score", "goal": "max"}, "−0."),
        ("Percent", {"column": "map", "goal": "max", "unit": "%"}, " %"),
        ("Gain", {"column": "reward", "goal": "max"}, "reward"),
    ],
)
def test_a_score_of_ones_own_goes_from_search_to_page(
    tmp_path: Path, name: str, metric: dict[str, str], said: str
) -> None:
    search = {"lr": [1e-3, 3e-4, 1e-4], "seed": 9}
    values = {"trainable": f"{HERE}:{name}", "metric": metric, "search": search}
    _, summary = trained(
        tmp_path / "run", **values, early_stopping={"grace": 1, "reduction_factor": 2}
    )
    assert not summary.failed
    run = results_open(tmp_path / "run")
    column = metric["column"].removeprefix("val_")
    epochs, trials = run.epochs(), run.trials()
    assert set(epochs["metric"]) == {column}
    best = "idxmin" if metric["goal"] == "min" else "idxmax"
    tried = trials[(trials["stage"] == "search") & (trials["status"] == "completed")]
    for _, own in tried.groupby(["model", "fraction"]):
        chosen = own.loc[getattr(own["final_val_metric"], best)(), "lr"]
        key = own[["model", "fraction"]].iloc[0]
        measured = trials[trials["measured"] & (trials[["model", "fraction"]] == key).all(axis=1)]
        assert set(measured["lr"]) == {chosen}
    stopped = trials[trials["status"] == "stopped"]
    worse = stopped["latest_val_metric"] - stopped["stopped_cutoff"]
    assert len(stopped)
    assert ((worse > 0) if metric["goal"] == "min" else (worse < 0)).all()
    for _, curve in epochs[epochs["trial_id"].isin(tried["trial_id"])].groupby("trial_id"):
        row = trials.set_index("trial_id").loc[curve["trial_id"].iloc[0]]
        at = getattr(curve.set_index("epoch")["val_metric"], best)()
        assert row["best_epoch"] == at
    cells = run.summary()
    means = trials[trials["measured"]].groupby(["model", "fraction"])["final_test_metric"].mean()
    found = cells.set_index(["model", "fraction"])["test_metric"]
    pd.testing.assert_series_equal(found.sort_index(), means.sort_index(), check_names=False)
    inside = cells["test_metric_low"] <= cells["test_metric"]
    assert (inside & (cells["test_metric"] <= cells["test_metric_high"])).all()
    top = cells.loc[getattr(cells["test_metric"], best)()]
    said_best = run.answer().of("best")
    assert f"{top['model']} × {'1' if top['fraction'] == 1 else ''}" in said_best
    assert said in said_best
    assert "accura" not in said_best
    assert "new seeds" in said_best
    (data,) = run.levers().loc[run.levers()["lever"] == "data", "gain"]
    assert data > 0
    assert write_report(run, figures=True).exists()
    beside = write_comparison(run, run, tmp_path / "beside").read_text()
    assert f"in {run.analysis.metric.points_of('test')} at the last epoch" in beside
    assert "test accuracy" not in beside


def test_what_no_column_holds_is_said(tmp_path: Path) -> None:
    metric = {"column": "rmse", "goal": "min", "unit": "px"}
    _, summary = trained(tmp_path, trainable=f"{HERE}:Own", metric=metric, seeds=[0])
    assert [problem for problem in summary.problems if "no column holds mae" in problem]
    assert len([problem for problem in summary.problems if "no column" in problem]) == 1


def test_without_a_test_set_cells_are_compared_by_validation(tmp_path: Path) -> None:
    trained(tmp_path, trainable=f"{HERE}:Untested")
    run = results_open(tmp_path)
    assert "the most accurate" in run.answer().of("best")
    assert "validation accuracy" in run.answer().of("best")
    assert "untested" in set(run.findings()["code"])
    assert write_report(run).exists()


def test_the_first_step_is_checked(tmp_path: Path) -> None:
    _, summary = trained(tmp_path, trainable=f"{HERE}:InPercent", seeds=[0])
    assert "val_accuracy is 60.3; accuracies are shares from 0 to 1" in summary.failed[0]


def test_a_run_directory_is_of_one_metric(tmp_path: Path) -> None:
    small = {"trainable": "simulated", "seeds": [0]}
    trained(tmp_path / "free", **small)
    # Nothing was stopped, and the log loss is recorded: the trials stand.
    _, again = trained(tmp_path / "free", **small, metric="log_loss")
    assert not again.failed
    run = results_open(tmp_path / "free")
    assert set(run.epochs()["metric"]) == {"accuracy"}
    found, trials = run.summary()["test_metric"], run.trials()
    assert sorted(found) == pytest.approx(sorted(trials["final_test_log_loss"]))
    trained(tmp_path / "own", **small | {"trainable": f"{HERE}:Untested"})
    metric = {"column": "rmse", "goal": "min"}
    with pytest.raises(StudyError, match=r"metric accuracy, not .*rmse"):
        trained(tmp_path / "own", **small | {"trainable": f"{HERE}:Untested"}, metric=metric)


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("acuracy", "accuracy"),
        ({"column": "rmse"}, "goal"),
        ({"column": "log_loss", "goal": "max"}, "metric: log_loss"),
        ({"column": "rmse", "goal": "min"}, "simulated reports accuracy"),
    ],
)
def test_a_metric_that_cannot_be_is_refused(metric: Any, said: str) -> None:
    with pytest.raises(StudyError, match=said):
        study_from({**VALUES, "trainable": "simulated", "metric": metric})


CLASSIFIER: dict[str, Any] = {
    "recipe": {"steps": 8, "evaluations": 2, "batch_size": 16, "lr": 1e-3},
    "factors": {"model": ["trainables.demo:small"], "fraction": ["1/16", "1/8"]},
    "seeds": [0, 1],
}


def test_a_classifier_is_judged_by_what_is_no_share_of_right_images(tmp_path: Path) -> None:
    trained(tmp_path, **CLASSIFIER, metric="log_loss")
    assert "test log loss" in write_report(tmp_path).read_text()
    found = results_open(tmp_path).analysis.mistakes
    assert (found.runs, len(found.missed), len(found.disputed)) == (0, 0, 0)


def test_a_classifier_is_judged_by_balanced_accuracy(tmp_path: Path) -> None:
    trained(tmp_path, **CLASSIFIER, metric="balanced_accuracy")
    run = results_open(tmp_path)
    trials, predictions = run.trials(), run.predictions()
    for _, row in trials.iterrows():
        own = predictions[predictions["trial_id"] == row["trial_id"]]
        recall = own.groupby("label")["correct"].mean()
        assert math.isclose(row["final_test_balanced_accuracy"], recall.mean())
        assert row["final_test_metric"] == row["final_test_balanced_accuracy"]
        assert math.isclose(
            row["final_test_log_loss"], -np.log(own["label_probability"]).mean(), rel_tol=1e-4
        )
        assert math.isclose(row["final_test_top5"], own["in_first_five"].mean())
        assert 0 <= row["final_test_calibration_error"] <= 1
        assert row["evaluation_images_per_second"] > 0
    assert run.analysis.cells.frame["accuracy_speaks_of"].str.contains("images").all()
    assert "balanced accuracy" in run.answer().of("best")
