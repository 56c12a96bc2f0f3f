"""Trials that take no time, for tests of what carries trials out."""

from typing import Any

from trainables.recipe import Recipe
from trainables.trial import Source, Trial, Weights


def simulated_trial(epochs: int = 4, **changes: Any) -> Trial:
    declared: dict[str, Any] = {
        "trainable": "simulated",
        "data": Source(),
        "fingerprint": "simulated",
        "n_pool": 45_000,
        "n_classes": 10,
        "model": "a",
        "weights": Weights(),
        "fraction": 1.0,
        "n_train": 45_000,
        "seed": 0,
        "recipe": Recipe(epochs=epochs),
    }
    return Trial(**{**declared, **changes})
