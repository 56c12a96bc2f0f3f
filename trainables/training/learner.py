"""What a trial under way can do, whatever it trains. Torch-free, Ray-free."""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trainables.training.scores import Predictions

Row = dict[str, Any]
"""What was measured in one epoch, by the names of the epoch table's columns; a learner of a user's
own leaves columns out."""
Facts = dict[str, Any]
"""What is known once per trial, by the names of the trial table's columns."""


@dataclass
class Pause:
    """When training is to pause within an interval: at once, or when a time has come."""

    at_once: bool = False
    at: float = math.inf
    """Seconds of `time.monotonic`; what is evaluated then is evaluated to its end."""

    @property
    def is_due(self) -> bool:
        """Whether training is to pause after this update."""
        return self.at_once or time.monotonic() >= self.at


class Paused(Exception):
    """Training pauses within an interval; the next `step` goes on there, after `save` as well."""


class Pausable:
    """A learner that pauses when it is due, by raising Paused, and loses no update by that."""

    def __init__(self) -> None:
        self.pause = Pause()
        self.updates = 0
        """Number of updates done of the interval under way; 0 at its beginning."""


def updates_of(learner: object) -> int:
    """Return the updates that a learner has done of the interval under way, where it can pause."""
    return learner.updates if isinstance(learner, Pausable) else 0


class Learner(Protocol):
    """One trial in this process, trained one evaluation interval at a time."""

    epoch: int
    """Number of evaluation intervals done, 0 before the first step."""

    def facts(self) -> Facts:
        """Return what is known once per trial, such as `n_parameters` and `device`."""

    def step(self) -> Row:
        """Train one interval and evaluate; return the row of its epoch.

        `epoch` and the study's metric on the validation set, by default `val_accuracy` (0 to 1),
        are needed, the other columns may be missing. Raises Diverged where the loss became NaN or
        infinite, OutOfMemory where the device has no room for the trial.
        """

    def predictions(self) -> NDArray[np.int64] | Predictions:
        """Return what the model as it is says of every test example, or the classes, (n_test,)."""

    def save(self, file: Path) -> None:
        """Write a state from which `load` goes on to the last digit."""

    def load(self, file: Path) -> None:
        """Go on from a saved state; no code in the file is ever executed.

        Raises CheckpointError where the file is damaged, or was written by another trial.
        """
