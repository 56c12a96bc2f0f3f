"""What `plan` prints, at any width."""

from pathlib import Path

import pytest
from rich.table import Table
from studies import drawn, run, searched, study

from orchestrator.plan.plan import plan_study
from orchestrator.plan.price import price_study
from orchestrator.screen.plan_text import cells_table, grave, print_plan, steps_table
from orchestrator.study.study import Study
from results.answer.levers import Step
from results.findings.finding import Finding, Severity
from results.findings.findings import findings_frame


def table_of(declared: Study, folder: Path) -> Table:
    planned = plan_study(declared, folder)
    return cells_table(planned, price_study(planned.ledger))


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_plan_fits(width: int, tmp_path: Path) -> None:
    declared = study(
        factors={
            "model": ["resnet18", "resnet50"],
            "weights": ["none", "IMAGENET1K_V1"],
            "fraction": ["1/16", 1],
        }
    )
    lines = drawn(table_of(declared, tmp_path), width)
    assert all(len(line) <= width for line in lines)
    if width >= 80:
        assert sum("resnet50" in line and "IMAGENET1K_V1" in line for line in lines) == 2
        # New, not searched: what would be the same number everywhere is left out.
        columns = ["model", "weights", "fraction", "images", "trials", "CPU", "time"]
        assert lines[2].split()[:7] == columns


def test_the_plan_of_the_demo_keeps_its_models_at_80_columns(tmp_path: Path) -> None:
    declared = searched(
        factors={
            "model": ["small", "large"],
            "weights": ["none", "characters"],
            "fraction": ["1/128", "3/128"],
        },
    )
    lines = drawn(table_of(declared, tmp_path), 80)
    assert lines[2].split()[:3] == ["model", "weights", "fraction"]
    assert sum(line.split()[:2] == ["large", "characters"] for line in lines) == 2


def test_the_plan_shows_what_differs(tmp_path: Path) -> None:
    declared = searched(early_stopping="none")
    run(declared, tmp_path)
    lines = drawn(table_of(declared, tmp_path), 80)
    assert lines[0] == "small · weights none · 9 recipes a cell"
    assert lines[2].split() == ["model", "fraction", "images", "trials", "reused"]
    assert lines[4].split() == ["a", "1/16", "2813", "10", "10"]
    more = searched(early_stopping="none", seeds=[0, 1, 2], recipe={"epochs": 10})
    lines = drawn(table_of(more, tmp_path), 120)
    columns = ["model", "fraction", "images", "trials", "new", "continued"]
    assert lines[2].split()[:6] == columns


def test_the_plan_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(study(), tmp_path / "run")
    declared = study(factors={"model": ["a"]}, seeds=[0, 1, 2])
    planned = plan_study(declared, tmp_path / "run")
    print_plan(planned, price_study(planned.ledger), "scalestudy run s.yaml")
    words = " ".join(capsys.readouterr().out.split())
    assert "3 trials wanted: 1 new, 2 reused; 6 recorded no longer wanted, and kept." in words
    assert "next: scalestudy run s.yaml" in words


def test_errors_of_a_kind_are_one_sentence() -> None:
    def of(code: str, severity: Severity, cell: str) -> Finding:
        return Finding(severity, code, f"{code} seen", "mend it", cell)

    findings = findings_frame(
        [
            of("diverged", Severity.ERROR, "a × 1"),
            of("diverged", Severity.ERROR, "b × 1"),
            of("leak", Severity.ERROR, ""),
            of("missing-cell", Severity.ERROR, "c"),
            of("few-steps", Severity.WARNING, "a × 1"),
        ]
    )
    assert grave(findings) == [
        "a × 1: diverged seen (and 1 more like it): mend it",
        "leak seen: mend it",
    ]


def test_a_step_is_a_row_with_what_is_known_of_it() -> None:
    steps = [
        Step("b instead of a", "+4.3", "+2.0 to +6.7", True, False, "", "94 %"),
        Step("twice the data", "+0.9", "−0.9 to +2.9", False, True, "40 more labels", "6 %"),
        Step("the recipe lr 1 instead of lr 2", "−1.0", "", False, False, "", ""),
    ]
    lines = [" ".join(line.split()) for line in drawn(steps_table(steps), 80)]
    assert "b instead of a +4.3 +2.0 to +6.7 yes 94 %" in lines
    assert "twice the data, forecast +0.9 −0.9 to +2.9 no 6 %" in lines
    assert "the recipe lr 1 instead of lr 2 −1.0 no ± no –" in lines
