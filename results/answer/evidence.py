"""What the answer rests on, and what would decide more. Analysis and findings in, text out."""

import pandas as pd

from results.analysis.analysis import Analysis
from results.analysis.comparisons import ALPHA, MOST, Comparison
from results.analysis.questions import questions
from results.findings.finding import Severity
from results.phrases import count, few, level_label, listed, percent, resource_time
from results.statistics.looks import Looks, chance_to_decide

_MORE = 2


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
    return (
        f"{' and '.join(parts)} {verb} against the comparisons: "
        f"{', '.join(few([str(kind) for kind in kinds]))}."
    )


def _more_seeds(study: Analysis) -> str:
    """Say what more seeds would decide, with the price that a look nobody planned has."""
    if study.design.race:
        return ""
    if study.design.looks:
        asked = listed([str(question) for question in questions(study)])
        return f"Seeds were added as long as a comparison was open: {asked}." if asked else ""
    if not study.is_ranked:
        return "Two more seeds would be the first step."
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
