"""How many trials run at a time while nodes come and go, and what a trial that waits waits for."""

import time
from collections import Counter
from collections.abc import Callable

from orchestrator.drivers.connection import Connected
from orchestrator.errors import RunError
from orchestrator.ledger.passes import Pass
from orchestrator.placement.placer import Placer
from orchestrator.placement.shares import Share, described, needs, places, slots
from results.phrases import count
from results.records import Status

LOOK_SECONDS = 5.0
WAIT_SECONDS = 30.0
"""Seconds after which a waiting trial is spoken of, and again each time they have doubled."""
GIVE_UP_SECONDS = 3600.0
"""Seconds without any trial, because none fits on a node that is there, after which a run ends."""


class Capacity:
    """How many trials run at a time, as the last look at the cluster has it.

    The pass is told of that, the placer of nodes that changed, and `note` of what did and of what
    is waited for. A cluster that `grows` adds nodes where trials wait: none need be there yet, and
    places for `max_parallel` trials are asked for at once. Elsewhere a trial that fits on no node
    raises RunError: it would wait for ever.
    """

    def __init__(
        self,
        work: Pass,
        cluster: Connected,
        placer: Placer,
        note: Callable[[str], None],
        *,
        max_parallel: int | None = None,
        grows: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work, self._cluster, self._placer = work, cluster, placer
        self._note, self._clock = note, clock
        self._max_parallel, self._grows = max_parallel, grows
        self._fitting = self._sure = 0
        for share in () if grows else self._shares():
            slots(placer.nodes, share)
        self._count()
        self._looked = self._moved = clock()
        self._begun: frozenset[str] = frozenset()
        self._speak_after = WAIT_SECONDS

    @property
    def slots(self) -> int:
        """Trials that run at a time; 0 while no node is there on which one fits."""
        return min(self._fitting, self._max_parallel or self._fitting)

    @property
    def limit(self) -> int:
        """Trials that may run or wait: one more than fit, so that a free worker is used again.

        On a cluster that adds nodes where something waits it is also what is asked for.
        """
        waiting = self._fitting + 1
        most = self._max_parallel or waiting
        return most if self._grows else min(waiting, most)

    def tick(self) -> None:
        """Look at the cluster, if the last look is old; RunError if nothing fitted for an hour."""
        now = self._clock()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        nodes = self._cluster.nodes()
        there, before = Counter(nodes), Counter(self._placer.nodes)
        if there != before:
            self._placer.nodes, slots_before = nodes, self.slots
            self._count()
            changes = {"joined": there - before, "left": before - there}
            said = (f"{how}: {described(of.elements())}; " for how, of in changes.items() if of)
            change = "still" if self.slots == slots_before else f"{slots_before} before, now"
            self._note(f"{''.join(said)}{change} {count(self.slots, 'trial')} at a time")
        self._watch(now)

    def _shares(self) -> set[Share]:
        return {self._work.share(wanted.trial) for wanted in self._work.ledger.left()}

    def _count(self) -> None:
        nodes = self._placer.nodes
        rooms = [sum(places(node, share) for node in nodes) for share in self._shares()]
        if rooms:
            self._fitting, self._sure = max(rooms), min(rooms)
        self._work.slots = max(1, self.slots)

    def _watch(self, now: float) -> None:
        running, rows = self._work.running, self._work.ledger.rows
        begun = frozenset(name for name in running if rows[name]["status"] == Status.RUNNING)
        waiting = [wanted for trial_id, wanted in running.items() if trial_id not in begun]
        # Of unlike trials, as many as fit where all have the largest share.
        is_full = len(begun) >= min(self._sure, self.slots) > 0
        if begun != self._begun or is_full or not waiting:
            if self._speak_after > WAIT_SECONDS:
                self._note(f"going on: {count(len(begun), 'trial')} running")
            self._begun, self._moved, self._speak_after = begun, now, WAIT_SECONDS
            return
        waited = now - self._moved
        share = self._work.share(waiting[0].trial)
        fits = any(places(node, share) for node in self._placer.nodes)
        if not begun and not fits and waited >= GIVE_UP_SECONDS:
            raise RunError(
                f"a trial needs {needs(share)} on one machine, and for an hour no node had that "
                f"(there is {described(self._placer.nodes)}). All that was recorded is safe: run "
                "again when there are such nodes."
            )
        if waited >= self._speak_after:
            self._speak_after *= 2
            what = "free" if fits else "no node has that; free"
            self._note(
                f"{len(begun)} running; {count(len(waiting), 'trial')} waiting for {needs(share)} "
                f"on one machine since {waited:.0f} s ({what}: {described(self._cluster.free())})"
            )
