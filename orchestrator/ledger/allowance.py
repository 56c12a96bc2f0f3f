"""What a run may spend, and whether a trial can still be started for it."""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from orchestrator.errors import OrchestratorError, StudyError
from orchestrator.placement.shares import Share
from orchestrator.study.budget import Budget


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

    `price` is that of a GPU, or CPU where trials have none, for an hour; `clock` tells seconds.
    What trials are expected to take is corrected by what those before them took. Raises StudyError
    where the budget is money and there is no price.
    """

    def __init__(
        self, budget: Budget, price: float | None, clock: Callable[[], float] | None = None
    ) -> None:
        self.budget, self._clock = budget, clock or monotonic
        if budget.unit == "money" and not price:
            raise StudyError(
                f"--budget {budget.text}: a bare number is money, and the study has no "
                "prices.hour; state it, or say 3h, 20gpu-hours or 20cpu-hours."
            )
        self._limit = 3600 * budget.amount / ((price or 1.0) if budget.unit == "money" else 1.0)
        self._began = self._clock()
        self._stays: dict[str, _Stay] = {}
        self._spent = 0.0
        """Seconds of the resource that ended trials held, and of those, what was expected."""
        self._took = self._expected = 0.0

    @property
    def is_spent(self) -> bool:
        """Whether nothing is left, whatever was expected."""
        return self._used() >= self._limit

    def affords(self, seconds: float, share: Share) -> bool:
        """Return whether a trial with a share that takes so many seconds ends within the budget."""
        seconds *= self._correction
        if self.budget.unit == "clock":
            return self._used() + seconds <= self._limit
        under_way = sum(
            max(0.0, stay.seconds * self._correction - self._held(stay)) * stay.rate
            for stay in self._stays.values()
        )
        return self._used() + under_way + seconds * self._rate(share) <= self._limit

    def take(self, trial_id: str, seconds: float, share: Share) -> None:
        """Note that a trial was chosen, which is expected to take so many seconds."""
        self._stays[trial_id] = _Stay(seconds, self._rate(share))

    def start(self, trial_id: str) -> None:
        """Note that a trial has its place."""
        self._stays[trial_id].since = self._clock()

    def end(self, trial_id: str, trained: float) -> None:
        """Note that a trial has given up its place, with such a part of it trained."""
        stay = self._stays.pop(trial_id)
        held = self._held(stay)
        self._spent += held * stay.rate
        if trained > 0:
            self._took, self._expected = self._took + held, self._expected + stay.seconds * trained

    @property
    def _correction(self) -> float:
        return self._took / self._expected if self._expected else 1.0

    def _used(self) -> float:
        if self.budget.unit == "clock":
            return self._clock() - self._began
        return self._spent + sum(self._held(stay) * stay.rate for stay in self._stays.values())

    def _held(self, stay: _Stay) -> float:
        return 0.0 if stay.since is None else self._clock() - stay.since

    def _rate(self, share: Share) -> float:
        if self.budget.unit == "gpu" and not share.gpu:
            raise StudyError(
                f"--budget {self.budget.text}: no GPU trains here; say 3h or 20cpu-hours."
            )
        rates = {"clock": 1.0, "gpu": share.gpu, "cpu": share.cpu, "money": share.gpu or share.cpu}
        return rates[self.budget.unit]
