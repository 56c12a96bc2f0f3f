"""What a study says on each topic in sentences: the best cell, factors, data and the evidence.

Analysis and findings in, text out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from results.analysis.analysis import Analysis
from results.analysis.cells import State
from results.analysis.comparisons import ALPHA, ANY, LEAST, MOST, Comparison
from results.analysis.questions import questions
from results.analysis.runs import records_of, where
from results.findings.finding import Severity
from results.metric import ACCURACY
from results.phrases import cell_name, count, few, level_label, listed, percent, resource_time
from results.statistics.forecast import CALIBRATED_ON
from results.statistics.inference import NOTHING
from results.statistics.looks import Looks, chance_to_decide

ALIKE = 1e-9
"""Points up to which cells are equal."""
_SCRATCH = "none"
_MORE = 2


@dataclass(frozen=True)
class Sentence:
    """One item of the answer."""

    topic: str
    """levers, best, a factor, data or evidence: which section of the report says more."""
    text: str
    value: str = ""
    """The number of a claim, with unit and interval, where it stands beside it."""


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
    return study.metric.value(score, *value, note)


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
        share = level_label("fraction", less["fraction"] / best["fraction"])
        text += f"; {share} of its data may do as well ({study.metric.value(less['accuracy'])})"
    return f"{text}."


def factor_said(study: Analysis, factor: str) -> str:
    """Say how a factor's best level stands against the others at the most and the least data.

    Empty where the levers say as much: two levels, and nothing told apart at the least data.
    """
    if not study.is_ranked:
        return ""
    most, least = (study.comparisons.of(amount, factor) for amount in (MOST, LEAST))
    said = []
    if any(row.is_decided for row in least):
        said.append(at_little(study, least))
    if len(most) > 1:
        said.append(
            f"with all of the data, {_standing(study, most)}" if said else _standing(study, most)
        )
    texts = [f"{factor_name(factor)}: {'; '.join(said)}."] if said else []
    texts += few([f"{text}." for text in crossings_said(study, factor)])
    if factor == "weights":
        texts += [f"{worth.text} {worth.value}." for worth in worth_of(study)]
    return " ".join(texts)


def factor_name(factor: str) -> str:
    """Return a factor as a sentence begins with it, such as `Weight decay`."""
    return factor.replace("_", " ").capitalize()


def at_little(study: Analysis, rows: Sequence[Comparison]) -> str:
    """Say how a factor's best level stands against the others where data is least."""
    images = study.comparisons.cells["n_train"][rows[0].best]
    return f"with {images:,.0f} images, {_standing(study, rows)}"


def _standing(study: Analysis, rows: Sequence[Comparison]) -> str:
    bare = partial(level_label, rows[0].factor, bare=True)
    best = bare(rows[0].best_level)
    if best == "none":
        best = f"{rows[0].factor} {best}"  # alone it would read as no level at all

    def against(row: Comparison) -> str:
        gain = study.metric.amount(row.gain, row.low, row.high)
        link = " by" if row.is_decided else ","
        return f"{bare(row.level)}{link} {gain}"

    equal = [bare(row.level) for row in rows if abs(row.gain) < ALIKE]
    behind = [against(row) for row in rows if row.is_decided]
    tied = [against(row) for row in rows if not row.is_decided and abs(row.gain) >= ALIKE]
    groups = {"ahead of": behind, "not told apart from": tied, "equal to": equal}
    parts = [f"{words} {listed(few(others))}" for words, others in groups.items() if others]
    return f"{best} is {' and '.join(parts)}"


def crossings_said(study: Analysis, factor: str) -> list[str]:
    """Name a factor's crossovers that tests establish together with the answer's comparisons."""
    said = []
    found = study.crossovers[study.comparisons.crossings <= ALPHA]
    for row in records_of(found[found["factor"] == factor]):
        setting = study.setting(row, factor, "fraction")
        given = f"{setting[0].upper()}{setting[1:]}, " if setting else ""
        step = f"{row['big']} overtakes {row['small']}"
        if factor == "freeze":
            start = "training" if given else "Training"
            step = f"{start} all of a model overtakes training its head alone"
        images = f"{row['bracket_low']:,.0f} and {row['bracket_high']:,.0f} images"
        said.append(f"{given}{step} between {images}")
    return said


def worth_of(study: Analysis) -> list[Sentence]:
    """Say how many times the data pretraining is worth at little data, where that is known."""
    rows = study.comparisons.of(LEAST, "weights")
    scratch = [row for row in rows if row.level == _SCRATCH and row.is_decided]
    if not scratch:
        return []
    cell = study.comparisons.cells.iloc[scratch[0].best]
    names = [name for name in study.factors if name in study.worths]
    for row in records_of(study.worths):
        alike = all(level_label(n, row[n]) == level_label(n, cell[n]) for n in names)
        if alike and not np.isnan(row["low"]):
            times = f"at least {row['low']:.2g} times"
            if not np.isnan(row["high"]):
                times = f"{row['factor']:.2g} times ({row['low']:.2g} to {row['high']:.2g})"
            text = f"From scratch, the {study.metric.name} of {study.name(cell)} takes"
            return [Sentence("weights", text, f"{times} the data")]
    return []


