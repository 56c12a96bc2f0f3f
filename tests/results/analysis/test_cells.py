import numpy as np
import pandas as pd
import pytest
from sample import Plan, Row, write
from scipy import stats

import results
from results.analysis.cells import State, cells_of, half_width, is_race
from results.phrases import described, level_label
from results.statistics.intervals import mean_intervals

CELL = ["model", "weights", "fraction"]


def cells(tmp_path, plan=None, fate=lambda row: None):
    run = results.open(write(tmp_path / "run", plan or Plan(), np.random.default_rng(0), fate))
    return run.cells, run.trials()


def test_levels_are_written_with_the_factor_where_it_is_not_plain():
    assert level_label("model", "resnet18") == "resnet18"
    assert level_label("lr", 0.001) == "lr 0.001"
    assert level_label("image_size", float("nan")) == "default"
    assert described({"weights": "none", "optimizer": "sgd"}) == "weights: none, optimizer: sgd"


def test_half_width_is_students_t_times_the_standard_error():
    # t(2) at 97.5 % is 4.3027, so that 0.3 / sqrt(3) becomes 0.74525.
    widths = half_width(pd.Series([0.3, np.nan, 1.0]), pd.Series([3, 1, 4]))
    assert widths[0] == pytest.approx(0.745241, abs=1e-5)
    assert np.isnan(widths[1])
    assert widths[2] == pytest.approx(stats.t.ppf(0.975, 3) / 2)


def test_a_cell_holds_mean_and_interval_over_its_seeds(tmp_path):
    found, trials = cells(tmp_path)
    assert len(found.frame) == 12
    row = found.frame.iloc[0]
    assert tuple(row[CELL]) == ("resnet18", "none", 1 / 16)
    own = trials[(trials["model"] == "resnet18") & (trials["weights"] == "none")]
    values = own.loc[own["fraction"] == 1 / 16, "final_test_accuracy"]
    expected = mean_intervals(values)
    assert row["test_accuracy"] == pytest.approx(expected.mean)
    assert row["test_accuracy_low"] == pytest.approx(expected.low)
    assert row["test_accuracy_high"] == pytest.approx(expected.high)
    assert (row["test_accuracy_min"], row["seeds"], row["seeds_wanted"]) == (values.min(), 3, 3)
    assert found.counts[State.COMPLETE] == 12


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


def test_a_race_is_no_comparison():
    assert is_race({"early_stopping": {"compare": []}, "search": None})
    assert not is_race({"early_stopping": {"compare": []}, "search": {"lr": [1e-3]}})
    assert not is_race({"early_stopping": {"compare": "cell"}})
    assert not is_race({"early_stopping": "none"})


def test_a_race_counts_what_was_stopped(tmp_path):
    found, _ = cells(
        tmp_path,
        Plan(race=True, seeds=(0,)),
        lambda row: "stopped" if row["weights"] == "none" else None,
    )
    assert found.race
    assert found.counts[State.STOPPED] == found.counts[State.COMPLETE] == 6


def test_nothing_recorded_gives_no_cells(tmp_path):
    found, _ = cells(tmp_path, Plan(), lambda row: "missing")
    assert found.frame.empty
    assert {"model", "state", "reason", "test_accuracy"} <= set(found.frame.columns)


def test_what_is_no_longer_wanted_is_left_out(tmp_path):
    _, trials = cells(tmp_path)
    trials["wanted"] = trials["model"] == "resnet18"
    assert set(cells_of(trials, {}).frame["model"]) == {"resnet18"}
