"""How far a study is, as people read it, at any width."""

import math
from pathlib import Path
from typing import Any

import pytest
from studies import run, searched, trial_row

from orchestrator.screen.picture import summary, titled
from orchestrator.screen.snapshot import Snapshot, snapshot, snapshot_of
from results.phrases import split_levels
from results.store.store import Store

FACTORS = ["model", "weights", "fraction"]


def view_of(*rows: dict[str, Any]) -> Snapshot:
    return snapshot_of("demo", rows, FACTORS)


def test_a_cell_counts_its_wanted_trials() -> None:
    rows = [
        trial_row(seed=0, latest_val_accuracy=0.6),
        trial_row(seed=1, latest_val_accuracy=0.8),
        trial_row(seed=2, status="running", epochs_done=1, latest_val_accuracy=0.9),
        trial_row(seed=3, wanted=False, latest_val_accuracy=0.1),
    ]
    (cell,) = view_of(*rows).cells
    assert cell.counts == {"completed": 2, "running": 1}
    assert (cell.epochs_done, cell.epochs_asked) == (7, 9)
    # The mean of what is measured and complete.
    assert (cell.value, cell.is_measured) == (pytest.approx(0.7), True)
    assert cell.state == "running"


def test_what_is_no_number_is_never_best() -> None:
    values = [math.nan, 0.6, math.nan, 0.7, None]
    rows = [trial_row(measured=False, latest_val_accuracy=value) for value in values]
    (cell,) = view_of(*rows).cells
    assert (cell.best, cell.value, cell.is_measured) == (0.7, 0.7, False)
    (diverged,) = view_of(trial_row(latest_val_accuracy=math.nan)).cells
    assert (diverged.best, diverged.value, diverged.is_measured) == (None, None, False)


def test_what_was_stopped_asks_for_no_more() -> None:
    rows = [
        trial_row(measured=False, latest_val_accuracy=0.6),
        trial_row(measured=False, status="stopped", epochs_done=1, latest_val_accuracy=0.2),
        trial_row(
            measured=False, status="failed", epochs_done=0, latest_val_accuracy=None, error="x"
        ),
    ]
    view = view_of(*rows)
    (cell,) = view.cells
    assert (cell.epochs_done, cell.epochs_asked, cell.saved) == (4, 4, 2)
    # Nothing is measured yet: the best so far.
    assert (cell.value, cell.is_measured) == (0.6, False)
    assert (cell.state, cell.errors) == ("failed", ["x"])
    assert view.total.share_done == 1.0
    assert summary(view) == "100 %, 1 completed, 1 stopped, 1 failed, 2 epochs saved by stopping"


def test_epochs_beyond_the_budget_are_not_counted() -> None:
    view = view_of(trial_row(epochs_done=5, epochs_budget=3))
    assert (view.total.epochs_done, view.total.epochs_asked) == (3, 3)


def test_a_study_without_trials() -> None:
    view = view_of()
    assert view.total.share_done == 0
    assert summary(view) == "0 %"
    assert view.seconds_left is None


def test_cells_are_in_order() -> None:
    rows = [trial_row(model, fraction) for model in ("b", "a") for fraction in (1.0, 1 / 16, 0.5)]
    view = view_of(*rows)
    # Models in the study's order, amounts of data from few to many.
    assert view.factors == ["model", "fraction"]
    shares = ["1/16", "1/2", "1"]
    assert [cell.labels for cell in view.cells] == [[m, n] for m in "ba" for n in shares]
    assert view.cells[1].name == "b × none × 1/2"
    assert view.common == {"weights": "none"}


def test_levels_that_are_alike_in_all_cells_go_into_the_title() -> None:
    cells = [
        {"model": "1", "lr": 0.1, "optimizer": "p"},
        {"model": "2", "lr": 0.1, "optimizer": "q"},
    ]
    assert split_levels([*cells[0]], cells) == (["model", "optimizer"], {"lr": "0.1"})
    assert split_levels(["model", "lr"], cells[:1]) == (["model"], {"lr": "0.1"})
    assert titled("name", {}) == "name"
    assert titled("name", {"b": "x", "c": "y"}) == "name · b x, c y"


def test_a_recorded_study_is_seen(tmp_path: Path) -> None:
    run(searched(), tmp_path)
    seen = snapshot(Store(tmp_path))
    assert (seen.name, seen.total.share_done) == ("small", 1.0)
    assert all(cell.is_measured and cell.state == "completed" for cell in seen.cells)
    assert seen.total.saved > 0


# Slots and time.


def test_what_runs_where() -> None:
    rows = [
        trial_row("b", status="running", slot=1, seed=0, epochs_done=2, lr=1e-3, trial_id="t1"),
        trial_row("a", status="running", slot=0, seed=4, epochs_done=0, lr=3e-4, trial_id="t0"),
        trial_row("a", status="running", slot=2, seed=5, lr=3e-4, trial_id="t2", wanted=False),
        trial_row("a", seed=1, lr=1e-3, trial_id="t3"),
    ]
    first, second = snapshot_of("demo", rows, FACTORS, ["lr"]).slots
    assert (first.slot, first.trial.replace("\xa0", " ")) == (0, "a × 1, lr 0.0003, seed 4")
    assert (second.slot, second.trial.replace("\xa0", " ")) == (1, "b × 1, lr 0.001, seed 0")
    assert (second.epochs_done, second.epochs_budget) == (2, 3)


def test_the_time_that_is_left() -> None:
    ended = trial_row(seconds=30.0)
    assert view_of(ended).seconds_left is None
    # An interval of this cell takes 10 s: two are left of the running trial, three of the other.
    running = trial_row(seconds=10.0, status="running", epochs_done=1)
    planned = trial_row(seconds=None, status="planned", epochs_done=0)
    assert view_of(ended, running, planned).seconds_left == pytest.approx(50)
    # Two at once need half as long.
    assert view_of(ended, running, running).seconds_left == pytest.approx(20)
    # Of another cell nothing is known but that it has half the images.
    other = trial_row("b", fraction=0.5, seconds=None, status="planned", epochs_done=0)
    assert view_of(ended, running, other).seconds_left == pytest.approx(20 + 3 * 5)
    stopped = trial_row(status="stopped", epochs_done=1, seconds=10.0)
    assert view_of(running, stopped).seconds_left == 20
