"""Learners of the campaign."""

import math
import os
import random
from fractions import Fraction
from typing import Any

import numpy as np

from results.records import EPOCH_SCHEMA, TRIAL_SCHEMA
from trainables.training.simulated import Simulated


class Predicts(Simulated):
    """Predicts a class for each test image of digits."""

    def predictions(self) -> Any:
        return np.random.default_rng(self._trial.seed).integers(10, size=359)


class Fickle(Simulated):
    """Its validation accuracy is no number at learning rates below 1e-3."""

    def step(self) -> dict[str, Any]:
        row = super().step()
        return {**row, "val_accuracy": float("nan")} if self._trial.recipe.lr < 1e-3 else row


class Fuzzed(Predicts):
    """With the model `fuzzed`, anything may stand for any key of what it answers."""

    ANY: tuple[Any, ...] = (
        *(None, True, 0, 1, -1, 2**63, 2**70, 0.5, -0.0, 1e308, math.nan, math.inf, -math.inf),
        *("", "a", "\ud800", b"a", [], [1], {}, {"a": 1}, (), set(), object(), Fraction(1, 3), 1j),
        *(np.float32(0.1), np.int8(-3), np.uint64(2**63), np.bool_(True), np.zeros(0), Exception),
        *(np.zeros((2, 2)), np.array("a"), np.datetime64("nat"), np.array(None), range(3)),
    )

    def _fuzzed(self, answer: Any, names: list[Any]) -> Any:
        generator = random.Random(f"{self._trial.seed} {self.epoch} {len(names)}")
        if self._trial.model != "fuzzed" or os.environ.get("FUZZED") or generator.random() < 0.75:
            return answer
        if not names or generator.random() < 0.1:
            return generator.choice(self.ANY)
        return {**answer, generator.choice(names): generator.choice(self.ANY)}

    def step(self) -> Any:
        return self._fuzzed(super().step(), [*EPOCH_SCHEMA.names, "own", 7, None])

    def facts(self) -> Any:
        return self._fuzzed(super().facts(), TRIAL_SCHEMA.names)

    def predictions(self) -> Any:
        return self._fuzzed(super().predictions(), [])
