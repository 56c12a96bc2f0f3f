"""What a run may spend, and whether a trial can still be started for it."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from orchestrator.errors import OrchestratorError, StudyError
from orchestrator.placement.shares import Share

_HOURS = {"min": 1 / 60, "h": 1.0, "d": 24.0, "gpu-hours": 1.0, "cpu-hours": 1.0}


@dataclass(frozen=True)
class Budget:
    """An amount, as it was written, with its unit."""

    text: str
    amount: float
    """Hours, or units of the currency of `prices`."""
    unit: str
    """`clock`, `gpu`, `cpu`, or `money`."""


def parse_budget(text: str, *, bare: str) -> Budget:
    """Read 3h, 90min, 2d, 20gpu-hours, 20cpu-hours, or a bare number, of a unit that goes with it.

    Raises StudyError for anything else.
    """
    match = re.fullmatch(r"\s*([\d.]+(?:e[+-]?\d+)?)\s*([a-z-]*)\s*", text.lower())
    number, word = match.groups() if match else ("", "")
    try:
        hours = float(number) * (_HOURS[word] if word else 1)
    except (ValueError, KeyError):
        hours = 0.0
    if not 0 < hours < float("inf"):
        alone = "a number of hours" if bare == "clock" else "a number, in the currency of prices"
        raise StudyError(
            f"--budget {text}: valid are 3h, 90min, 2d, 20gpu-hours, 20cpu-hours, and {alone}."
        )
    unit = word.partition("-")[0] if "-" in word else "clock"
    return Budget(text.strip(), hours, unit if word else bare)


class Spent(OrchestratorError):
    """The budget of a run is spent; trials under way go back to the plan."""


@dataclass
class _Stay:
    """A trial that was chosen: what it is expected to take, and since when it holds its place."""

    seconds: float
    rate: float
    """What a second of it costs."""
    since: float | None = None


class Allowance:
    """A run's budget, what it has spent of it, and what the trials under way will.

    Without a budget everything is afforded. `price` is that of a GPU, or CPU where trials have
    none, for an hour; `clock` tells seconds. What trials are expected to take is corrected by what
    those before them took. Raises StudyError where the budget is money and there is no price.
    """

    def __init__(
        self,
        budget: Budget | None = None,
        price: float | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._unit, self.text = (budget.unit, budget.text) if budget else ("clock", "")
        if self._unit == "money" and not price:
            raise StudyError(
                f"--budget {self.text}: a bare number is money, and the study has no "
                "prices.hour; state it, or say 3h, 20gpu-hours or 20cpu-hours."
            )
        per_hour = price if price and self._unit == "money" else 1.0
        self._limit = 3600 * budget.amount / per_hour if budget else math.inf
        self._clock = clock or monotonic
        self._began = self._clock()
        self._stays: dict[str, _Stay] = {}
        # Of trials that have ended: seconds of the resource, those of places, and those expected.
        self._spent = self._took = self._expected = 0.0

    @property
    def is_spent(self) -> bool:
        """Whether nothing is left, whatever was expected."""
        return self._used() >= self._limit

    def affords(self, seconds: float, share: Share) -> bool:
        """Return whether a trial with a share that takes so many seconds ends within the budget."""
        correction = self._took / self._expected if self._expected else 1.0
        cost = seconds * correction * self._rate(share)
        # Trials under way share a clock.
        for stay in self._stays.values() if self._unit != "clock" else ():
            cost += max(0.0, stay.seconds * correction - self._held(stay)) * stay.rate
        return self._used() + cost <= self._limit

    def take(self, trial_id: str, seconds: float, share: Share) -> None:
        """Note that a trial was chosen, which is expected to take so many seconds."""
        self._stays[trial_id] = _Stay(seconds, self._rate(share))

    def start(self, trial_id: str) -> None:
        """Note that a trial has its place."""
        self._stays[trial_id].since = self._clock()

    def end(self, trial_id: str, left: float) -> None:
        """Note that a trial has given up its place, with so many expected seconds left of it."""
        stay = self._stays.pop(trial_id)
        held = self._held(stay)
        self._spent += held * stay.rate
        if left < stay.seconds:
            self._took, self._expected = self._took + held, self._expected + stay.seconds - left

    def _used(self) -> float:
        if self._unit == "clock":
            return self._clock() - self._began
        return self._spent + sum(self._held(stay) * stay.rate for stay in self._stays.values())

    def _held(self, stay: _Stay) -> float:
        return 0.0 if stay.since is None else self._clock() - stay.since

    def _rate(self, share: Share) -> float:
        if self._unit == "gpu" and not share.gpu:
            raise StudyError(f"--budget {self.text}: no GPU trains here; say 3h or 20cpu-hours.")
        rates = {"clock": 1.0, "gpu": share.gpu, "cpu": share.cpu, "money": share.gpu or share.cpu}
        return rates[self._unit]
