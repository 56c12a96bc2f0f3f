"""How fast a trial trains here: measured on the real thing, for a few updates.

Torch-free, so that a plan can read what was measured without it.
"""

import time
from dataclasses import dataclass
from typing import Any

from trainables.job import make_learner
from trainables.trial import Trial

PROBE_UPDATES = 4
"""Updates in each of two intervals; only the second is timed, once everything is warm."""


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
        Per trial, besides its intervals: data, model and checkpoints.
    start
        Once per worker process: imports, above all.
    """

    train: float
    evaluate: float
    setup: float
    start: float


def probe_trial(trial: Trial) -> Trial:
    """Return the same kind of trial with so short a budget that it only shows its pace."""
    updates = min(PROBE_UPDATES, max(1, trial.n_train // trial.recipe.batch_size))
    fields = trial.recipe.model_dump(exclude={"epochs", "steps", "examples", "evaluations"})
    recipe = type(trial.recipe).model_validate({**fields, "steps": 2 * updates, "evaluations": 2})
    return type(trial)(**{**dict(trial), "recipe": recipe})


def measure(trial: dict[str, Any], evaluated: int, cpus: int, device: str | None) -> Pace:
    """Train a few updates and evaluate, in this process, which has imported nothing yet.

    Parameters
    ----------
    trial
        `probe_trial(…).model_dump(mode="json")`.
    evaluated
        Images of the validation and test sets.
    cpus, device
        As of `trainables.job.make_learner`.

    Raises
    ------
    TrainableError
        Such a trial cannot be trained here.
    """
    began = time.perf_counter()
    if trial["trainable"] == "classifier":
        import torch  # noqa: F401 - what a worker does once, however many trials it trains
    started = time.perf_counter()
    learner = make_learner(Trial.model_validate(trial), cpus, device)
    made = time.perf_counter()
    learner.step()
    row = learner.step()
    training = row["train_seen"] / row["images_per_second"]
    return Pace(
        train=training / row["train_seen"],
        evaluate=max(0.0, row["seconds"] - training) / max(1, evaluated),
        setup=made - started,
        start=started - began,
    )
