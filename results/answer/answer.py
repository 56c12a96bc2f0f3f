"""The answer of a study in five sentences, made from its numbers. Frames in, text out.

The hedges follow the tests: a sign is stated where the paired t interval leaves 0 out, a crossover
where the intersection–union test finds it, and one seed ranks nothing.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd

from results.analysis.analysis import Analysis
from results.analysis.cells import State
from results.analysis.contrasts import main_effects, paired_test_set
from results.analysis.runs import by_cell, where
from results.findings.finding import Severity
from results.phrases import (
    amount,
    cell_key,
    cell_name,
    count,
    few,
    fraction_label,
    fractions,
    level_label,
    listed,
    resource_time,
    signed,
)
from results.ranking import rank
from results.statistics.intervals import paired_difference


class Interval(StrEnum):
    """The kinds of interval that a report shows."""

    MEAN = "mean"
    TEST_SET = "test set"
    EXTRAPOLATION = "extrapolation"
    CROSSOVER = "crossover"
    WORTH = "worth of pretraining"


MEASURED = {
    Interval.MEAN: (93, 97),
    Interval.TEST_SET: (93, 96),
    Interval.EXTRAPOLATION: (92, 99),
    Interval.CROSSOVER: (86, 98),
    Interval.WORTH: (90, 96),
}
"""What intervals at nominal 95 % covered in simulated studies: least and most, in percent.

