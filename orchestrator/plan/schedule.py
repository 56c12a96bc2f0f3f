"""A study's course in virtual time: the real order and the real races, with expected durations.

No Ray and no clock: ten thousand trials take seconds, so that a plan can say what a cluster makes
of a study before anyone pays for it.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from orchestrator.ledger.ledger import Ledger
from orchestrator.ledger.looks import Judge, all_needed, nothing_needed
from orchestrator.ledger.passes import Pass
from orchestrator.ledger.stages import Wanted
from orchestrator.ledger.stopping import Race
from orchestrator.placement.shares import Node, Share, places
from orchestrator.plan.durations import FACTORS, Basis, Durations

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Stay:
    """One trial's time on a node, in seconds from the start of the pass."""

    wanted: Wanted
    start: float
    end: float
    share: Share
    intervals: int
    """Evaluation intervals trained, those recorded before included."""

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return self.end - self.start

    @property
    def saved(self) -> int:
        """Intervals that early stopping saves of it."""
        return self.wanted.trial.recipe.intervals - self.intervals


@dataclass
class Schedule:
    """When each trial would run."""

    nodes: Sequence[Node]
    """What the trials were placed on."""
    max_parallel: int | None
    """Trials at a time, at most."""
    stays: list[Stay] = field(default_factory=list)
    """Each trial's time on a node, in the order of their ends."""
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

    @property
    def lower_bound(self) -> float:
        """Return what no order could beat: the longest trial, or all work spread evenly."""
        longest = max((stay.seconds for stay in self.stays), default=0.0)
        bounds = [longest]
        for resource in ("cpu", "gpu"):
            there = sum(getattr(node, resource) for node in self.nodes)
            held = sum(stay.seconds * getattr(stay.share, resource) for stay in self.stays)
            bounds.append(held / there if there else 0.0)
        if self.max_parallel:
            bounds.append(self.seconds / self.max_parallel)
        shares = {stay.share for stay in self.stays}
        if len(shares) == 1:
            (share,) = shares
            room = sum(places(node, share) for node in self.nodes)
            bounds.append(self.seconds / room if room else 0.0)
        return max(bounds)


def simulate(
    work: Pass,
    nodes: Sequence[Node],
    pace: Callable[[Wanted], tuple[float, float]],
    generator: np.random.Generator,
    *,
    max_parallel: int | None = None,
) -> Schedule:
    """Let a pass, over a ledger of its own, run in virtual time on some nodes.

    `pace` returns the seconds before a trial's first interval, and those of each. The generator
    draws how good each recipe turns out: validation accuracies keep one random order over the whole
    of training, in which a race stops the worse. Nothing is assumed of how curves look.
    """
    rule = work.ledger.study.stopping
    rungs = Race(rule.grace, rule.reduction_factor) if rule else None
    room = _Room(nodes)
    schedule = Schedule(nodes, max_parallel)
    events: list[tuple[float, int, str, int, float]] = []
    places_taken: dict[str, tuple[_Place, Share, float]] = {}
    number, now = 0, 0.0
    work.slots = _slots(work, nodes, max_parallel)
    hand = work.next()
    while True:
        # As with Ray, one trial waits in hand, chosen before its place is free.
        while hand and (not max_parallel or len(places_taken) < max_parallel):
            share = work.share(hand.trial)
            place = room.take(share)
            if place is None:
                break
            trial_id = hand.trial.trial_id
            before = work.done(hand)
            setup, interval = pace(hand)
            work.start(trial_id)
            places_taken[trial_id] = (place, share, now)
            number += 1
            stop = _next_look(hand, before, rungs if work.ledger.stages.group(hand) else None)
            ends = now + setup + interval * (stop - before)
            heapq.heappush(events, (ends, number, trial_id, stop, generator.random()))
            hand = work.next()
        if not events:
            break
        now, _, trial_id, epoch, quality = heapq.heappop(events)
        wanted = work.running[trial_id]
        finished = epoch == wanted.trial.recipe.intervals
        if work.reached(trial_id, epoch, quality, finished):
            stop = _next_look(wanted, epoch, rungs)
            number += 1
            ends = now + pace(wanted)[1] * (stop - epoch)
            heapq.heappush(events, (ends, number, trial_id, stop, quality))
        else:
            place, share, start = places_taken.pop(trial_id)
            room.give(place, share)
            schedule.stays.append(Stay(wanted, start, now, share, epoch))
            hand = hand or work.next()
    schedule.wanted = [*work.ledger.stages.wanted.values()]
    return schedule


