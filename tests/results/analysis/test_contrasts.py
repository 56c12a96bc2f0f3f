import math

import numpy as np
import pandas as pd
import pytest
from runs_table import BIG, SMALL, analysis_of, cell, noisy, predictions_frame, trial

from results.statistics.inference import IMAGES, NOTHING, SEEDS, TASK

T2 = 4.302653


def differences(rows, factor="model", **fields):
    return analysis_of(rows, **fields).differences(factor)


def test_paired_difference_per_cell():
    rows = cell([0.60, 0.61, 0.62]) + cell([0.61, 0.63, 0.65], model=BIG)
    row = differences(rows).iloc[0]
    assert (row["first"], row["second"], row["n_train"]) == (SMALL, BIG, 1600)
    assert row["difference"] == pytest.approx(2)
    # Its own variance is all that is known: Student's t.
    assert row["high"] == pytest.approx(2 + T2 / math.sqrt(3), rel=1e-4)
    assert not row["decided"]
    assert row["error_ratio"] == pytest.approx(37 / 39)
    assert row["p"] == pytest.approx(1 - 2 * math.sqrt(3) / math.sqrt(14), rel=1e-4)
    assert row["speaks_of"] == SEEDS


def test_pairs_are_of_the_seeds_that_both_have():
    rows = cell([0.50, 0.51], fraction=0.5) + cell([0.50, 0.51, 0.6], model=BIG, fraction=0.5)
    row = differences(rows).iloc[0]
    assert (row["n_seeds"], row["difference"]) == (2, 0)
    assert row["error_first"] == row["error_second"] == pytest.approx(49.5)


def test_contrast_without_the_selection_seed():
    rows = [trial(0.70, seed=0, stage="search"), trial(0.60, seed=1), trial(0.62, seed=2)]
    rows += cell([0.65, 0.65, 0.66], model=BIG)
    row = differences(rows).iloc[0]
    assert row["difference"] == pytest.approx((-5 + 5 + 4) / 3)
    assert row["difference_without_selection"] == pytest.approx(4.5)
    assert (row["n_seeds"], row["n_seeds_without_selection"]) == (3, 2)


def test_one_seed_is_neither_tested_nor_decided():
    rows = cell([0.75]) + cell([0.25], model=BIG)
    row = differences(rows).iloc[0]
    assert row["difference"] == pytest.approx(-50)
    assert np.isnan([row["low"], row["p"]]).all()
    assert not row["decided"]
    assert row["speaks_of"] == NOTHING
    hits = {rows[0]["trial_id"]: [1, 1, 1, 0], rows[1]["trial_id"]: [1, 0, 0, 0]}
    row = differences(rows, predictions=predictions_frame(hits)).iloc[0]
    assert row["speaks_of"] == IMAGES
    assert np.isnan(row["low"])


def test_cells_without_a_common_seed_are_left_out():
    table = differences([trial(0.6, seed=0), trial(0.7, seed=1, model=BIG)])
    assert table.empty
    assert "difference" in table.columns


def test_undeclared_factor_is_named():
    rows = cell([0.6, 0.6]) + cell([0.7, 0.7], optimizer="sgd")
    with pytest.raises(ValueError, match="share seed 0: name every column"):
        differences([*rows, *cell([0.7], model=BIG)])


def full_design(effect_model=2.0, effect_half=10.0):
    """Accuracy in points: 60, minus 10 at half the data, plus 2 for the big model."""
    rows = []
    for big in (0, 1):
        for whole in (0, 1):
            value = 50 + effect_model * big + effect_half * whole
            rows += cell(
                [(value + shift) / 100 for shift in (-1, 0, 1)],
                model=BIG if big else SMALL,
                fraction=1.0 if whole else 0.5,
            )
    return rows


def test_main_effects_by_hand():
    table = analysis_of(full_design()).effects.set_index("factor")
    assert table.loc["model", "difference"] == pytest.approx(2)
    assert table.loc["fraction", "difference"] == pytest.approx(10)
    assert table.loc["model", "n_cells"] == 2
    assert "weights" not in table.index


def test_main_effect_averages_within_seeds_first():
    rows = cell([0.60, 0.60]) + cell([0.62, 0.66], model=BIG)
    rows += cell([0.50, 0.50], fraction=0.5) + cell([0.54, 0.52], model=BIG, fraction=0.5)
    row = analysis_of(rows).effects.set_index("factor").loc["model"]
    # Seed 0: (2 + 4)/2, seed 1: (6 + 2)/2.
    assert row["difference"] == pytest.approx(3.5)
    assert row["n_seeds"] == 2


def test_missing_runs_leave_cells_or_seeds_out():
    rows = [row for row in full_design() if not (row["seed"] == 2 and row["fraction"] == 0.5)]
    row = analysis_of(rows).effects.set_index("factor").loc["model"]
    # Two seeds × two cells keep four differences, three seeds × one cell three.
    assert (row["n_seeds"], row["n_cells"]) == (2, 2)


def test_effects_of_an_empty_study():
    study = analysis_of([trial(None, status="planned")])
    for table in (study.effects, study.differences("model")):
        assert table.empty
        assert "p_adjusted" in table


FOUR = [{"model": model, "fraction": share} for model in (SMALL, BIG) for share in (0.5, 1.0)]


