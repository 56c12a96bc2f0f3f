"""Sentences that answers said once and that were false or misleading, each planted again."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from answers import BENCHMARK, line, said, said_of
from runs_table import BIG, SMALL, analysis_of, cell, curve, epochs_frame, trial
from scripts import script

from results.answer.answer import factor_said
from results.answer.levers import how_sure
from results.findings.findings import find
from results.metric import ACCURACY, Metric
from results.records import PREDICTION_SCHEMA

MIDDLE, PRETRAINED = "resnet34", "IMAGENET1K_V1"
MIDDLE_SIZE = 21_000_000


def around(mean, step=0.002, **fields):
    """Return three seeds around a mean accuracy, whose luck differs with the step."""
    return cell([mean - step, mean, mean + step], **fields)


def predicted(rows, hits):
    """Return predictions of rows; hits are right and wrong answers by model."""
    records = [
        {"trial_id": row["trial_id"], "epoch": 4, "example": place, "correct": bool(hit)}
        for row in rows
        for place, hit in enumerate(hits[row["model"]])
    ]
    return pa.Table.from_pylist(records, schema=PREDICTION_SCHEMA).to_pandas()


def test_1_cells_that_are_equal_in_every_seed_are_not_ahead():
    rows = cell([0.80, 0.81, 0.82]) + cell([0.80, 0.81, 0.82], model=BIG)
    texts = said(rows)
    assert f"{BIG} and {SMALL} are equally accurate, at 81.0 %" in texts["best"] or (
        f"{SMALL} and {BIG} are equally accurate, at 81.0 %" in texts["best"]
    )
    assert "ahead" not in " ".join(texts.values())
    assert ACCURACY.amount(2.0, 0.0, 4.0) == "2.0 points (0.0 to 4.0)"


def test_2_a_lucky_seed_more_puts_no_cell_ahead():
    # Over the seeds that both have, the best-looking one is worse.
    rows = cell([0.80, 0.81, 0.82, 0.89]) + cell([0.804, 0.815, 0.824], model=BIG)
    text = " ".join(said(rows).values())
    assert "ahead" not in text
    assert "by −" not in text


@pytest.mark.parametrize("seed", range(3))
def test_3_without_an_effect_no_multiple_of_the_data_is_named(seed):
    benchmark = script(BENCHMARK)
    study = benchmark.simulated(np.random.default_rng(seed), images=150)
    assert "times the data" not in " ".join(said_of(study).values())


def test_3_an_open_interval_is_said_by_its_low_end():
    rows = line([40, 30, 20]) + line([10, 8, 5], spread=-0.1, weights=PRETRAINED)
    study = analysis_of(rows)
    low = study.worths["low"].iloc[0]
    assert f"takes at least {low:.2g} times the data" in said_of(study)["weights"]


def test_4_every_model_is_named():
    rows = around(0.80) + around(0.82, step=-0.002, model=BIG)
    rows += around(0.869, step=0.001, model=MIDDLE, n_parameters=MIDDLE_SIZE)
    texts = said(rows)
    assert f"Model: {MIDDLE} is ahead of {BIG} by 4.9 points (" in texts["model"]
    assert f" and {SMALL} by 6.9 points (" in texts["model"]


def test_5_weights_that_are_not_told_apart_are_not_picked():
    rows = around(0.80)
    rows += cell([0.895, 0.905, 0.900], weights="V1") + cell([0.903, 0.897, 0.901], weights="V2")
    texts = said(rows)
    assert "V2 is ahead of none by 10.0 points (" in texts["weights"] or (
        "V2 is ahead of none by 10.1 points (" in texts["weights"]
    )
    assert "and not told apart from V1" in texts["weights"]
    assert "Not told apart from it: V1" in texts["best"]


def test_6_two_seeds_count_no_decisions_without_one_of_them():
    rows = cell([0.80, 0.81]) + cell([0.70, 0.715], model=BIG)
    for row in rows[::2]:
        row["stage"] = "search"
    study = analysis_of(rows)
    assert "(0 without" not in " ".join(said_of(study).values())
    found = find(study).set_index("code")
    assert found.loc["selection-seed", "advice"].startswith("nothing can be tested without")


def test_7_one_seed_has_no_crossover_and_steps_go_from_small_to_big():
    texts = said(line([40, 20, 10], seeds=1) + line([38, 21, 12], seeds=1, model=BIG))
    text = " ".join(texts.values())
    assert "crossover" not in text
    assert "overtakes" not in text
    assert f"{BIG} instead of {SMALL}, −2.0 points (no ±)" in text
    assert f"a bigger model ({BIG} to {SMALL})" not in text


def test_8_a_difference_has_one_interval():
    benchmark = script(BENCHMARK)
    study = benchmark.simulated(np.random.default_rng(5), images=150)
    intervals = {}
    for row in study.comparisons.rows:
        intervals.setdefault(row.key, set()).add((row.gain, row.low, row.high))
    assert all(len(ends) == 1 for ends in intervals.values())
    texts = said_of(study)
    # The item on the best cell gives no differences, which the levers have.
    assert "points" not in texts["best"]


def test_9_seeds_that_gain_exactly_alike_decide_nothing():
    texts = said(cell([0.80, 0.81]) + cell([0.85, 0.86], model=BIG))
    assert texts["levers"].startswith("Not told apart from no gain: ")
    assert f"{BIG} instead of {SMALL}, +5.0 points (no ±)" in texts["levers"]


def test_9_nor_do_they_where_few_images_show_it():
    rows = cell([0.75, 0.75]) + cell([0.80, 0.80], model=BIG)
    hits = {SMALL: [1, 1, 1, 0] * 10, BIG: [1] * 32 + [0] * 8}
    texts = said(rows, predictions=predicted(rows, hits))
    assert "Not told apart from no gain" in texts["levers"]


def test_10_no_point_has_a_price_by_the_cell_where_it_pays_most():
    rows = line([40, 20, 10]) + line([30, 15, 7], spread=-0.1, model=BIG, seconds=900.0)
    text = " ".join(said(rows).values())
    assert "pays most" not in text
    assert "a point" not in text
    assert "1,600 more labels" in text


def test_11_no_interval_boasts_of_simulated_studies():
    text = " ".join(said(line([40, 20, 10]) + line([30, 15, 7], spread=-0.1, model=BIG)).values())
    assert "simulated studies" not in text


def test_12_more_seeds_come_with_the_chance_that_they_decide():
    rows = cell([0.80, 0.81, 0.82]) + cell([0.815, 0.83, 0.825], model=BIG)
    study = analysis_of(rows)
    texts = said_of(study)
    assert "should decide" not in " ".join(texts.values())
    assert " would decide between " in texts["evidence"]
    assert " CPU-minutes) " in texts["evidence"]
    assert texts["evidence"].count("%") >= 2


def test_13_equals_are_named_as_equals():
    rows = cell([0.84, 0.86, 0.85]) + cell([0.85, 0.84, 0.86], fraction=0.5)
    rows += cell([0.86, 0.85, 0.84], fraction=0.25)
    texts = said(rows)
    for share in ("1/4", "1/2", "1"):
        assert share in texts["best"].split(" are equally accurate, at 85.0 %")[0]


def test_13_levels_that_are_equal_are_said_to_be():
    rows = around(0.8) + around(0.8, model=BIG)
    rows += around(0.8, model=MIDDLE, n_parameters=MIDDLE_SIZE)
    texts = said(rows)
    assert "are equally accurate, at 80.0 %" in texts["best"]
    assert " is equal to " in texts["model"]


def test_13_half_of_the_data_may_do_as_well():
    rows = cell([0.845, 0.86, 0.85]) + cell([0.85, 0.84, 0.86], fraction=0.5)
    assert "1/2 of its data may do as well (85.0 %)" in said(rows)["best"]


def test_14_no_interval_is_without_width():
    rows = cell([1.0, 1.0, 1.0]) + cell([0.975, 0.975, 1.0], model=BIG)
    hits = {SMALL: [1] * 40, BIG: [1] * 40}
    texts = said(rows[:3], predictions=predicted(rows[:3], hits))
    assert "(100.0 to 100.0" not in texts["best"]
    # Clopper and Pearson: 0.025^(1/40) = 91.2 %.
    low = float(texts["best"].split("100.0 % (")[1].split(" to")[0])
    assert low <= 91.3


@pytest.mark.parametrize("seed", range(3))
def test_15_a_count_of_decisions_says_what_chance_would_give(seed):
    benchmark = script(BENCHMARK)
    study = benchmark.simulated(np.random.default_rng(seed + 10), images=150)
    text = said_of(study)["evidence"]
    assert "were there no effect at all, one or more would be in at most 5 % of studies" in text


def test_16_sentences_are_of_the_factors_that_vary():
    factors = ("model", "weights", "fraction", "optimizer", "lr")
    rows = around(0.80, optimizer="sgd", lr=1e-3) + around(0.70, -0.002, optimizer="sgd", lr=1e-2)
    rows += around(0.90, 0.001) + around(0.89, -0.001, lr=1e-2)
    levels = {"optimizer": ["sgd", "adam"], "lr": [1e-3, 1e-2]}
    texts = said(rows, factors=factors, levels=levels)
    text = " ".join(texts.values())
    assert "optimizer adam instead of sgd, 10.0 points (" in texts["levers"]
    assert "lr 0.01 instead of 0.001" in texts["levers"]
    for word in ("pretrain", "model", "twice the data", "crossover"):
        assert word not in text


def test_17_a_seed_that_has_not_learnt_yet_is_not_said_to_have_diverged():
    rows = line([40, 20, 10])
    rows[-1]["final_test_accuracy"] = 0.1
    found = find(analysis_of(rows)).set_index("code")
    assert "one has not learnt, or has diverged" in found.loc["ill-behaved", "evidence"]


def test_17_differences_have_units_and_single_cells_their_own_words():
    texts = said(cell([0.8]))
    assert texts["best"] == "The only cell has one seed, so that there is no ±; it reached 80.0 %."
    text = " ".join(said([*cell([0.8]), trial(0.7, model=BIG)]).values())
    assert f"{BIG} instead of {SMALL}, −10.0 points (no ±)" in text


def said_of_alike(rows, right, classes):
    """Return the answer's text on runs that are all right on the same test images.

    Whatever the seventeen sentences above claimed falsely is refused in it.
    """
    told = pd.concat(
        pd.DataFrame(
            {"trial_id": row["trial_id"], "epoch": 4, "example": np.arange(right.size)}
        ).assign(correct=right)
        for row in rows
    )
    examples = pd.DataFrame(
        {
            **{"test_fingerprint": "t", "example": np.arange(right.size), "class": classes},
            **{"place": "", "copy_of": None},
        }
    )
    study = analysis_of(rows, predictions=told, examples=examples)
    text = " ".join(said_of(study).values())
    value = f"{100 * right.mean():.1f}"
    for claim in (
        *("ahead of", "Helps:", "Would lose", "overtakes", "times the data"),
        *("most accurate", "should decide", "of simulated studies", "diverged", "point costs"),
        *(f"({value} to {value}", "(0.0 to 0.0", "(+0.0 to +0.0", "crossover"),
    ):
        assert claim not in text, text
    assert "equally accurate" in text
    assert not any(study.levers["decided"])
    return text


@pytest.mark.parametrize("seeds", [2, 3])
def test_a_task_that_is_too_easy_tells_nothing_apart(seeds):
    # As where dark and light images are told apart: every run is right on all 40.
    rows = [
        row
        for model in (SMALL, BIG)
        for fraction in (0.5, 1.0)
        for row in cell([1.0] * seeds, model=model, fraction=fraction)
    ]
    text = said_of_alike(rows, np.ones(40, dtype=bool), np.repeat(["dark", "light"], 20))
    low = float(text.split("100.0 % (")[1].split(" to")[0])
    assert low <= 91.3
    assert "every test image for" not in text


def test_runs_that_give_every_image_one_class_are_no_result():
    classes = np.repeat(["a", "b"], [24, 16])
    rows = [row for share in (0.25, 0.5, 1.0) for row in cell([0.6] * 3, fraction=share)]
    text = said_of_alike(rows, classes == "a", classes)
    assert "though it takes every test image for a" in text


def test_cells_without_a_seed_in_common_are_not_equal():
    rows = cell([0.80, 0.81, 0.82])
    for model, seeds, parameters in ((MIDDLE, (5, 6, 7), MIDDLE_SIZE), (BIG, (8, 9), 24_000_000)):
        rows += [trial(0.7, model=model, seed=seed, n_parameters=parameters) for seed in seeds]
    study = analysis_of(rows)
    text = factor_said(study, "model")
    assert text == f"Model: {SMALL} is not told apart from {BIG} and {MIDDLE}."
    told = " ".join(said_of(study).values())
    assert f"model {BIG} instead of {SMALL}, difference unknown" in told


def test_a_cell_with_an_infinite_loss_is_compared_with_nothing():
    rows = [
        trial(0.7 + 0.1 * share + 0.01 * seed, seed=seed, model=model, fraction=share)
        for share in (0.25, 1.0)
        for model in (SMALL, BIG)
        for seed in range(3)
    ]
    for row in rows:
        is_bad = (row["model"], row["fraction"], row["seed"]) == (BIG, 0.25, 0)
        row["final_test_metric"] = np.inf if is_bad else 1 - row["final_test_accuracy"]
    study = analysis_of(rows, metric=Metric("mae", "min", "mm"))
    text = " ".join(said_of(study).values())
    assert "1,600 images instead of 400, difference unknown" in text
    assert "inf" not in text
    assert study.cells.frame["accuracy"].min() == -np.inf


def test_no_crossover_is_claimed_where_the_largest_size_has_one_seed():
    rows = [
        trial(1 - (error + shift) / 100, seed=seed, model=model, fraction=share)
        for model, errors, shifts in (
            (SMALL, (20, 15, 10), (0.1, -0.1, 0.0)),
            (BIG, (40, 22, 6), (-0.15, 0.05, 0.2)),
        )
        for share, error in zip((0.25, 0.5, 1.0), errors, strict=True)
        for seed, shift in enumerate(shifts if share < 1 else shifts[:1])
    ]
    study = analysis_of(rows)
    assert study.crossovers["verdict"].tolist() == ["not tested: one seed"]
    assert "overtakes" not in " ".join(said_of(study).values())


def test_a_step_that_would_lose_is_not_the_likeliest_to_gain():
    study = analysis_of(around(0.9) + around(0.7, -0.002, model=BIG))
    assert how_sure(study) == ""
    assert said_of(study)["levers"].startswith("Would lose: ")
    assert "likely the best" not in said_of(study)["levers"]


def test_the_nearest_level_is_one_that_is_known():
    rows = around(0.9) + around(0.85, -0.002, weights="V1") + around(0.88, 0.001, weights="V3")
    rows += [trial(0.879, weights="V2", seed=seed) for seed in (7, 8)]
    found = analysis_of(rows).comparisons.of("most", "weights")
    assert [row.level for row in found] == ["V3", "V1", "V2"]


def test_the_best_of_those_with_two_seeds_is_not_the_best_of_all():
    rows = around(0.8) + around(0.6, -0.002, model=BIG)
    rows.append(trial(0.95, model=MIDDLE, n_parameters=MIDDLE_SIZE))
    text = said(rows)["best"]
    assert f"{SMALL} is the most accurate of those with two seeds or more, at 80.0 %" in text
    assert text.endswith("It is ahead of every other one.")


@pytest.mark.parametrize("seeds", [1, 3])
def test_an_only_cell_that_gives_every_image_one_class_is_said_to(seeds):
    rows, classes = cell([0.6] * seeds), np.repeat(["a", "b"], [30, 20])
    told = predicted(rows, {SMALL: classes == "a"})
    examples = pd.DataFrame({"example": np.arange(50), "class": classes, "place": ""})
    examples = examples.assign(test_fingerprint="t", copy_of=None)
    study = analysis_of(rows, predictions=told, examples=examples)
    assert "though it takes every test image for a" in said_of(study)["best"]


def test_a_balanced_accuracy_that_is_not_recorded_is_not_said():
    rows, classes = cell([0.95] * 3) + cell([0.95] * 3, model=BIG), np.repeat(["a", "b"], [32, 8])
    right = np.arange(40) % 39 > 0
    told = predicted(rows, {SMALL: right, BIG: right})
    examples = pd.DataFrame({"example": np.arange(40), "class": classes, "place": ""})
    examples = examples.assign(test_fingerprint="t", copy_of=None)
    study = analysis_of(rows, predictions=told, examples=examples)
    assert study.is_uneven
    assert "balanced" not in said_of(study)["best"]


def test_percentages_beyond_100_are_not_forecast():
    rows = cell([0.1, 0.12, 0.13], fraction=0.5) + cell([0.2, 0.21, 0.22])
    for row in rows:
        row["final_test_metric"] = 150 - 10 * row["final_test_accuracy"]
    assert "no forecast" in said(rows, metric=Metric("mape", "min", "%"))["data"]


def lossy(rows, values):
    """Return rows with an own metric, the less the better, by model and seed."""
    for row in rows:
        row["final_test_metric"] = values.get((row["model"], row["seed"]), 0.2 + row["seed"] / 100)
    return rows


def test_an_infinite_loss_of_a_tuned_cell_has_no_share_in_what_selection_gains():
    rows = lossy(cell([0.8] * 3) + cell([0.7] * 3, model=BIG), {(BIG, 1): np.inf})
    rows[3]["stage"] = "search"
    found = find(analysis_of(rows, metric=Metric("mae", "min", "mm")))
    assert "selection-seed" not in set(found["code"])


def test_a_recipe_that_ended_in_an_infinite_loss_is_as_bad_as_the_worst():
    rows = lossy(cell([0.8] * 3), {})
    for place, lr in enumerate((1e-1, 1e-2, 1e-3, 1e-4)):
        loss = 0.3 + place / 100 if place else np.inf
        values = {f"{part}_metric": loss for part in ("latest_val", "final_val", "final_test")}
        rows.append(trial(0.5, seed=9, stage="search", measured=False, lr=lr) | values)
    mae = Metric("mae", "min", "mm")
    study = analysis_of(rows, metric=mae, tuned=("lr",), stated={"lr": 0.1})
    assert "recipe" not in said_of(study).get("levers", "")
    found = find(study).set_index("code").loc["search-size", "evidence"]
    # Of 0.31, 0.32, 0.33 and 0.33 two are 0.3133 at best: 3 of 6 pairs 0.31, 2 of 6 0.32, 1 0.33.
    assert "gained 0.00667 mm" in found


def test_a_value_that_is_none_is_no_seed_that_did_not_complete():
    rows = lossy(cell([0.8] * 3) + cell([0.7] * 2, model=BIG), {(BIG, 0): None, (BIG, 1): None})
    rows[2]["final_test_metric"] = None
    found = find(analysis_of(rows, metric=Metric("mae", "min", "mm"), seeds=(0, 1))).set_index(
        "code"
    )
    assert "no seed has a test value: completed without it" in found.loc["missing-cell", "evidence"]


def test_losses_that_are_not_above_0_have_no_spikes():
    rows = cell([0.8, 0.81])
    losses = ([-1.0, -1.2, -1.3, -1.4], [0.0, 0.0, 1e-7, 0.0])
    epochs = [
        epoch for row, own in zip(rows, losses, strict=True) for epoch in curve(row, val_loss=own)
    ]
    assert "loss-spike" not in set(find(analysis_of(rows, epochs=epochs_frame(epochs)))["code"])


def test_a_validation_loss_that_is_not_recorded_has_not_fallen():
    (row,) = cell([0.8])
    learning = {"train_loss": [0.9, 0.8, 0.6, 0.4], "train_accuracy": [0.5] * 4}
    epochs = epochs_frame(curve(row, val_loss=[None] * 4, **learning))
    found = find(analysis_of([row], epochs=epochs)).set_index("code")
    assert "validation loss" not in found.loc["under-trained", "evidence"]


def test_infinite_losses_and_models_without_parameters_and_classes_without_images_warn_of_nothing():
    # Warnings are errors here.
    rows = [
        trial(0.5 + 0.05 * place + 0.01 * seed, seed=seed, model=f"m{place}", n_parameters=number)
        for place, number in enumerate((0, 10, 20, 30, 40, 50, 60, 70))
        for seed in range(2)
    ]
    for row in rows:
        row["class_counts"] = "[1600, 0]" if row["model"] == "m0" else "[1599, 1]"
    endless = curve(rows[0], train_loss=[0.5, np.inf, np.inf, np.inf])
    assert said_of(analysis_of(rows, epochs=epochs_frame(endless)))["best"]


def test_nothing_is_written_with_a_minus_before_zero():
    percent = Metric("mape", "min", "%")
    assert percent.value(-0.0, -1.0, 0.0) == "0.0 % (0.0 to 1.0)"
    assert percent.amount(-0.0, np.nan, np.nan) == "+0.0 points (no ±)"
