"""What is asked of a study whose seeds are counted, and which cells an open question needs.

The questions are the levers of the answer that are measured: at all of the data, the best cell
against the best of each level other than its own, and against half of the data. They are judged by
the answer's own comparisons; nothing is remembered: the same records give the same decisions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from results.analysis.analysis import Analysis
from results.analysis.comparisons import HALF, MOST, Comparison, Comparisons
from results.analysis.runs import by_cell
from results.phrases import cell_key, count, level_label
from results.statistics.looks import DIFFERENT, OPEN, SMALL

_ENDS = {OPEN: "open after", DIFFERENT: "decided at", SMALL: "too small to matter at"}


@dataclass(frozen=True)
class Question:
    """A lever of the answer, and what is known of it after some looks."""

    factor: str
    level: Any
    best_level: Any
    """Whose levels are compared: the best cell's, and the one that it is held against."""
    state: int
    seeds: int
    """At how many seeds it was settled; where it is open, how many there have been."""
    trials: frozenset[str] = frozenset()
    """Runs of the cells that it still needs; none where it is settled."""

    def __str__(self) -> str:
        """Return in words what became of it."""
        sides = (level_label(self.factor, level) for level in (self.best_level, self.level))
        return f"{' against '.join(sides)} {_ENDS[self.state]} {count(self.seeds, 'seed')}"


def in_play(sizes: Sequence[int]) -> set[int]:
    """Return the places of the cells, by their training images, that a question may be about."""
    most = max(sizes)
    half = max((size for size in sizes if size <= HALF * most), default=most)
    return {place for place, size in enumerate(sizes) if size in (most, half)}


def questions(study: Analysis) -> list[Question]:
    """Return the questions of a study with counted seeds, after the looks so far."""
    settled: dict[Any, Question] = {}
    asked: dict[Any, Question] = {}
    looks = study.design.looks
    if looks is None:
        return []
    for number, seeds in enumerate(study.looks_taken):
        found, asked = study.looked[number], {}
        level = looks.level(number, len(found.tests))
        for row in found.rows:
            key = row.factor, row.level, row.best_level
            if row.amount == MOST and not row.is_forecast:
                # Half the width of the interval that holds over all looks and comparisons.
                half = float(special.stdtrit(row.freedom, 1 - level / row.contenders) * row.error)
                is_small = abs(row.gain) + half < looks.smallest
                state = DIFFERENT if row.is_decided else SMALL if is_small else OPEN
                needed = frozenset[str]() if state != OPEN else _needed(study, found, row, half)
                asked[key] = settled.get(key) or Question(*key, state, seeds, needed)
                if asked[key].state != OPEN:
                    settled[key] = asked[key]
    return [*asked.values()]


def _needed(study: Analysis, found: Comparisons, row: Comparison, half: float) -> frozenset[str]:
    """Return the runs of the best cell, and of those that it is not yet told apart from."""
    accuracy = found.cells["accuracy"].to_numpy(float)
    gaps = accuracy[row.best] - accuracy[list(row.others)]
    near = ~(gaps > half) | (np.array(row.others) == row.other)
    runs = by_cell(study.runs, study.factors)
    cells = found.cells.iloc[[row.best, *np.array(row.others)[near]]].to_dict("records")
    return frozenset().union(*(runs[cell_key(own, study.factors)]["trial_id"] for own in cells))
