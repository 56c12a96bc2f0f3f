"""A study that fits a given time: which epochs, seeds and data sizes can be afforded."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

EPOCHS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50)
"""Numbers of epochs that a study may be given."""
_ENOUGH = (10, 5, 2, 1)
"""Epochs that a design should afford: where none does, the next lower number is tried."""


@dataclass(frozen=True)
class Design:
    """The part of a study that the time decides."""

    fractions: tuple[str, ...]
    """Shares of the training pool, as a study file writes them."""
    seeds: int
    """Number of seeds."""
    tuned: bool
    """Whether each cell searches its own learning rate."""


@dataclass(frozen=True)
class Affordable:
    """A design, and the most epochs that fit."""

    design: Design
    """The design that is chosen."""
    epochs: int
    """Epochs of each trial."""
    left_out: tuple[str, ...] = ()
    """What the richest design has besides, in words; empty where that one fits."""


def designs(fractions: Sequence[str], *, fixed: bool, tuned: bool) -> list[Design]:
    """Return the designs to choose from, the richest first, which has all the fractions.

    `fixed` fractions were named by the user, so that none may be dropped; `tuned` says whether a
    search of the learning rate is worth its cost: with several kinds of weights.
    """
    most = tuple(fractions)
    few = most if fixed or len(most) <= 3 else (most[0], most[len(most) // 2], most[-1])
    ladder = [
        *([Design(most, 5, True), Design(most, 3, True), Design(few, 3, True)] if tuned else []),
        *(Design(most, seeds, False) for seeds in (5, 3)),
        *(Design(few, seeds, False) for seeds in (3, 2, 1)),
    ]
    return [*dict.fromkeys(ladder)]


def afford(
    ladder: Sequence[Design], seconds: float, cost: Callable[[Design, int], float]
) -> Affordable | None:
    """Return the richest design that can be trained long enough, with the most epochs that fit.

    The ladder begins with the richest; `cost` returns expected seconds of a design and its epochs.
    None where not even the last design with one epoch fits.
    """

    @cache
    def most_epochs(design: Design) -> int:
        fitting = bisect_right(EPOCHS, seconds, key=lambda epochs: cost(design, epochs))
        return EPOCHS[fitting - 1] if fitting else 0

    for enough in _ENOUGH:
        for design in ladder:
            if most_epochs(design) >= enough:
                return Affordable(design, most_epochs(design), _left_out(ladder[0], design))
    return None


def _left_out(richest: Design, chosen: Design) -> tuple[str, ...]:
    is_missing = {
        "a search of each cell's learning rate": richest.tuned and not chosen.tuned,
        f"{len(richest.fractions)} data sizes": len(richest.fractions) > len(chosen.fractions),
        f"{richest.seeds} seeds": richest.seeds > chosen.seeds,
    }
    return tuple(words for words, missing in is_missing.items() if missing)
