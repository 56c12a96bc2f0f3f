"""How numbers are written in sentences."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from results.analysis.cells import level_label

_MOST = 3
_LEAST_SECONDS = 0.001
_POINTS = " points"
_UNITS = (("hour", 3600), ("minute", 60), ("second", 1))


def signed(value: float) -> str:
    """Return a difference in points, such as `+4.1` or `−0.3`."""
    return f"{value:+.1f}".replace("-", "−")


def amount(mean: float, low: float, high: float, unit: str = _POINTS) -> str:
    """Return a difference with its interval, such as `4.1 points (2.6 to 5.5)`.

    Signs are written where the interval holds both; NaN ends mean that there is no interval.
    Points of accuracy end at ±100.
    """
    if np.isnan(low) or np.isnan(high):
        return f"{signed(mean)}{unit} (no ±)"
    if unit == _POINTS:
        low, high = max(low, -100.0), min(high, 100.0)
    if low <= 0 <= high:
        return f"{signed(mean)}{unit} ({signed(low)} to {signed(high)})"
    # An end that is written as 0.0 would look undecided.
    places = 1 if min(abs(low), abs(high)) >= 0.05 else 2
    return f"{mean:.{places}f}{unit} ({low:.{places}f} to {high:.{places}f})".replace("-", "−")


def resource_time(seconds: float, resource: str) -> str:
    """Return what was used of a resource, such as `0.03 CPU-seconds` or `2.5 GPU-hours`.

    Parameters
    ----------
    seconds
        Resource-seconds, 0 or more.
    resource
        gpu or cpu.
    """
    if 0 < seconds < _LEAST_SECONDS:
        return f"less than {_LEAST_SECONDS:g} {resource.upper()}-seconds"
    unit, size = next(((name, size) for name, size in _UNITS if seconds >= 2 * size), _UNITS[-1])
    number = seconds / size
    written = f"{number:,.0f}" if number >= 100 else f"{number:.2g}"
    return f"{written} {resource.upper()}-{unit}{'' if written == '1' else 's'}"


def listed(parts: Sequence[str], word: str = "and") -> str:
    """Join parts as prose does: `a, b and c`."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} {word} {parts[-1]}"


def few(parts: Sequence[str]) -> list[str]:
    """Keep the first three parts, and say how many follow."""
    more = len(parts) - _MOST
    return [*parts[:_MOST], *([f"{more} more below"] if more > 0 else [])]


def count(number: int, noun: str) -> str:
    """Return a number with its noun, such as `1 error` or `2 errors`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def fractions(values: Sequence[float]) -> str:
    """Return fractions as prose lists them, such as `1/16, 1/2 and 1`."""
    return listed([level_label("fraction", value) for value in sorted(values)])


def setting(levels: dict[str, Any]) -> str:
    """Return what holds besides the factor in question, such as `from scratch, optimizer sgd`."""
    parts = []
    for factor, level in levels.items():
        if factor == "weights":
            parts.append("from scratch" if level == "none" else f"with {level} weights")
        else:
            parts.append(level_label(factor, level))
    return ", ".join(parts)
