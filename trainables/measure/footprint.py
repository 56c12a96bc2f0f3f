"""What a trial takes of a GPU, as a probe found it and the cache folder keeps it. Torch-free."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from trainables.data.cache import recall, remember
from trainables.trial import TRAINING_VERSION, Trial

_PROBE_VERSION = 1
"""Raised when the same trial would be measured otherwise."""

_ROW_BYTES = 16
"""Of an image besides its pixels: label and place."""
_DRAW_BYTES = 64
"""Of a training image: its place in the order and its crop, of this pass and of the next."""


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
    if ":" in load.model:
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
