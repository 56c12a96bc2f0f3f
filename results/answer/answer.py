"""The answer of a study in a few items, made from its numbers: analysis and findings in, text out.

What is claimed follows `study.comparisons`, whose claims hold together; differences that they do
not decide are said to be not told apart.
"""

from collections.abc import Iterator, Sequence
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
from results.answer.levers import Step, headline, how_sure, levers_said, step_of
from results.findings.finding import Severity
from results.metric import ACCURACY
from results.phrases import cell_name, count, few, level_label, listed, percent, resource_time
from results.statistics.forecast import CALIBRATED_ON
from results.statistics.inference import NOTHING
from results.statistics.looks import Looks, chance_to_decide

LEVERS, BEST, DATA, EVIDENCE = "levers", "best", "data", "evidence"
"""Topics of every answer that has them; those between `BEST` and `DATA` are factors."""
_MOST = 5  # statements
_MORE = 2  # seeds
_ALIKE = 1e-9  # points up to which cells are equal


@dataclass(frozen=True)
class Sentence:
    """One item of the answer."""

    topic: str
    """levers, best, a factor, data or evidence: which section of the report says more."""
    text: str
    value: str = ""
    """The number of a claim, with unit and interval, where it stands beside it."""


@dataclass(frozen=True)
class Answer:
    """What a study says."""

    headline: str
    """What to do next, in at most 25 words."""
    sure: str
    """How sure the first step is, empty where no probability is known."""
    steps: tuple[Step, ...]
    statements: tuple[Sentence, ...]
    """What matters next, a claim each, at most five."""
    sentences: tuple[Sentence, ...]
    """In the order levers, best, factors, data, evidence; what has nothing to say is left out."""

    @property
    def text(self) -> str:
        """The sentences as one paragraph."""
        return " ".join(sentence.text for sentence in self.sentences)

    def of(self, topic: str) -> str:
        """Return the sentence of a topic, empty where there is none."""
        return " ".join(said.text for said in self.sentences if said.topic == topic)


def answer(study: Analysis, findings: pd.DataFrame) -> Answer:
    """State what an analysis says of the factors that vary, beside what findings say against it."""
    varying = [name for name in study.others("fraction") if study.varies(name)]
    fair = not study.design.race
    said = {
        LEVERS: levers_said(study) if fair else "",
        BEST: best_said(study),
        **{name: factor_said(study, name) for name in varying if fair},
        DATA: data_said(study) if fair else "",
        EVIDENCE: evidence_said(study, findings),
    }
    items = tuple(Sentence(topic, text) for topic, text in said.items() if text)
    steps = tuple(step_of(study, row) for row in records_of(study.levers)) if fair else ()
    return Answer(headline(study), how_sure(study), steps, tuple(statements(study)), items)


def statements(study: Analysis) -> list[Sentence]:
    """Return the claims that matter next after the levers, at most five."""
    if study.ranked.empty or study.design.race:
        return []
    said = [*_best(study)]
    if study.is_ranked:
        for factor in study.factors:
            if rows := study.comparisons.of(LEAST, factor):
                said.append(Sentence(factor, f"{factor_name(factor)}: {at_little(study, rows)}"))
        said += worth_of(study)
        for factor in study.factors:
            said += [Sentence(factor, text) for text in crossings_said(study, factor)]
    return said[:_MOST]


def _best(study: Analysis) -> Iterator[Sentence]:
    equals = equals_of(study)
    word = "Most accurate" if study.metric == ACCURACY else f"Best {study.measure}"
    if len(equals) == 1:
        name = study.cells.name(equals[0], study.others("fraction"))
        text = f"{word}, with {equals[0]['n_train']:,.0f} images: {name}"
    else:
        alike = "Equally accurate, and best" if study.metric == ACCURACY else word
        text = f"{alike}: {listed(few([study.name(row) for row in equals]))}"
    yield Sentence("best", text + learnt_nothing(study), value_of(study))
    less = with_less_data(study) if study.is_ranked else None
    if less is not None:
        name = study.name(less, "fraction") or "the same"
        text = f"May do as well, with {less['n_train']:,.0f} images: {name}"
        yield Sentence("best", text, study.metric.value(less["accuracy"]))


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
            f"{listed(few(names))}{learnt_nothing(study)}."
        )
    if not study.is_ranked:
        none = "The only cell has" if total == 1 else f"Each of the {total} cells has at most"
        highest = "it reached" if total == 1 else f"{listed(few(names))} reached most,"
        return f"{none} one seed, so that there is no ±; {highest} {value}{learnt_nothing(study)}."
    over = study.comparisons.speaks_of
    value = value_of(study, ", 95 % interval" if over == NOTHING else f", 95 % interval for {over}")
    if total == 1:
        return f"The only cell reaches a {study.measure} of {value}{learnt_nothing(study)}."
    value = value if is_accuracy and not study.is_untested else f"a {study.measure} of {value}"
    if study.is_uneven and not np.isnan(balanced := equals[0]["test_balanced_accuracy"]):
        value += f" (balanced accuracy {balanced:.1f} %)"
    of = f"Of {total} cells" + (f" ({complete} complete)" if complete < total else "")
    if len(equals) > 1:
        are = f"are equally {'accurate' if is_accuracy else 'good'}"
    else:
        are = f"is the {'most accurate' if is_accuracy else 'best'}"
        # One seed ranks no cell, however accurate it is.
        are += " of those with two seeds or more" * bool((cells["seeds"] == 1).any())
    said = f"{of}, {listed(few(names))} {are}, at {value}{learnt_nothing(study)}."
    return f"{said} {_next(study)}".strip()


