"""Trials drawn from a known learning-curve formula, in microseconds.

For tests of scale, and for planning: the shape is the power law e(n) = α + η·n^γ of Hoiem et al.
(ICML 2021), reached exponentially over the epochs, with seeded noise.
"""

import hashlib
import json
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.errors import CheckpointError, Diverged, ForeignCheckpoint
from trainables.training.learner import Facts, Row
from trainables.trial import Trial

PACE_VARIABLE = "SCALESTUDY_SIMULATED_SECONDS"
"""Environment variable: seconds that one simulated interval takes, 0 by default."""
_CHANCE = 0.9
_BEST_LR = {"adam": 1e-3, "adamw": 1e-3, "sgd": 1e-1}
_DIVERGES_ABOVE = 100
"""An lr so many times the best one ends in a loss that is not finite."""


def _unit(*parts: Any) -> float:
    """Return a number from 0 to 1 that depends on the parts alone."""
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def final_error(trial: Trial) -> float:
    """Return the test error (0 to 1) that a trial's curve tends to, without noise."""
    capacity = _unit("model", trial.model)
    alpha = 0.03 + 0.05 * (1 - capacity)
    eta = 4.0 + 4.0 * capacity
    gamma = -0.35 - 0.1 * capacity
    if trial.weights.label != "none":
        eta *= 0.3 + 0.1 * _unit("weights", trial.weights.label)
    off = math.log10(trial.recipe.lr / _BEST_LR[trial.recipe.optimizer])
    others = {k: v for k, v in trial.recipe.identity().items() if k not in ("lr", "optimizer")}
    penalty = 0.04 * off**2 + 0.02 * _unit("recipe", others)
    return float(min(_CHANCE, alpha + eta * trial.n_train**gamma + penalty))


def parameters(model: str) -> int:
    """Return a plausible number of parameters for any name."""
    return int(10 ** (6 + 2 * _unit("model", model)))


class Simulated:
    """A learner that trains nothing: its metrics follow from a formula."""

    def __init__(self, trial: Trial, *, cpus: int = 1, tests: int | None = None) -> None:
        self._trial, self._tests = trial, tests
        self._final = final_error(trial)
        self._pace = float(os.environ.get(PACE_VARIABLE, "0"))
        self._diverges = trial.recipe.lr > _DIVERGES_ABOVE * _BEST_LR[trial.recipe.optimizer]
        self.epoch = 0

    def facts(self) -> Facts:
        """Return what is known once per trial."""
        trial = self._trial
        start = json.dumps([trial.model, trial.weights.digest, trial.seed]).encode()
        return {
            "n_parameters": parameters(trial.model),
            "flops_per_image": 2 * parameters(trial.model),
            "subset_hash": f"{trial.n_train}-{trial.seed}",
            "init_hash": hashlib.sha256(start).hexdigest()[:16],
            "weights_hash": trial.weights.digest,
            "resolved_precision": "fp32",
            "device": "cpu",
        }

    def step(self) -> Row:
        """Return the next epoch's row."""
        started = time.perf_counter()
        time.sleep(self._pace)
        trial, self.epoch = self._trial, self.epoch + 1
        if self._diverges and self.epoch >= 2:
            raise Diverged(f"the loss is not finite at epoch {self.epoch}, step 1")
        generator = np.random.default_rng([trial.seed, self.epoch, int(trial.trial_id[:8], 16)])
        error = self._final + (_CHANCE - self._final) * math.exp(-1.2 * self.epoch)
        val, test = np.clip(error + generator.normal(0, 0.004, 2), 0.0, 1.0)
        train = max(0.0, error * (1 - 0.08 * self.epoch))
        seen = trial.images_per_interval
        correct = round((1 - train) * seen)
        seconds = time.perf_counter() - started
        is_tested = trial.recipe.is_tested(self._tests, self.epoch)
        evaluated: Row = {}
        for part, wrong in [("val", val), *([("test", test)] if is_tested else [])]:
            evaluated[f"{part}_accuracy"] = 1 - float(wrong)
            loss = -math.log(max(1 - float(wrong), 1e-3))
            evaluated |= {f"{part}_loss": loss, f"{part}_log_loss": loss}
        return {
            "epoch": self.epoch,
            "step": self.epoch * math.ceil(seen / trial.recipe.batch_size),
            "examples_seen": self.epoch * seen,
            "train_loss": -math.log(max(1 - train, 1e-3)),
            "train_accuracy": correct / seen,
            "train_correct": correct,
            "train_seen": seen,
            **evaluated,
            "lr_last": trial.recipe.lr,
            "seconds": seconds,
            "images_per_second": seen / max(seconds, 1e-9),
            "device": "cpu",
        }

    def predictions(self) -> NDArray[np.int64]:
        """Return none: there are no test images."""
        return np.empty(0, np.int64)

    def save(self, file: Path) -> None:
        """Write the position; the curve follows from the trial."""
        file.write_text(json.dumps({"trial_id": self._trial.trial_id, "epoch": self.epoch}))

    def load(self, file: Path) -> None:
        """Go on from a saved position."""
        try:
            state = json.loads(file.read_text())
            ours, epoch = state["trial_id"] == self._trial.trial_id, int(state["epoch"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{file} is damaged: {error}") from error
        if not ours:
            raise ForeignCheckpoint(f"{file} was written by another trial")
        self.epoch = epoch
