import pytest
from runs_table import BIG, SMALL, cell, trial, trials_frame

from results.analysis.runs import Design, compared_runs, ordered_levels


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


def test_levels_are_ordered_from_little_to_much():
    rows = cell([0.8], model=BIG, weights="IMAGENET1K_V1") + cell([0.8], fraction=0.5)
    runs = compared_runs(trials_frame(rows))
    assert ordered_levels(runs, "model") == [SMALL, BIG]
    assert ordered_levels(runs, "weights") == ["none", "IMAGENET1K_V1"]
    assert ordered_levels(runs, "fraction") == [0.5, 1.0]


def test_a_design_is_read_from_the_study():
    found = Design.of(
        {
            "name": "mine",
            "factors": {"weights": ["none", {"own": "a.pth"}], "model": "resnet18", "lr": [1, 2]},
            "search": {"batch_size": [32, 64], "samples": 8},
            "seeds": [0, 1],
        }
    )
    assert found.factors == ("model", "weights", "fraction", "lr")
    assert found.levels == {"weights": ["none", "own"], "model": ["resnet18"], "lr": [1, 2]}
    assert (found.name, found.seeds, found.race) == ("mine", (0, 1), False)
    assert found.tuned == ("batch_size",)
    assert Design.of({}) == Design()


def test_a_race_is_no_comparison():
    assert Design.of({"early_stopping": {"compare": []}, "search": None}).race
    assert not Design.of({"early_stopping": {"compare": []}, "search": {"lr": [1e-3]}}).race
    assert not Design.of({"early_stopping": {"compare": "cell"}}).race
    assert not Design.of({"early_stopping": "none"}).race
