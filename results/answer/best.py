"""The most accurate cell, and what is as good. Analysis in, text out."""

from typing import Any

from results.analysis.analysis import Analysis
from results.analysis.cells import State
from results.analysis.comparisons import ANY
from results.analysis.runs import records_of
from results.metric import ACCURACY
from results.phrases import cell_name, count, few, fraction_label, listed
from results.statistics.inference import NOTHING

ALIKE = 1e-9
"""Points up to which cells are equal."""


def best_said(study: Analysis) -> str:
    """Name the most accurate cell and its equals, and the cells that are not told apart from it."""
    cells = study.cells.frame
    total, complete = len(cells), int((cells["state"] == State.COMPLETE).sum())
    if study.ranked.empty:
        return f"No trial of the {count(total, 'cell')} has completed, so there is no answer yet."
    equals = equals_of(study)
    names = [study.name(row) or cell_name(row, study.factors) for row in equals]
    value = study.metric.value(equals[0]["accuracy"])
    is_accuracy = study.metric == ACCURACY
    if study.design.race:
        return (
            "This is a search, not a comparison: trials of unlike cells competed and may have been "
            f"stopped; the {'highest' if is_accuracy else 'best'} {study.measure} is {value}, of "
            f"{listed(few(names))}."
        )
    if not study.is_ranked:
        none = "The only cell has" if total == 1 else f"Each of the {total} cells has at most"
        highest = "it reached" if total == 1 else f"{listed(few(names))} reached most,"
        return f"{none} one seed, so that there is no ±; {highest} {value}."
    over = study.comparisons.speaks_of
    value = value_of(study, ", 95 % interval" if over == NOTHING else f", 95 % interval for {over}")
    if total == 1:
        return f"The only cell reaches a {study.measure} of {value}."
    value = value if is_accuracy and not study.is_untested else f"a {study.measure} of {value}"
    if study.is_uneven:
        value += f" (balanced accuracy {equals[0]['test_balanced_accuracy']:.1f} %)"
    of = f"Of {total} cells" + (f" ({complete} complete)" if complete < total else "")
    if len(equals) > 1:
        alike = "equally accurate" if is_accuracy else "equally good"
        start = f"{of}, {listed(few(names))} are {alike}, at {value}"
    else:
        most = "the most accurate" if is_accuracy else "the best"
        start = f"{of}, {names[0]} is {most}, at {value}"
    start += f", {learnt_nothing(study)}." if learnt_nothing(study) else "."
    return f"{start} {_next(study)}".strip()


def equals_of(study: Analysis) -> list[dict[str, Any]]:
    """Return the most accurate cell and those that are as accurate to the last digit."""
    values = study.ranked["accuracy"]
    return records_of(study.ranked[values >= values.iloc[0] - ALIKE])


def learnt_nothing(study: Analysis) -> str:
    """Say so where a run of the best cell gives every test image one class, else nothing."""
    taken = study.taken_for(equals_of(study)[0])
    return f"though it takes every test image for {taken}" if taken else ""


def value_of(study: Analysis, note: str = "") -> str:
    """Return the best cell's accuracy with an interval that allows for its having been chosen."""
    score, value = study.ranked["accuracy"].iloc[0], study.comparisons.value
    if value is None:
        return study.metric.value(score)
    return study.metric.value(score, value.low, value.high, note)


def ties_of(study: Analysis) -> list[dict[str, Any]]:
    """Return the less accurate cells that are not told apart from the best one."""
    found = study.comparisons
    best, *rest = records_of(found.cells)
    ties = [rest[place - 1] for place in found.ties]
    return [row for row in ties if row["accuracy"] < best["accuracy"] - ALIKE]


def with_less_data(study: Analysis) -> dict[str, Any] | None:
    """Return the most accurate cell that does with less data and may be as good as the best one."""
    most = study.ranked["n_train"].iloc[0]
    less = [row for row in ties_of(study) if row["n_train"] < most]
    return max(less, key=lambda row: float(row["accuracy"]), default=None)


def _next(study: Analysis) -> str:
    """Say which cells at any amount of data may be as good."""
    found = study.comparisons
    if not found.of(ANY):
        return ""
    if not found.ties:
        return "It is ahead of every other cell."
    best, others = found.cells.iloc[0], ties_of(study)
    if not others:
        return ""
    text = f"Not told apart from it: {listed(few([study.name(row) for row in others]))}"
    less = with_less_data(study)
    if less is not None:
        share = fraction_label(less["fraction"] / best["fraction"])
        text += f"; {share} of its data may do as well ({study.metric.value(less['accuracy'])})"
    return f"{text}."
