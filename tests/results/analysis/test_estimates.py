import math

import numpy as np
import pandas as pd
import pytest
from runs_table import BIG, SMALL, cell, curve, epochs_frame, trial, trials_frame

from results.analysis.estimates import (
    cell_estimates,
    compared_runs,
    ordered_levels,
    selection_optimism,
)

T2 = 4.302653


def rows_of(frame):
    return {
        (row["model"], row["weights"], row["fraction"]): row for row in frame.to_dict("records")
    }


def test_compared_runs_are_measured_wanted_and_completed():
    trials = trials_frame(
        [
            trial(0.8, seed=0),
            trial(0.9, seed=1, measured=False, stage="search"),
            trial(0.9, seed=2, wanted=False),
            trial(0.9, seed=3, status="failed", error="Diverged: loss nan"),
            trial(0.9, seed=4, status="stopped"),
            trial(0.7, seed=5, stage="search"),
        ]
    )
    runs = compared_runs(trials).set_index("seed")
    assert sorted(runs.index) == [0, 5]
    assert runs.loc[0, "accuracy"] == pytest.approx(80)
    assert runs.loc[0, "error"] == pytest.approx(20)
    assert runs["selected"].to_dict() == {0: False, 5: True}


def test_a_race_compares_what_completed():
    rows = cell([0.8, 0.9], stage="search", measured=False)
    rows.append(trial(None, seed=2, stage="search", measured=False, status="stopped"))
    runs = compared_runs(trials_frame(rows), race=True)
    assert runs["seed"].tolist() == [0, 1]
    assert not runs["selected"].any()


def test_means_with_t_intervals():
    frame = cell_estimates(trials_frame(cell([0.81, 0.82, 0.83])))
    row = frame.iloc[0]
    assert row["accuracy"] == pytest.approx(82)
    assert row["error"] == pytest.approx(18)
    assert row["accuracy_sd"] == pytest.approx(1)
    assert row["accuracy_high"] == pytest.approx(82 + T2 / math.sqrt(3), rel=1e-6)
    assert (row["seeds"], row["seeds_wanted"], row["missing_seeds"]) == (3, 3, [])
    assert row["state"] == "complete"
    assert pd.isna(row["selection_seed"])


def test_pooled_interval_borrows_spread():
    steady = cell([0.80, 0.80, 0.80])
    shaky = cell([0.70, 0.74, 0.78], model=BIG)
    found = rows_of(cell_estimates(trials_frame(steady + shaky)))
    own, other = found[(SMALL, "none", 1.0)], found[(BIG, "none", 1.0)]
    assert own["accuracy_high"] == pytest.approx(80)
    # Equal n and k: variances 0 and 16 pool to 8, of little worth in degrees of freedom.
    assert own["pooled_high"] - 80 == pytest.approx(other["pooled_high"] - 74)
    assert own["pooled_high"] - 80 >= T2 * math.sqrt(8 / 3) * 0.999
    assert own["pooled_low"] + own["pooled_high"] == pytest.approx(160)


def test_one_seed_has_no_interval_even_beside_others():
    rows = cell([0.8]) + cell([0.7, 0.72, 0.74], model=BIG)
    row = rows_of(cell_estimates(trials_frame(rows)))[(SMALL, "none", 1.0)]
    names = ["accuracy_low", "accuracy_high", "accuracy_sd", "pooled_low", "pooled_high"]
    assert all(np.isnan(row[name]) for name in names)


def test_missing_seeds_and_cells_stay_in_the_frame():
    rows = cell([0.8, 0.8, 0.8])
    rows += cell([0.6, 0.6], fraction=0.5)
    rows.append(trial(None, fraction=0.5, seed=2, status="failed", error="Diverged: loss nan"))
    rows += [
        trial(None, fraction=0.25, seed=0, lr=lr, stage="search", measured=False, status="failed")
        for lr in (1e-3, 1e-2)
    ]
    frame = cell_estimates(trials_frame(rows), seeds=[0, 1, 2])
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
    row = cell_estimates(trials_frame(rows)).iloc[0]
    assert row["selection_seed"] == 0
    assert row["accuracy"] == pytest.approx(84.6667, abs=1e-3)
    assert row["accuracy_without_selection"] == pytest.approx(82)
    assert row["accuracy_without_selection_sd"] == pytest.approx(math.sqrt(8))
    # Two CPUs for 100 s: two runs searched.
    assert row["search_resource_seconds"] == pytest.approx(400)


def test_cost_is_charged_in_the_scarcer_resource():
    on_cpu = cell_estimates(trials_frame(cell([0.8, 0.8], seconds=60.0, cpu=2.0))).iloc[0]
    assert (on_cpu["resource"], on_cpu["resource_seconds"]) == ("cpu", 120.0)
    on_gpu = cell_estimates(trials_frame(cell([0.8, 0.8], seconds=60.0, gpu=0.25))).iloc[0]
    assert (on_gpu["resource"], on_gpu["resource_seconds"]) == ("gpu", 15.0)


def test_recipe_fields_may_be_factors():
    rows = cell([0.8, 0.82]) + cell([0.7, 0.72], optimizer="sgd", momentum=0.9)
    frame = cell_estimates(trials_frame(rows), ["model", "weights", "fraction", "optimizer"])
    assert dict(zip(frame["optimizer"], frame["accuracy"].round(6), strict=True)) == {
        "adam": 81.0,
        "sgd": 71.0,
    }


def test_levels_are_ordered_from_little_to_much():
    rows = cell([0.8], model=BIG, weights="IMAGENET1K_V1") + cell([0.8], fraction=0.5)
    runs = compared_runs(trials_frame(rows))
    assert ordered_levels(runs, "model") == [SMALL, BIG]
    assert ordered_levels(runs, "weights") == ["none", "IMAGENET1K_V1"]
    assert ordered_levels(runs, "fraction") == [0.5, 1.0]


def test_absent_columns_are_named():
    with pytest.raises(ValueError, match="lacks colour"):
        cell_estimates(trials_frame(cell([0.8])), ["model", "colour"])


def test_optimism_of_choosing_the_epoch_on_test():
    row = trial(0.7)
    epochs = epochs_frame(
        curve(row, val_accuracy=[0.5, 0.7, 0.6], test_accuracy=[0.50, 0.62, 0.65])
    )
    found = selection_optimism(epochs).iloc[0]
    assert found["by_validation"] == pytest.approx(62)
    assert found["by_test"] == pytest.approx(65)
    assert found["optimism"] == pytest.approx(3)


def test_a_study_without_a_result():
    trials = trials_frame([trial(None, status="planned", seed=seed) for seed in (0, 1)])
    frame = cell_estimates(trials)
    assert frame["seeds"].tolist() == [0]
    assert frame["missing_seeds"].tolist() == [[0, 1]]


def test_an_interval_ends_where_accuracies_do():
    # Two seeds ten points apart: 94 ± 12.71·5 would reach 157.
    row = cell_estimates(trials_frame(cell([0.89, 0.99]))).iloc[0]
    assert row["accuracy_low"] == pytest.approx(94 - 12.7062 * 5, abs=1e-3)
    assert row["accuracy_high"] == 100
    assert row["pooled_high"] <= 100
    row = cell_estimates(trials_frame(cell([0.01, 0.11]))).iloc[0]
    assert (row["accuracy_low"], row["pooled_low"]) == (0, 0)
