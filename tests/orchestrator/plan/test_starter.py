"""Designs that fit a time, with costs made up by hand."""

from dataclasses import replace

import numpy as np
import pytest

from orchestrator.plan.starter import EPOCHS, Design, _side, afford, designs
from trainables.data.info import DataInfo

FIVE = ("1/16", "1/8", "1/4", "1/2", "1")
LADDER = designs(FIVE, tuned=False)


def by_trials(design: Design) -> float:
    """One second an epoch of each size and seed, and of four recipes where they are searched."""
    return len(design.fractions) * (design.seeds + 4 * design.tuned) * design.epochs


def test_the_ladder() -> None:
    few = ("1/16", "1/4", "1")
    assert [
        Design(FIVE, 5, False),
        Design(FIVE, 3, False),
        Design(few, 3, False),
        Design(few, 2, False),
        Design(few, 1, False),
    ] == LADDER
    tuned = designs(FIVE, tuned=True)
    assert [design.tuned for design in tuned] == [True] * 3 + [False] * 5


@pytest.mark.parametrize(
    ("seconds", "design", "epochs"),
    [
        # 25 trials of 50 epochs.
        (1250, LADDER[0], 50),
        (1249, LADDER[0], 30),
        (250, LADDER[0], 10),
        # 25 trials leave 7 epochs, 15 leave 15.
        (249, LADDER[1], 15),
        (90, LADDER[2], 10),
        # Ten epochs of a single seed rather than fewer of more.
        (30, LADDER[4], 10),
        # Where no design affords ten epochs, five are enough, then two.
        (29, LADDER[4], 7),
        (14, LADDER[3], 2),
        (3, LADDER[4], 1),
    ],
)
def test_by_hand(seconds: float, design: Design, epochs: int) -> None:
    assert afford(LADDER, seconds, by_trials) == replace(design, epochs=epochs)


def test_what_does_not_fit_at_all() -> None:
    assert afford(LADDER, 2.9, by_trials) is None


def test_a_search_is_left_out_where_it_does_not_fit() -> None:
    ladder = designs(FIVE, tuned=True)
    # 5 sizes × (5 seeds + 4 recipes) × 10 epochs, with three seeds, and without a search.
    assert afford(ladder, 450, by_trials) == ladder[0]
    assert afford(ladder, 449, by_trials) == Design(FIVE, 3, True)
    # Three sizes of it take 210.
    assert afford(ladder, 209, by_trials) == Design(FIVE, 3, False)


def test_more_time_never_gives_fewer_epochs_of_a_design() -> None:
    alone = [Design(FIVE, 3, False)]
    affordable = [afford(alone, seconds, by_trials) for seconds in range(15, 800, 5)]
    epochs = [found.epochs for found in affordable if found]
    assert epochs == sorted(epochs)
    assert {*epochs} == {*EPOCHS}


@pytest.mark.parametrize(
    ("shapes", "side"),
    [
        ([((64, 48), 2059), ((900, 1200), 3)], 64),
        ([((300, 400), 50), ((301, 400), 50)], 128),
        ([((32, 28), 9)], None),
        ([((500, 500), 9)], 128),
    ],
)
def test_a_few_large_images_do_not_decide_the_size(
    shapes: list[tuple[tuple[int, int], int]], side: int | None
) -> None:
    sides = shapes[0][0] if len(shapes) == 1 else None
    info = DataInfo("", np.zeros(1, int), np.zeros(1, int), (), sides, shapes=tuple(shapes))
    assert _side(info) == side
