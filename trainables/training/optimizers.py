"""Update rules, the course of the learning rate, and where an interval of updates stands."""

import inspect
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from trainables.recipe import Recipe
from trainables.training.learner import Paused

_COMPILER = "torch._dynamo"
_LYING = (0, 2, 3, 1)
"""Sides of what is laid out channels last, in the order of its memory."""
_CYCLE_RISE, _CYCLE_START, _CYCLE_END = 0.3, 25.0, 1e4
"""Share of the budget in which `one-cycle` rises, where the recipe names no warm-up; what it
divides the peak by to start, and its start to end."""


def build_optimizer(parameters: Iterable[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """Return the recipe's update rule in torch's fused form: one kernel for all parameters."""
    rules = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    make: Callable[..., torch.optim.Optimizer] = rules[recipe.optimizer]
    sgd = {"momentum": recipe.momentum, "nesterov": recipe.nesterov}
    more = sgd if recipe.optimizer == "sgd" else {}
    listed = [_as_it_lies(values) for values in parameters]
    decayed = [values for values in listed if values.ndim > 1 or recipe.decay_norms]
    others = [values for values in listed if values.ndim <= 1 and not recipe.decay_norms]
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    _spare_compiler()
    return make(groups, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True, **more)


def update(optimizer: torch.optim.Optimizer) -> None:
    """Take torch's own step along the gradients, without its hooks and without torch's compiler."""
    parameters = (values for group in optimizer.param_groups for values in group["params"])
    lying = [values for values in parameters if isinstance(values, _Lying)]
    for values in lying:
        whole = values.whole
        if values.data_ptr() != whole.data_ptr():
            # A user's own model gave it other memory, as one that limits norms does.
            whole.data = whole.detach().contiguous(memory_format=torch.channels_last)
            values.data = whole.detach().permute(_LYING)
        if whole.grad is not None:
            values.grad = whole.grad.permute(_LYING).contiguous()
    with torch.no_grad():
        inspect.unwrap(type(optimizer).step)(optimizer)
    for values in lying:
        values.grad = None


class _Lying(nn.Parameter):
    """Another parameter by the order in which it lies in memory, which they share."""

    whole: nn.Parameter


def _as_it_lies(parameter: nn.Parameter) -> nn.Parameter:
    # Fused steps on the CPU copy each gradient that is not in the order of its sides, to no use.
    kept = parameter.is_contiguous() or parameter.device.type != "cpu"
    if kept or not parameter.is_contiguous(memory_format=torch.channels_last):
        return parameter
    lying = _Lying(parameter.detach().permute(_LYING), parameter.requires_grad)
    lying.whole = parameter
    return lying


def _spare_compiler() -> None:
    # At the first call torch would load its compiler, a second and 150 MiB, to mark steps for it.
    for method in vars(torch.optim.Optimizer).values():
        code = getattr(method, "__code__", None)
        if code and "disable_fn" in code.co_varnames and _COMPILER not in sys.modules:
            vars(method.__wrapped__).setdefault("__dynamo_disable", _spared(method))


def _spared(marking: Callable[..., Any]) -> Callable[..., Any]:
    plain: Any = vars(marking)["__wrapped__"]

    def call(*args: Any, **named: Any) -> Any:
        if _COMPILER not in sys.modules:
            return plain(*args, **named)
        vars(plain).pop("__dynamo_disable", None)
        return marking(*args, **named)

    return call


class Interval:
    """The updates between two evaluations, `n` of them: their rates, and what was found so far.

    On a GPU all of it is in tensors there, so that an update can be repeated without Python, and
    nothing waits. On the CPU rates keep their double precision.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, schedule: "Schedule", device: torch.device
    ) -> None:
        self._optimizer, self._schedule, n = optimizer, schedule, schedule.steps_per_interval
        self._devices = [device] if device.type == "cuda" else []
        self._generators: list[Tensor] = []
        """States of torch's generators where training paused: the CPU's, and the device's."""
        self.seconds = 0.0
        """Seconds of training so far."""
        self._rate = torch.zeros((), device=device) if self._devices else None
        self._rates = torch.zeros(n, device=device)
        self._place = torch.zeros(1, dtype=torch.int64, device=device)
        self.losses = torch.zeros(n, device=device)
        """Loss of each update, shape (n,)."""
        self.hits = torch.zeros((), dtype=torch.int64, device=device)
        """Number of examples that were predicted rightly as they were trained on."""

    @contextmanager
    def under_way(self, step: int, done: int, seed: int) -> Iterator[None]:
        """Begin, or go on from where training paused; torch's generators are the interval's own."""
        with torch.random.fork_rng(devices=self._devices):
            if done:
                torch.set_rng_state(self._generators[0])
                for device, state in zip(self._devices, self._generators[1:], strict=True):
                    torch.cuda.set_rng_state(state, device)
            else:
                torch.manual_seed(seed)
                self.begin(step)
            try:
                yield
            finally:
                on_devices = map(torch.cuda.get_rng_state, self._devices)
                self._generators = [torch.get_rng_state(), *on_devices]

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count the seconds of training, whatever ends it."""
        begun = time.perf_counter() - self.seconds
        try:
            yield
        except Paused:
            # What was launched counts as training.
            for device in self._devices:
                torch.cuda.synchronize(device)
            raise
        finally:
            self.seconds = time.perf_counter() - begun

    def state(self) -> dict[str, Any]:
        """Return what goes on from here, to the last digit, with model and optimizer."""
        found = {"losses": self.losses, "hits": self.hits}
        return {**found, "generators": self._generators, "seconds": self.seconds}

    def load(self, state: Mapping[str, Any], step: int, done: int) -> None:
        """Go on from a state at an update, counted from 0, behind those that are done."""
        self.begin(step, done)
        self.losses.copy_(state["losses"])
        self.hits.copy_(state["hits"])
        self._generators, self.seconds = state["generators"], state["seconds"]

    def begin(self, step: int, done: int = 0) -> None:
        """Be at an update, counted from 0, behind those of the interval that are done."""
        for values in (self._place, self.losses, self.hits):
            values.zero_()
        self._place += done
        rates = [self._schedule.lr(step - done + place) for place in range(len(self.losses))]
        given, on_gpu = torch.tensor(rates), self._rate is not None
        self._rates.copy_(given.pin_memory() if on_gpu else given, non_blocking=on_gpu)
        self._exactly = iter(rates[done:])

    def set_rate(self) -> None:
        """Give the optimizer the rate of the next update."""
        if self._rate is not None:
            self._rate.copy_(self._rates.index_select(0, self._place).squeeze())
        rate = next(self._exactly) if self._rate is None else self._rate
        for group in self._optimizer.param_groups:
            group["lr"] = rate

    def add(self, loss: Tensor, hits: Tensor | int) -> None:
        """Add what the update found."""
        self.losses.index_copy_(0, self._place, loss[None])
        self.hits += hits
        self._place += 1


class Schedule:
    """The learning rate of a recipe at each step, without a state.

    `cosine` falls from the peak to 0 over what the warm-up leaves (Loshchilov & Hutter, SGDR,
    2017, one period). `one-cycle` rises and falls by half cosines between peak/25, peak and
    peak/250,000, as torch's OneCycleLR (Smith & Topin, Super-Convergence, 2018), momentum left as
    it is. `step` multiplies by gamma after every step_size, as torch's StepLR. `wsd` stays at the
    peak, and falls to 0 over the last share of the budget by 1 − √ of what is done of it (Hägele et
    al., Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations, 2024). Else the
    warm-up rises linearly from 0 and reaches the peak with its last step.
    """

    def __init__(self, recipe: Recipe, steps_per_interval: int) -> None:
        self.steps_per_interval = steps_per_interval
        self._shape, self._peak = recipe.schedule, recipe.lr
        self._total = recipe.intervals * steps_per_interval
        self._warmup = recipe.warmup * steps_per_interval
        self._drop, self._gamma = (recipe.step_size or 1.0) * steps_per_interval, recipe.gamma
        self._decay = recipe.decay * self._total

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
        if self._shape == "wsd":
            fallen = max(step - (self._total - self._decay), 0.0) / self._decay
            return self._peak * (1 - math.sqrt(min(fallen, 1.0)))
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
    return end + (start - end) / 2 * (1 + math.cos(math.pi * min(done, 1.0)))
