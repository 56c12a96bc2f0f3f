"""What may be said of what a run or a study may cost."""

import pytest

from orchestrator.errors import StudyError
from orchestrator.study.budget import parse_budget


@pytest.mark.parametrize(
    ("text", "bare", "amount", "unit"),
    [
        ("3h", "money", 3.0, "clock"),
        (" 90 min ", "clock", 1.5, "clock"),
        ("2d", "money", 48.0, "clock"),
        ("20gpu-hours", "money", 20.0, "gpu"),
        ("0.5 CPU-hours", "money", 0.5, "cpu"),
        ("50", "money", 50.0, "money"),
        ("2", "clock", 2.0, "clock"),
        ("1e-6", "clock", 1e-6, "clock"),
    ],
)
def test_amounts(text: str, bare: str, amount: float, unit: str) -> None:
    budget = parse_budget(text, bare=bare)
    assert (budget.amount, budget.unit, budget.text) == (amount, unit, text.strip())


@pytest.mark.parametrize("text", ["", "h", "0h", "-1h", "3weeks", "1.2.3", "1e999", "nan"])
def test_refusals(text: str) -> None:
    with pytest.raises(StudyError, match=r"--budget .*: valid are 3h, 90min, .*currency of prices"):
        parse_budget(text, bare="money")
