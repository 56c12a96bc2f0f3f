"""Early stopping that never lets unlike trials compete: one race per group.

Asynchronous successive halving (Li et al., *A System for Massively Parallel Hyperparameter
Tuning*, MLSys 2020) in its stopping variant, as Ray's `AsyncHyperBandScheduler` has it: a trial
that reaches a rung goes on if its value is not below the (1 − 1/reduction_factor) quantile of
what the rung held before. Other than there, a rung stops nobody before it holds
`reduction_factor` results, NaN ranks worst, and the rungs are rebuilt from records.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.study.blocks import EarlyStopping
from results.ranking import rank


@dataclass(frozen=True)
class Stop:
    """A decision to train a trial no further."""

    epoch: int
    """The rung, in evaluation intervals."""
    cutoff: float
    """Score that the trial fell below."""


def group_of(compare: str | Iterable[str], levels: Mapping[str, Any], seed: int) -> tuple[str, ...]:
    """Return the race that a trial of these levels and this seed runs in.

    `compare` is `cell`, or the factors whose levels competitors share.
    """
    factors = levels if compare == "cell" else compare
    # Seeds never compete: a mean over those that survived would be biased upward.
    return (*(str(levels[factor]) for factor in factors), f"seed {seed}")


def cutoff_of(values: Sequence[float], reduction_factor: int) -> float:
    """Return the value that the next arrival at a rung must reach.

    That is the linearly interpolated (1 − 1/reduction_factor) quantile of what the rung holds, NaN
    below everything; −inf where it holds fewer than `reduction_factor` results.
    """
    if len(values) < reduction_factor:
        return -math.inf
    ranked = sorted(-rank(value) for value in values)
    position = (1 - 1 / reduction_factor) * (len(ranked) - 1)
    low = math.floor(position)
    share = position - low
    if share == 0 or ranked[low] == ranked[low + 1]:
        return ranked[low]
    # Between a diverged trial and a sound one there is nothing to interpolate.
    if ranked[low] == -math.inf:
        return -math.inf
    return ranked[low] + share * (ranked[low + 1] - ranked[low])


class Races:
    """The races of a study, one per group of trials; none without a rule."""

    def __init__(self, rule: EarlyStopping | None) -> None:
        self._rule = rule
        self._held: defaultdict[tuple[tuple[str, ...], int], list[float]] = defaultdict(list)
        """Scores that a group's rung holds, by group and epoch."""
        self._seen: dict[str, int] = {}

    def arrive(
        self, trial_id: str, group: tuple[str, ...] | None, epoch: int, value: float, budget: int
    ) -> Stop | None:
        """Enter a trial's score at an epoch, once; return a stop if it goes no further.

        Epochs and the budget are intervals, from 1; at the budget nothing is left to stop. Nothing
        stops a trial without a group.
        """
        rule = self._rule
        if group is None or rule is None or epoch <= self._seen.get(trial_id, 0):
            return None
        self._seen[trial_id] = epoch
        if not rule.is_rung(epoch):
            return None
        held = self._held[group, epoch]
        cutoff = cutoff_of(held, rule.reduction_factor)
        held.append(value)
        return Stop(epoch, cutoff) if epoch < budget and -rank(value) < cutoff else None
