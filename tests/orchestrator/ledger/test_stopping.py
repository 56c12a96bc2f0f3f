"""Early stopping, by hand, and on a whole study."""

import itertools
import math
from pathlib import Path

import pytest
from harness import explained_stops, recorded_stops
from studies import run, searched, study, trials

from orchestrator.ledger.stopping import Races, Stop, cutoff_of
from orchestrator.study.blocks import EarlyStopping
from orchestrator.study.study import Study

NAN, INF = math.nan, math.inf


class Race:
    """One group of trials that are known by their names."""

    def __init__(self, *names: str, budget: int = 8, **rule: int) -> None:
        self.races = Races(EarlyStopping.model_validate(rule))
        for name in names:
            self.races.join(name, ("all",), budget)

    def arrive(self, epoch: int, **values: float) -> dict[str, Stop | None]:
        for name, value in values.items():
            self.races.arrive(name, epoch, value)
        return self.races.decide()

    def leave(self, name: str) -> dict[str, Stop | None]:
        self.races.leave(name)
        return self.races.decide()


@pytest.mark.parametrize(
    ("values", "reduction_factor", "cutoff"),
    [
        # Three at least go on.
        ([], 3, -INF),
        ([0.9, 0.8, 0.1], 3, -INF),
        ([0.4, 0.1, 0.3, 0.2], 3, 0.2),
        # A third of nine, and four of ten: a third, rounded up.
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], 3, 0.7),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0], 3, 0.7),
        ([0.2, 0.6, 0.3], 2, 0.3),
        # NaN ranks below everything.
        ([NAN, NAN, 0.5, 0.4], 2, 0.4),
        ([NAN, NAN, NAN, 0.5], 3, -INF),
    ],
)
def test_cutoffs(values: list[float], reduction_factor: int, cutoff: float) -> None:
    assert cutoff_of(values, reduction_factor) == cutoff


def test_rungs() -> None:
    rule = EarlyStopping(grace=2, reduction_factor=3)
    assert rule.rungs(55) == [2, 6, 18, 54]
    # At the end of a budget there is nothing left to stop.
    assert rule.rungs(54) == [2, 6, 18]
    assert rule.rungs(2) == []


def test_rivals_wait_for_each_other() -> None:
    race = Race(*"abcd", grace=1, reduction_factor=2)
    assert race.arrive(1, a=0.5, b=0.1, c=0.3) == {}
    assert race.races.waiting == {"a": 1, "b": 1, "c": 1}
    # The better half ends with 0.3: who is level with it goes on.
    below = Stop(1, 0.3, 0.1)
    assert race.arrive(1, d=0.3) == {"a": None, "b": below, "c": None, "d": None}
    assert race.races.waiting == {}
    # Whoever is stopped is not awaited at the next rung.
    assert race.arrive(2, a=0.6, c=0.7) == {}
    assert race.arrive(2, d=0.5) == {"a": None, "c": None, "d": Stop(2, 0.6, 0.5)}
    # Between rungs nothing is compared; where two are left, and so many go on, nobody waits.
    assert race.arrive(3, a=0.0) == {}
    assert race.arrive(4, c=0.9) == {"c": None}
    assert race.arrive(4, a=0.8) == {"a": None}


def test_no_order_of_arrival_changes_who_is_stopped() -> None:
    values = {"a": 0.3, "b": NAN, "c": 0.7, "d": 0.5, "e": 0.5}
    decided = []
    for names in itertools.permutations(values):
        race = Race(*"abcde", grace=1, reduction_factor=3)
        decided.append(race.arrive(1, **{name: values[name] for name in names}))
    assert all(each == decided[0] for each in decided)
    assert {name for name, stop in decided[0].items() if stop} == {"a", "b"}


def test_nobody_waits_for_one_that_has_ended() -> None:
    race = Race(*"abcd", grace=1, reduction_factor=2)
    assert race.arrive(1, a=0.1, b=0.2, c=0.3) == {}
    assert race.leave("d") == {"a": Stop(1, 0.2, 0.1), "b": None, "c": None}


def test_a_trial_of_a_small_budget_is_awaited_nowhere_beyond() -> None:
    race = Race("a", "b", "c", grace=2, reduction_factor=2)
    race.races.join("short", ("all",), 1)
    assert race.arrive(2, a=0.1, b=0.2) == {}
    assert race.arrive(2, c=0.3) == {"a": Stop(2, 0.2, 0.1), "b": None, "c": None}


def test_at_its_last_epoch_a_trial_has_nothing_left_to_stop() -> None:
    race = Race("a", "b", grace=4, reduction_factor=2)
    race.races.join("short", ("all",), 4)
    # Its score counts, and nobody asks whether it goes on.
    assert race.arrive(4, a=0.8, short=0.1, b=0.05) == {"a": None, "b": Stop(4, 0.1, 0.05)}


# Whole studies: every decision can be told from the records.


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
def test_records_give_every_recorded_stop_and_no_other(
    tmp_path: Path, declared: Study, factors: list[str]
) -> None:
    run(declared, tmp_path)
    rows = trials(tmp_path)
    stopped = rows[rows.status == "stopped"]
    assert len(stopped) > 3
    assert explained_stops(tmp_path, declared.stopping, factors) == recorded_stops(tmp_path)
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
