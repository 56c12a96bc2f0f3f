import numpy as np
import pytest
from answers import line
from runs_table import BIG, SMALL, analysis_of, cell, trial

from results.analysis.comparisons import ANY, LEAST, MOST
from results.analysis.levers import COLUMNS

PRETRAINED = "IMAGENET1K_V1"
MIDDLE = "resnet34"


def levers(rows, **options):
    found = analysis_of(rows, **options).levers
    assert list(found.columns) == list(COLUMNS)
    return found.set_index("lever")


def spread(mean, step=0.002, **fields):
    """Return three seeds around a mean accuracy, whose luck differs from cell to cell."""
    return cell([mean - step, mean, mean + step], **fields)


def test_a_gain_is_the_best_cell_minus_the_best_one_at_the_reference():
    rows = spread(0.80) + spread(0.86, step=-0.002, model=BIG, seconds=190.0)
    rows += spread(0.88, weights=PRETRAINED, seconds=110.0)
    rows += spread(0.90, step=-0.001, model=BIG, weights=PRETRAINED, seconds=200.0)
    found = levers(rows)
    assert found.index.tolist() == ["weights", "model"]
    # All else free: against 86 % from scratch, and against 88 % of the smaller model.
    assert found.loc["weights", "gain"] == pytest.approx(4)
    assert found.loc["model", "gain"] == pytest.approx(2)
    assert found.loc["weights", "step"] == f"none → {PRETRAINED}"
    assert found.loc["model", "step"] == f"{SMALL} → {BIG}"
    # Two CPUs: 90 s more are 180 CPU-seconds.
    assert found.loc["model", "hours"] == pytest.approx(180 / 3600)
    assert found["price"].isna().all()
    assert found["best_probability"].sum() == pytest.approx(1)
    assert (found["low"] < found["gain"]).all()
    assert found["decided"].all()


def test_where_the_best_cell_stands_at_the_reference_the_other_level_may_lose():
    rows = spread(0.90) + spread(0.85, step=-0.002, weights=PRETRAINED)
    rows += spread(0.70, model=BIG) + spread(0.72, step=-0.001, model=BIG, weights=PRETRAINED)
    found = levers(rows)
    assert found.loc["weights", "gain"] == pytest.approx(-5)
    assert found.loc["weights", "step"] == f"none → {PRETRAINED}"
    assert found.loc["model", "gain"] == pytest.approx(-18)
    assert found.loc["model", "step"] == f"{SMALL} → {BIG}"
    assert found.loc["model", "high"] < 0
    assert found["decided"].all()


def test_the_reference_of_a_model_is_the_next_smaller_one():
    rows = spread(0.80) + spread(0.90, step=-0.002, model=BIG)
    rows += spread(0.89, model=MIDDLE, n_parameters=21_000_000)
    found = levers(rows)
    assert found.loc["model", "step"] == f"{MIDDLE} → {BIG}"
    assert found.loc["model", "gain"] == pytest.approx(1)


def test_the_reference_of_an_own_factor_is_its_first_level():
    rows = spread(0.80, optimizer="sgd") + spread(0.85, step=-0.002)
    names = ("model", "weights", "fraction", "optimizer")
    found = levers(rows, factors=names, levels={"optimizer": ["sgd", "adam"]})
    assert found.loc["optimizer", "step"] == "sgd → adam"
    assert found.loc["optimizer", "gain"] == pytest.approx(5)


def test_data_gains_by_the_forecast_and_costs_labels():
    found = levers(line([40, 20, 10]), prices={"label": 0.05})
    row = found.loc["data"]
    assert (row["step"], row["basis"]) == ("1,600 → 3,200 images", "forecast")
    assert row["images"] == 1600
    # A run takes 200 CPU-seconds, twice the data twice that; hours have no price.
    assert row["hours"] == pytest.approx(200 / 3600)
    assert np.isnan(row["price"])
    assert row["low"] < row["gain"] < row["high"]


@pytest.mark.parametrize("budget", ["steps", "examples"])
def test_more_data_costs_no_time_where_updates_or_images_are_counted(budget):
    rows = line([40, 20, 10], epochs=None, **{budget: 200})
    row = levers(rows, prices={"label": 0.05}).loc["data"]
    assert (row["hours"], row["price"]) == (0, pytest.approx(80))


def test_data_gains_no_more_than_the_whole_error():
    row = levers(line([8, 4, 1])).loc["data"]
    assert row["high"] == pytest.approx(1)


