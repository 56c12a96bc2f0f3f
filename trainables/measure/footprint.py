"""What a trial takes of a machine: its pace, and its footprint on a GPU, which the cache keeps."""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Self

from pydantic import TypeAdapter, ValidationError

from trainables.data.cache import recall, remember
from trainables.functions import is_function
from trainables.trial import TRAINING_VERSION, Trial

PROBE_UPDATES = 4
"""Updates that warm a process up: what it loads and sets up once is behind it then."""
_SECONDS = 3.0
"""Seconds that the updates which count take, about: on a shared machine fewer tell little."""
_MOST_UPDATES = 256
_PROBE_VERSION = 2
"""Raised when the same trial would be measured otherwise."""


@dataclass(frozen=True)
class Load:
    """All that a trial's memory on a GPU depends on, but for the number of its images."""

    model: str
    n_classes: int
    side: int
    """Side of the stored images in pixels."""
    evaluated: int
    """Images of the larger of validation and test set: they are evaluated many at a time."""
    image_size: int | str | None
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
            has_momentum=recipe.optimizer != "sgd" or recipe.momentum > 0,
            **recipe.model_dump(include={each.name for each in fields(cls)}),
        )

    def __str__(self) -> str:
        size = f", {self.image_size} pixels" if self.image_size else ""
        return f"{self.model}, batches of {self.batch_size}{size}"


@dataclass(frozen=True)
class Hardware:
    """A kind of GPU and the software on it, for which a footprint holds."""

    gpu: str
    total_bytes: int
    torch: str
    cuda: str
    driver: str
    auto: str = "bf16"
    """What `precision: auto` comes to there."""
    has_mps: bool = False
    """Whether trials that share it do so through NVIDIA's multi-process service, not in turns."""


@dataclass(frozen=True)
class Footprint:
    """What one trial takes of a GPU, and how fast it trains there."""

    context_bytes: int
    """Bytes that every process takes before its first tensor."""
    peak_bytes: int | None
    """Bytes of training and evaluation, the images aside; None where the whole GPU is too small."""
    images_per_second: float | None
    """Images trained on per second, with the GPU to itself."""
    shared: Mapping[int, float] = field(default_factory=dict)
    """Images per second of each of k trials at once, by k."""


_MEASURED = TypeAdapter(list[tuple[Hardware, Footprint]])


def recorded(load: Load) -> list[tuple[Hardware, Footprint]]:
    """Return what is known of a load, on whatever kinds of GPU it was measured."""
    try:
        return _MEASURED.validate_python((recall(_key(load)) or {}).get("measured", []))
    except ValidationError:
        # Damaged, or of another version: it is measured again.
        return []


def record(load: Load, hardware: Hardware, footprint: Footprint) -> None:
    """Keep what was measured, but for a user's own model: its code may change under its name."""
    if is_function(load.model):
        return
    others = [entry for entry in recorded(load) if entry[0] != hardware]
    measured = _MEASURED.dump_python([*others, (hardware, footprint)], mode="json")
    remember(_key(load), {"load": asdict(load), "measured": measured})


def _key(load: Load) -> str:
    inputs = {"probe": _PROBE_VERSION, "training": TRAINING_VERSION, **asdict(load)}
    return f"gpu-{hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:32]}"


@dataclass(frozen=True)
class Pace:
    """How long one kind of trial takes, in seconds."""

    train: float
    """Seconds per training image."""
    evaluate: float
    """Seconds per image of the validation and test sets."""
    setup: float
    """Seconds per trial besides its intervals: data, model and predictions."""
    start: float
    """Seconds once per worker process: imports, above all."""


def probe_trial(trial: Trial, updates: int = PROBE_UPDATES) -> Trial:
    """Return the trial with one interval of so many updates, a pass's at most; none diverges."""
    updates = min(updates, max(1, trial.n_train // trial.recipe.batch_size))
    budget = {"epochs": None, "examples": None, "steps": updates, "evaluations": 1}
    return trial.changed(recipe=trial.recipe.changed(**budget, warmup=0.0, lr=1e-12))


def measure_pace(trial: Trial, evaluated: int, cpus: int, device: str | None) -> Pace:
    """Train a few updates and evaluate, in this process, which has imported nothing yet.

    Done twice: the first bears what a process does once, and tells how many updates the second
    needs. The trial's budget is not looked at; `evaluated` images are in the validation and test
    sets; without a device it is the GPU, where torch sees one. Raises TrainableError where such a
    classifier cannot be trained here.
    """
    if device is None:
        # A process sees one GPU, as a trial's does.
        first_gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]
        os.environ["CUDA_VISIBLE_DEVICES"] = first_gpu
    began = time.perf_counter()
    from trainables.training.classifier import Classifier

    first = Classifier(probe_trial(trial), cpus=cpus, device=device)
    made = time.perf_counter()
    row = first.step()
    each = row["train_seen"] / row["images_per_second"] / PROBE_UPDATES
    del first
    again = time.perf_counter()
    updates = max(PROBE_UPDATES, min(_MOST_UPDATES, round(_SECONDS / max(each, 1e-9))))
    learner = Classifier(probe_trial(trial, updates), cpus=cpus, device=device)
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
