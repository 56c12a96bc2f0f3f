"""How far a study is, as people read it, at any width."""

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from studies import run, searched, study

from orchestrator.plan import plan_study
from orchestrator.plan_text import cells_table, print_plan
from orchestrator.view import (
    CellsTable,
    CellView,
    StudyView,
    duration,
    fraction_label,
    overall,
    split_levels,
    summary,
    titled,
    view_of,
)
from results.store import Store

FACTORS = ["model", "weights", "fraction"]


def trial(model: str = "a", fraction: float = 1.0, **values: Any) -> dict[str, Any]:
    return {
        "model": model,
        "weights": "none",
        "fraction": fraction,
        "n_train": round(45_000 * fraction),
        "wanted": True,
        "measured": True,
        "status": "completed",
        "epochs_done": 3,
        "epochs_budget": 3,
        "latest_val_accuracy": 0.5,
        "error": None,
        **values,
    }


def drawn(renderable: Any, width: int) -> list[str]:
    console = Console(width=width, force_terminal=False, color_system=None)
    with console.capture() as capture:
        console.print(renderable)
    return [line.rstrip() for line in capture.get().splitlines()]


# Numbers.


def test_a_cell_counts_its_wanted_trials() -> None:
    rows = [
        trial(seed=0, latest_val_accuracy=0.6),
        trial(seed=1, latest_val_accuracy=0.8),
        trial(seed=2, status="running", epochs_done=1, latest_val_accuracy=0.9),
        trial(seed=3, wanted=False, latest_val_accuracy=0.1),
    ]
    (cell,) = view_of(rows, FACTORS).cells.values()
    assert cell.counts == {"completed": 2, "running": 1}
    assert (cell.epochs_done, cell.epochs_asked) == (7, 9)
    # The mean of what is measured and complete.
    assert (cell.accuracy, cell.is_measured) == (pytest.approx(0.7), True)
    assert cell.state == "running"


def test_what_was_stopped_asks_for_no_more() -> None:
    rows = [
        trial(measured=False, latest_val_accuracy=0.6),
        trial(measured=False, status="stopped", epochs_done=1, latest_val_accuracy=0.2),
        trial(measured=False, status="failed", epochs_done=0, latest_val_accuracy=None, error="x"),
    ]
    view = view_of(rows, FACTORS)
    (cell,) = view.cells.values()
    assert (cell.epochs_done, cell.epochs_asked, cell.saved) == (4, 4, 2)
    # Nothing is measured yet: the best so far.
    assert (cell.accuracy, cell.is_measured) == (0.6, False)
    assert (cell.state, cell.errors) == ("failed", ["x"])
    assert view.share_done == 1.0
    assert summary(view) == "100 %, 1 completed, 1 stopped, 1 failed, 2 epochs saved by stopping"


def test_epochs_beyond_the_budget_are_not_counted() -> None:
    view = view_of([trial(epochs_done=5, epochs_budget=3)], FACTORS)
    assert (view.total("epochs_done"), view.total("epochs_asked")) == (3, 3)


def test_a_study_without_trials() -> None:
    view = view_of([], FACTORS)
    assert view.share_done == 0
    assert summary(view) == "0 %"
    assert drawn(CellsTable(view, "empty"), 80)[0] == "empty"


def test_rows_and_columns() -> None:
    rows = [trial(model, fraction) for model in ("b", "a") for fraction in (1.0, 1 / 16, 0.5)]
    view = view_of(rows, FACTORS)
    # Models in the study's order, amounts of data from few to many.
    assert view.rows == ["b × none", "a × none"]
    assert view.columns == ["1/16", "1/2", "1"]
    assert view.short == {"b × none": "b", "a × none": "a"}
    assert view.common == {"weights": "none"}


def test_levels_that_are_alike_in_all_cells_go_into_the_title() -> None:
    assert split_levels(["a", "b", "c"], [["1", "x", "p"], ["2", "x", "q"]]) == ([0, 2], {"b": "x"})
    assert split_levels(["a", "b"], [["1", "x"]]) == ([0], {"b": "x"})
    assert titled("name", {}) == "name"
    assert titled("name", {"b": "x", "c": "y"}) == "name · b x, c y"


@pytest.mark.parametrize(
    ("share", "label"),
    [
        (1.0, "1"),
        (0.5, "1/2"),
        (1 / 3, "1/3"),
        (1 / 64, "1/64"),
        (500 / 45_000, "1/90"),
        (0.75, "33750 images"),
        (501 / 45_000, "501 images"),
    ],
)
def test_amounts_of_data(share: float, label: str) -> None:
    assert fraction_label(share, round(45_000 * share)) == label


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (89, "89 s"),
        (90, "2 min"),
        (5000, "83 min"),
        (5400, "1.5 h"),
        (90_000, "25.0 h"),
    ],
)
def test_times(seconds: float, said: str) -> None:
    assert duration(seconds) == said


# Pictures.


def view(models: int = 2, fractions: tuple[float, ...] = (1 / 16, 1 / 2, 1.0)) -> StudyView:
    rows = [
        trial(f"resnet{number}", fraction, weights=weights)
        for number in range(models)
        for weights in ("none", "cifar100")
        for fraction in fractions
    ]
    return view_of(rows, FACTORS)