def test_predictions_make_an_interval_speak_of_new_images():
    rows, predictions = noisy(np.random.default_rng(0), FOUR, 3, 200, 0.05)
    with_images = analysis_of(rows, predictions=predictions)
    table, seeds = with_images.differences("model"), differences(rows)
    assert set(table["speaks_of"]) == {TASK}
    assert set(seeds["speaks_of"]) == {SEEDS}
    assert (table["image_error"] > 0).all()
    assert set(with_images.cells.frame["accuracy_speaks_of"]) == {TASK}
    # Of one run they are missing: its differences speak of seeds alone.
    lacking = predictions[predictions["trial_id"] != rows[0]["trial_id"]]
    found = differences(rows, predictions=lacking)
    assert found.set_index("fraction")["speaks_of"].to_dict() == {0.5: SEEDS, 1.0: TASK}


def test_predictions_of_another_budget_or_metric_are_not_used():
    rows, predictions = noisy(np.random.default_rng(0), FOUR, 2, 50, 0.05)
    for odd in (predictions.assign(epoch=3), predictions.assign(correct=True)):
        assert set(differences(rows, predictions=odd)["speaks_of"]) == {SEEDS}


def test_an_interval_ends_where_differences_do():
    # Differences of 10 and 30 points: 20 ± 12.71·10 would reach 147.
    rows = cell([0.3, 0.2]) + cell([0.4, 0.5], model=BIG)
    row = differences(rows).iloc[0]
    assert (row["difference"], row["low"], row["high"]) == (pytest.approx(20), -100, 100)


def test_an_end_of_exactly_0_stays_an_end():
    """An interval from 0 is an interval, and equal models have one."""
    rows = cell([0.6, 0.7, 0.8]) + cell([0.6, 0.7, 0.8], model=BIG)
    rows += cell([0.5, 0.6, 0.7], fraction=0.5) + cell([0.5, 0.62, 0.7], model=BIG, fraction=0.5)
    study = analysis_of(rows)
    row = study.differences("model").set_index("fraction").loc[1.0]
    assert row["difference"] == 0
    assert row["low"] < 0 < row["high"]
    # What the answer says of the two has ends too, which hold together and are wider.
    claim = next(claim for claim in study.comparisons.of("most", "model"))
    assert claim.low < 0 < claim.high


def test_one_difference_has_one_error():
    """What the answer claims and what the tables show are one estimate, with one error."""
    rows, predictions = noisy(np.random.default_rng(1), FOUR, 3, 100, 0.3)
    study = analysis_of(rows, predictions=predictions)
    for amount, share in (("most", 1.0), ("least", 0.5)):
        (claim,) = study.comparisons.of(amount, "model")
        step = study.differences("model").set_index("fraction").loc[share]
        sign = 1 if claim.best_level == step["second"] else -1
        assert claim.gain == pytest.approx(sign * step["difference"])
        assert claim.error == pytest.approx(step["standard_error"])
        assert claim.freedom == pytest.approx(step["freedom"])
        effect = study.differences("fraction")
        assert effect["standard_error"].notna().all()


@pytest.mark.parametrize("with_images", [False, True])
def test_seeds_that_gain_exactly_alike_decide_nothing(with_images):
    """Two seeds that each get two images of 360 more right, the other cells being noisy."""
    generator = np.random.default_rng(2)
    rows, predictions = noisy(generator, FOUR, 2, 360, 0.1)
    own = [row for row in rows if row["fraction"] == 1.0]
    hits = {}
    for row in own:
        right = np.arange(360) < 300 + 2 * (row["model"] == BIG)
        hits[row["trial_id"]] = np.roll(right, 40 * row["seed"] + 90 * (row["model"] == BIG))
        row["final_test_accuracy"] = float(right.mean())
    others = predictions[~predictions["trial_id"].isin(hits)]
    given = pd.concat([others, predictions_frame(hits)], ignore_index=True)
    row = (
        differences(rows, predictions=given if with_images else None).set_index("fraction").loc[1.0]
    )
    assert row["difference"] == pytest.approx(100 * 2 / 360)
    assert row["low"] < 0 < row["high"]
    assert not row["decided"]


def test_alike_and_alone_there_is_no_interval():
    row = differences(cell([0.6, 0.7]) + cell([0.65, 0.75], model=BIG)).iloc[0]
    assert np.isnan([row["low"], row["p"]]).all()
    assert not row["decided"]


def test_no_interval_is_of_no_width():
    rows = cell([1.0, 1.0, 1.0], fraction=0.5) + cell([1.0, 1.0, 1.0])
    hits = {row["trial_id"]: np.ones(40) for row in rows}
    study = analysis_of(rows, predictions=predictions_frame(hits))
    row = study.cells.frame.iloc[0]
    # The exact binomial interval of 40 of 40 begins at 91.2 %.
    assert row["accuracy_low"] < 91.2
    assert row["accuracy_high"] == 100
    assert study.comparisons.value[0] < 91.2
    effects = study.effects
    assert (effects["low"] < effects["high"]).all()


def test_little_is_decided_where_there_is_no_effect():
    generator = np.random.default_rng(3)
    claims = 0
    for _ in range(20):
        rows, predictions = noisy(generator, FOUR, 3, 100, 0.1)
        study = analysis_of(rows, predictions=predictions)
        tables = [study.differences(name)["decided"] for name in ("model", "fraction")]
        claims += bool(pd.concat(tables).any())
    assert claims <= 4
