"""Early stopping that never lets unlike trials compete: one race per group.

Successive halving (Jamieson and Talwalkar, *Non-stochastic Best Arm Identification*, AISTATS 2016):
a trial that reaches a rung waits there for its rivals, and one in `reduction_factor` of them goes
on, but so many at least, that the choice at the end is one. Unlike in the asynchronous form (Li et
al., MLSys 2020) the first to come are not sure to go on, and who is stopped depends on no order of
arrival and on no number of places. The rungs are rebuilt from records.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from orchestrator.study.blocks import EarlyStopping
from results.ranking import rank

Group = tuple[str, ...]
"""Names the race that a trial runs in."""


@dataclass(frozen=True)
class Stop:
    """A decision to train a trial no further."""

    epoch: int
    """The rung, in evaluation intervals."""
    cutoff: float
    score: float
    """Score that the trial fell below, and its own."""


def group_of(compare: str | Iterable[str], levels: Mapping[str, Any], seed: int) -> Group:
    """Return the race that a trial of these levels and this seed runs in.

    `compare` is `cell`, or the factors whose levels competitors share.
    """
    factors = levels if compare == "cell" else compare
    # Seeds never compete: a mean over those that survived would be biased upward.
    return (*(str(levels[factor]) for factor in factors), f"seed {seed}")


def cutoff_of(values: Sequence[float], reduction_factor: int) -> float:
    """Return the score of the last trial that goes on from a rung, by what the rung holds.

    One in `reduction_factor` goes on, but so many at least; −inf where that is all of them. NaN
    ranks worst.
    """
    ranked = sorted((-rank(value) for value in values), reverse=True)
    kept = max(reduction_factor, math.ceil(len(ranked) / reduction_factor))
    return ranked[kept - 1] if kept < len(ranked) else -math.inf


class Races:
    """The races of a study, one per group of trials; none without a rule."""

    def __init__(self, rule: EarlyStopping | None) -> None:
        self._rule = rule
        self._groups: dict[str, Group] = {}
        self._members: defaultdict[Group, dict[str, int]] = defaultdict(dict)
        """Budgets of the trials that have not ended, in evaluation intervals."""
        self._held: defaultdict[Group, defaultdict[int, dict[str, float]]]
        self._held = defaultdict(lambda: defaultdict(dict))
        """Scores that the rungs hold, by epoch."""
        self._changed: set[Group] = set()
        self.waiting: dict[str, int] = {}
        """Trials of which it is not decided yet whether they go on, and the rungs they wait at."""

    def join(self, trial_id: str, group: Group | None, budget: int) -> None:
        """Enter a trial and its budget, in intervals; nothing stops one without a group."""
        if self._rule and group:
            self._groups[trial_id] = group
            self._members[group][trial_id] = budget

    def leave(self, trial_id: str) -> None:
        """Take note that a trial has ended: nobody waits for it any more."""
        group = self._groups.get(trial_id)
        if group and self._members[group].pop(trial_id, 0):
            self._changed.add(group)

    def arrive(self, trial_id: str, epoch: int, value: float) -> None:
        """Enter a trial's score at an epoch, once; at its budget nothing is left to stop."""
        group = self._groups.get(trial_id)
        if not self._rule or not group or trial_id in self._held[group].get(epoch, ()):
            return
        # A recorded one has gone on since.
        self.waiting.pop(trial_id, None)
        if epoch in self._rule.rungs(epoch + 1):
            self._held[group][epoch][trial_id] = value
            self._changed.add(group)
            if epoch < self._members[group].get(trial_id, 0):
                self.waiting[trial_id] = epoch

    def decide(self) -> dict[str, Stop | None]:
        """Return what is decided since it was asked last: stops, and None for who goes on.

        Call it once all trials have joined that there will be.
        """
        decided: dict[str, Stop | None] = {}
        while self._rule and self._changed:
            group = self._changed.pop()
            members, factor = self._members[group], self._rule.reduction_factor
            # Whoever stops at one rung is not awaited at those after it.
            for epoch, held in sorted(self._held[group].items()):
                # The last to join are likely the last to come.
                late = (each for each in reversed(members.items()) if each[0] not in held)
                coming = len([*islice((each for each in late if epoch <= each[1]), factor)])
                # Where so few can come, all go on, and nobody waits.
                if coming and len(held) + coming > factor:
                    continue
                cutoff = cutoff_of([*held.values()], factor)
                for trial_id in [name for name in held if self.waiting.get(name) == epoch]:
                    del self.waiting[trial_id]
                    decided[trial_id] = None
                    if -rank(held[trial_id]) < cutoff:
                        decided[trial_id] = Stop(epoch, cutoff, held[trial_id])
                        self.leave(trial_id)
        return decided
