"""One pass over what a ledger has left: what runs next, what is lost, tried again, stopped.

No Ray here: drivers carry the trials out, and a forecast lets them run in virtual time.
"""

import heapq
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from orchestrator.ledger.allowance import Allowance
from orchestrator.ledger.ledger import Ledger
from orchestrator.ledger.stages import Outcome, Wanted
from orchestrator.placement.shares import Share
from results.phrases import duration
from results.records import Status
from results.store.objects import Location
from trainables.functions import own_folders
from trainables.trial import Trial
from trainables.work.reports import Failed, FailureKind, Report, Task

SILENT_TIMES, SILENT_SECONDS = 10, 60.0
"""A trial is called silent once a row takes so many times what is expected of one, and at least so
many seconds."""
_LOOK_SECONDS = 5.0
_MOST_NODES = 20
"""A trial that loses so many machines may well be what ends them."""


class Pass:
    """The trials that are left of a ledger, in their order, and what becomes of them.

    `cost` returns a trial's expected training time in any unit, for the order; `share` the CPUs and
    GPUs that it is given. `enlarge` gives a trial that was short of memory more from then on, or
    returns why it cannot, and what would help. `tell` is told of events: event, trial, its cell's
    name, and values by name. `spread` is told of a trial that is about to start, and how many wait
    or run then, it included: where they are few, its share may grow. What would exceed an
    `allowance` is not started, nor anything of a later round.
    """

    def __init__(
        self,
        ledger: Ledger,
        cost: Callable[[Trial], float],
        share: Callable[[Trial], Share],
        enlarge: Callable[[Trial, FailureKind], str | None],
        tell: Callable[..., None] | None = None,
        spread: Callable[[Trial, int], None] = lambda *_: None,
        allowance: Allowance | None = None,
    ) -> None:
        self.ledger, self.share, self.allowance = ledger, share, allowance or Allowance()
        self._is_capped = False
        self._cost, self._enlarge, self._listener, self._spread = cost, enlarge, tell, spread
        self._losses: Counter[tuple[str, FailureKind]] = Counter()
        self._queue = Queue()
        self.running: dict[str, Wanted] = {}
        self._need_whole: set[str] = set()
        """Trials that a part of a GPU was too small for, until they have begun on a whole one."""
        self.slots = 1
        """Trials at a time, as whoever drives the pass knows."""
        self._heard: dict[str, float] = {}
        """When each running trial started, or gave its last row; in seconds."""
        self._silent: set[str] = set()
        self._look_at = 0.0
        self._push(ledger.left())
        # Places, and parts of a GPU, are counted by trials that are known: one for each cell.
        self._fill(len(ledger.stages.cells))

    def silent(self, now: float) -> list[str]:
        """Say which trials have given no row for long; return those to be ended for it.

        `now` is in seconds of the clock that `time.monotonic` is. A trial is to be ended once it
        has been silent for the study's `trial_timeout`.
        """
        limit, overdue = self.ledger.study.trial_timeout, []
        if now < self._look_at:
            return []
        self._look_at = now + _LOOK_SECONDS
        for trial_id, wanted in self.running.items():
            # One that was chosen has a place only once it has been heard of.
            seconds = now - self._heard.get(trial_id, now)
            longest = self.ledger.inputs.longest(self.ledger.study, wanted.trial)
            expected = longest * self._cost(wanted.trial) / wanted.trial.recipe.intervals
            if seconds > max(SILENT_SECONDS, SILENT_TIMES * expected):
                if trial_id not in self._silent:
                    self._silent.add(trial_id)
                    self._tell("silent", wanted, seconds=round(seconds), expected=expected)
                words = f"silent for {duration(seconds)} (a row takes about {duration(expected)})"
                self.ledger.rows.update(trial_id, {"error": words})
            if limit is not None and seconds > 60 * limit:
                overdue.append(trial_id)
        return overdue

    def _hear(self, trial_id: str) -> None:
        self._heard[trial_id] = time.monotonic()
        if trial_id in self._silent:
            self._silent.discard(trial_id)
            self.ledger.rows.update(trial_id, {"error": None})

    def next(self) -> Wanted | None:
        """Return the next trial to train; None where none can start now."""
        waiting = self._need_whole.intersection(self.running)
        if waiting and len(waiting) < len(self.running):
            # The parts that are given back must add up to a GPU.
            return None
        self._fill(1)
        if not self._queue:
            return None
        # Under a budget no long trial of a later round begins before its turn.
        slots = 1 if self.allowance.text else self.slots
        trial_id = self._queue.pop(slots, self._affords)
        self._is_capped = trial_id is None and not self.running
        if trial_id is None:
            return None
        wanted = self.running[trial_id] = self.ledger.stages.wanted[trial_id]
        others = len(self._queue) + len(self.ledger.races.waiting)
        self._spread(wanted.trial, others + len(self.running))
        self.allowance.take(trial_id, self._left(wanted), self.share(wanted.trial))
        return wanted

    def _fill(self, least: int) -> None:
        """Have recipes proposed until so many trials wait, as long as some are to be proposed."""
        while len(self._queue) < least and self.ledger.stages.unknown_recipes():
            self._push(self.ledger.propose())
        self._decide()

    def _affords(self, trial_id: str) -> bool:
        wanted = self.ledger.stages.wanted[trial_id]
        return self.allowance.affords(self._left(wanted), self.share(wanted.trial))

    def _left(self, wanted: Wanted) -> float:
        left = 1 - min(1.0, self.done(wanted) / wanted.trial.recipe.intervals)
        return left * self._cost(wanted.trial)

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to start, or nothing within the budget, and nothing runs."""
        return self._is_capped or not (self._waits or self.running)

    @property
    def leaves_places(self) -> bool:
        """Whether all that is left runs, on fewer places than there are."""
        rows, there = self.ledger.rows, self.running
        begun = all(rows[trial_id]["status"] == Status.RUNNING for trial_id in there)
        return not self._waits and begun and 0 < len(there) < self.slots

    @property
    def _waits(self) -> bool:
        return bool(self._queue or self.ledger.stages.unknown_recipes())

    def done(self, wanted: Wanted) -> int:
        """Return how many epochs of a trial are recorded."""
        return self.ledger.rows[wanted.trial.trial_id].get("epochs_done") or 0

    def task(
        self, wanted: Wanted, checkpoint_folder: Location, places: tuple[str, int] | None = None
    ) -> Task:
        """Return what a worker is asked to do; on a CPU it may evaluate on free `places` too.

        A trial that ran out of memory, and has a larger share since, may not: it takes more there.
        """
        study, share = self.ledger.study, self.share(wanted.trial)
        is_lent = study.trainable == "classifier" and not share.gpu
        return Task(
            trial=wanted.trial,
            metric=study.metric,
            tests=self.ledger.inputs.tests(study, wanted.trial),
            recorded=self.ledger.recorded(wanted),
            cpus=study.resources.cpu,
            device="cuda" if share.gpu else "cpu",
            gpu=share.gpu,
            context_bytes=share.context_bytes,
            precision=share.precision,
            checkpoint_folder=str(checkpoint_folder),
            checkpoint_seconds=study.checkpoint_seconds,
            keep_checkpoints=study.keep_checkpoints,
            rungs=tuple(self.ledger.rungs(wanted, wanted.trial.recipe.intervals)),
            places=places if is_lent and share.cpu <= study.resources.cpu else None,
            folders=own_folders(),
        )

    def start(self, trial_id: str) -> None:
        """Note that a trial has been given a place."""
        self._need_whole.discard(trial_id)
        wanted = self.running[trial_id]
        share = self.share(wanted.trial)
        self.ledger.rows.start(wanted, share)
        self._hear(trial_id)
        self.allowance.start(trial_id)
        self._tell("started", wanted, cpu=share.cpu, gpu=share.gpu)

    def result(self, trial_id: str, report: Report) -> bool:
        """Take what a worker reports of a trial; return whether the trial goes on."""
        rows, labels = self.ledger.rows, self.ledger.inputs.test_labels
        rows.problems.extend(one for one in report.problems if one not in rows.problems)
        if isinstance(report, Failed):
            self.lose(trial_id, report.kind, report.message)
            return False
        given = report.predictions
        if given is not None and labels is not None and given.classes.shape != labels.shape:
            said = (
                f"{self.ledger.study.trainable}: predictions() returned shape "
                f"{given.classes.shape}, the test set has {len(labels)} images"
            )
            self.lose(trial_id, FailureKind.REFUSED, said)
            return False
        rows.take(trial_id, report)
        self._hear(trial_id)
        score = self.ledger.study.metric.score(report.value)
        return self.reached(trial_id, report.epoch, score, report.finished)

    def reached(self, trial_id: str, epoch: int, score: float, finished: bool) -> bool:
        """Decide about a trial that has trained an epoch; return whether the trial goes on.

        `score` is what the metric is on the validation set, negative where less is better, or NaN;
        `finished` says that its budget ends. One that waits for its rivals gives its place back.
        """
        wanted, metric = self.running[trial_id], self.ledger.study.metric
        value = {f"val_{metric.column}": metric.score(score)}
        self._tell("epoch", wanted, epoch=epoch, **value)
        self.ledger.arrive(wanted, epoch, score)
        if finished:
            self._tell("completed", wanted, **value)
            self._close(wanted, Outcome(Status.COMPLETED, score))
        self._decide()
        if trial_id in self.ledger.races.waiting:
            self._tell("waiting", wanted, epoch=epoch)
            self._requeue(trial_id, None)
        return trial_id in self.running

    def _decide(self) -> None:
        """Stop those that fell behind; those that waited and go on wait for a place."""
        for wanted, stop in self.ledger.decisions():
            if stop:
                told = self.ledger.columns(stop)
                self._tell("stopped", wanted, epoch=stop.epoch, cutoff=told["stopped_cutoff"])
                self._close(wanted, Outcome(Status.STOPPED, stop.score), **told)
            elif wanted.trial.trial_id not in self.running:
                self._push([wanted])

    def lose(self, trial_id: str, kind: FailureKind, message: str) -> None:
        """Note that a trial could not go on: try it again where that may help, else give it up.

        A shortage of memory is tried with a larger share, a crash as often as the study says, a
        lost machine whatever it says; anything else would only happen again.
        """
        wanted = self.running.get(trial_id)
        if wanted is None:
            return
        self._losses[trial_id, kind] += 1
        # An error of a user's own may hold signs that no table does.
        message = " ".join(message.encode("utf-8", "replace").decode().splitlines())
        if kind.is_shortage:
            end = self._enlarge(wanted.trial, kind)
            again = end is None
            if again and kind is FailureKind.OUT_OF_GPU_MEMORY:
                self._need_whole.add(trial_id)
            message = message if again else f"{message}; {end}"
        else:
            crashes = self.ledger.study.max_failures
            most = {FailureKind.CRASHED: crashes, FailureKind.NODE_LOST: _MOST_NODES}
            again = self._losses[trial_id, kind] <= most.get(kind, 0)
        self._tell("tried again" if again else "failed", wanted, kind=kind, error=message)
        if again:
            self._requeue(trial_id, f"{kind}: {message}")
        else:
            self._close(wanted, Outcome(Status.FAILED), error=f"{kind}: {message}")

    def regroup(self, short_of_memory: set[str]) -> None:
        """Take all running trials back after the workers were lost together.

        Those that were ended for their memory lose a try; the others only start again. Where none
        is named, all are counted as lost, so that this cannot go on for ever.
        """
        # The worker of an ended trial may wait for its next one: it is to blame for nothing.
        blamed = short_of_memory.intersection(self.running)
        for trial_id in list(self.running):
            if trial_id in blamed:
                ended = "Ray ended the worker to save the machine"
                self.lose(trial_id, FailureKind.OUT_OF_MEMORY, ended)
            elif not blamed:
                self.lose(trial_id, FailureKind.CRASHED, "the machine ran short of memory")
            else:
                self._requeue(trial_id, None)

    def _close(self, wanted: Wanted, outcome: Outcome, **values: Any) -> None:
        self._leave(wanted)
        self._push(self.ledger.end(wanted, outcome, **values))
        self._decide()

    def _requeue(self, trial_id: str, reason: str | None) -> None:
        self.ledger.rows.requeue(trial_id, reason)
        wanted = self.running[trial_id]
        self._leave(wanted)
        self._push([wanted])

    def _leave(self, wanted: Wanted) -> None:
        self._heard.pop(wanted.trial.trial_id, None)
        if self.running.pop(wanted.trial.trial_id, None):
            self.allowance.end(wanted.trial.trial_id, self._left(wanted))

    def _push(self, trials: Iterable[Wanted]) -> None:
        for wanted in trials:
            trial_id, place = wanted.trial.trial_id, (wanted.cell, wanted.round)
            if trial_id in self.ledger.races.waiting:
                continue
            # In rounds, every cell shows early; without, only length counts.
            turn = wanted.round if self.ledger.study.order == "fair" else 0
            turn = -1 if trial_id in self._need_whole else turn
            self._queue.push(trial_id, turn, self._left(wanted), place)

    def _tell(self, event: str, wanted: Wanted, **values: Any) -> None:
        if self._listener:
            self._listener(event, wanted, self.ledger.cell_name(wanted.cell), **values)


class Queue:
    """Trials that can start, in rounds; within a round the longest first.

    A trial starts out of turn once it is as long as all that waits would take together, spread
    over the slots: started any later, it would run on alone at the end (the rule of longest
    processing time first, Graham, *SIAM J. Appl. Math.* 17, 1969, where it matters).
    """

    def __init__(self) -> None:
        self._in_turn: list[tuple[int, float, tuple[int, ...], str]] = []
        self._by_length: list[tuple[float, tuple[int, ...], str]] = []
        self._waiting: dict[str, float] = {}
        self._work = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    def push(self, trial_id: str, turn: int, cost: float, place: tuple[int, ...]) -> None:
        """Add a trial that does not wait already.

        It has a round and a cost, the work that is left of it in any unit; `place` orders trials
        that are alike in both.
        """
        self._waiting[trial_id] = cost
        self._work += cost
        heapq.heappush(self._in_turn, (turn, -cost, place, trial_id))
        heapq.heappush(self._by_length, (-cost, place, trial_id))

    def pop(self, slots: int, fits: Callable[[str], bool] = lambda _: True) -> str | None:
        """Remove and return the next trial, of which so many run at a time; one must wait.

        Where it does not fit, it is the next of the round in turn that does, or none.
        """
        while self._by_length[0][-1] not in self._waiting:
            heapq.heappop(self._by_length)
        while self._in_turn[0][-1] not in self._waiting:
            heapq.heappop(self._in_turn)
        is_overdue = slots > 1 and -self._by_length[0][0] * slots >= self._work
        trial_id = (self._by_length if is_overdue else self._in_turn)[0][-1]
        if not fits(trial_id):
            alike = (entry for entry in self._in_turn if entry[0] == self._in_turn[0][0])
            names = (entry[-1] for entry in sorted(alike) if entry[-1] in self._waiting)
            trial_id = next(filter(fits, names), "")
        if not trial_id:
            return None
        self._work -= self._waiting.pop(trial_id)
        return trial_id
