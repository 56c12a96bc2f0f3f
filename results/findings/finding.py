"""What stands against a comparison: where, how much it weighs, what was seen, what to do."""

from dataclasses import dataclass
from enum import StrEnum


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