def _slots(work: Pass, nodes: Sequence[Node], max_parallel: int | None) -> int:
    """Return how many trials run at a time, on average over unlike shares."""
    counts = Counter(work.share(wanted.trial) for wanted in work.ledger.stages.wanted.values())
    room = {share: sum(places(node, share) for node in nodes) for share in counts}
    taken = sum(number / room[share] for share, number in counts.items() if room[share])
    slots = round(counts.total() / taken) if taken else 0
    return min(slots, max_parallel) if max_parallel else slots


def _next_look(wanted: Wanted, epoch: int, rungs: Race | None) -> int:
    """Return the next epoch at which something is decided: a rung, or the end."""
    budget = wanted.trial.recipe.intervals
    if rungs is None:
        return budget
    return next((later for later in range(epoch + 1, budget) if rungs.is_rung(later)), budget)


_Place = tuple[int, list[int]]
"""A node, and those of its GPUs that are used."""


class _Room:
    """What is free on the nodes; a part of a GPU goes where the least is left that suffices."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._cpu = np.array([node.cpu for node in nodes])
        gpus = np.array([int(node.gpu) for node in nodes])
        self._gpu = (np.arange(gpus.max(initial=0)) < gpus[:, np.newaxis]).astype(float)

    def take(self, share: Share) -> _Place | None:
        """Return a place for a share, now taken; None where there is none."""
        place = self._find(share)
        if place:
            self._move(place, share, -1)
        return place

    def give(self, place: _Place, share: Share) -> None:
        """Free a place again."""
        self._move(place, share, 1)

    def _find(self, share: Share) -> _Place | None:
        has_cpus = self._cpu >= share.cpu - _ROUNDING
        if not has_cpus.any():
            return None
        if not share.gpu:
            return int(np.where(has_cpus, self._cpu, np.inf).argmin()), []
        if share.gpu <= 1:
            fits = has_cpus[:, np.newaxis] & (self._gpu >= share.gpu - _ROUNDING)
            if not fits.any():
                return None
            node, gpu = divmod(int(np.where(fits, self._gpu, np.inf).argmin()), fits.shape[1])
            return node, [gpu]
        free = self._gpu > 1 - _ROUNDING
        node = int((has_cpus & (free.sum(axis=1) >= share.gpu)).argmax())
        gpus = np.flatnonzero(free[node])[: int(share.gpu)].tolist()
        return (node, gpus) if has_cpus[node] and len(gpus) == share.gpu else None

    def _move(self, place: _Place, share: Share, sign: int) -> None:
        node, gpus = place
        self._cpu[node] += sign * share.cpu
        self._gpu[node, gpus] += sign * min(1.0, share.gpu)


class Forecast:
    """A study that is played in virtual time as often as asked; its ledger stays as it is.

    `judge` plays the looks of counted seeds: by default, the first settles everything.
    """

    def __init__(
        self, ledger: Ledger, durations: Durations, share: Share, judge: Judge = nothing_needed
    ) -> None:
        self.ledger, self.durations, self.share, self.judge = ledger, durations, share, judge

    def at_most(self) -> "Forecast | None":
        """Return the forecast of a study in which no look settles anything; None without looks."""
        if not self.ledger.may_add_seeds or self.judge is all_needed:
            return None
        return Forecast(self.ledger, self.durations, self.share, all_needed)

    def on(self, nodes: Sequence[Node], *, max_parallel: int | None = None) -> Schedule:
        """Return the schedule of what is left on some nodes."""
        ledger = self.ledger.copy()
        ledger.judge, ledger.before_look = self.judge, lambda: None
        work = Pass(
            ledger,
            cost=self.durations.seconds,
            share=lambda trial: self.share,
            enlarge=lambda trial, shortage: shortage,
        )
        return simulate(
            work, nodes, self._pace, np.random.default_rng(0), max_parallel=max_parallel
        )

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
        expected = self.durations.expect(wanted.trial)
        # What was recorded was slowed down by sharing already.
        shared = self.share.speed if expected.basis is not Basis.RECORDED else None
        return expected.setup, expected.interval / (shared or 1.0)
