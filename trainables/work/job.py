"""What a worker does with one trial, whatever runs the worker. Ray-free."""

import contextlib
import os
import time
from collections.abc import Callable
from typing import Any

from trainables import errors
from trainables.functions import is_function, load_function, own_output
from trainables.machine import peak_memory, uncollected
from trainables.training.learner import Learner, Pausable, Pause, Paused, Row, updates_of
from trainables.work import answers
from trainables.work.checkpoints import Checkpoints, folder_at
from trainables.work.reports import EpochDone, Failed, FailureKind, Report, Task

_WORTH_SAVING = 1.0
"""Seconds of training; what takes less is cheaper to train again than to save."""
_TRAINED_PER_SAVING = 20
"""Least time of training between states within an interval, in times of what the last took."""
_KINDS = {
    errors.Diverged: FailureKind.DIVERGED,
    errors.OutOfGpuMemory: FailureKind.OUT_OF_GPU_MEMORY,
    errors.OutOfMemory: FailureKind.OUT_OF_MEMORY,
    errors.TrainableError: FailureKind.REFUSED,
}
_PLACED = {"cpus", "device", "gpu", "context_bytes", "tests", "precision", "places"}
"""What of a task says how its classifier is made."""


def make_here(task: Task, **more: Any) -> Learner:
    """Return the learner of a task's trial, in this process; a classifier may be given `more`.

    Raises errors.TrainableError where there is no such learner, or it cannot be made of the trial.
    """
    trial = task.trial
    if trial.trainable == "simulated":
        from trainables.training.simulated import Simulated

        return Simulated(trial, tests=task.tests)
    if trial.trainable == "classifier":
        with uncollected():
            from trainables.training.classifier import Classifier

        return Classifier(trial, **task.model_dump(include=_PLACED), **more)
    try:
        make = load_function(trial.trainable)
    except ImportError as error:
        raise errors.TrainableError(f"trainable: {error}") from error
    learner: Learner = make(trial, cpus=task.cpus)
    return learner


