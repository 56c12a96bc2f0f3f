"""What a worker is asked, and what it answers: values that travel between it and the driver."""

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from results.metric import ACCURACY, Metric
from trainables.recipe import Precision
from trainables.training.learner import Facts, Row
from trainables.training.scores import Predictions
from trainables.trial import Trial


class Task(BaseModel):
    """What a worker is asked to do: train a trial, from which epoch on, and how to keep it safe."""

    model_config = ConfigDict(frozen=True)

    trial: Trial
    metric: Metric = ACCURACY
    tests: int | None = None
    """How many times the test set is evaluated, by default after each interval; predictions come
    with the last."""
    recorded: int
    """Epochs whose rows are recorded already."""
    cpus: int
    """Threads of all its processes together."""
    device: str | None
    """`cuda` for a trial with a share of a GPU, else `cpu`."""
    gpu: float
    """Share of a GPU, or how many."""
    context_bytes: int | None = None
    """Bytes that a process takes of a GPU before its first tensor, where they were measured."""
    precision: Precision | None = None
    """What `precision: auto` comes to, in all trials of a study; None for what the device knows."""
    checkpoint_folder: str
    checkpoint_seconds: float
    keep_checkpoints: str
    """States that outlive the trial: none, last, best or all."""
    rungs: tuple[int, ...] = ()
    """Epochs after which it may have to give its place to others and go on later."""
    places: tuple[str, int] | None = None
    """The places for trials on its machine, where they are lent: a folder, and how many."""
    folders: tuple[str, ...] = ()
    """Where own modules are looked for, as `see_modules` takes it."""


class FailureKind(StrEnum):
    """Why a trial could not go on, as its row and the events name it."""

    DIVERGED = "diverged"
    REFUSED = "refused"
    """The trial cannot be trained as it is declared."""
    OUT_OF_MEMORY = "out of memory"
    OUT_OF_GPU_MEMORY = "out of GPU memory"
    CRASHED = "crashed"
    """Its process died, or a user's own code raised."""
    NODE_LOST = "node lost"
    """The machine that it ran on is gone, which is not the trial's doing."""

    @property
    def is_shortage(self) -> bool:
        """Whether a larger share of the machine may help."""
        return self in (FailureKind.OUT_OF_MEMORY, FailureKind.OUT_OF_GPU_MEMORY)


@dataclass(frozen=True)
class EpochDone:
    """One epoch of a trial, trained now or replayed from a checkpoint."""

    row: Row
    finished: bool
    saved: bool = False
    facts: Facts | None = None
    """What is known once per trial; it comes with the first and the last epoch."""
    predictions: Predictions | None = None
    """Of every test example; with the last epoch of a learner that predicts."""
    problems: tuple[str, ...] = ()
    """A sentence for each thing that went wrong and was mended."""

    @property
    def epoch(self) -> int:
        """Number of the epoch, from 1."""
        return int(self.row["epoch"])

    @property
    def value(self) -> float:
        """What the study's metric is on the validation set, or NaN."""
        return float(self.row["val_metric"])


@dataclass(frozen=True)
class Failed:
    """The end of a trial that could not be trained further, told by the trial itself."""

    kind: FailureKind
    message: str
    problems: tuple[str, ...] = ()


Report = EpochDone | Failed
