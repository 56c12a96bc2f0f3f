"""What stands against a comparison: where, how much it weighs, what was seen, what to do."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pandas as pd

from results.analysis.cells import records_of


class Severity(StrEnum):
    """How much a finding weighs."""

    ERROR = "error"
    """A comparison is wrong, or misses something that was asked for."""
    WARNING = "warning"
    """A comparison may mislead."""
    NOTE = "note"
    """To know when reading."""

    @property
    def rank(self) -> int:
        """Place in a list that has the gravest first."""
        return list(Severity).index(self)


@dataclass(frozen=True)
class Finding:
    """What stands against a comparison.

    Parameters
    ----------
    code
        Stable name of its kind, such as `under-trained`.
    severity
        How much it weighs.
    cell
        The cell as charts write it; empty where it is about the whole study.
    evidence
        What was seen, with numbers.
    advice
        What to do; empty where nothing can be done.
    """

    code: str
    severity: Severity
    cell: str
    evidence: str
    advice: str

    def __str__(self) -> str:
        """Return evidence and advice, where there is one, as one sentence."""
        return "; ".join(filter(None, (self.evidence, self.advice))) + "."


COLUMNS = ("severity", "code", "cell", "evidence", "advice")


def findings_frame(findings: Iterable[Finding]) -> pd.DataFrame:
    """Return findings as a frame, the gravest first and kinds together; columns as `COLUMNS`."""
    ranked = sorted(findings, key=lambda f: (f.severity.rank, f.code, f.cell))
    rows = [{name: getattr(finding, name) for name in COLUMNS} for finding in ranked]
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype="str")


def by_severity(findings: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of `findings_frame` by their severity, the gravest first."""
    return {str(kind): records_of(own) for kind, own in findings.groupby("severity", sort=False)}