class Job:
    """One trial as a worker carries it out: restored, trained, checkpointed, reported."""

    def __init__(self, task: Task, make: Callable[[Task], Learner] = make_here) -> None:
        self._task, self._make = task, make
        self._trial = task.trial
        folder, keep = folder_at(task.checkpoint_folder), task.keep_checkpoints
        self._checkpoints = Checkpoints(folder / self._trial.trial_id, keep, task.metric)
        shared = self._trial.shared_states if keep != "none" else ""
        self._shared = Checkpoints(folder / shared) if shared else None
        """States that trials of other budgets go on from, where they are kept."""
        self._learner: Learner | None = None
        self.pause = Pause()
        """When the learner is to pause; one of a user's own, or of several processes, does not."""
        self._rows: list[Row] = []
        self._problems: list[str] = []
        self._emitted = task.recorded
        self._unsaved_seconds = self._saving_seconds = 0.0
        """Seconds trained since the last state, and what that took to write."""
        self._is_saved = self._is_within = self._has_told = self._has_warned = False
        """Whether there is a state, and whether the latest is within an interval."""

    def step(self) -> Report:
        """Return the next epoch, trained or replayed from a checkpoint, or why there is none.

        Raises Paused where the learner was to pause at once; `leave` saves what it has done.
        """
        is_own = is_function(self._trial.model) or is_function(self._trial.trainable)
        try:
            with own_output() if is_own else contextlib.nullcontext():
                return self._advance()
        except SystemExit as exit:
            # The worker is not the trial's to end.
            message = f"{self._trial.trainable}: it called sys.exit({exit.code})"
            return Failed(FailureKind.REFUSED, message, tuple(self._problems))
        except errors.TrainableError as error:
            self._learner = None
            kind = next(kind for raised, kind in _KINDS.items() if isinstance(error, raised))
            return Failed(kind, str(error), tuple(self._problems))

    def leave(self, unheard: bool = False) -> None:
        """Save the trial's state, where training would be lost with this process.

        Of a finished trial nobody needs it, unless the last report was not heard by anyone.
        """
        learner = self._learner
        is_lost = self._unsaved_seconds or updates_of(learner)
        is_needed = unheard or self._emitted < self._trial.recipe.intervals
        if learner and is_lost and is_needed:
            self._keep(learner)

    def _advance(self) -> EpochDone:
        budget = self._trial.recipe.intervals
        learner = self._learner or self._begin(budget)
        replayed = self._emitted < learner.epoch
        row = self._rows[self._emitted] if replayed else self._train(learner)
        self._emitted += 1
        done = self._emitted >= budget
        if not replayed:
            self._save(learner, done)
        # The first report of a worker brings them too: a killed run may not have written them.
        with_facts, self._has_told = done or not self._has_told, True
        is_last_told = done and self._task.tests != 0
        report = EpochDone(
            row,
            finished=done,
            saved=self._is_saved,
            facts=answers.take_facts(learner, self._trial) if with_facts else None,
            predictions=answers.take_predictions(learner, self._trial) if is_last_told else None,
            problems=tuple(self._problems),
        )
        self._problems = []
        return report

    def _begin(self, budget: int) -> Learner:
        learner = self._learner = self._make(self._task)
        tested = self._task.tests != 0 and not is_function(self._trial.trainable)
        if isinstance(learner, Pausable):
            learner.pause = self.pause
        self._rows, self._problems = self._checkpoints.restore(learner, budget, tested)
        self._is_within = updates_of(learner) > 0
        self._is_saved = bool(self._rows) or self._is_within
        if self._shared and not self._rows:
            most = self._trial.recipe.shared_intervals
            self._rows, problems = self._shared.restore(learner, most)
            self._problems += problems
        for row in self._rows:
            answers.add_metric(row, self._task.metric)
        # Rows recorded ahead of the checkpoint are trained again, and compared. The last row is
        # always given anew: facts and predictions come with it.
        self._emitted = min(self._emitted, learner.epoch, budget - 1)
        return learner

    def _train(self, learner: Learner) -> Row:
        started = since = time.perf_counter()
        row = None
        while row is None:
            left = self._task.checkpoint_seconds - self._unsaved_seconds
            rest = _TRAINED_PER_SAVING * self._saving_seconds
            self.pause.at = time.monotonic() + max(left, rest, _WORTH_SAVING)
            try:
                row = answers.take_row(learner, self._trial, self._task.metric)
            except Paused:
                if self.pause.at_once:
                    raise
                self._keep(learner)
                since = time.perf_counter()
        lost = answers.unheard(row, self._task.metric)
        if lost and not self._rows:
            said = f"{self._trial.trainable}: no column holds {', '.join(lost)}"
            mend = "in the study records one of its own, as val_metric and test_metric"
            self._problems.append(f"{said}; metric: {{column: …, goal: …}} {mend}")
        row.setdefault("seconds", time.perf_counter() - started)
        row.setdefault("peak_memory_bytes", peak_memory())
        row["host"] = os.uname().nodename
        self._rows.append(row)
        self._unsaved_seconds += time.perf_counter() - since
        return row

    def _save(self, learner: Learner, done: bool) -> None:
        kept = done and self._task.keep_checkpoints != "none"
        # Only whole states are reused, merged, and gone on from by other versions.
        due = self._is_within or self._unsaved_seconds >= self._task.checkpoint_seconds
        if learner.epoch in self._task.rungs and not done:
            due |= self._unsaved_seconds >= max(_WORTH_SAVING, self._saving_seconds)
        best = self._task.keep_checkpoints in ("best", "all")
        shared = self._shared if learner.epoch == self._trial.recipe.shared_intervals else None
        if kept or due or best or shared:
            self._keep(learner, shared)

    def _keep(self, learner: Learner, shared: Checkpoints | None = None) -> None:
        self._unsaved_seconds, began = 0.0, time.perf_counter()
        try:
            self._checkpoints.save(learner, self._rows)
            self._is_saved, self._is_within = True, updates_of(learner) > 0
            if shared:
                shared.save(learner, self._rows)
        except errors.CheckpointError as error:
            # Training is possible without; the next one is tried in its time.
            if not self._has_warned:
                self._problems.append(f"{error}; meanwhile trials go on without")
            self._has_warned = True
        self._saving_seconds = time.perf_counter() - began
