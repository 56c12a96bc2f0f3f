"""What a worker does with one trial, whatever runs the worker. Ray-free."""

import json
import os
import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from numbers import Real
from typing import Any, Self

from trainables.errors import Diverged, OutOfGpuMemory, OutOfMemory, TrainableError
from trainables.functions import load_function
from trainables.training.learner import Learner
from trainables.trial import Trial
from trainables.work.checkpoints import Checkpoints
from trainables.work.folders import within

METRIC = "val_accuracy"
_WORDS = ("device", "host")

OUT_OF_MEMORY = "out of memory"
OUT_OF_GPU_MEMORY = "out of GPU memory"
"""Kinds of failure that a larger share may mend."""


@dataclass(frozen=True)
class Task:
    """What a worker is asked to do: a trial, from where, and how to keep it safe."""

    trial: dict[str, Any]
    """`Trial.model_dump(mode="json")`."""
    recorded: int
    """Epochs whose rows are recorded already."""
    cpus: int
    """Threads."""
    device: str | None
    """`cpu`, or None for the GPU where torch sees one: a trial without a share of it must not."""
    gpu: float
    """Share of a GPU, or how many."""
    checkpoint_folder: str
    """A path, or an address in an object store."""
    checkpoint_seconds: float
    keep_checkpoints: str

    def packed(self) -> str:
        """Return the task as one string, which `unpack` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def unpack(cls, text: str) -> Self:
        """Return the task that was packed."""
        return cls(**json.loads(text))


def make_learner(trial: Trial, cpus: int, device: str | None, gpu: float = 1.0) -> Learner:
    """Return the learner that a trial names, in this process.

    Parameters
    ----------
    cpus, device, gpu
        As of `Task`.
    """
    if trial.trainable == "simulated":
        from trainables.training.simulated import Simulated

        return Simulated(trial, cpus=cpus, device=device)
    if trial.trainable == "classifier":
        from trainables.training.classifier import Classifier

        return Classifier(trial, cpus=cpus, device=device, gpu=gpu)
    try:
        make = load_function(trial.trainable)
    except ImportError as error:
        raise TrainableError(f"trainable: {error}") from error
    learner: Learner = make(trial, cpus=cpus)
    return learner


def _make_here(task: Task, trial: Trial) -> Learner:
    return make_learner(trial, task.cpus, task.device, task.gpu)


class Job:
    """One trial as a worker carries it out: restored, trained, checkpointed, reported.

    Parameters
    ----------
    task
        What is asked for.
    make
        Makes the learner, when the first step is asked for.
    """

    def __init__(self, task: Task, make: Callable[[Task, Trial], Learner] = _make_here) -> None:
        self._task, self._make = task, make
        self._trial = Trial.model_validate(task.trial)
        folder = within(task.checkpoint_folder, self._trial.trial_id)
        self._checkpoints = Checkpoints(folder, task.keep_checkpoints)
        self._learner: Learner | None = None
        self._rows: list[dict[str, Any]] = []
        self._emitted = task.recorded
        self._unsaved_seconds, self._is_saved = 0.0, False
        self._problems: list[str] = []

    def step(self) -> dict[str, Any]:
        """Return the next epoch's row, trained or replayed from a checkpoint.

        Returns
        -------
        dict
            `row` (epoch columns), `finished`, `problems`, `saved` (whether a checkpoint exists);
            `facts` (trial columns) with the first and the last row, `predictions` with the last;
            or `failure` and `message`, no row.
        """
        try:
            return self._advance()
        except Diverged as error:
            return self._failed("diverged", str(error))
        except OutOfGpuMemory as error:
            return self._failed(OUT_OF_GPU_MEMORY, str(error))
        except OutOfMemory as error:
            return self._failed(OUT_OF_MEMORY, str(error))
        except TrainableError as error:
            return self._failed("refused", str(error))

    def _advance(self) -> dict[str, Any]:
        budget = self._trial.recipe.intervals
        if self._learner is None:
            self._learner = self._make(self._task, self._trial)
            self._rows, self._problems = self._checkpoints.restore(self._learner, budget)
            self._is_saved = bool(self._rows)
            # Rows recorded ahead of the checkpoint are trained again, and compared. The last row
            # is always given anew: facts and predictions come with it.
            self._emitted = min(self._emitted, self._learner.epoch, budget - 1)
        learner = self._learner
        replayed = self._emitted < learner.epoch
        row = self._rows[self._emitted] if replayed else self._train(learner)
        self._emitted += 1
        done = self._emitted >= budget
        if not replayed:
            self._save(learner, done)
        result: dict[str, Any] = {
            "row": row,
            METRIC: row[METRIC],
            "finished": done,
            "saved": self._is_saved,
            "problems": self._problems,
        }
        self._problems = []
        if self._emitted == 1 or done:
            result["facts"] = learner.facts()
        if done:
            predictions = learner.predictions()
            if len(predictions):
                result["predictions"] = predictions
        return result

    def _train(self, learner: Learner) -> dict[str, Any]:
        started = time.perf_counter()
        row = _checked(learner.step(), self._trial.trainable, learner.epoch)
        row.setdefault("seconds", time.perf_counter() - started)
        if row.get("peak_memory_bytes") is None:
            row["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        row["host"] = os.uname().nodename
        self._rows.append(row)
        self._unsaved_seconds += time.perf_counter() - started
        return row

    def _save(self, learner: Learner, done: bool) -> None:
        kept = done and self._task.keep_checkpoints != "none"
        due = self._unsaved_seconds >= self._task.checkpoint_seconds
        # A finished trial of less than a second is cheaper to train again than to save.
        costly = done and self._unsaved_seconds >= 1.0
        best = self._task.keep_checkpoints in ("best", "all")
        if kept or due or costly or best:
            self._checkpoints.save(learner, self._rows)
            self._unsaved_seconds, self._is_saved = 0.0, True

    def _failed(self, kind: str, message: str) -> dict[str, Any]:
        self._learner = None
        return {
            "failure": kind,
            "message": message,
            METRIC: float("nan"),
            "finished": True,
            "problems": self._problems,
        }


def _checked(row: Any, trainable: str, epoch: int) -> dict[str, Any]:
    """Return a row that can be recorded; a learner of a user's own may return anything."""
    if not isinstance(row, dict):
        raise TrainableError(f"{trainable}: step() returned {type(row).__name__}, not a dict")
    for name in ("epoch", METRIC):
        if name not in row:
            raise TrainableError(f"{trainable}: step() returned no {name}")
    if row["epoch"] != epoch:
        raise TrainableError(
            f"{trainable}: step() returned epoch {row['epoch']!r}, and its own epoch is {epoch}; "
            "both count from 1 after the first step"
        )
    for name, value in row.items():
        if not isinstance(value, Real) and name not in _WORDS and value is not None:
            raise TrainableError(
                f"{trainable}: step() returned {type(value).__name__} as {name}; a number is needed"
            )
    return {name: value for name, value in row.items() if value is not None}
