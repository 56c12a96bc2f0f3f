"""How fast a trial trains here: measured on the real thing, for a few updates.

Torch-free, so that a plan can read what was measured without it.
"""

import os
import time
from dataclasses import dataclass
from typing import Any

from trainables.trial import Trial
from trainables.work.job import make_learner

PROBE_UPDATES = 4
"""Updates that warm a process up: what it loads and sets up once is behind it then."""
_SECONDS = 3.0
"""That the updates which count take, about: on a shared machine fewer tell little."""
_MOST_UPDATES = 256


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


def measure(trial: dict[str, Any], evaluated: int, cpus: int, device: str | None) -> Pace:
    """Train a few updates and evaluate, in this process, which has imported nothing yet.

    Done twice, as by a worker that trains one trial after another: the first bears what a process
    does once, and tells how many updates the second needs so that its time means something.

    Parameters
    ----------
    trial
        `Trial.model_dump(mode="json")`, of any budget.
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
    declared = Trial.model_validate(trial)
    first = make_learner(probe_trial(declared), cpus, device)
    made = time.perf_counter()
    row = first.step()
    each = row["train_seen"] / row["images_per_second"] / PROBE_UPDATES
    del first
    again = time.perf_counter()
    updates = max(PROBE_UPDATES, min(_MOST_UPDATES, round(_SECONDS / max(each, 1e-9))))
    learner = make_learner(probe_trial(declared, updates), cpus, device)
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
