"""One pass over wanted − recorded trials: what runs next, what is stopped, what is recorded.

No Ray here: `engine` drives a pass with workers of a cluster, `in_process` without any.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.ledger.history import History
from orchestrator.ledger.proposer import Proposer
from orchestrator.ledger.queue import Queue
from orchestrator.ledger.races import Races
from orchestrator.ledger.stages import Outcome, Stages, Wanted, recorded_outcome
from orchestrator.placement.shares import Share
from orchestrator.run.recorder import Recorder
from orchestrator.study.study import Study
from results.records import Status
from results.store.objects import Location
from trainables.trial import Trial
from trainables.work.reports import Failed, FailureKind, Report, Task

_MOST_NODES = 20
"""A trial that loses so many machines may well be what ends them."""


class Pass:
    """The trials that are left, in their order, and what becomes of them.

    Parameters
    ----------
    study, stages, history, recorder
        What is asked for, known, and where it goes.
    cost
        trial → expected training time in any unit, for the order.
    share
        trial → what it is given.
    enlarge
        (trial, kind of shortage) → None where the trial gets more from then on, else why it
        cannot, and what would help.
    tell
        Told what happens: event, trial, its cell's name, and values by name.
    """

    def __init__(
        self,
        study: Study,
        stages: Stages,
        history: History,
        recorder: Recorder,
        cost: Callable[[Trial], float],
        share: Callable[[Trial], Share],
        enlarge: Callable[[Trial, FailureKind], str | None],
        tell: Callable[..., None] | None = None,
    ) -> None:
        self.study, self.stages, self.history, self.recorder = study, stages, history, recorder
        self.share, self._enlarge, self._listener = share, enlarge, tell
        self._cost_of = cost
        self._costs: dict[str, float] = {}
        self._losses: Counter[tuple[str, FailureKind]] = Counter()
        self._queue = Queue()
        self._races = Races(stages)
        self._outcomes: dict[str, Outcome] = {}
        self._undecided: dict[int, set[str]] = {}
        self._proposer = Proposer(study, stages, history) if stages.unknown_recipes() else None
        self.running: dict[str, Wanted] = {}
        self.slots = 1
        """Trials at a time, as whoever drives the pass knows."""
        self._take_stock()

    def next(self) -> Wanted | None:
        """Return the next trial to train; None where none can start now."""
        while self._proposer and not self._queue and self.stages.unknown_recipes():
            # The cell with the fewest recipes so far, so that all cells search alike.
            stages = min(
                (cell for cell in self.stages.cells if len(cell.search) < cell.expected),
                key=lambda cell: len(cell.search),
            )
            proposed = self._proposer.propose(stages)
            if proposed:
                self._enter(proposed)
                self._push_open([proposed])
            self._push_open(self._settle(stages.index))
        if not self._queue:
            return None
        trial_id = self._queue.pop(self.slots)
        self.running[trial_id] = self.stages.wanted[trial_id]
        return self.running[trial_id]

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to start and nothing runs."""
        return not self._queue and not self.running and not self.stages.unknown_recipes()

    def left(self) -> list[Wanted]:
        """Return the trials that are known and still to be trained."""
        wanted = self.stages.wanted.items()
        return [each for trial_id, each in wanted if trial_id not in self._outcomes]

    def outcome(self, trial_id: str) -> Outcome | None:
        """Return what became of a trial, None while it is open."""
        return self._outcomes.get(trial_id)

    def _cost(self, wanted: Wanted) -> float:
        trial_id = wanted.trial.trial_id
        if trial_id not in self._costs:
            self._costs[trial_id] = self._cost_of(wanted.trial)
        return self._costs[trial_id]

    def _work(self, wanted: Wanted) -> tuple[float, float]:
        row = self.recorder.trial(wanted.trial.trial_id)
        budget = wanted.trial.recipe.intervals
        share = min(1.0, (row.get("epochs_done") or 0) / budget)
        cost = self._cost(wanted)
        # What has ended early asks for no more.
        ended = row.get("status") in (Status.STOPPED.value, Status.FAILED.value)
        return share * cost, cost * (share if ended else 1.0)

    def task(self, wanted: Wanted, checkpoint_folder: Location) -> Task:
        """Return what a worker is asked to do."""
        share = self.share(wanted.trial)
        return Task(
            trial=wanted.trial,
            recorded=self.recorder.trial(wanted.trial.trial_id).get("epochs_done") or 0,
            cpus=self.study.resources.cpu,
            device=None if share.gpu else "cpu",
            gpu=share.gpu,
            checkpoint_folder=str(checkpoint_folder),
            checkpoint_seconds=self.study.checkpoint_seconds,
            keep_checkpoints=self.study.keep_checkpoints,
        )

    def start(self, trial_id: str, host: str | None) -> None:
        """Note that a trial has been given a place."""
        share = self.share(self.stages.wanted[trial_id].trial)
        self.recorder.start(trial_id, host, share.cpu, share.gpu, share.speed)
        self._tell("started", trial_id, cpu=share.cpu, gpu=share.gpu)

    def result(self, trial_id: str, report: Report) -> bool:
        """Take what a worker reports of a trial; return whether the trial goes on."""
        self.recorder.problems.extend(report.problems)
        if isinstance(report, Failed):
            self.lose(trial_id, report.kind, report.message)
            return False
        wanted, accuracy = self.stages.wanted[trial_id], report.val_accuracy
        given, labels = report.predictions, self.stages.inputs.test_labels
        if given is not None and labels is not None and np.shape(given) != labels.shape:
            message = (
                f"predictions() returned shape {np.shape(given)}, the test set has {len(labels)}"
            )
            self.lose(trial_id, FailureKind.REFUSED, f"{wanted.trial.trainable}: {message} images")
            return False
        self.recorder.add_row(trial_id, report.row)
        if report.saved:
            self.recorder.note_checkpoint(trial_id)
        if report.facts is not None:
            self.recorder.add_facts(trial_id, report.facts)
        stop = self._races.arrive(wanted, report.epoch, accuracy)
        self._tell("epoch", trial_id, epoch=report.epoch, val_accuracy=accuracy)
        if report.finished:
            self._complete(trial_id, accuracy, report.predictions)
        elif stop:
            self.recorder.stop(trial_id, stop)
            self._tell("stopped", trial_id, epoch=stop.epoch, cutoff=stop.cutoff)
            self._close(trial_id, Outcome(Status.STOPPED, accuracy))
        return trial_id in self.running

    def lose(self, trial_id: str, kind: FailureKind, message: str) -> None:
        """Note that a trial could not go on: try it again where that may help, else give it up.

        Parameters
        ----------
        kind
            A shortage of memory is tried with ever larger shares, `crashed` as often as the study
            says, `node lost` whatever it says; anything else would only happen again.
        """
        if trial_id not in self.running:
            return
        trial = self.running[trial_id].trial
        self._losses[trial_id, kind] += 1
        if kind.is_shortage:
            end = self._enlarge(trial, kind)
            again = end is None
            message = message if again else f"{message}; {end}"
        else:
            most = {
                FailureKind.CRASHED: self.study.max_failures,
                FailureKind.NODE_LOST: _MOST_NODES,
            }.get(kind, 0)
            again = self._losses[trial_id, kind] <= most
        if again:
            self.recorder.requeue(trial_id, f"{kind}: {message}")
            self._tell("tried again", trial_id, kind=kind, error=message)
            self._push(self.running.pop(trial_id))
        else:
            self.recorder.fail(trial_id, f"{kind}: {message}")
            self._tell("failed", trial_id, kind=kind, error=message)
            self._close(trial_id, Outcome(Status.FAILED))

    def regroup(self, short_of_memory: set[str]) -> None:
        """Take all running trials back after the workers were lost together.

        Parameters
        ----------
        short_of_memory
            Trials whose workers were ended for their memory; the others only start again. Where
            it names none, all are counted as lost, so that this cannot go on for ever.
        """
        # The worker of an ended trial may wait for its next one: it is to blame for nothing.
        blamed = short_of_memory.intersection(self.running)
        for trial_id in list(self.running):
            if trial_id in blamed:
                self.lose(
                    trial_id,
                    FailureKind.OUT_OF_MEMORY,
                    "Ray ended the worker to save the machine",
                )
            elif not blamed:
                self.lose(trial_id, FailureKind.CRASHED, "the machine ran short of memory")
            else:
                self.recorder.requeue(trial_id, None)
                self._push(self.running.pop(trial_id))

    def _complete(
        self, trial_id: str, accuracy: float, predictions: NDArray[np.int64] | None
    ) -> None:
        self.recorder.complete(trial_id, predictions)
        self._tell("completed", trial_id, val_accuracy=accuracy)
        self._close(trial_id, Outcome(Status.COMPLETED, accuracy))

    def _tell(self, event: str, trial_id: str, **values: Any) -> None:
        if self._listener:
            wanted = self.stages.wanted[trial_id]
            self._listener(event, wanted, str(self.stages.cells[wanted.cell].cell), **values)

    def _close(self, trial_id: str, outcome: Outcome) -> None:
        self.running.pop(trial_id, None)
        self._outcomes[trial_id] = outcome
        wanted = self.stages.wanted[trial_id]
        if self._proposer:
            self._proposer.tell(wanted, outcome)
        self._push_open(self._settle(wanted.cell))

    def _take_stock(self) -> None:
        """Enter what is recorded, queue what is not, and bring every row up to date."""
        for wanted in list(self.stages.wanted.values()):
            self._enter(wanted)
        for wanted, stop, accuracy in self._races.replay(self.history):
            if wanted.trial.trial_id in self._outcomes:
                continue
            outcome = Outcome(Status.STOPPED, accuracy)
            self.recorder.stop(wanted.trial.trial_id, stop)
            self._outcomes[wanted.trial.trial_id] = outcome
            if self._proposer:
                self._proposer.tell(wanted, outcome)
        for stages in self.stages.cells:
            self._settle(stages.index)
        self._push_open(self.stages.wanted.values())
        self._disown()

    def _disown(self) -> None:
        """Mark recorded trials that the study asks for no more.

        Those that a cell measured before its search was opened again, to retry or to extend it,
        stay as they are until its winner is known: most often it is the same.
        """
        unwanted = set(self.history.trials) - set(self.stages.wanted)
        for stages in self.stages.cells if unwanted else ():
            kept = unwanted & self.stages.possible_measures(stages)
            unwanted -= kept
            if kept:
                self._undecided[stages.index] = kept
        self.recorder.disown(unwanted)

    def _enter(self, wanted: Wanted) -> None:
        trial_id = wanted.trial.trial_id
        outcome = recorded_outcome(self.history, self.study, wanted, trial_id)
        self.recorder.declare(
            wanted,
            measured=self.stages.is_measured(trial_id),
            complete=outcome is not None and outcome.status is Status.COMPLETED,
            stopped=outcome is not None and outcome.status is Status.STOPPED,
        )
        if outcome:
            self._outcomes[trial_id] = outcome

    def _push_open(self, trials: Iterable[Wanted]) -> None:
        for wanted in trials:
            if wanted.trial.trial_id not in self._outcomes:
                self._push(wanted)

    def _push(self, wanted: Wanted) -> None:
        done, total = self._work(wanted)
        # In rounds, every cell shows early; without, only length counts.
        turn = wanted.round if self.study.order == "fair" else 0
        place = (wanted.cell, wanted.round)
        self._queue.push(wanted.trial.trial_id, turn, total - done, place)

    def _settle(self, cell: int) -> list[Wanted]:
        """Choose the cell's winner if its search has ended; return what that adds."""
        stages = self.stages.cells[cell]
        if stages.winner:
            return []
        measures = self.stages.settle(stages, self.outcome)
        if stages.winner:
            winner_id = stages.winner.trial_id
            self.recorder.measure(winner_id, self.stages.is_measured(winner_id))
        for wanted in measures:
            self._enter(wanted)
        if stages.winner or stages.lost:
            self.recorder.disown(self._undecided.pop(cell, set()) - set(self.stages.wanted))
        return measures
