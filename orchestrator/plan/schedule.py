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
from orchestrator.study.blocks import EarlyStopping


@dataclass(frozen=True)
class Stay:
    """One trial's time on a place, in seconds from the start of the pass."""

    wanted: Wanted
    start: float
    end: float
    intervals: int
    """Evaluation intervals trained, those recorded before included."""

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return self.end - self.start


@dataclass
class Schedule:
    """When each trial would run."""

    stays: list[Stay] = field(default_factory=list)
    """Each trial's time on a place, in the order of their ends."""
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
        longest = max((stay.seconds for stay in self.stays), default=0.0)
        return max(longest, self.seconds / places)


def _next_look(wanted: Wanted, epoch: int, rule: EarlyStopping | None) -> int:
    """Return the next epoch at which something is decided: a rung, or the end."""
    budget = wanted.trial.recipe.intervals
    return next(filter(rule.is_rung, range(epoch + 1, budget)), budget) if rule else budget


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
        study, generator = self.ledger.study, np.random.default_rng(0)
        ledger = Ledger(study, self.ledger.inputs, self.ledger.history)
        ledger.judge = self.judge
        work = Pass(
            ledger, self.durations.seconds, lambda _: self.share, lambda _, shortage: shortage
        )
        rule, schedule = study.stopping, Schedule()
        events: list[tuple[float, int, str, int, float]] = []
        started: dict[str, float] = {}
        numbers, now = itertools.count(), 0.0
        work.slots = places
        hand = work.next()
        while True:
            # As with Ray, one trial waits in hand, chosen before its place is free.
            while hand and len(started) < places:
                trial_id, before = hand.trial.trial_id, work.done(hand)
                setup, interval = self._pace(hand)
                work.start(trial_id)
                started[trial_id] = now
                stop = _next_look(hand, before, rule if ledger.stages.group(hand) else None)
                ends = now + setup + interval * (stop - before)
                heapq.heappush(events, (ends, next(numbers), trial_id, stop, generator.random()))
                hand = work.next()
            if not events:
                break
            now, _, trial_id, epoch, quality = heapq.heappop(events)
            wanted = work.running[trial_id]
            if work.reached(trial_id, epoch, quality, epoch == wanted.trial.recipe.intervals):
                stop = _next_look(wanted, epoch, rule)
                ends = now + self._pace(wanted)[1] * (stop - epoch)
                heapq.heappush(events, (ends, next(numbers), trial_id, stop, quality))
            else:
                schedule.stays.append(Stay(wanted, started.pop(trial_id), now, epoch))
                hand = hand or work.next()
        schedule.wanted = [*ledger.stages.wanted.values()]
        return schedule

    def epochs(self, stays: Iterable[Stay]) -> int:
        """Return the epochs that are trained, what is recorded left out."""
        done = self.ledger.history.epochs_done
        return sum(stay.intervals - done(stay.wanted.trial.trial_id) for stay in stays)

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
