"""What a user says that something may cost: hours of the clock, of GPUs or CPUs, or money."""

import re
from dataclasses import dataclass

from orchestrator.errors import StudyError

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
