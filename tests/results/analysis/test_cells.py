import math

import numpy as np
import pandas as pd
import pytest
from runs_table import BIG, SMALL, analysis_of, cell, trial
from sample import Plan, Row, write

import results
from results.analysis.cells import State, cells_of, pareto_front
from results.analysis.runs import Design
from results.records import SCHEMAS

CELL = ["model", "weights", "fraction"]
T2 = 4.302653


def cells(tmp_path, plan=None, fate=lambda row: None):
    run = results.open(write(tmp_path / "run", plan or Plan(), np.random.default_rng(0), fate))
    return run.analysis.cells, run.trials()


def frame_of(rows, **design):
    return analysis_of(rows, **design).cells.frame


def rows_of(frame):
    return {
        (row["model"], row["weights"], row["fraction"]): row for row in frame.to_dict("records")
    }


def test_a_cell_holds_mean_and_interval_over_its_seeds(tmp_path):
    found, trials = cells(tmp_path)
    assert len(found.frame) == 12
    row = found.summary.iloc[0]
    assert tuple(row[CELL]) == ("resnet18", "none", 1 / 16)
    own = trials[(trials["model"] == "resnet18") & (trials["weights"] == "none")]
    values = own.loc[own["fraction"] == 1 / 16, "final_test_accuracy"]
    assert row["test_accuracy"] == pytest.approx(values.mean())
    assert row["test_accuracy_low"] < values.mean() < row["test_accuracy_high"]
    assert (row["test_accuracy_min"], row["seeds"], row["seeds_wanted"]) == (values.min(), 3, 3)
    assert found.progress == "12 complete"


def test_levels_keep_the_order_of_the_study(tmp_path):
    found, _ = cells(tmp_path, Plan(models=("resnet50", "resnet18"), fractions=(1.0, 0.25)))
    assert found.levels["model"] == ["resnet50", "resnet18"]
    assert found.levels["fraction"] == [0.25, 1.0]
    assert list(found.frame["model"].head(4)) == ["resnet50"] * 4


def test_every_cell_without_a_value_says_why(tmp_path):
    def fate(row: Row) -> str | None:
        if row["weights"] != "none":
            return None
        return {1 / 16: "nan", 1 / 2: "planned", 1.0: "running"}[row["fraction"]]

    found, _ = cells(tmp_path, Plan(models=("resnet18",)), fate)
    frame = found.frame.set_index(["weights", "fraction"])
    assert list(frame.loc["none", "state"]) == [State.FAILED, State.MISSING, State.RUNNING]
    assert list(frame.loc["none", "reason"]) == [
        "3 failed (Diverged: train loss became nan at epoch 2, step 31)",
        "3 planned, not run yet",
        "3 running",
    ]
    assert frame.loc["IMAGENET1K_V1", "reason"].isna().all()


def test_a_cell_that_lost_a_seed_is_partial(tmp_path):
    found, _ = cells(
        tmp_path, Plan(fractions=(1.0,)), lambda row: "nan" if row["seed"] == 2 else None
    )
    row = found.frame.iloc[0]
    assert (row["state"], row["seeds"], row["seeds_wanted"]) == (State.PARTIAL, 2, 3)
    assert row["reason"].startswith("2 of 3 seeds completed; 1 failed")


def test_a_cell_whose_recipes_were_all_stopped_names_that(tmp_path):
    plan = Plan(models=("resnet18",), search={"lr": [1e-3, 1e-4]})
    found, _ = cells(tmp_path, plan, lambda row: "stopped" if row["fraction"] == 1 else None)
    lost = found.frame[found.frame["fraction"] == 1]
    assert set(lost["state"]) == {State.STOPPED}
    assert set(lost["reason"]) == {"2 stopped early; no recipe completed, so none could be chosen"}
    chosen = found.frame[found.frame["fraction"] < 1]
    assert set(chosen["lr"]) == {1e-3}
    assert set(chosen["seeds"]) == {3}


def test_a_factor_of_the_recipe_names_cells_too(tmp_path):
    plan = Plan(models=("resnet18",), extra={"optimizer": ["adam", "sgd"]})
    found, _ = cells(tmp_path, plan)
    assert found.factors == ("model", "weights", "fraction", "optimizer")
    assert len(found.frame) == 12
    assert found.name(found.frame.iloc[1]) == "none × 1/16 × optimizer sgd"


