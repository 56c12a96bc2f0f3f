"""What a trial takes of a machine: its pace, and its footprint on a GPU. Torch-free.

A pace is measured here, on the real thing; a footprint by `trainables.measure.probe`, and the
cache folder keeps it.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from trainables.data.cache import recall, remember
from trainables.functions import is_function
from trainables.trial import TRAINING_VERSION, Trial
from trainables.work.job import make_learner

_PROBE_VERSION = 1
"""Raised when the same trial would be measured otherwise."""

_ROW_BYTES = 16
"""Of an image besides its pixels: label and place."""
_DRAW_BYTES = 64
"""Of a training image: its place in the order and its crop, of this pass and of the next."""

PROBE_UPDATES = 4
"""Updates that warm a process up: what it loads and sets up once is behind it then."""
_SECONDS = 3.0
"""That the updates which count take, about: on a shared machine fewer tell little."""
_MOST_UPDATES = 256


@dataclass(frozen=True)
class Load:
    """All that a trial's memory depends on, but for the number of its images."""

    model: str
    n_classes: int
    side: int
    """Of the stored images, in pixels."""
    evaluated: int
    """Images of the larger of validation and test: they are evaluated many at a time."""
    image_size: int | None
    batch_size: int
    precision: str
    optimizer: str
    has_momentum: bool
    augmentation: str
    stem: str

    @classmethod
    def of(cls, trial: Trial, side: int, evaluated: int) -> Self:
        """Return the load of a trial on images of a side."""
        recipe = trial.recipe
        return cls(
            model=trial.model,
            n_classes=trial.n_classes,
            side=side,
            evaluated=evaluated,
            image_size=recipe.image_size,
            batch_size=recipe.batch_size,
            precision=recipe.precision,
            optimizer=recipe.optimizer,
            has_momentum=recipe.optimizer != "sgd" or recipe.momentum > 0,
            augmentation=recipe.augmentation,
            stem=recipe.stem,
        )

    def __str__(self) -> str:
        size = f", {self.image_size} pixels" if self.image_size else ""
        return f"{self.model}, batches of {self.batch_size}{size}"


@dataclass(frozen=True)
class Hardware:
    """A kind of GPU and the software on it: a footprint is good for the same again."""

    gpu: str
    total_bytes: int
    torch: str
    cuda: str
    driver: str


@dataclass(frozen=True)
class Footprint:
    """What one trial takes and gives on a GPU."""

    context_bytes: int
    """Taken before the first tensor, by every process."""
    peak_bytes: int | None
    """Taken by training and evaluation, the images aside; None where the whole GPU is too small."""
    images_per_second: float | None
    """Of training, with the GPU to itself."""
    shared: Mapping[int, float] = field(default_factory=dict)
    """Images per second of each of k trials at once, by k."""


def resident_bytes(n_images: int, n_train: int, side: int) -> int:
    """Return the memory of the images that a trial keeps on its GPU.

    Parameters
    ----------
    n_images
        Of all that it trains on and evaluates on.
    n_train
        Of those that it trains on.
    side
        Of the stored images, in pixels.
    """
    return n_images * (3 * side * side + _ROW_BYTES) + n_train * _DRAW_BYTES


def recorded(load: Load) -> list[tuple[Hardware, Footprint]]:
    """Return what is known of a load, on whatever kinds of GPU it was measured."""
    found = recall(_key(load)) or {}
    try:
        return [
            (
                Hardware(**entry["hardware"]),
                Footprint(
                    **{
                        **entry["footprint"],
                        "shared": {int(k): v for k, v in entry["footprint"]["shared"].items()},
                    }
                ),
            )
            for entry in found.get("measured", [])
        ]
    except (TypeError, KeyError, ValueError, AttributeError):
        # Damaged, or of another version: it is measured again.
        return []


def record(load: Load, hardware: Hardware, footprint: Footprint) -> None:
    """Keep what was measured, for this and later studies of this user.

    A user's own model is measured anew each time: its code may change under the same name.
    """
    if is_function(load.model):
        return
    others = [entry for entry in recorded(load) if entry[0] != hardware]
    entries = [*others, (hardware, footprint)]
    remember(
        _key(load),
        {
            "load": asdict(load),
            "measured": [
                {"hardware": asdict(on), "footprint": asdict(found)} for on, found in entries
            ],
        },
    )


def _key(load: Load) -> str:
    inputs: dict[str, Any] = {
        "probe": _PROBE_VERSION,
        "training": TRAINING_VERSION,
        **asdict(load),
    }
    return f"gpu-{hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:32]}"


@dataclass(frozen=True)
class Pace:
    """Seconds that one kind of trial takes.

    Parameters
    ----------
    train
        Per training image.
    evaluate
        Per image of the validation and test sets.
    setup
        Per trial, besides its intervals: data, model and predictions.
    start
        Once per worker process: imports, above all.
    """

    train: float
    evaluate: float
    setup: float
    start: float


def probe_trial(trial: Trial, updates: int = PROBE_UPDATES) -> Trial:
    """Return the same kind of trial with so short a budget that it only shows its pace.

    Parameters
    ----------
    updates
        In its one interval, as far as the images of one epoch allow.
    """
    updates = min(updates, max(1, trial.n_train // trial.recipe.batch_size))
    fields = trial.recipe.model_dump(exclude={"epochs", "steps", "examples", "evaluations"})
    recipe = type(trial.recipe).model_validate({**fields, "steps": updates, "evaluations": 1})
    return type(trial)(**{**dict(trial), "recipe": recipe})


def measure_pace(trial: Trial, evaluated: int, cpus: int, device: str | None) -> Pace:
    """Train a few updates and evaluate, in this process, which has imported nothing yet.

    Done twice, as by a worker that trains one trial after another: the first bears what a process
    does once, and tells how many updates the second needs so that its time means something.

    Parameters
    ----------
    trial
        Of any budget.
    evaluated
        Images of the validation and test sets.
    cpus, device
        As of `trainables.work.job.make_learner`.

    Raises
    ------
    TrainableError
        Such a trial cannot be trained here.
    """
    if device is None:
        # A process sees one GPU, as a trial's does; which one makes no difference here.
        first_gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]
        os.environ["CUDA_VISIBLE_DEVICES"] = first_gpu
    began = time.perf_counter()
    first = make_learner(probe_trial(trial), cpus, device)
    made = time.perf_counter()
    row = first.step()
    each = row["train_seen"] / row["images_per_second"] / PROBE_UPDATES
    del first
    again = time.perf_counter()
    updates = max(PROBE_UPDATES, min(_MOST_UPDATES, round(_SECONDS / max(each, 1e-9))))
    learner = make_learner(probe_trial(trial, updates), cpus, device)
    setup = time.perf_counter() - again
    row = learner.step()
    training = row["train_seen"] / row["images_per_second"]
    ended = time.perf_counter()
    learner.predictions()
    setup += time.perf_counter() - ended
    return Pace(
        train=training / row["train_seen"],
        evaluate=max(0.0, row["seconds"] - training) / max(1, evaluated),
        setup=setup,
        start=max(0.0, made - began - setup),
    )
