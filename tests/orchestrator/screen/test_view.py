"""How far a study is, as people read it, at any width."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from studies import drawn, run, searched, study, trial_row

from orchestrator.plan.plan import plan_study
from orchestrator.screen.plan_text import cells_table, print_plan
from orchestrator.screen.view import (
    seconds_left,
    slots_busy,
    slots_of,
    split_levels,
    summary,
    titled,
    view_of,
)
from results.store.store import Store

FACTORS = ["model", "weights", "fraction"]


def test_a_cell_counts_its_wanted_trials() -> None:
    rows = [
        trial_row(seed=0, latest_val_accuracy=0.6),
        trial_row(seed=1, latest_val_accuracy=0.8),
        trial_row(seed=2, status="running", epochs_done=1, latest_val_accuracy=0.9),
        trial_row(seed=3, wanted=False, latest_val_accuracy=0.1),
    ]
    (cell,) = view_of(rows, FACTORS).cells.values()
    assert cell.counts == {"completed": 2, "running": 1}
    assert (cell.epochs_done, cell.epochs_asked) == (7, 9)
    # The mean of what is measured and complete.
    assert (cell.accuracy, cell.is_measured) == (pytest.approx(0.7), True)
    assert cell.state == "running"


def test_what_was_stopped_asks_for_no_more() -> None:
    rows = [
        trial_row(measured=False, latest_val_accuracy=0.6),
        trial_row(measured=False, status="stopped", epochs_done=1, latest_val_accuracy=0.2),
        trial_row(
            measured=False, status="failed", epochs_done=0, latest_val_accuracy=None, error="x"
        ),
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
    view = view_of([trial_row(epochs_done=5, epochs_budget=3)], FACTORS)
    assert (view.total("epochs_done"), view.total("epochs_asked")) == (3, 3)


def test_a_study_without_trials() -> None:
    view = view_of([], FACTORS)
    assert view.share_done == 0
    assert summary(view) == "0 %"
    assert seconds_left([]) is None


def test_slots_are_busy_while_trials_hold_them() -> None:
    def at(slot: int, begun: int, ended: int | None) -> dict[str, Any]:
        times = {
            name: None if second is None else datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)
            for name, second in (("started_at", begun), ("ended_at", ended))
        }
        return trial_row(slot=slot, host="here", **times)

    assert slots_busy([]) is None
    assert slots_busy([at(0, 0, 10), at(1, 0, 5)]) == pytest.approx(0.75)
    # One that runs counts up to what is known.
    rows = [at(0, 0, 10), at(1, 2, None)]
    assert slots_busy(rows) == pytest.approx(0.9)
    shown = summary(view_of(rows, FACTORS), 5.0, slots_busy(rows))
    assert shown.endswith(", slots 90 % busy, about 5 s left")


def test_rows_and_columns() -> None:
    rows = [trial_row(model, fraction) for model in ("b", "a") for fraction in (1.0, 1 / 16, 0.5)]
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


# The plan.


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


# Slots and time.


def test_what_runs_where() -> None:
    rows = [
        trial_row("b", status="running", slot=1, seed=0, epochs_done=2, lr=1e-3, trial_id="t1"),
        trial_row("a", status="running", slot=0, seed=4, epochs_done=0, lr=3e-4, trial_id="t0"),
        trial_row("a", status="running", slot=2, seed=5, lr=3e-4, trial_id="t2", wanted=False),
        trial_row("a", seed=1, lr=1e-3, trial_id="t3"),
    ]
    first, second = slots_of(rows, {"t1": (900.0, 2**30)}, view_of(rows, FACTORS), FACTORS, ["lr"])
    assert (first.slot, first.trial.replace("\xa0", " ")) == (0, "a × 1, lr 0.0003, seed 4")
    assert (first.images_per_second, first.memory_bytes) == (None, None)
    assert (second.slot, second.trial.replace("\xa0", " ")) == (1, "b × 1, lr 0.001, seed 0")
    assert (second.epochs_done, second.epochs_budget) == (2, 3)
    assert (second.images_per_second, second.memory_bytes) == (900.0, 2**30)


def test_the_time_that_is_left() -> None:
    ended = trial_row(seconds=30.0)
    assert seconds_left([ended]) is None
    # An interval of this cell takes 10 s: two are left of the running trial, three of the other.
    running = trial_row(seconds=10.0, status="running", epochs_done=1)
    planned = trial_row(seconds=None, status="planned", epochs_done=0)
    assert seconds_left([ended, running, planned]) == pytest.approx(50)
    # Two at once need half as long.
    assert seconds_left([ended, running, running]) == pytest.approx(20)
    # Of another cell nothing is known but that it has half the images.
    other = trial_row("b", fraction=0.5, seconds=None, status="planned", epochs_done=0)
    assert seconds_left([ended, running, other]) == pytest.approx(20 + 3 * 5)
    assert seconds_left([running, trial_row(status="stopped", epochs_done=1, seconds=10.0)]) == 20
