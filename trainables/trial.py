"""One cell × recipe × seed, and the hash that names it. Torch-free."""

import hashlib
import json
from functools import cached_property
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from trainables.recipe import Recipe
from trainables.source import Source

TRAINING_VERSION = 3
"""Raised only when a change of the code changes the numbers that a trial gives."""


class Weights(BaseModel):
    """One level of the factor `weights`, for one model."""

    model_config = ConfigDict(frozen=True)

    label: str = "none"
    """As shown in tables: `none`, torchvision's name, or the user's label."""
    name: str | None = None
    """Member of the model's torchvision weights enum, such as `IMAGENET1K_V1`."""
    file: str | None = None
    """Absolute path of the file, where the user named one."""
    digest: str | None = None
    """Content hash: of the file, or as torchvision's file name carries it."""


class Trial(BaseModel):
    """Everything that one training run depends on."""

    model_config = ConfigDict(frozen=True)

    trainable: str = "classifier"
    data: Source
    fingerprint: str
    """Content hash of the images and labels."""
    n_pool: int
    """Training images once validation is carved out."""
    n_classes: int
    model: str
    weights: Weights
    fraction: float
    """Share of the training pool as declared; `n_train` is what it comes to."""
    n_train: int
    seed: int
    recipe: Recipe

    @cached_property
    def trial_id(self) -> str:
        """16 hex digits over all that changes the numbers, and nothing else."""
        inputs = {
            "version": TRAINING_VERSION,
            "trainable": self.trainable,
            "data": self.fingerprint,
            # What is held out follows from the data and from how much is left to train on.
            "validation": "test" if self.data.validation == "test" else self.n_pool,
            "model": self.model,
            "weights": self.weights.digest,
            "n_train": self.n_train,
            "seed": self.seed,
            "recipe": self.recipe.identity(),
        }
        return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]

    def with_seed(self, seed: int) -> Self:
        """Return the trial of the same cell and recipe with another seed."""
        return type(self)(**{**dict(self), "seed": seed})

    def columns(self) -> dict[str, Any]:
        """The identity columns of the trial's rows, but for `stage`."""
        return {
            "trial_id": self.trial_id,
            "model": self.model,
            "weights": self.weights.label,
            "fraction": self.fraction,
            "n_train": self.n_train,
            "seed": self.seed,
            **self.recipe.used(),
        }
