"""What is asked of a study whose seeds are counted, and which cells an open question needs.

Frames in, values out. The questions are the levers of the answer: at all of the data, the best cell
against the best of each level other than its own, and against half of the data. They are judged by
the answer's own comparisons, at each look on the seeds up to it alone, and nothing is remembered:
the same records give the same decisions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from results.analysis.analysis import Analysis
from results.analysis.comparisons import ALPHA, MOST, Comparison, Comparisons
from results.analysis.runs import Design, by_cell
from results.phrases import cell_key, count, level_label
from results.statistics.inference import holm
from results.statistics.looks import DIFFERENT, OPEN, SMALL, Looks

Read = Callable[[str], pd.DataFrame]
"""Name of a table → the table of a study."""


@dataclass(frozen=True)
class Question:
    """A lever of the answer, and what is known of it after some looks."""

    factor: str
    """Whose levels are compared."""
    level: Any
    best_level: Any
    """The best cell's, and the one that it is held against."""
    state: int
    """`OPEN`, `DIFFERENT` or `SMALL`."""
    seeds: int
    """At how many seeds it was settled; where it is open, how many there have been."""
    trials: frozenset[str] = frozenset()
    """Runs of the cells that it still needs; none where it is settled."""

    @property
    def is_open(self) -> bool:
        """Whether more seeds may settle it."""
        return self.state == OPEN

    def __str__(self) -> str:
        """Return in words what became of it."""
        sides = [level_label(self.factor, level, bare=True) for level in self._levels]
        ends = {
            OPEN: f"open after {count(self.seeds, 'seed')}",
            DIFFERENT: f"decided at {count(self.seeds, 'seed')}",
            SMALL: f"too small to matter, at {count(self.seeds, 'seed')}",
        }
        return f"{self.factor} ({' against '.join(sides)}): {ends[self.state]}"

    @property
    def _levels(self) -> tuple[Any, Any]:
        return self.best_level, self.level

    @property
    def key(self) -> tuple[str, ...]:
        """What makes it the same question at another look."""
        return self.factor, *map(str, self._levels)


def in_play(sizes: Sequence[int]) -> set[int]:
    """Return the places of the cells, by their training images, that a question may be about."""
    most = max(sizes)
    half = max((size for size in sizes if size <= _HALF * most), default=most)
    return {place for place, size in enumerate(sizes) if size in (most, half)}


_HALF = 0.51  # as `comparisons` has it


def questions_at(
    read: Read, design: Design, looks: Looks, taken: Sequence[int]
) -> tuple[Question, ...]:
    """Return the questions of a study after some of its looks.

    Parameters
    ----------
    read
        Returns a table of the study by its name.
    design
        What the study asks for.
    looks
        When is looked, and what no longer matters.
    taken
        Numbers of seeds at the looks that are taken, the first of `looks.seeds`.
    """
    settled: dict[tuple[str, ...], Question] = {}
    spent: dict[Any, float] = {}
    asked: list[Question] = []
    for look, seeds in enumerate(taken):
        study = Analysis(_up_to(read, seeds), design)
        found = study.comparisons
        tests = _tests(study, found)
        p = looks.overall([row.p for row in tests.values()], look)
        crossings = looks.overall(study.crossovers["p_value"].to_numpy(float), look)
        # What was seen at an earlier look stays seen.
        spent = {
            key: float(np.fmin(now, spent.get(key, np.nan)))
            for key, now in zip(tests, p, strict=True)
        }
        together = holm([*spent.values(), *crossings])
        adjusted = dict(zip((row.key for row in tests.values()), together, strict=False))
        asked = []
        for row in found.rows:
            if row.amount != MOST or row.is_forecast:
                continue
            question = Question(row.factor, row.level, row.best_level, OPEN, seeds)
            if question.key not in settled:
                state = _state(row, adjusted[row.key], looks, look, len(found.tests))
                question = replace(question, state=state)
                if question.is_open:
                    question = replace(question, trials=_needed(study, found, row, looks, look))
                else:
                    settled[question.key] = question
            asked.append(settled.get(question.key, question))
    return tuple(asked)


def _up_to(read: Read, seeds: int) -> Read:
    """Return what reads a study as if it had the first seeds alone."""

    def table(name: str) -> pd.DataFrame:
        found = read(name)
        return found[found["seed"] < seeds] if name == "trials" else found

    return table


def _tests(study: Analysis, found: Comparisons) -> dict[Any, Comparison]:
    """Return a comparison for each test that was made, by names that other looks have too."""
    names = [cell_key(row, study.factors) for row in found.cells.to_dict("records")]
    return {
        (names[row.best], frozenset(names[place] for place in row.others), row.is_forecast): row
        for row in found.rows
    }


def _state(row: Comparison, adjusted: float, looks: Looks, look: int, tested: int) -> int:
    if adjusted <= ALPHA:
        return DIFFERENT
    reach = abs(row.gain) + _half(row, looks, look, tested)
    return SMALL if reach < looks.smallest else OPEN


def _half(row: Comparison, looks: Looks, look: int, tested: int) -> float:
    """Return half the width of the gain's interval that holds over all looks and comparisons."""
    level = looks.level(look, max(tested, 1)) / row.contenders
    return float(special.stdtrit(row.freedom, 1 - level) * row.error)


def _needed(
    study: Analysis, found: Comparisons, row: Comparison, looks: Looks, look: int
) -> frozenset[str]:
    """Return the runs of the best cell, and of those that it is not yet told apart from."""
    accuracy = found.cells["accuracy"].to_numpy(float)
    half = _half(row, looks, look, len(found.tests))
    gaps = accuracy[row.best] - accuracy[list(row.others)]
    near = [place for place, gap in zip(row.others, gaps, strict=True) if not gap > half]
    runs = by_cell(study.runs, study.factors)
    cells = found.cells.iloc[[row.best, *(near or [row.other])]].to_dict("records")
    return frozenset(
        trial for cell in cells for trial in runs[cell_key(cell, study.factors)]["trial_id"]
    )
