"""The `factors` block: what is compared, and its levels."""

from typing import Any

from orchestrator.study.levels import parse_size, parse_weights
from orchestrator.study.refusals import Refused, shown, unknown_key
from orchestrator.study.search import RECIPE_FIELDS, normal_value

STANDARD_FACTORS: dict[str, list[Any]] = {
    "model": ["resnet18"],
    "weights": ["none"],
    "fraction": [1],
}
"""The factors that every study has, and their levels where it names none."""


def parse_factors(value: Any) -> dict[str, list[Any]]:
    """Return every factor's levels, as the study holds them.

    Parameters
    ----------
    value
        The block as a study file writes it; standard factors it leaves out have one level.

    Raises
    ------
    Refused
        It is no such block, or a level is impossible or named twice.
    """
    if not isinstance(value, dict):
        raise Refused("a block of factors is needed, such as {model: [resnet18, resnet50]}")
    valid = (*STANDARD_FACTORS, *RECIPE_FIELDS)
    for factor, levels in value.items():
        if factor not in valid:
            raise Refused(unknown_key(factor, valid))
        if not isinstance(levels, list) or not levels:
            example = STANDARD_FACTORS.get(factor, ["…"])
            raise Refused(
                f"a list with at least one level is needed, such as [{example[0]}]",
                key=(factor,),
                value=levels,
            )
    return {
        factor: _distinct(factor, levels)
        for factor, levels in {**STANDARD_FACTORS, **value}.items()
    }


def _distinct(factor: str, levels: list[Any]) -> list[Any]:
    seen: dict[str, Any] = {}
    parsed = []
    for level in levels:
        parsed.append(_level(factor, level))
        name = str(parsed[-1])
        if name in seen:
            raise Refused(
                f"{shown(seen[name])} and {shown(level)} are one level; list it once",
                key=(factor,),
                value=levels,
            )
        seen[name] = level
    return parsed


def _level(factor: str, level: Any) -> Any:
    """Return a level as the study holds it, so that 0.5 equals 1/2 and 1e-3 equals "0.001"."""
    try:
        if factor == "fraction":
            return parse_size(level)
        if factor == "weights":
            return parse_weights(level)
        if factor != "model":
            return normal_value(factor, level)
    except Refused:
        raise
    except ValueError as error:
        raise Refused(str(error), key=(factor,), value=level) from None
    if not isinstance(level, str) or not level:
        raise Refused(
            "no model's name; valid are names such as resnet18, and package.module:function",
            key=(factor,),
            value=level,
        )
    return level
