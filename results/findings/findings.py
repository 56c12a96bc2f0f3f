"""All findings of a study, and findings as a frame. Severities, codes: see docs/statistics.md."""

from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from results.analysis.analysis import Analysis
from results.analysis.runs import records_of
from results.findings import rules
from results.findings.data import data_findings
from results.findings.evidence import evidence_findings
from results.findings.fairness import fairness_findings
from results.findings.finding import Finding, Severity, note
from results.findings.symptoms import training_findings

COLUMNS = ("severity", "code", "cell", "evidence", "advice")


def find(study: Analysis) -> pd.DataFrame:
    """Return everything in a study's records that stands against its comparisons.

    One row of text per finding, the gravest first: `severity` (error, warning, note), `code`,
    `cell` (empty where it is about the whole study), `evidence`, `advice`.
    """
    return findings_frame(
        [
            *evidence_findings(study),
            *training_findings(study),
            *fairness_findings(study),
            *data_findings(study),
            *_optimism(study),
        ]
    )


def findings_frame(findings: Iterable[Finding]) -> pd.DataFrame:
    """Return findings as a frame, the gravest first and kinds together; columns as `COLUMNS`."""
    order = [*Severity]
    ranked = sorted(findings, key=lambda f: (order.index(f.severity), f.code, f.cell))
    rows = [{name: getattr(finding, name) for name in COLUMNS} for finding in ranked]
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype="str")


def by_severity(findings: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of a frame of findings by their severity, the gravest first."""
    return {str(kind): records_of(own) for kind, own in findings.groupby("severity", sort=False)}


def _optimism(study: Analysis) -> Iterator[Finding]:
    """Say what choosing each run's best epoch on the test set would have added."""
    epochs, metric = study.epochs, study.metric
    known = epochs[["trial_id", "epoch"]].assign(
        **{part: metric.scale * metric.of(epochs, part) for part in ("val", "test")}
    )
    known = known.dropna().sort_values(["trial_id", "epoch"], ignore_index=True)
    runs = known.groupby("trial_id")
    chosen = known.loc[runs["val"].idxmax()].set_index("trial_id")["test"]
    optimism = runs["test"].max() - chosen
    if not metric.is_percent or optimism.empty or optimism.mean() < rules.OPTIMISM:
        return
    yield note(
        "best-epoch",
        f"choosing each run's epoch on the test set would add {optimism.mean():.2f} points on "
        f"average ({optimism.max():.2f} at most) to choosing on validation",
        "nothing: the report uses the final epoch; keep this in mind against other papers",
    )