def test_a_race_counts_what_was_stopped(tmp_path):
    found, _ = cells(
        tmp_path,
        Plan(race=True, seeds=(0,)),
        lambda row: "stopped" if row["weights"] == "none" else None,
    )
    assert found.race
    assert found.progress == "6 complete, 6 stopped"


def test_nothing_recorded_gives_no_cells(tmp_path):
    found, _ = cells(tmp_path, Plan(), lambda row: "missing")
    assert found.frame.empty
    assert {"model", "state", "reason", "test_accuracy"} <= set(found.summary.columns)


def test_a_trial_without_a_test_accuracy_is_completed_and_has_no_value():
    rows = cell([0.8, float("nan")]) + cell([float("nan")] * 2, model=BIG)
    study = analysis_of(rows)
    assert study.cells.summary["seeds"].tolist() == [2, 2]
    assert set(study.cells.frame["state"]) == {State.COMPLETE}
    assert study.cells.frame["seeds"].tolist() == [1, 0]
    assert study.cells.frame["missing_seeds"].tolist() == [[1], [0, 1]]
    # What is no number wins nothing.
    assert study.ranked["model"].tolist() == [SMALL]


def test_the_summary_is_in_shares_and_the_frame_in_points():
    cells = analysis_of(cell([0.81, 0.82, 0.83], final_val_accuracy=0.7)).cells
    row, summed = cells.frame.iloc[0], cells.summary.iloc[0]
    assert (row["accuracy"], row["val_accuracy"], row["test_loss"]) == pytest.approx((82, 70, 0.6))
    assert summed["test_accuracy"] == pytest.approx(0.82)
    assert summed["test_accuracy_high"] == pytest.approx(0.82 + T2 * 0.01 / math.sqrt(3))
    assert (summed["val_accuracy"], summed["test_loss"]) == pytest.approx((0.7, 0.6))


def test_what_is_no_longer_wanted_is_left_out(tmp_path):
    _, trials = cells(tmp_path)
    trials["wanted"] = trials["model"] == "resnet18"
    nothing = SCHEMAS["predictions"].empty_table().to_pandas()
    assert set(cells_of(trials, Design(), nothing).frame["model"]) == {"resnet18"}


def test_means_with_t_intervals():
    frame = frame_of(cell([0.81, 0.82, 0.83]))
    row = frame.iloc[0]
    assert row["accuracy"] == pytest.approx(82)
    assert row["error"] == pytest.approx(18)
    assert row["accuracy_sd"] == pytest.approx(1)
    assert row["accuracy_high"] == pytest.approx(82 + T2 / math.sqrt(3), rel=1e-4)
    assert (row["seeds"], row["seeds_wanted"], row["missing_seeds"]) == (3, 3, [])
    assert row["state"] == "complete"
    assert pd.isna(row["selection_seed"])


def test_intervals_borrow_spread_from_other_cells():
    flat, rough = [0.80, 0.80, 0.80], [0.70, 0.74, 0.78]
    own = rows_of(frame_of(cell(flat) + cell(rough, model=BIG)))
    assert 80 < own[(SMALL, "none", 1.0)]["accuracy_high"] < 90
    alone = rows_of(frame_of(cell(flat)))[(SMALL, "none", 1.0)]
    assert np.isnan([alone["accuracy_low"], alone["accuracy_high"]]).all()


def test_one_seed_has_no_interval_even_beside_others():
    rows = cell([0.8]) + cell([0.7, 0.72, 0.74], model=BIG)
    row = rows_of(frame_of(rows))[(SMALL, "none", 1.0)]
    names = ["accuracy_low", "accuracy_high", "accuracy_sd"]
    assert all(np.isnan(row[name]) for name in names)


