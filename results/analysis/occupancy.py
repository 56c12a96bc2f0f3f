"""How much of its slots' time a study used."""

from collections import defaultdict
from collections.abc import Hashable, Iterable

Hold = tuple[Hashable, float, float]
"""A slot, and from when to when (seconds) a trial held it."""


def busy_share(holds: Iterable[Hold]) -> float | None:
    """Return the share of the slots' time, from first start to last end, that trials held.

    Time that a slot was held twice counts once. None where no time has passed.
    """
    by_slot: dict[Hashable, list[tuple[float, float]]] = defaultdict(list)
    for slot, begun, ended in holds:
        by_slot[slot].append((begun, max(begun, ended)))
    spans = [span for each in by_slot.values() for span in each]
    if not spans:
        return None
    first, last = min(begun for begun, _ in spans), max(ended for _, ended in spans)
    if last <= first:
        return None
    held = sum(_covered(each) for each in by_slot.values())
    return held / ((last - first) * len(by_slot))


def _covered(spans: list[tuple[float, float]]) -> float:
    covered, until = 0.0, float("-inf")
    for begun, ended in sorted(spans):
        covered += max(0.0, ended - max(begun, until))
        until = max(until, ended)
    return covered