def equals_of(study: Analysis) -> list[dict[str, Any]]:
    """Return the most accurate cell and those that are as accurate to the last digit."""
    values = study.ranked["accuracy"]
    return records_of(study.ranked[values >= values.iloc[0] - _ALIKE])


def learnt_nothing(study: Analysis) -> str:
    """Say so where a run of the best cell gives every test image one class, else nothing."""
    taken = study.taken_for(equals_of(study)[0])
    return f", though it takes every test image for {taken}" if taken else ""


def value_of(study: Analysis, note: str = "") -> str:
    """Return the best cell's accuracy with an interval that allows for its having been chosen."""
    low, high = study.comparisons.value or (np.nan, np.nan)
    return study.metric.value(study.ranked["accuracy"].iloc[0], low, high, note)


def ties_of(study: Analysis) -> list[dict[str, Any]]:
    """Return the less accurate cells that are not told apart from the best one."""
    rows = records_of(study.comparisons.cells)
    ties = (rows[place] for place in study.comparisons.ties)
    return [row for row in ties if row["accuracy"] < rows[0]["accuracy"] - _ALIKE]


def with_less_data(study: Analysis) -> dict[str, Any] | None:
    """Return the most accurate cell that does with less data and may be as good as the best one."""
    most = study.ranked["n_train"].iloc[0]
    less = [row for row in ties_of(study) if row["n_train"] < most]
    return max(less, key=lambda row: float(row["accuracy"]), default=None)


def _next(study: Analysis) -> str:
    found = study.comparisons
    if not found.of(ANY):
        return ""
    if not found.ties:
        return "It is ahead of every other one."
    others, less = ties_of(study), with_less_data(study)
    if not others:
        return ""
    text = f"Not told apart from it: {listed(few([study.name(row) for row in others]))}"
    if less is not None:
        share = level_label("fraction", less["fraction"] / found.cells["fraction"].iloc[0])
        text += f"; {share} of its data may do as well ({study.metric.value(less['accuracy'])})"
    return f"{text}."


def factor_said(study: Analysis, factor: str) -> str:
    """Say how a factor's best level stands against the others at the most and the least data.

    Empty where the levers say as much: two levels, and nothing told apart at the least data.
    """
    if not study.is_ranked:
        return ""
    most, least = (study.comparisons.of(amount, factor) for amount in (MOST, LEAST))
    said = [at_little(study, least)] if any(row.is_decided for row in least) else []
    if len(most) > 1:
        said.append(("with all of the data, " if said else "") + _standing(study, most))
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
    groups: dict[str, list[str]] = {"ahead of": [], "not told apart from": [], "equal to": []}
    for row in rows:
        gain, level = study.metric.amount(row.gain, row.low, row.high), bare(row.level)
        if row.is_decided:
            groups["ahead of"].append(f"{level} by {gain}")
        elif abs(row.gain) < _ALIKE:
            groups["equal to"].append(level)
        else:
            # Without a seed in common there is no gain.
            tied = level if np.isnan(row.gain) else f"{level}, {gain}"
            groups["not told apart from"].append(tied)
    parts = [f"{words} {listed(few(others))}" for words, others in groups.items() if others]
    return f"{best} is {' and '.join(parts)}"


def crossings_said(study: Analysis, factor: str) -> list[str]:
    """Name a factor's crossovers that tests establish together with the answer's comparisons."""
    said, is_found = [], study.comparisons.crossings <= ALPHA
    for row in records_of(study.crossovers[is_found & (study.crossovers["factor"] == factor)]):
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
    scratch = [row for row in rows if row.level == "none" and row.is_decided]
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
    told = where(study.forecasts, {name: top[name] for name in study.others("fraction")})
    if told.empty:
        return "Twice the data: no forecast, since only those of accuracies are calibrated."
    row = told.iloc[0]
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
    grave = findings[findings["severity"] != Severity.NOTE]
    if grave.empty:
        return "No error or warning stands against the comparisons."
    counts = grave["severity"].value_counts()
    kinds = [name for name in (Severity.ERROR, Severity.WARNING) if name in counts]
    parts = [count(int(counts[name]), name) for name in kinds]
    verb = "stands" if len(grave) == 1 else "stand"
    named = ", ".join(few([str(kind) for kind in grave["code"].unique()]))
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
    measured = (row for row in found.rows if row.amount == MOST and not row.is_forecast)
    tied = [row for row in measured if not row.is_decided and row.p == row.p]
    if not tied:
        return ""
    row = min(tied, key=lambda each: each.p)
    # A second look that keeps false claims over both looks at 5 %.
    looks = Looks((row.n_seeds, row.n_seeds + _MORE))
    level = 2 * looks.level(1, row.contenders * len(found.tests))
    known = row.gain, row.seed_error, row.image_error, row.freedom, row.n_seeds
    chance = float(chance_to_decide(*known, _MORE, level))
    seconds = found.cells["resource_seconds"].astype(float)
    cost = _MORE * (seconds[row.best] + seconds[row.other])
    time = f" ({resource_time(cost, study.cells.resource)})" if cost > 0 else ""
    what = listed([level_label(row.factor, level) for level in (row.best_level, row.level)])
    what += " of the data" if row.factor == "fraction" else ""
    return (
        f"{_MORE} more seeds of both{time} would decide between {what} with a probability of "
        f"{percent(chance)}, a second look being held to a stricter level."
    )