`python benchmarks/coverage.py` measures them again; see docs/statistics.md.
"""


def coverage_note(kind: Interval) -> str:
    """Return what to print beside an interval."""
    least, most = MEASURED[kind]
    return f"such intervals held the truth in {least} to {most} % of simulated studies"


@dataclass(frozen=True)
class Sentence:
    """One sentence of the answer."""

    topic: str
    """best, model, pretraining, data or evidence: which section of the report says more."""
    text: str
    """Plain text."""


@dataclass(frozen=True)
class Answer:
    """What a study asked and what it says."""

    question: str
    """Plain text."""
    sentences: tuple[Sentence, ...]
    """Five, in the order best, model, pretraining, data, evidence."""

    @property
    def text(self) -> str:
        """The sentences as one paragraph."""
        return " ".join(sentence.text for sentence in self.sentences)


def answer(study: Analysis, findings: pd.DataFrame) -> Answer:
    """State what a study's analysis says, beside the findings that stand against it.

    With predictions, the best two cells are compared on the same test images; in a race no test is
    made.
    """
    return Answer(
        _question(study),
        (
            Sentence("best", _best(study)),
            Sentence("model", _model(study)),
            Sentence("pretraining", _pretraining(study)),
            Sentence("data", _data(study)),
            Sentence("evidence", _evidence(study, findings)),
        ),
    )


def _question(study: Analysis) -> str:
    named = {"model": "a bigger model", "weights": "pretrained weights", "fraction": "more data"}
    parts = [
        named.get(name, f"another {name.replace('_', ' ')}")
        for name in study.factors
        if study.varies(name)
    ]
    if not parts:
        return "How accurate is this recipe?"
    if len(parts) == 1:
        return f"Would {parts[0]} help on this task, and what does it cost?"
    return f"Would {listed(parts, 'or')} help more on this task, and what does each cost?"


def _best(study: Analysis) -> str:
    cells = study.cells.frame
    total, complete = len(cells), int((cells["state"] == State.COMPLETE).sum())
    if study.ranked.empty:
        return f"No trial of the {count(total, 'cell')} has completed, so there is no answer yet."
    best = study.ranked.iloc[0]
    name, value = study.name(best) or cell_name(best, study.factors), f"{best['accuracy']:.1f} %"
    if study.design.race:
        return (
            "This is a search, not a comparison: trials of unlike cells competed and may have been "
            f"stopped; the highest test accuracy is {value}, of {name}."
        )
    known = f"Of {count(total, 'cell')} ({complete} complete)"
    if not study.is_ranked:
        return (
            f"{known}, none has more than one seed, so there is no ± and no ranking; the highest "
            f"test accuracy is {value}, of {name}."
        )
    interval = (
        f"{value} ({best['accuracy_low']:.1f} to {best['accuracy_high']:.1f}, 95 % t interval over "
        f"{best['seeds']} seeds)"
    )
    if total == 1:
        return f"The only cell reaches a test accuracy of {interval}."
    start = f"{known}, {name} has the highest test accuracy, {interval}"
    rest = study.ranked.iloc[1:]
    if "fraction" in study.factors:
        rest = rest[rest["fraction"] == best["fraction"]]
    return f"{start}." if rest.empty else f"{start}, {_ahead(study, best, rest.iloc[0])}."


def _ahead(study: Analysis, best: pd.Series, second: pd.Series) -> str:
    """Compare the best cell with the next best on as much data."""
    first, other = (
        where(study.runs, {name: row[name] for name in study.factors}) for row in (best, second)
    )
    both = first.merge(other, on="seed", suffixes=("", "_other"))
    name = study.name(second)
    if len(both) < 2:
        return f"not compared with {name}, with which it shares fewer than two seeds"
    seeds = paired_difference(both["accuracy"], both["accuracy_other"])
    mean, low, high, basis = seeds.mean, seeds.low, seeds.high, "seeds"
    exact = paired_test_set(first, other, study.table("predictions"))
    if exact is not None and exact.covers_seeds:
        mean, low, high = exact.difference, exact.low, exact.high
        basis = "seeds and test images"
    tie = low <= 0 <= high
    words = f"not told apart from {name}:" if tie else f"ahead of {name} by"
    return f"{words} {amount(mean, low, high)}, paired over {basis}"


def _model(study: Analysis) -> str:
    if not study.varies("model"):
        only = "".join(f" ({level})" for level in study.levels.get("model", []))
        return f"With one measured model{only} nothing is said about model size."
    small, big = study.levels["model"][0], study.levels["model"][-1]
    table = study.differences("model")
    table = table[(table["first"] == small) & (table["second"] == big)].sort_values("n_train")
    if table.empty:
        return f"Model size is not judged: {small} and {big} share no seed in any cell."
    if study.design.race:
        return (
            "Model size is not judged: this is a search, not a comparison, and a race's survivors "
            "are no fair mean."
        )
    if not study.is_ranked:
        differences = [
            f"{signed(row['difference'])} at {study.name(row, 'model')}".removesuffix(" at ")
            for row in table.to_dict("records")
        ]
        return f"Model size, not tested: {big} minus {small} is {'; '.join(few(differences))}."
    others = study.others("model", "fraction")
    crossings = study.crossovers
    crossings = crossings[(crossings["small"] == small) & (crossings["big"] == big)]
    known = by_cell(crossings, others)
    parts = []
    for key, own in by_cell(table, others).items():
        where = study.setting(own.iloc[0], "model", "fraction")
        verdict = _model_verdict(study, own, known.get(key, crossings.iloc[:0]), small, big)
        parts.append(f"{where}, {verdict}" if where else verdict)
    contrast = ""
    if len(study.levels["model"]) == 2:
        contrast = " (two sizes are a contrast, not a scaling law)"
    return f"Model size: {'; '.join(few(parts))}{contrast}."


def _model_verdict(
    study: Analysis, own: pd.DataFrame, crossing: pd.DataFrame, small: Any, big: Any
) -> str:
    decided = own["decided"].astype(bool)
    wins, losses = own[decided & (own["difference"] > 0)], own[decided & (own["difference"] < 0)]
    if len(crossing) and crossing["is_established"].iloc[0]:
        row = crossing.iloc[0]
        return (
            f"{small} is ahead at little data and {big} at much, the crossover {row['verdict']} "
            f"(near {row['location']:,.0f}, {row['low']:,.0f} to {row['high']:,.0f}; "
            f"{coverage_note(Interval.CROSSOVER)})"
        )
    for ahead, behind, rows in ((big, small, wins), (small, big, losses)):
        if len(rows) == len(own):
            everywhere = " at every fraction" if len(own) > 1 else ""
            return f"{ahead} is ahead of {behind}{everywhere}, by {_ends(study, own)}"
    parts = [
        f"{ahead} is ahead at {fractions(rows['fraction'].tolist())}"
        for ahead, rows in ((small, losses), (big, wins))
        if len(rows)
    ]
    undecided = own[~decided]
    where = f" at {fractions(undecided['fraction'].tolist())}" if len(own) > 1 else ""
    parts.append(f"{small} and {big} are not told apart{where} ({_ends(study, undecided)})")
    if len(crossing) and not np.isnan(crossing["hypothetical"].iloc[0]):
        parts.append(f"a crossover is only {crossing['verdict'].iloc[0]}")
    return listed(parts)


def _ends(study: Analysis, own: pd.DataFrame) -> str:
    """State how far the models differ at the least and at the most data."""
    ends = own.iloc[[0, -1]] if len(own) > 1 else own
    parts: list[str] = []
    for row in ends.to_dict("records"):
        mean, low, high = row["difference"], row["low"], row["high"]
        if row["decided"] and mean < 0:
            mean, low, high = -mean, -high, -low
        where = ""
        if study.varies("fraction"):
            where = f" at {fraction_label(row['fraction'])}"
        parts.append(f"{amount(mean, low, high, '' if parts else ' points')}{where}")
    return listed(parts)


def _pretraining(study: Analysis) -> str:
    if study.design.race and study.varies("weights"):
        return "What pretraining is worth is not judged: this is a search, not a comparison."
    levels = study.levels.get("weights", [])
    if "none" not in levels or len(levels) < 2:
        return "Without runs both from scratch and pretrained, nothing is said of pretraining."
    gains: dict[str, list[str]] = {}
    shares = study.levels.get("fraction", [])
    for fraction in sorted({min(shares), max(shares)}) if shares else [None]:
        own = study.runs if fraction is None else study.runs[study.runs["fraction"] == fraction]
        effects = main_effects(own, study.factors, named=("weights",))
        effects = effects[effects["first"] == "none"]
        if effects.empty:
            continue
        row = min(effects.to_dict("records"), key=lambda effect: rank(effect["difference"]))
        low, high = (row["low"], row["high"]) if study.is_ranked else (np.nan, np.nan)
        gain = amount(row["difference"], low, high)
        where = f" at {fraction_label(fraction)}" if study.varies("fraction") else ""
        gains.setdefault(str(row["second"]), []).append(f"{gain}{where}")
    if not gains:
        return "Pretraining is not judged: pretrained and scratch runs share no seed."
    parts = [f"{weights} weights are worth {listed(values)}" for weights, values in gains.items()]
    text = f"Pretraining: against training from scratch, {listed(parts)}"
    if any(study.varies(name) for name in study.others("weights", "fraction")):
        text += ", on average over the other factors"
    worths = study.worths
    if len(worths):
        least = worths[worths["fraction"] == worths["fraction"].min()]
        needs = few([_worth(study, row) for row in least.to_dict("records")])
        note = coverage_note(Interval.WORTH) if study.is_ranked else "not tested"
        text += f"; for the same error without it, {', '.join(needs)} ({note})"
    return f"{text}."


def _worth(study: Analysis, row: dict[Any, Any]) -> str:
    without = ["fraction"] if len(study.levels["weights"]) > 2 else ["fraction", "weights"]
    who = study.name(row, *without) or "a model"
    text = f"{who} needs {row['text']} the data at {fraction_label(row['fraction'])}"
    if not study.is_ranked or row["n_seeds"] < 2 or np.isnan(row["low"]):
        return text
    if not np.isnan(row["high"]):
        return f"{text} ({row['low']:.2g} to {row['high']:.2g})"
    return f"{text} (at least {row['low']:.2g})" if np.isnan(row["more_than"]) else text


def _data(study: Analysis) -> str:
    if study.ranked.empty or not study.varies("fraction"):
        return "With one measured fraction nothing is said about what more data would buy."
    if study.design.race:
        return "What more data would buy is not predicted: a race's survivors are no fair mean."
    series = study.others("fraction")
    best = cell_key(study.ranked.iloc[0], series)
    row = by_cell(study.extrapolations, series)[best].iloc[0]
    name = study.name(row, "fraction") or "the model"
    if row["refusal"]:
        return f"What more data would buy {name} is not predicted: {row['refusal']}."
    interval = "one seed, no ±"
    if not np.isnan(row["low"]):
        note = coverage_note(Interval.EXTRAPOLATION)
        interval = f"{row['low']:.1f} to {row['high']:.1f}; {note}"
    text = (
        f"Twice the data ({row['at']:,.0f} images) is predicted to bring {name} from "
        f"{row['error']:.1f} % error to {row['headline']:.1f} ({interval}): "
        f"{row['local_power_law']:.1f} by the local power law, {row['power_law']:.1f} by the power "
        "law"
    )
    if row["high"] >= row["last_value"]:
        text += ", and no gain at all is not ruled out"
    if row["residual_degrees_of_freedom"] == 0:
        text += "; 0 residual degrees of freedom, so measure more fractions before relying on it"
    return f"{text}."


def _evidence(study: Analysis, findings: pd.DataFrame) -> str:
    if study.ranked.empty:
        return "Evidence: none yet."
    parts = [_cost(study), _decided(study)] if study.is_ranked else []
    counts = findings["severity"].value_counts()
    grave, mild = (int(counts.get(name, 0)) for name in (Severity.ERROR, Severity.WARNING))
    if grave or mild:
        kinds = findings.loc[findings["severity"] != Severity.NOTE, "code"].unique()
        parts.append(
            f"{count(grave, 'error')} and {count(mild, 'warning')} stand against the comparisons: "
            f"{', '.join(few([str(kind) for kind in kinds]))}"
        )
    else:
        parts.append("no warning stands against the comparisons")
    if not study.is_ranked and not study.design.race:
        parts.append("two more seeds would be the first step")
    return f"Evidence: {'; '.join(part for part in parts if part)}."


def _decided(study: Analysis) -> str:
    """Count the differences between models or weights that are decided."""
    tables = [study.differences(factor) for factor in ("model", "weights") if study.varies(factor)]
    made = sum(len(table) for table in tables)
    if not made:
        return ""
    decided = sum(int(table["decided"].sum()) for table in tables)
    text = f"{decided} of {made} differences between models or weights are decided"
    if study.runs["selected"].any():
        without = sum(int(table["decided_without_selection"].sum()) for table in tables)
        text += f" ({without} without the seed that recipes were chosen on)"
    return text


def _cost(study: Analysis) -> str:
    """Price a point by the last step in model size and in data, where it pays most."""
    prices = []
    for factor, what in (("model", "a bigger model"), ("fraction", "more data")):
        if not study.varies(factor):
            continue
        before, after = study.levels[factor][-2:]
        table = study.costs(factor)
        last = table[(table["first"] == before) & (table["second"] == after)]
        known = last[last["seconds_per_point"].notna()].to_dict("records")
        if known:
            row = min(known, key=lambda price: rank(price["seconds_per_point"], "min"))
            step = f"{level_label(factor, before)} to {level_label(factor, after)}"
            price = resource_time(row["seconds_per_point"], row["resource"])
            prices.append(f"{price} by {what} ({step})")
    return f"a point of accuracy costs {listed(prices)} where it pays most" if prices else ""
