"""Classifiers on real digits, small enough for a test."""

from functools import cache
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from trainables.data.dataset import Dataset, Images
from trainables.data.splits import Training
from trainables.recipe import Recipe
from trainables.training.classifier import Classifier
from trainables.trial import Source, Trial, Weights

TIMES = ("seconds", *(f"{of}images_per_second" for of in ("", "evaluation_")), "peak_memory_bytes")
IN_TINY_MODELS = "tiny_models:dropout_net"


@cache
def digits() -> Dataset:
    """Real digits, 16×16 pixels: 400 to train, of which 40 validate, and 90 to test."""
    found = load_digits()
    grey = np.clip(found.images * 16, 0, 255).astype(np.uint8)
    images = np.repeat(grey.repeat(2, axis=1).repeat(2, axis=2)[..., None], 3, axis=3)
    labels = found.target.astype(np.int64)
    train = Images(images[:400], labels[:400])
    return Dataset(
        train, Images(images[400:490], labels[400:490]), Training(train.labels, "0123456789")
    )


def make_trial(model: str = IN_TINY_MODELS, **changes: Any) -> Trial:
    recipe = {"epochs": 3, "batch_size": 32, "precision": "fp32", **changes.pop("recipe", {})}
    declared: dict[str, Any] = {
        "data": Source(validation=40),
        "fingerprint": "digits",
        "n_pool": 360,
        "n_classes": 10,
        "model": model,
        "weights": Weights(),
        "fraction": 0.25,
        "n_train": 90,
        "seed": 0,
        "recipe": Recipe(**recipe),
    }
    return Trial(**{**declared, **changes})


def start(trial: Trial) -> Classifier:
    return Classifier(trial, device="cpu", dataset=digits())


def numbers(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in TIMES}


def curve(learner: Classifier, intervals: int = 3) -> list[dict[str, Any]]:
    return [numbers(learner.step()) for _ in range(intervals)]


# What is reported
