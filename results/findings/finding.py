"""What stands against a comparison: where, how much it weighs, what was seen, what to do."""

from dataclasses import dataclass
from enum import StrEnum
from functools import partial


class Severity(StrEnum):
    """How much a finding weighs, the gravest first."""

    ERROR = "error"
    """A comparison is wrong, or misses something that was asked for."""
    WARNING = "warning"
    """A comparison may mislead."""
    NOTE = "note"
    """To know when reading."""


@dataclass(frozen=True)
class Finding:
    """What stands against a comparison."""

    severity: Severity
    code: str
    """Stable name of its kind, such as `under-trained`."""
    evidence: str
    advice: str = ""
    """What to do; empty where nothing can be done."""
    cell: str = ""
    """The cell as charts write it; empty where it is about the whole study."""

    def __str__(self) -> str:
        """Return evidence and advice, where there is one, as one sentence."""
        return "; ".join(filter(None, (self.evidence, self.advice))) + "."


error, warning, note = (partial(Finding, severity) for severity in Severity)
