"""What intervals at nominal 95 % covered in simulated studies; see docs/statistics.md.

`python benchmarks/coverage.py` measures them again, and a test holds the two together.
"""

from enum import StrEnum


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
"""Least and most, in percent, over the simulated designs."""


def coverage_note(kind: Interval) -> str:
    """Return what to print beside an interval."""
    least, most = MEASURED[kind]
    return f"such intervals held the truth in {least} to {most} % of simulated studies"
