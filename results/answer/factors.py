"""What each factor that varies is worth, and what more data would buy. Text out."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from results.analysis.analysis import Analysis
from results.analysis.comparisons import ALPHA, LEAST, MOST, Comparison
from results.analysis.runs import by_cell, records_of
from results.answer.best import ALIKE
from results.phrases import cell_key, few, level_label, listed

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
    texts = [f"{name}: {'; '.join(said)}."] if said else []
    if factor == "model":
        texts += few([_crossing(study, row) for row in crossings_of(study)])
    if factor == "weights" and (found := worth_of(study)):
        cell, times = found
        texts.append(f"From scratch, the {study.metric.name} of {cell} takes {times} the data.")
    return " ".join(texts)


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


def crossings_of(study: Analysis) -> list[dict[str, Any]]:
    """Return the crossovers that tests establish together with the answer's comparisons."""
    return records_of(study.crossovers[study.comparisons.crossings <= ALPHA])


def _crossing(study: Analysis, row: dict[str, Any]) -> str:
    """Say which bigger model overtakes a smaller one as data grows."""
    setting = study.setting(row, "model", "fraction")
    where = f"{setting[0].upper()}{setting[1:]}, " if setting else ""
    return (
        f"{where}{row['big']} overtakes {row['small']} between {row['bracket_low']:,.0f} and "
        f"{row['bracket_high']:,.0f} images."
    )


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


def data_said(study: Analysis) -> str:
    """Say what is forecast of twice the data, or why nothing is; empty where data does not vary."""
    cells = study.comparisons.cells
    if cells.empty or not study.varies("fraction"):
        return ""
    top = cells[cells["fraction"] == cells["fraction"].max()].iloc[0]
    series = study.others("fraction")
    if not study.metric.is_percent:
        return "Twice the data: no forecast, since only those of accuracies are calibrated."
    row = by_cell(study.forecasts, series)[cell_key(top, series)].iloc[0]
    name = study.name(top, "fraction")
    of, now, then = f" of {name}" if name else "", row["error"], row["headline"]
    if row["refusal"]:
        kept = (
            "; the last measured step stands for it"
            if study.comparisons.of(MOST, "fraction")
            else ""
        )
        return f"Twice the data: no forecast{of}, since {row['refusal']}{kept}."
    return (
        f"Twice the data: the error{of}, {now:.1f} % with {row['n_train']:,.0f} images, is "
        f"forecast to be {then:.1f} % with {row['at']:,.0f}, calibrated on {row['calibrated_on']}."
    )