def data_said(study: Analysis) -> str:
    """Say what is forecast of twice the data, or why nothing is; empty where data does not vary."""
    cells = study.comparisons.cells
    if cells.empty or not study.varies("fraction"):
        return ""
    top = cells[cells["fraction"] == cells["fraction"].max()].iloc[0]
    series = study.others("fraction")
    if not study.metric.is_percent:
        return "Twice the data: no forecast, since only those of accuracies are calibrated."
    row = where(study.forecasts, {name: top[name] for name in series}).iloc[0]
    name = study.name(top, "fraction")
    of, now, then = f" of {name}" if name else "", row["error"], row["headline"]
    if row["refusal"]:
        last = study.comparisons.of(MOST, "fraction")
        kept = "; the last measured step stands for it" if last else ""
        return f"Twice the data: no forecast{of}, since {row['refusal']}{kept}."
    return (
        f"Twice the data: the error{of}, {now:.1f} % with {row['n_train']:,.0f} images, is "
        f"forecast to be {then:.1f} % with {row['at']:,.0f}, calibrated on {CALIBRATED_ON}."
    )


def evidence_said(study: Analysis, findings: pd.DataFrame) -> str:
    """Say how much is decided, what chance alone would decide, and what stands against it."""
    if study.ranked.empty:
        return "Evidence: none yet."
    said = [part for part in (_decided(study), _against(findings), _more_seeds(study)) if part]
    return f"Evidence: {' '.join(said)}"


def _decided(study: Analysis) -> str:
    tests = study.comparisons.tests
    if not study.is_ranked or not tests:
        return ""
    decided = sum(p <= ALPHA for p in tests)
    return (
        f"{decided} of the {count(len(tests), 'comparison')} behind this answer "
        f"{'is' if decided == 1 else 'are'} decided; were there no effect at all, one or more "
        f"would be in at most {100 * ALPHA:.0f} % of studies."
    )


def _against(findings: pd.DataFrame) -> str:
    counts = findings["severity"].value_counts()
    grave, mild = (int(counts.get(name, 0)) for name in (Severity.ERROR, Severity.WARNING))
    if not grave and not mild:
        return "No error or warning stands against the comparisons."
    kinds = findings.loc[findings["severity"] != Severity.NOTE, "code"].unique()
    parts = [count(n, noun) for n, noun in ((grave, "error"), (mild, "warning")) if n]
    verb = "stands" if grave + mild == 1 else "stand"
    named = ", ".join(few([str(kind) for kind in kinds]))
    return f"{' and '.join(parts)} {verb} against the comparisons: {named}."


def _more_seeds(study: Analysis) -> str:
    """Say what more seeds would decide, with the price that a look nobody planned has."""
    if study.design.race:
        return ""
    if study.design.looks:
        asked = listed([str(question) for question in questions(study)])
        return f"Seeds were added as long as a comparison was open: {asked}." if asked else ""
    if not study.is_ranked:
        return "" if study.awaits_seeds else "Two more seeds would be the first step."
    found = study.comparisons
    tied = [r for r in found.rows if r.amount == MOST and not r.is_decided and r.p == r.p]
    tied = [row for row in tied if not row.is_forecast]
    if not tied:
        return ""
    row = min(tied, key=lambda each: each.p)
    chance = chance_of_deciding(row, _MORE, len(found.tests))
    seconds = found.cells["resource_seconds"].astype(float)
    cost = _MORE * (seconds[row.best] + seconds[row.other])
    time = f" ({resource_time(cost, study.cells.resource)})" if cost > 0 else ""
    what = listed([level_label(row.factor, level) for level in (row.best_level, row.level)])
    what += " of the data" if row.factor == "fraction" else ""
    return (
        f"{_MORE} more seeds of both{time} would decide between {what} with a probability of "
        f"{percent(chance)}, a second look being held to a stricter level."
    )


def chance_of_deciding(row: Comparison, more: int, tested: int) -> float:
    """Return the probability that more seeds decide a comparison, of `tested` ones, at a second
    look that keeps false claims over both looks at 5 %."""
    level = 2 * Looks((row.n_seeds, row.n_seeds + more)).level(1, row.contenders * tested)
    found = chance_to_decide(
        row.gain, row.seed_error, row.image_error, row.freedom, row.n_seeds, more, level
    )
    return float(found)