def test_the_wide_table() -> None:
    assert drawn(CellsTable(view(), "demo"), 80) == [
        "demo",
        "",
        " cell                        1/16           1/2             1",
        " " + "─" * 60,
        " resnet0 × none      50.0 % 1/1 ✓  50.0 % 1/1 ✓  50.0 % 1/1 ✓",
        " resnet0 × cifar100  50.0 % 1/1 ✓  50.0 % 1/1 ✓  50.0 % 1/1 ✓",
        " resnet1 × none      50.0 % 1/1 ✓  50.0 % 1/1 ✓  50.0 % 1/1 ✓",
        " resnet1 × cifar100  50.0 % 1/1 ✓  50.0 % 1/1 ✓  50.0 % 1/1 ✓",
        "",
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize(
    "fractions", [(1.0,), (1 / 16, 1 / 2, 1.0), (*(2.0**-n for n in range(9)),)]
)
def test_every_cell_fits_at_every_width(width: int, fractions: tuple[float, ...]) -> None:
    shown = view(fractions=fractions)
    lines = drawn(CellsTable(shown, "demo"), width)
    assert all(len(line) <= width for line in lines)
    # No value is ever folded or cut: one per cell, wide or tall.
    assert sum(line.count("50.0 % 1/1 ✓") for line in lines) == 4 * len(fractions)
    if width >= 60:
        assert sum(line.count("resnet1 × cifar100") for line in lines) in (1, len(fractions))


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, "·"),
        (CellView({"planned": 3}), "–   0/3"),
        (CellView({"completed": 3}, accuracy=0.812, is_measured=True), "81.2 % 3/3 ✓"),
        (CellView({"completed": 1, "stopped": 2}, accuracy=0.812), "(81.2 %) 3/3 ✓"),
        (
            CellView({"running": 1, "planned": 1}, epochs_done=1, epochs_asked=4, accuracy=0.5),
            "(50.0 %) 0/2 25%",
        ),
        (CellView({"failed": 2, "completed": 1}, accuracy=0.5), "(50.0 %) 1/3 ✗2"),
    ],
)
def test_what_a_cell_says(cell: CellView | None, text: str) -> None:
    cells = {} if cell is None else {("a", "1"): cell}
    shown = StudyView(["a"], ["1"], cells, {"a": "a"})
    assert drawn(CellsTable(shown), 80)[-2].removeprefix(" a").strip() == text


def test_names_with_brackets_are_no_markup() -> None:
    shown = view_of([trial("[bold]a[/]")], ["model", "fraction"])
    assert "[bold]a[/]" in drawn(CellsTable(shown, "[red]name[/]"), 80)[-2]
    assert drawn(CellsTable(shown, "[red]name[/]"), 80)[0] == "[red]name[/]"


def test_the_line_below() -> None:
    lines = drawn(overall(view(), 100.0, ["starting Ray"]), 80)
    assert "100 %, 12 completed, about 2 min left" in lines[0]
    assert lines[1] == "starting Ray"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_plan_fits(width: int, tmp_path: Path) -> None:
    declared = study(
        factors={
            "model": ["resnet18", "resnet50"],
            "weights": ["none", "IMAGENET1K_V1"],
            "fraction": ["1/16", 1],
        }
    )
    lines = drawn(cells_table(plan_study(declared, tmp_path)), width)
    assert all(len(line) <= width for line in lines)
    assert sum("resnet50 × IMAGENET1K_V1 × " in line for line in lines) == 2
    # New, not searched: what would be the same number everywhere is left out.
    assert lines[2].split() == ["cell", "images", "trials"]


def test_the_plan_shows_what_differs(tmp_path: Path) -> None:
    declared = searched(early_stopping="none")
    run(declared, tmp_path)
    lines = drawn(cells_table(plan_study(declared, tmp_path)), 80)
    assert lines[0] == "small · weights none"
    assert lines[2].split() == ["cell", "images", "recipes", "trials", "reused"]
    assert lines[4].split() == ["a", "×", "1/16", "2813", "9", "10", "10"]
    more = searched(early_stopping="none", seeds=[0, 1, 2], recipe={"epochs": 10})
    lines = drawn(cells_table(plan_study(more, tmp_path)), 80)
    assert lines[2].split() == ["cell", "images", "recipes", "trials", "new", "continued"]


def test_the_plan_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(study(), tmp_path / "run")
    declared = study(factors={"model": ["a"]}, seeds=[0, 1, 2])
    print_plan(plan_study(declared, tmp_path / "run"), "scalestudy run s.yaml")
    words = " ".join(capsys.readouterr().out.split())
    assert "3 trials wanted: 1 new, 2 reused; 6 recorded no longer wanted, and kept." in words
    assert "next: scalestudy run s.yaml" in words


def test_a_recorded_study_is_seen(tmp_path: Path) -> None:
    run(searched(), tmp_path)
    seen = view_of(Store(tmp_path).read("trials").to_pylist(), FACTORS)
    assert seen.share_done == 1.0
    assert all(cell.is_measured and cell.state == "completed" for cell in seen.cells.values())
    assert seen.total("saved") > 0
