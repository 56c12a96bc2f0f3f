"""All findings of a study, and findings as a frame. Severities, codes: see docs/statistics.md."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from results.analysis.analysis import Analysis
from results.analysis.runs import records_of
from results.findings import evidence, fairness, symptoms
from results.findings.finding import Finding, Severity

COLUMNS = ("severity", "code", "cell", "evidence", "advice")


def find(study: Analysis) -> pd.DataFrame:
    """Return all in a study's records that stands against its comparisons, the gravest first.

    Text: `severity` (error, warning, note), `code`, `cell` (or empty), `evidence`, `advice`.
    """
    rules = (*evidence.RULES, *symptoms.RULES, *fairness.RULES)
    return findings_frame(finding for rule in rules for finding in rule(study))


def findings_frame(findings: Iterable[Finding]) -> pd.DataFrame:
    """Return findings as a frame, the gravest first and kinds together; columns as `COLUMNS`."""
    order = [*Severity]
    ranked = sorted(findings, key=lambda f: (order.index(f.severity), f.code, f.cell))
    rows = [{name: getattr(finding, name) for name in COLUMNS} for finding in ranked]
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype="str")


def by_severity(findings: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of a frame of findings by their severity, the gravest first."""
    return {str(kind): records_of(own) for kind, own in findings.groupby("severity", sort=False)}
