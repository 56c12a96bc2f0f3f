"""A study that fits the time there is: which epochs, seeds and data sizes can be afforded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

EPOCHS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50)
"""That a study may be given."""
_ENOUGH = (10, 5, 2, 1)
"""Epochs that a design should afford: where none does, the next lower number is tried."""


@dataclass(frozen=True)
class Design:
    """What of a study the time there is decides.

    Parameters
    ----------
    fractions
        Shares of the training pool, as a study file writes them.
    seeds
        How many.
    tuned
        Whether each cell searches its own learning rate.
    """

    fractions: tuple[str, ...]
    seeds: int
    tuned: bool


@dataclass(frozen=True)
class Affordable:
    """A design with the most epochs that fit.

    Parameters
    ----------
    design, epochs
        What is chosen.
    left_out
        What a richer design had, in words; empty where the richest fits.
    """

    design: Design
    epochs: int
    left_out: tuple[str, ...] = ()


def designs(fractions: Sequence[str], *, fixed: bool, tuned: bool) -> list[Design]:
    """Return designs, the richest first.

    Parameters
    ----------
    fractions
        Of the richest.
    fixed
        Whether the user named them, so that none is dropped.
    tuned
        Whether a search of the learning rate is worth its cost: with several kinds of weights.
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

    Parameters
    ----------
    ladder
        Designs, the richest first.
    seconds
        There are.
    cost
        (design, epochs) → expected seconds; it grows with the epochs.

    Returns
    -------
    Affordable or None
        None where not even the last design with one epoch fits.
    """
    most: dict[Design, int] = {}
    for enough in _ENOUGH:
        for design in ladder:
            if design not in most:
                most[design] = _most_epochs(design, seconds, cost)
            if most[design] >= enough:
                return Affordable(design, most[design], _left_out(ladder[0], design))
    return None


def _most_epochs(design: Design, seconds: float, cost: Callable[[Design, int], float]) -> int:
    """Return the most epochs that fit, 0 where not even one does."""
    low, high = 0, len(EPOCHS)
    while low < high:
        middle = (low + high) // 2
        if cost(design, EPOCHS[middle]) <= seconds:
            low = middle + 1
        else:
            high = middle
    return EPOCHS[low - 1] if low else 0


def _left_out(richest: Design, chosen: Design) -> tuple[str, ...]:
    missing = []
    if richest.tuned and not chosen.tuned:
        missing.append("a search of each cell's learning rate")
    if len(richest.fractions) > len(chosen.fractions):
        missing.append(f"{len(richest.fractions)} data sizes")
    if richest.seeds > chosen.seeds:
        missing.append(f"{richest.seeds} seeds")
    return tuple(missing)