def test_data_gains_by_the_last_doubling_where_no_forecast_is():
    rows = spread(0.9, fraction=0.25) + spread(0.85, step=0.004, fraction=0.5) + spread(0.7)
    row = levers(rows).loc["data"]
    assert (row["step"], row["basis"]) == ("800 → 1,600 images", "measured")
    assert row["gain"] == pytest.approx(-15)
    assert row["images"] == 800


def test_a_tuned_recipe_is_held_against_the_one_listed_first():
    searched = [
        trial(
            accuracy,
            lr=lr,
            seed=9,
            stage="search",
            measured=False,
            final_val_accuracy=accuracy - 0.01,
            trial_id=f"search-{lr:g}",
        )
        for lr, accuracy in ((1e-3, 0.80), (1e-2, 0.84))
    ]
    rows = searched + spread(0.83, lr=1e-2)
    found = levers(rows, tuned=("lr",), stated={"lr": 1e-3})
    row = found.loc["recipe"]
    assert row["step"] == "lr 0.001 → lr 0.01"
    assert row["gain"] == pytest.approx(4)
    assert (row["basis"], row["decided"]) == ("one seed", False)
    assert row["hours"] == pytest.approx(400 / 3600)


def test_a_stated_recipe_that_won_is_held_against_another_one():
    """In its own cell, also where another one's is better on validation."""
    rows = spread(0.90, lr=1e-3, model=BIG) + spread(0.70, lr=1e-3)
    for model, lr, accuracy in ((BIG, 1e-3, 0.80), (BIG, 1e-2, 0.75), (SMALL, 1e-3, 0.82)):
        chosen = {"lr": lr, "model": model, "seed": 9, "final_val_accuracy": accuracy}
        name = f"search-{model}-{lr:g}"
        rows.append(trial(accuracy, stage="search", measured=False, trial_id=name, **chosen))
    row = levers(rows, tuned=("lr",), stated={"lr": 1e-3}).loc["recipe"]
    assert (row["step"], row["gain"]) == ("lr 0.001 → lr 0.01", pytest.approx(-5))


def test_prices_never_change_what_is_best():
    rows = line([40, 20, 10]) + line([30, 15, 7], spread=-0.1, model=BIG, seconds=900.0)
    plain = levers(rows)
    dear = levers(rows, prices={"label": 100.0, "hour": 0.01})
    assert plain["best_probability"].tolist() == dear["best_probability"].tolist()
    assert plain.index.tolist() == dear.index.tolist()
    row = dear.loc["data"]
    assert row["price"] == pytest.approx(100 * row["images"] + 0.01 * row["hours"])


def test_a_race_and_an_empty_study_have_no_levers():
    assert levers(spread(0.8) + spread(0.9, model=BIG), race=True).empty
    assert levers([trial(None, status="planned")]).empty


def test_one_test_is_counted_once():
    study = analysis_of(spread(0.8) + spread(0.85, step=-0.002, model=BIG))
    found = study.comparisons
    assert [row.amount for row in found.rows] == [MOST, ANY]
    assert len(found.tests) == 1
    assert not found.of(LEAST, "model")


def test_what_is_as_good_as_the_best_is_the_nearest_to_it():
    """The best cell with half of the data is looked at for its own sake and among all others."""
    rows = []
    for weights, gain in (("none", 0.0), (PRETRAINED, 0.1)):
        for step, fraction in ((-0.002, 0.25), (0.001, 0.5), (0.002, 1.0)):
            rows += spread(0.7 + gain + 0.01 * fraction, step, fraction=fraction, weights=weights)
    found = analysis_of(rows).comparisons
    ties = found.cells.iloc[list(found.ties)]
    assert ties["weights"].tolist() == [PRETRAINED] * len(ties)
    for row in found.rows:
        gap = found.cells["accuracy"].iloc[row.best] - found.cells["accuracy"].iloc[row.other]
        assert row.is_forecast or row.gain == pytest.approx(gap)


def test_all_of_the_comparisons_hold_together():
    """Twelve models that differ by luck: the best is held against each, and the choice counts."""
    generator = np.random.default_rng(3)
    rows = []
    for place in range(12):
        values = 0.8 + 0.01 * generator.normal(size=3)
        rows += cell(values, model=f"model-{place:02}", n_parameters=1000 + place)
    found = analysis_of(rows).comparisons
    assert not any(row.is_decided for row in found.rows)
    low, high = found.value
    assert low < 80 < high


def test_no_interval_is_wider_than_scores_can_differ():
    found = levers(cell([0.2, 0.9]) + cell([0.95, 0.3], model=BIG))
    assert found.loc["model", "low"] == -100
    assert found.loc["model", "high"] == 100
