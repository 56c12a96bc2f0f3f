"""What each factor that varies is worth where data is little and where it is much. Text out."""

from collections.abc import Sequence

import numpy as np

from results.analysis.analysis import Analysis
from results.analysis.comparisons import ALPHA, LEAST, MOST, Comparison
from results.analysis.runs import records_of
from results.answer.best import ALIKE
from results.phrases import few, level_label, listed

_SCRATCH = "none"


def factor_said(study: Analysis, factor: str) -> str:
    """Say how a factor's best level stands against the others at the most and the least data.

    Empty where the levers say as much: two levels, and nothing told apart at the least data.
    """
    if not study.is_ranked:
        return ""
    most, least = (study.comparisons.of(amount, factor) for amount in (MOST, LEAST))
    said = []
    if any(row.is_decided for row in least):
        images = study.comparisons.cells["n_train"][least[0].best]
        said.append(f"with {images:,.0f} images, {_standing(study, least)}")
    if len(most) > 1:
        said.append(
            f"with all of the data, {_standing(study, most)}" if said else _standing(study, most)
        )
    name = factor.replace("_", " ").capitalize()
    more = {"model": _crossings, "weights": _worths}.get(factor)
    texts = [f"{name}: {'; '.join(said)}."] if said else []
    return " ".join([*texts, *(more(study) if more else [])])


def _standing(study: Analysis, rows: Sequence[Comparison]) -> str:
    """Say which levels the best one is ahead of, and which it is not told apart from."""
    factor = rows[0].factor
    best = level_label(factor, rows[0].best_level)

    def against(row: Comparison) -> str:
        gain = study.metric.amount(row.gain, row.low, row.high)
        link = " by" if row.is_decided else ","
        return f"{level_label(factor, row.level)}{link} {gain}"

    equal = [level_label(factor, row.level) for row in rows if abs(row.gain) < ALIKE]
    behind = [against(row) for row in rows if row.is_decided]
    tied = [against(row) for row in rows if not row.is_decided and abs(row.gain) >= ALIKE]
    parts = [
        f"{words} {listed(few(others))}"
        for words, others in (
            ("ahead of", behind),
            ("not told apart from", tied),
            ("equal to", equal),
        )
        if others
    ]
    return f"{best} is {' and '.join(parts)}"


def _crossings(study: Analysis) -> list[str]:
    """Say which bigger model overtakes a smaller one as data grows, where tests say so together."""
    rows = study.crossovers[study.comparisons.crossings <= ALPHA]
    said = []
    for row in records_of(rows):
        setting = study.setting(row, "model", "fraction")
        where = f"{setting[0].upper()}{setting[1:]}, " if setting else ""
        said.append(
            f"{where}{row['big']} overtakes {row['small']} between {row['bracket_low']:,.0f} and "
            f"{row['bracket_high']:,.0f} images."
        )
    return few(said)


def _worths(study: Analysis) -> list[str]:
    """Say how much more data training from scratch needs, where pretraining helps at little."""
    found = worth_of(study)
    if found is None:
        return []
    return [f"From scratch, the {study.metric.name} of {found[0]} takes {found[1]} the data."]


def worth_of(study: Analysis) -> tuple[str, str] | None:
    """Return the cell that pretraining helps at little data, and how many times the data it is
    worth there; None where that is not known."""
    rows = study.comparisons.of(LEAST, "weights")
    scratch = [row for row in rows if row.level == _SCRATCH and row.is_decided]
    if not scratch:
        return None
    cell = study.comparisons.cells.iloc[scratch[0].best]
    names = [name for name in study.factors if name in study.worths]
    for row in records_of(study.worths):
        alike = all(level_label(n, row[n]) == level_label(n, cell[n]) for n in names)
        if alike and not np.isnan(row["low"]):
            times = f"at least {row['low']:.2g} times"
            if not np.isnan(row["high"]):
                times = f"{row['factor']:.2g} times ({row['low']:.2g} to {row['high']:.2g})"
            return study.name(cell), times
    return None
