"""The course of a study in virtual time: by hand, and against what no order could beat."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from studies import a_pass, searched, study

from orchestrator.ledger.passes import Pass
from orchestrator.ledger.stages import Wanted
from orchestrator.placement.shares import Node, Share
from orchestrator.plan.schedule import Schedule, simulate
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


def slots(count: int) -> list[Node]:
    return [Node(f"node{number}", 1.0, 0.0) for number in range(count)]


def course(
    declared: Study,
    out: Path,
    nodes: Sequence[Node],
    seconds: Callable[[Trial], float],
    share: Callable[[Trial], Share] = lambda trial: Share(1.0, 0.0),
    max_parallel: int | None = None,
) -> Schedule:
    """Simulate a study whose trials take so long."""
    work: Pass = a_pass(declared, out, cost=seconds)
    work.share = share

    def pace(wanted: Wanted) -> tuple[float, float]:
        return 0.0, seconds(wanted.trial) / wanted.trial.recipe.intervals

    schedule = simulate(work, nodes, pace, np.random.default_rng(0), max_parallel=max_parallel)
    assert work.is_finished
    return schedule


def by_images(trial: Trial) -> float:
    return trial.n_train / 1000


def test_by_hand(tmp_path: Path) -> None:
    # Models a and b at 2,813 and 45,000 images, two seeds: 191.25 s on three slots. Two long ones
    # start in turn; then 101.25 s are left, 33.75 a slot, and the long ones of the second round
    # would outlast the rest. The short ones follow when the first long ones end.
    schedule = course(study(), tmp_path, slots(3), by_images)
    starts = sorted(round(stay.start, 3) for stay in schedule.stays)
    assert starts == [0.0] * 3 + [45.0] * 3 + [47.813] * 2
    assert schedule.makespan == pytest.approx(90)
    assert schedule.seconds == pytest.approx(4 * 45 + 4 * 2.813)
    assert schedule.lower_bound == pytest.approx((4 * 45 + 4 * 2.813) / 3)
    assert not tmp_path.joinpath("trials").exists()


def test_longest_alone_bounds_it(tmp_path: Path) -> None:
    schedule = course(study(seeds=[0]), tmp_path, slots(10), by_images)
    assert schedule.makespan == schedule.lower_bound == pytest.approx(45)


def test_max_parallel(tmp_path: Path) -> None:
    schedule = course(study(), tmp_path, slots(10), by_images, max_parallel=1)
    assert schedule.makespan == pytest.approx(schedule.seconds) == schedule.lower_bound


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

    schedule = course(declared, tmp_path, slots(2), seconds)
    assert len(schedule.stays) == 12
    assert schedule.seconds == 7782
    assert schedule.makespan <= 1.05 * schedule.lower_bound


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
    schedule = course(declared, tmp_path, slots(count), by_images)
    print(f"\n{count} slots, {order}: {schedule.makespan / schedule.lower_bound:.4f}")
    assert len(schedule.stays) == 1_000 * seeds
    assert schedule.makespan <= 1.05 * schedule.lower_bound


def test_a_half_finished_study_shows_every_cell(tmp_path: Path) -> None:
    factors = {"model": list("abcdefgh"), "fraction": ["1/16", "1/4", 1]}
    first_half = {}
    for order in ("fair", "longest-first"):
        declared = study(factors=factors, seeds=[0, 1, 2, 3], order=order)
        schedule = course(declared, tmp_path, slots(4), by_images)
        half = schedule.makespan / 2
        first_half[order] = {stay.wanted.cell for stay in schedule.stays if stay.end <= half}
    assert len(first_half["fair"]) == 24
    assert len(first_half["longest-first"]) < 24


def test_stopping_shortens_it_and_every_cell_is_measured(tmp_path: Path) -> None:
    whole = course(searched(early_stopping="none"), tmp_path, slots(4), by_images)
    raced = course(searched(), tmp_path, slots(4), by_images)
    # Nine recipes of nine intervals and a second seed of the winner, in four cells.
    assert len(whole.stays) == len(raced.stays) == 4 * 10
    assert sum(stay.intervals for stay in whole.stays) == 4 * 10 * 9
    trained = [sum(s.intervals for s in raced.stays if s.wanted.cell == cell) for cell in range(4)]
    # Each cell trains at least its winner and the measure trial in full, and each other once.
    assert all(2 * 9 + 8 <= epochs < 90 for epochs in trained)
    assert raced.makespan < whole.makespan


# Where trials go.


def test_parts_of_gpus_never_span_two(tmp_path: Path) -> None:
    # 1/3 fits three times on each of two GPUs, however many are free in sum.
    declared = study(factors={"model": list("abcdefgh")}, seeds=[0])
    third = Share(0.0, 1 / 3)
    nodes = [Node("one", 8.0, 1.0), Node("two", 8.0, 1.0)]
    schedule = course(declared, tmp_path, nodes, lambda trial: 60.0, lambda trial: third)
    assert [stay.end for stay in schedule.stays] == [60.0] * 6 + [120.0] * 2


def test_mixed_shares_share_a_node(tmp_path: Path) -> None:
    # Two halves on one GPU, a whole one on the other, two GPUs at once only when both are free.
    shares = {"a": 0.5, "b": 0.5, "c": 1.0, "d": 2.0}
    declared = study(factors={"model": list("abcd")}, seeds=[0])
    schedule = course(
        declared,
        tmp_path,
        [Node("one", 8.0, 2.0)],
        lambda trial: 10.0,
        lambda trial: Share(1.0, shares[trial.model]),
    )
    ends = {stay.wanted.cell: stay.end for stay in schedule.stays}
    assert ends == {0: 10.0, 1: 10.0, 2: 10.0, 3: 20.0}
    assert schedule.lower_bound == pytest.approx(20.0)


def test_cpus_of_a_node_count_too(tmp_path: Path) -> None:
    declared = study(factors={"model": list("abcd")}, seeds=[0])
    nodes = [Node("narrow", 2.0, 4.0)]
    schedule = course(declared, tmp_path, nodes, lambda trial: 10.0, lambda trial: Share(1.0, 1.0))
    assert [stay.end for stay in schedule.stays] == [10.0, 10.0, 20.0, 20.0]
