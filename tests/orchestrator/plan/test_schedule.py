"""The course of a study in virtual time: by hand, and against what no order could beat."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from studies import a_ledger, searched, study

from orchestrator.placement.shares import Share
from orchestrator.plan.durations import Basis, Durations, Expectation
from orchestrator.plan.schedule import Forecast, Schedule
from orchestrator.study.study import Study
from trainables.trial import Trial

REFERENCE = {
    ("none", "resnet18"): (45, 286, 639),
    ("none", "resnet50"): (141, 987, 1822),
    ("cifar100", "resnet18"): (44, 270, 592),
    ("cifar100", "resnet50"): (141, 1032, 1783),
}
"""Seconds of the reference study's trials at 1/16, 1/2 and 1: docs/reference-study.md."""
SIZES = (2_813, 22_500, 45_000)
BIG: dict[str, Any] = {
    "model": [f"model-{number:02d}" for number in range(50)],
    "weights": ["none", "big"],
    "fraction": [f"1/{2**power}" for power in range(10)],
}


class Known(Durations):
    """Durations that are known of every trial, without a setup."""

    def __init__(self, seconds: Callable[[Trial], float]) -> None:
        self.known = seconds

    def expect(self, trial: Trial) -> Expectation:
        intervals = trial.recipe.intervals
        return Expectation(self.known(trial) / intervals, 0.0, intervals, Basis.RECORDED)


def course(declared: Study, out: Path, places: int, seconds: Callable[[Trial], float]) -> Schedule:
    """Simulate a study whose trials take so long."""
    return Forecast(a_ledger(declared, out), Known(seconds), Share(1.0, 0.0)).on(places)


def by_images(trial: Trial) -> float:
    return trial.n_train / 1000


def test_by_hand(tmp_path: Path) -> None:
    # Models a and b at 2,813 and 45,000 images, two seeds: 191.25 s on three slots. Two long ones
    # start in turn; then 101.25 s are left, 33.75 a slot, and the long ones of the second round
    # would outlast the rest. The short ones follow when the first long ones end.
    schedule = course(study(), tmp_path, 3, by_images)
    starts = sorted(round(stay.start, 3) for stay in schedule.stays)
    assert starts == [0.0] * 3 + [45.0] * 3 + [47.813] * 2
    assert schedule.makespan == pytest.approx(90)
    assert schedule.seconds == pytest.approx(4 * 45 + 4 * 2.813)
    assert schedule.bound(3) == pytest.approx((4 * 45 + 4 * 2.813) / 3)
    assert not tmp_path.joinpath("trials").exists()


def test_longest_alone_bounds_it(tmp_path: Path) -> None:
    schedule = course(study(seeds=[0]), tmp_path, 10, by_images)
    assert schedule.makespan == schedule.bound(10) == pytest.approx(45)


def test_one_after_another(tmp_path: Path) -> None:
    schedule = course(study(), tmp_path, 1, by_images)
    assert schedule.makespan == pytest.approx(schedule.seconds) == schedule.bound(1)


@pytest.mark.parametrize("order", ["fair", "longest-first"])
def test_the_reference_study(tmp_path: Path, order: str) -> None:
    declared = study(
        factors={
            "model": ["resnet18", "resnet50"],
            "weights": ["none", "cifar100"],
            "fraction": ["1/16", "1/2", 1],
        },
        seeds=[0],
        order=order,
    )

    def seconds(trial: Trial) -> float:
        by_size = dict(zip(SIZES, REFERENCE[trial.weights.label, trial.model], strict=True))
        return float(by_size[trial.n_train])

    schedule = course(declared, tmp_path, 2, seconds)
    assert len(schedule.stays) == 12
    assert schedule.seconds == 7782
    assert schedule.makespan <= 1.05 * schedule.bound(2)


LONG = [
    pytest.param(count, order, 10, marks=pytest.mark.long)
    for count in (64, 128, 256, 512, 1000)
    for order in ("fair", "longest-first")
]


@pytest.mark.parametrize(("count", "order", "seeds"), [(50, "fair", 2), *LONG])
def test_ten_thousand_trials_leave_no_tail(
    tmp_path: Path, count: int, order: str, seeds: int
) -> None:
    """As many in the long run; two thousand at once."""
    declared = study(factors=BIG, seeds=list(range(seeds)), recipe={"epochs": 5}, order=order)
    schedule = course(declared, tmp_path, count, by_images)
    print(f"\n{count} slots, {order}: {schedule.makespan / schedule.bound(count):.4f}")
    assert len(schedule.stays) == 1_000 * seeds
    assert schedule.makespan <= 1.05 * schedule.bound(count)


def test_a_half_finished_study_shows_every_cell(tmp_path: Path) -> None:
    factors = {"model": list("abcdefgh"), "fraction": ["1/16", "1/4", 1]}
    first_half = {}
    for order in ("fair", "longest-first"):
        declared = study(factors=factors, seeds=[0, 1, 2, 3], order=order)
        schedule = course(declared, tmp_path, 4, by_images)
        half = schedule.makespan / 2
        first_half[order] = {stay.wanted.cell for stay in schedule.stays if stay.end <= half}
    assert len(first_half["fair"]) == 24
    assert len(first_half["longest-first"]) < 24


def test_stopping_shortens_it_and_every_cell_is_measured(tmp_path: Path) -> None:
    whole = course(searched(early_stopping="none"), tmp_path, 4, by_images)
    raced = course(searched(), tmp_path, 4, by_images)
    # Nine recipes of nine intervals and a second seed of the winner, in four cells.
    assert len(whole.stays) == 4 * 10
    # A third goes on, from the start of another stay but for one that need not wait; of three, all.
    assert len({stay.wanted.trial.trial_id for stay in raced.stays}) == 4 * 10
    assert 4 * (10 + 2) <= len(raced.stays) <= 4 * (10 + 3)
    assert sum(stay.intervals for stay in whole.stays) == 4 * 10 * 9
    trained = [sum(s.intervals for s in raced.stays if s.wanted.cell == cell) for cell in range(4)]
    # Each cell trains at least its winner and the measure trial in full, and each other once.
    assert all(2 * 9 + 8 <= epochs < 90 for epochs in trained)
    assert raced.makespan < whole.makespan
