"""Early stopping, by hand, and on a whole study."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from studies import epochs, run, searched, study, trials

from orchestrator.ledger.stopping import Races, Stop, cutoff_of
from orchestrator.study.blocks import EarlyStopping
from orchestrator.study.study import Study

NAN, INF = math.nan, math.inf


class Race:
    """One group, in which every arrival is a trial of its own."""

    def __init__(self, **rule: int) -> None:
        self.races = Races(EarlyStopping.model_validate(rule))
        self.number = itertools.count()

    def arrive(self, epoch: int, value: float, *, budget: int) -> Stop | None:
        return self.races.arrive(str(next(self.number)), ("all",), epoch, value, budget)


@pytest.mark.parametrize(
    ("values", "reduction_factor", "cutoff"),
    [
        # Nobody is stopped before a rung holds `reduction_factor` results.
        ([], 3, -INF),
        ([0.9, 0.8], 3, -INF),
        # The 2/3 quantile of three values lies at position 2/3 · 2 = 4/3: 0.5 + (0.9 − 0.5)/3.
        ([0.1, 0.5, 0.9], 3, 0.5 + 0.4 / 3),
        ([0.9, 0.1, 0.5], 3, 0.5 + 0.4 / 3),
        # Of four, at position 2: the third smallest.
        ([0.4, 0.1, 0.3, 0.2], 3, 0.3),
        # The median of two, and of three.
        ([0.2, 0.6], 2, 0.4),
        ([0.2, 0.6, 0.3], 2, 0.3),
        # NaN ranks below everything, and between it and a number nothing is interpolated.
        ([NAN, NAN, 0.5], 3, -INF),
        ([NAN, 0.2, 0.8], 3, 0.2 + 0.6 / 3),
        ([NAN, NAN, NAN], 3, -INF),
    ],
)
def test_cutoffs(values: list[float], reduction_factor: int, cutoff: float) -> None:
    assert cutoff_of(values, reduction_factor) == pytest.approx(cutoff, abs=1e-12)


@settings(derandomize=True, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=30), st.integers(2, 5))
def test_cutoffs_are_numpys_quantiles(values: list[float], reduction_factor: int) -> None:
    if len(values) >= reduction_factor:
        expected = np.quantile(values, 1 - 1 / reduction_factor)
        assert cutoff_of(values, reduction_factor) == pytest.approx(expected, abs=1e-12)


def test_rungs() -> None:
    rule = EarlyStopping(grace=2, reduction_factor=3)
    assert [epoch for epoch in range(1, 60) if rule.is_rung(epoch)] == [2, 6, 18, 54]


def test_a_rung_by_hand() -> None:
    race = Race(grace=1, reduction_factor=2)
    # 0.5 and 0.1 find fewer than two results; 0.31 is above their median of 0.3.
    assert race.arrive(1, 0.5, budget=8) is None
    assert race.arrive(1, 0.1, budget=8) is None
    assert race.arrive(1, 0.31, budget=8) is None
    # The median of 0.1, 0.31, 0.5: 0.29 is below, and 0.31 itself would go on.
    assert race.arrive(1, 0.29, budget=8) == Stop(1, 0.31)
    # What was stopped is held too: the median of 0.1, 0.29, 0.31, 0.5 is 0.3.
    assert race.arrive(1, 0.305, budget=8) is None
    # Of five, 0.305 is the median: a trial that is level with it goes on.
    assert race.arrive(1, 0.305, budget=8) is None
    # Between rungs nothing is compared, and each rung holds its own.
    assert race.arrive(3, 0.0, budget=8) is None
    assert race.arrive(2, 0.0, budget=8) is None
    assert race.arrive(2, 0.1, budget=8) is None
    assert race.arrive(2, 0.0, budget=8) == Stop(2, 0.05)


def test_nan_is_worst() -> None:
    race = Race(grace=1, reduction_factor=2)
    for value in (0.1, 0.2):
        race.arrive(1, value, budget=8)
    assert race.arrive(1, NAN, budget=8) == Stop(1, pytest.approx(0.15))
    # Now the rung holds NaN, 0.1, 0.2, whose median is 0.1.
    assert race.arrive(1, 0.1, budget=8) is None


def test_at_its_last_epoch_a_trial_has_nothing_left_to_stop() -> None:
    race = Race(grace=1, reduction_factor=2)
    for value in (0.8, 0.9):
        race.arrive(4, value, budget=8)
    assert race.arrive(4, 0.1, budget=4) is None
    assert race.arrive(4, 0.1, budget=5) is not None


# Whole studies, one trial after another: every decision can be told from the records.


def replay(declared: Study, out: Path, factors: list[str]) -> dict[str, tuple[int, float]]:
    """Return (rung, cut-off) of every stop that the recorded epochs call for, by trial."""
    races = Races(declared.stopping)
    budget = trials(out)["epochs_budget"]
    stops = {}
    for row in epochs(out).to_dict("records"):
        if row["stage"] != "search":
            continue
        group = (*(str(row[factor]) for factor in factors), str(row["seed"]))
        trial_id, value = row["trial_id"], row["val_accuracy"]
        stop = races.arrive(trial_id, group, row["epoch"], value, budget[trial_id])
        if stop:
            assert row["trial_id"] not in stops
            stops[row["trial_id"]] = (stop.epoch, stop.cutoff)
    return stops


@pytest.mark.parametrize(
    ("declared", "factors"),
    [
        (searched(), ["model", "fraction"]),
        (searched(early_stopping={"reduction_factor": 2, "grace": 2}), ["model", "fraction"]),
        (searched(early_stopping={"compare": ["fraction"]}), ["fraction"]),
        (searched(early_stopping={"compare": []}), []),
        (
            study(
                factors={"model": list("abcdefgh"), "fraction": ["1/16", 1]},
                recipe={"epochs": 9},
                early_stopping={"compare": ["fraction"]},
            ),
            ["fraction"],
        ),
        (
            study(
                factors={"model": list("abcdefgh"), "fraction": ["1/16", 1]},
                recipe={"epochs": 9},
                early_stopping={"compare": []},
            ),
            [],
        ),
    ],
    ids=["cell", "cell, later", "search, fraction", "search, all", "race, fraction", "race, all"],
)
def test_records_replayed_in_order_give_every_recorded_stop_and_no_other(
    tmp_path: Path, declared: Study, factors: list[str]
) -> None:
    run(declared, tmp_path)
    rows = trials(tmp_path)
    stopped = rows[rows.status == "stopped"]
    assert len(stopped) > 3
    recorded = {
        trial_id: (int(row.stopped_at_epoch), row.stopped_cutoff)
        for trial_id, row in stopped.iterrows()
    }
    assert replay(declared, tmp_path, factors) == recorded
    assert (stopped.final_val_accuracy < stopped.stopped_cutoff).all()
    assert (stopped.epochs_done == stopped.stopped_at_epoch).all()
    assert (stopped.stage == "search").all()
    others = rows[rows.status != "stopped"]
    assert (others.status == "completed").all()
    assert others.stopped_cutoff.isna().all()
    assert (others.epochs_done == others.epochs_budget).all()


def test_seeds_never_compete(tmp_path: Path) -> None:
    # Two seeds of two models: no group holds more than two trials, so nothing can be stopped,
    # although four would share a race that disregarded seeds.
    declared = study(
        factors={"model": ["a", "b"], "fraction": [1]},
        recipe={"epochs": 9},
        seeds=[0, 1, 2, 3],
        early_stopping={"compare": ["fraction"]},
    )
    run(declared, tmp_path)
    assert (trials(tmp_path).status == "completed").all()
