"""How levels, cells and numbers are written, in sentences and tables and beside charts."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

STANDARD_FACTORS = ("model", "weights", "fraction")
"""The factors that every study has; their levels say by themselves what they are of."""

_MOST = 3
_LEAST_SECONDS = 0.001
_RESOURCE_UNITS = (("hour", 3600), ("minute", 60), ("second", 1))
_UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
_BINARY_UNITS = ("KiB", "MiB", "GiB", "TiB")


@lru_cache(maxsize=4096)
def fraction_label(fraction: float) -> str:
    """Return a share of the data as people write it: 1/16, 3/4, 1; else in percent."""
    plain = Fraction(fraction).limit_denominator(4096)
    if abs(float(plain) - fraction) < 1e-9 and (plain.numerator <= 9 or plain.denominator <= 100):
        return str(plain)
    return f"{100 * fraction:.4g} %"


def model_labels(models: Iterable[str]) -> dict[str, str]:
    """Return how people read each model of a study: of `package.module:function` the function.

    Models of timm, and those that would be read alike, keep all of their name.
    """
    short = {m: m if m.startswith("timm:") else m.rpartition(":")[2] for m in models}
    read = Counter(short.values())
    return {model: name if read[name] == 1 else model for model, name in short.items()}


def level_label(factor: str, level: Any, bare: bool = False) -> str:
    """Return a level as people write it: `1/16` for 0.0625, `lr 0.001`, `default` where absent.

    Text as a study file has it is taken too; None, NaN and pandas' NA are absent. `bare` leaves out
    the name that precedes the levels of all but the standard factors.
    """
    if is_absent(level):
        return "default"
    if factor == "fraction" and not isinstance(level, str):
        return fraction_label(float(level))
    number = isinstance(level, Real) and not isinstance(level, Integral)
    # Whole numbers read alike where a gap in their column made them floats.
    text = f"{float(level):{'.0f' if level % 1 == 0 else '.6g'}}" if number else str(level)
    return text if bare or factor in STANDARD_FACTORS else f"{factor} {text}"


def is_absent(level: Any) -> bool:
    """Return whether a value is None, NaN or pandas' NA."""
    # Told by its name: this module is imported where pandas, which takes long to, is not.
    if level is None or type(level).__name__ == "NAType":
        return True
    return isinstance(level, Real) and math.isnan(level)


def cell_key(row: "Mapping[Any, Any] | pd.Series", factors: Sequence[str]) -> tuple[str, ...]:
    """Return a cell's levels as they are written, which also compare where a level is absent."""
    return tuple(level_label(name, row[name]) for name in factors)


def cell_name(row: "Mapping[Any, Any] | pd.Series", factors: Sequence[str]) -> str:
    """Return the name of a cell by some factors, such as `resnet18 × none × 1/16`."""
    name = " × ".join(cell_key(row, factors))
    # A share alone would read as a count.
    return f"fraction {name}" if list(factors) == ["fraction"] else name


def split_levels(
    factors: Sequence[str], cells: Sequence[Mapping[str, Any]]
) -> tuple[list[str], dict[str, str]]:
    """Part factors into those that tell cells apart, one at least, and the others' one level."""
    levels = {name: {level_label(name, row[name], bare=True) for row in cells} for name in factors}
    varying = [name for name in factors if len(levels[name]) > 1] or list(factors[:1])
    common = {name: label for name in factors if name not in varying for label in levels[name]}
    return varying, common


def described(levels: Mapping[str, Any]) -> str:
    """Return factors with their levels, such as `weights: none, optimizer: sgd`."""
    return ", ".join(f"{name}: {level_label(name, one, bare=True)}" for name, one in levels.items())


def setting(levels: Mapping[str, Any]) -> str:
    """Return what holds besides the factor in question, such as `from scratch, optimizer sgd`."""
    weights = levels.get("weights")
    words = {"weights": "from scratch" if weights == "none" else f"with {weights} weights"}
    return ", ".join(words.get(name) or level_label(name, one) for name, one in levels.items())


def percent(share: float) -> str:
    """Return a probability from 0 to 1 in percent, never as certainty: `62 %`, `over 99 %`."""
    if share > 0.99:
        return "over 99 %"
    return "under 1 %" if share < 0.01 else f"{100 * share:.0f} %"


def resource_time(seconds: float, resource: str) -> str:
    """Return the resource-seconds that were used, such as `0.03 CPU-seconds` or `2.5 GPU-hours`."""
    if 0 < seconds < _LEAST_SECONDS:
        return f"less than {_LEAST_SECONDS:g} {resource.upper()}-seconds"
    number, unit = _in_largest(seconds, _RESOURCE_UNITS)
    return f"{number} {resource.upper()}-{unit}{'' if number == '1' else 's'}"


def duration(seconds: float) -> str:
    """Return a time span with its unit, such as `40 s`, `2.5 min` or `12 h`."""
    return " ".join(_in_largest(seconds, _UNITS))


def _in_largest(seconds: float, units: Sequence[tuple[str, int]]) -> tuple[str, str]:
    """Return the number and the name of the largest unit that a time holds two of."""
    unit, size = next(((name, size) for name, size in units if seconds >= 2 * size), units[-1])
    number = seconds / size
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}", unit


def byte_size(n_bytes: float) -> str:
    """Return a size of a file or of memory, such as `1.5 GiB` or `812 bytes`."""
    if n_bytes < 1024:
        return f"{n_bytes:.0f} bytes"
    power = min(int(math.log2(n_bytes) / 10), len(_BINARY_UNITS))
    return f"{n_bytes / 1024**power:,.1f} {_BINARY_UNITS[power - 1]}"


def listed(parts: Sequence[str], word: str = "and") -> str:
    """Return parts joined as prose does, such as `a, b and c`."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} {word} {parts[-1]}"


def few(parts: Sequence[str]) -> list[str]:
    """Return the first three parts, and after them how many more there are."""
    more = len(parts) - _MOST
    return [*parts[:_MOST], *([f"{more} more below"] if more > 0 else [])]


def changed(sides: Sequence[Mapping[str, str]], absent: str = "absent") -> list[str]:
    """Return what is not the same on two sides, such as `lr 0.001 → 0.01`."""
    first, second = sides
    names = dict.fromkeys([*first, *second])
    values = [(name, first.get(name, absent), second.get(name, absent)) for name in names]
    return [f"{name} {before} → {after}" for name, before, after in values if before != after]


def count(number: int, noun: str) -> str:
    """Return a number with its noun, such as `1 error` or `2 errors`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
