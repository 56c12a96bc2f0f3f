"""Update rules, and the course of the learning rate over the steps."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from trainables.recipe import Recipe

_CYCLE_RISE = 0.3
"""Share of the budget in which `one-cycle` rises, where the recipe names no warm-up."""
_CYCLE_START = 25.0
"""`one-cycle` starts at the peak divided by this ..."""
_CYCLE_END = 1e4
"""... and ends at its start divided by this."""


def build_optimizer(parameters: Iterable[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """Return the recipe's update rule in torch's fused form: one kernel for all parameters.

    With `decay_norms: false` the parameters of one dimension, norms and biases, do not decay.
    """
    rules = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    make: Callable[..., torch.optim.Optimizer] = rules[recipe.optimizer]
    sgd = {"momentum": recipe.momentum, "nesterov": recipe.nesterov}
    more = sgd if recipe.optimizer == "sgd" else {}
    groups: Any = parameters
    if not recipe.decay_norms:
        listed = list(parameters)
        matrices = [values for values in listed if values.ndim > 1]
        others = [values for values in listed if values.ndim <= 1]
        groups = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
        groups = [group for group in groups if group["params"]]
    return make(groups, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True, **more)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate that the next update takes."""
    for group in optimizer.param_groups:
        group["lr"] = lr


class Schedule:
    """The learning rate of a recipe at each step, without a state.

    `cosine` falls from the peak to 0 over what the warm-up leaves (Loshchilov & Hutter, SGDR,
    2017, one period). `one-cycle` rises and falls by half cosines between peak/25, peak and
    peak/250,000, as torch's OneCycleLR does (Smith & Topin, Super-Convergence, 2018), momentum
    left as it is. `step` multiplies by gamma after every step_size, as torch's StepLR. Otherwise
    the warm-up rises linearly from 0 and reaches the peak with its last step. The unit of the
    warm-up and the step size is the interval between two evaluations, in updates.
    """

    def __init__(self, recipe: Recipe, steps_per_interval: int) -> None:
        self._shape, self._peak = recipe.schedule, recipe.lr
        self._total = recipe.intervals * steps_per_interval
        self._warmup = recipe.warmup * steps_per_interval
        self._drop, self._gamma = (recipe.step_size or 1.0) * steps_per_interval, recipe.gamma

    def lr(self, step: int) -> float:
        """Return the learning rate of an update, counted from 0."""
        if self._shape == "one-cycle":
            return self._one_cycle(step)
        if step + 1 < self._warmup:
            return self._peak * (step + 1) / self._warmup
        if self._shape == "constant":
            return self._peak
        if self._shape == "step":
            return self._peak * self._gamma ** math.floor(step / self._drop)
        done = max(step - self._warmup, 0.0) / max(self._total - self._warmup, 1.0)
        return _half_cosine(self._peak, 0.0, done)

    def _one_cycle(self, step: int) -> float:
        start = self._peak / _CYCLE_START
        top = (self._warmup or _CYCLE_RISE * self._total) - 1
        if step <= top:
            return _half_cosine(start, self._peak, step / top if top else 1.0)
        fall = max(self._total - 1 - top, 1.0)
        return _half_cosine(self._peak, start / _CYCLE_END, (step - top) / fall)


def _half_cosine(start: float, end: float, done: float) -> float:
    """Return the value between start and end, at a share `done` of the way."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * min(done, 1.0)))
