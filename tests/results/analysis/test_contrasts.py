import math

import numpy as np
import pyarrow as pa
import pytest
from runs_table import BIG, SMALL, cell, trial, trials_frame

from results.analysis.contrasts import (
    interactions,
    main_effects,
    paired_differences,
    paired_test_set,
)
from results.analysis.runs import compared_runs
from results.records import PREDICTION_SCHEMA

FACTORS = ["model", "weights", "fraction"]
T2 = 4.302653


def runs_of(rows):
    return compared_runs(trials_frame(rows))


def test_paired_difference_per_cell():
    rows = cell([0.60, 0.61, 0.62]) + cell([0.61, 0.63, 0.65], model=BIG)
    rows += cell([0.50, 0.51], fraction=0.5) + cell([0.50, 0.51, 0.6], model=BIG, fraction=0.5)
    table = paired_differences(runs_of(rows), FACTORS, "model").set_index("fraction")
    row = table.loc[1.0]
    assert (row["first"], row["second"]) == (SMALL, BIG)
    assert row["difference"] == pytest.approx(2)
    assert row["high"] == pytest.approx(2 + T2 / math.sqrt(3), rel=1e-6)
    assert not row["decided"]
    assert row["error_ratio"] == pytest.approx(37 / 39)
    assert row["p_two_sided"] == pytest.approx(1 - 2 * math.sqrt(3) / math.sqrt(14))
    # d/sd = 2: five seeds by the power tables of the paired t test.
    assert row["seeds_needed"] == 5
    assert table.loc[0.5, "n_seeds"] == 2
    assert table.loc[0.5, "difference"] == pytest.approx(0)


def test_contrast_without_the_selection_seed():
    rows = [trial(0.70, seed=0, stage="search"), trial(0.60, seed=1), trial(0.62, seed=2)]
    rows += cell([0.65, 0.65, 0.66], model=BIG)
    row = paired_differences(runs_of(rows), FACTORS, "model").iloc[0]
    assert row["difference"] == pytest.approx((-5 + 5 + 4) / 3)
    assert row["difference_without_selection"] == pytest.approx(4.5)
    assert (row["n_seeds"], row["n_seeds_without_selection"]) == (3, 2)


def test_one_seed_is_neither_tested_nor_decided():
    row = paired_differences(runs_of(cell([0.6]) + cell([0.7], model=BIG)), FACTORS, "model").iloc[
        0
    ]
    assert row["difference"] == pytest.approx(10)
    assert np.isnan([row["low"], row["p_two_sided"], row["seeds_needed"]]).all()
    assert not row["decided"]


def test_cells_without_a_common_seed_are_left_out():
    rows = [trial(0.6, seed=0), trial(0.7, seed=1, model=BIG)]
    table = paired_differences(runs_of(rows), FACTORS, "model")
    assert table.empty
    assert "difference" in table.columns


def test_undeclared_factor_is_named():
    rows = cell([0.6, 0.6]) + cell([0.7, 0.7], optimizer="sgd")
    with pytest.raises(ValueError, match="share seed 0: name every column"):
        paired_differences(runs_of([*rows, *cell([0.7], model=BIG)]), FACTORS, "model")


def full_design(effect_model=2.0, effect_half=10.0, interaction=0.0):
    """Accuracy in points: 60, minus 10 at half the data, plus 2 for the big model."""
    rows = []
    for big in (0, 1):
        for whole in (0, 1):
            value = 50 + effect_model * big + effect_half * whole + interaction * big * whole
            rows += cell(
                [(value + shift) / 100 for shift in (-1, 0, 1)],
                model=BIG if big else SMALL,
                fraction=1.0 if whole else 0.5,
            )
    return rows


def test_main_effects_by_hand():
    table = main_effects(runs_of(full_design()), FACTORS).set_index("factor")
    assert table.loc["model", "difference"] == pytest.approx(2)
    assert table.loc["fraction", "difference"] == pytest.approx(10)
    assert table.loc["model", "n_cells"] == 2
    assert "weights" not in table.index


def test_main_effect_averages_within_seeds_first():
    rows = cell([0.60, 0.60]) + cell([0.62, 0.66], model=BIG)
    rows += cell([0.50, 0.50], fraction=0.5) + cell([0.54, 0.52], model=BIG, fraction=0.5)
    row = main_effects(runs_of(rows), FACTORS).set_index("factor").loc["model"]
    # Seed 0: (2 + 4)/2, seed 1: (6 + 2)/2; mean 3.5, t(1) = 12.7062 over sd √½.
    assert row["difference"] == pytest.approx(3.5)
    assert row["high"] == pytest.approx(3.5 + 12.7062 * 0.5, rel=1e-5)


def test_missing_runs_leave_cells_or_seeds_out():
    rows = [row for row in full_design() if not (row["seed"] == 2 and row["fraction"] == 0.5)]
    row = main_effects(runs_of(rows), FACTORS).set_index("factor").loc["model"]
    # Two seeds × two cells keep four differences, three seeds × one cell three.
    assert (row["n_seeds"], row["n_cells"], row["cells_left_out"]) == (2, 2, 0)


def test_interaction_is_a_difference_of_differences():
    table = interactions(runs_of(full_design(interaction=3.0)), FACTORS)
    row = table[(table["factor"] == "model") & (table["other"] == "fraction")].iloc[0]
    assert (row["first"], row["second"]) == (SMALL, BIG)
    assert (row["other_first"], row["other_second"]) == (0.5, 1.0)
    assert row["difference"] == pytest.approx(3)
    assert len(table) == 1


def test_effects_of_an_empty_study():
    runs = runs_of([trial(None, status="planned")])
    assert main_effects(runs, FACTORS).empty
    assert interactions(runs, FACTORS).empty
    assert paired_differences(runs, FACTORS, "model").empty


def predictions_frame(correct):
    rows = [
        {"trial_id": trial_id, "epoch": 4, "example": place, "correct": bool(hit)}
        for trial_id, hits in correct.items()
        for place, hit in enumerate(hits)
    ]
    return pa.Table.from_pylist(rows, schema=PREDICTION_SCHEMA).to_pandas()


def test_same_test_images():
    runs = runs_of(cell([0.75]) + cell([0.25], model=BIG))
    small, big = runs[runs["model"] == SMALL], runs[runs["model"] == BIG]
    names = [frame["trial_id"].iloc[0] for frame in (small, big)]
    table = predictions_frame({names[0]: [1, 1, 1, 0], names[1]: [1, 0, 0, 0]})
    found = paired_test_set(small, big, table)
    assert found.difference == 50
    assert found.high == pytest.approx(50 + 3.182446 * 100 * math.sqrt(1 / 12))
    assert paired_test_set(small, big, table[table["trial_id"] == names[0]]) is None


def test_predictions_of_another_budget_are_of_another_model():
    rows = cell([0.75], epochs_budget=3) + cell([0.25], model=BIG, epochs_budget=3)
    runs = runs_of(rows)
    table = predictions_frame({row["trial_id"]: [1, 1, 1, 0] for row in rows})
    small, big = runs[runs["model"] == SMALL], runs[runs["model"] == BIG]
    assert paired_test_set(small, big, table) is None
    assert paired_test_set(small, big, table.assign(epoch=3)).difference == 0


def test_an_interval_ends_where_differences_do():
    # Differences of 10 and 30 points: 20 ± 12.71·10 would reach 147.
    rows = cell([0.3, 0.2]) + cell([0.4, 0.5], model=BIG)
    row = paired_differences(runs_of(rows), FACTORS, "model").iloc[0]
    assert (row["difference"], row["low"], row["high"]) == (pytest.approx(20), -100, 100)