def test_missing_seeds_and_cells_stay_in_the_frame():
    rows = cell([0.8, 0.8, 0.8])
    rows += cell([0.6, 0.6], fraction=0.5)
    rows.append(trial(None, fraction=0.5, seed=2, status="failed", error="Diverged: loss nan"))
    rows += [
        trial(None, fraction=0.25, seed=0, lr=lr, stage="search", measured=False, status="failed")
        for lr in (1e-3, 1e-2)
    ]
    frame = frame_of(rows, seeds=(0, 1, 2))
    found = rows_of(frame)
    assert list(frame["fraction"]) == [0.25, 0.5, 1.0]
    assert found[(SMALL, "none", 0.5)]["missing_seeds"] == [2]
    assert "loss nan" in found[(SMALL, "none", 0.5)]["reason"]
    empty = found[(SMALL, "none", 0.25)]
    assert (empty["state"], empty["seeds"], empty["missing_seeds"]) == ("failed", 0, [0, 1, 2])
    assert np.isnan(empty["accuracy"])


def test_selection_seed_is_marked_and_left_out():
    rows = [trial(0.90, seed=0, stage="search"), trial(0.80, seed=1), trial(0.84, seed=2)]
    rows.append(trial(0.85, seed=0, lr=1e-2, stage="search", measured=False))
    row = frame_of(rows).iloc[0]
    assert row["selection_seed"] == 0
    assert row["accuracy"] == pytest.approx(84.6667, abs=1e-3)
    assert row["accuracy_without_selection"] == pytest.approx(82)
    # Two CPUs for 100 s: two runs searched.
    assert row["search_resource_seconds"] == pytest.approx(400)


def test_cost_is_charged_in_the_scarcer_resource():
    on_cpu = frame_of(cell([0.8, 0.8], seconds=60.0, cpu=2.0)).iloc[0]
    assert (on_cpu["resource"], on_cpu["resource_seconds"]) == ("cpu", 120.0)
    on_gpu = frame_of(cell([0.8, 0.8], seconds=60.0, gpu=0.25)).iloc[0]
    assert (on_gpu["resource"], on_gpu["resource_seconds"]) == ("gpu", 15.0)


def test_recipe_fields_may_be_factors():
    rows = cell([0.8, 0.82]) + cell([0.7, 0.72], optimizer="sgd", momentum=0.9)
    frame = frame_of(rows, factors=("model", "weights", "fraction", "optimizer"))
    assert dict(zip(frame["optimizer"], frame["accuracy"].round(6), strict=True)) == {
        "adam": 81.0,
        "sgd": 71.0,
    }


def test_a_study_without_a_result():
    frame = frame_of([trial(None, status="planned", seed=seed) for seed in (0, 1)])
    assert frame["seeds"].tolist() == [0]
    assert frame["missing_seeds"].tolist() == [[0, 1]]


def test_an_interval_ends_where_accuracies_do():
    # Two seeds ten points apart: 94 ± 12.71·5 would reach 157.
    row = frame_of(cell([0.89, 0.99])).iloc[0]
    assert row["accuracy_low"] == pytest.approx(94 - 12.7062 * 5, abs=1e-3)
    assert row["accuracy_high"] == 100
    row = frame_of(cell([0.01, 0.11])).iloc[0]
    assert row["accuracy_low"] == 0


def test_pareto_front_by_hand():
    rows = cell([0.60], seconds=10.0, fraction=0.25)
    rows += cell([0.70], seconds=40.0)
    rows += cell([0.65], seconds=60.0, model=BIG, fraction=0.25)
    rows += cell([0.80], seconds=90.0, model=BIG)
    cells = analysis_of(rows).cells.frame
    front = cells.assign(front=pareto_front(cells, "resource_seconds"))
    names = zip(front["model"], front["fraction"], front["front"], strict=True)
    assert {(model, fraction): on for model, fraction, on in names} == {
        (SMALL, 0.25): True,
        (SMALL, 1.0): True,
        (BIG, 0.25): False,
        (BIG, 1.0): True,
    }
    by_size = front.assign(front=pareto_front(cells, "n_parameters"))
    assert by_size.loc[by_size["front"], "fraction"].tolist() == [1.0, 1.0]


def test_cells_without_a_value_are_on_no_front():
    rows = cell([0.6]) + cell([None], model=BIG, status="failed")
    cells = analysis_of(rows).cells.frame
    assert pareto_front(cells, "n_parameters").sum() == 1
