"""A study's course in virtual time: the real order and the real races, with expected durations.

No Ray and no clock. All trials have one share, so that a cluster is a number of places.
"""

import heapq
import itertools
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from orchestrator.ledger.ledger import Judge, Ledger, all_needed
from orchestrator.ledger.passes import Pass
from orchestrator.ledger.stages import Wanted
from orchestrator.placement.shares import Share
from orchestrator.plan.durations import FACTORS, Basis, Durations


@dataclass(frozen=True)
class Stay:
    """One of a trial's times on a place, in seconds from the start of the pass."""

    wanted: Wanted
    start: float
    end: float
    intervals: int
    """Evaluation intervals trained."""

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return self.end - self.start


@dataclass
class Schedule:
    """When each trial would run."""

    stays: list[Stay] = field(default_factory=list)
    """Times of trials on a place, in the order of their ends."""
    wanted: list[Wanted] = field(default_factory=list)
    """All trials that the study has come to want, recorded ones included."""

    @property
    def makespan(self) -> float:
        """Return the seconds from the first start to the last end."""
        return max((stay.end for stay in self.stays), default=0.0)

    @property
    def seconds(self) -> float:
        """Return the seconds of all trials together."""
        return sum(stay.seconds for stay in self.stays)

    def bound(self, places: int) -> float:
        """Return what no order on so many places beats: the longest trial, or all work spread."""
        held: defaultdict[str, float] = defaultdict(float)
        for stay in self.stays:
            held[stay.wanted.trial.trial_id] += stay.seconds
        return max(self.seconds / places, *held.values(), 0.0)


class Forecast:
    """A study that is played in virtual time from its records on; its ledger stays as it is.

    `judge` plays the looks of counted seeds: by default, the first settles everything.
    """

    def __init__(
        self, ledger: Ledger, durations: Durations, share: Share, judge: Judge = lambda *_: set()
    ) -> None:
        self.ledger, self.durations, self.share, self.judge = ledger, durations, share, judge

    def at_most(self) -> "Forecast | None":
        """Return the forecast of a study in which no look settles anything; None without looks."""
        if not self.ledger.may_add_seeds or self.judge is all_needed:
            return None
        return Forecast(self.ledger, self.durations, self.share, all_needed)

    def on(self, places: int) -> Schedule:
        """Return the schedule of what is left on so many places.

        How good each recipe turns out is drawn: validation accuracies keep one random order over
        the whole of training, in which a race stops the worse. Nothing is assumed of how curves
        look.
        """
        ledger = Ledger(self.ledger.study, self.ledger.inputs, self.ledger.history)
        ledger.judge = self.judge
        work = Pass(
            ledger, self.durations.seconds, lambda _: self.share, lambda _, shortage: shortage
        )
        events: list[tuple[float, int, str, int]] = []
        started: dict[str, tuple[float, int]] = {}
        qualities: defaultdict[str, float] = defaultdict(np.random.default_rng(0).random)
        numbers, now, schedule = itertools.count(), 0.0, Schedule()
        work.slots = places

        def train(wanted: Wanted, epoch: int, setup: float = 0.0) -> None:
            budget = wanted.trial.recipe.intervals
            stop = next((rung for rung in ledger.rungs(wanted, budget) if rung > epoch), budget)
            ends = now + setup + self._pace(wanted)[1] * (stop - epoch)
            heapq.heappush(events, (ends, next(numbers), wanted.trial.trial_id, stop))

        hand = work.next()
        while True:
            # As with Ray, one trial waits in hand, chosen before its place is free.
            while hand and len(started) < places:
                work.start(hand.trial.trial_id)
                started[hand.trial.trial_id] = now, work.done(hand)
                train(hand, work.done(hand), setup=self._pace(hand)[0])
                hand = work.next()
            if not events:
                break
            now, _, trial_id, epoch = heapq.heappop(events)
            wanted = work.running[trial_id]
            is_last = epoch == wanted.trial.recipe.intervals
            ledger.rows.update(trial_id, {"epochs_done": epoch})
            if work.reached(trial_id, epoch, qualities[trial_id], is_last):
                train(wanted, epoch)
            else:
                since, before = started.pop(trial_id)
                schedule.stays.append(Stay(wanted, since, now, epoch - before))
                hand = hand or work.next()
        schedule.wanted = [*ledger.stages.wanted.values()]
        return schedule

    def band(self, stays: Iterable[Stay]) -> tuple[float, float, dict[str, float]]:
        """Return the factors of the range's ends, and the shares of what the times rest on."""
        seconds: defaultdict[Basis, float] = defaultdict(float)
        for stay in stays:
            seconds[self.durations.expect(stay.wanted.trial).basis] += stay.seconds
        total = sum(seconds.values())
        if not total:
            return 1.0, 1.0, {}
        low = sum(spent / FACTORS[basis] for basis, spent in seconds.items()) / total
        high = sum(spent * FACTORS[basis] for basis, spent in seconds.items()) / total
        order = [basis for basis in reversed(Basis) if seconds[basis]]
        return low, high, {basis.value: seconds[basis] / total for basis in order}

    def _pace(self, wanted: Wanted) -> tuple[float, float]:
        """Return the seconds before a trial's first interval, and those of each."""
        expected = self.durations.expect(wanted.trial)
        # What was recorded was slowed down by sharing already.
        shared = self.share.speed if expected.basis is not Basis.RECORDED else None
        return expected.setup, expected.interval / (shared or 1.0)
