"""Rows in memory: what counts as a change, and that a forecast leaves them as they are."""

import math
from datetime import UTC, datetime
from pathlib import Path

from studies import a_ledger, run, searched, study, trials

from orchestrator.ledger.history import History
from orchestrator.ledger.rows import Rows
from orchestrator.placement.shares import Share
from orchestrator.plan.paces import durations_here
from orchestrator.plan.schedule import Forecast
from orchestrator.run.recorder import Recorder
from results.store.store import Store


def test_the_same_values_are_no_change(tmp_path: Path) -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    values = {"status": "completed", "final_val_loss": math.nan, "started_at": now, "cpu": 1.0}
    first = Rows(History(Store(tmp_path)))
    first.update("a", values)
    assert first.changed() == ["a"]
    Recorder(Store(tmp_path), first, "one").flush(force=True)
    assert first.changed() == []
    # Read back from disk, NaN among them.
    second = Rows(History(Store(tmp_path)))
    second.update("a", values)
    assert second.changed() == []
    second.update("b", {"status": "planned"})
    second.update("a", {"status": "running"})
    assert second.changed() == ["b", "a"]
    # There and back again between two writes.
    second.update("a", {"status": "completed"})
    assert second.changed() == ["b"]


def test_a_row_is_replaced_and_never_changed(tmp_path: Path) -> None:
    rows = Rows(History(Store(tmp_path)))
    rows.update("a", {"status": "planned"})
    before = rows["a"]
    rows.update("a", {"status": "running"})
    assert before == {"trial_id": "a", "status": "planned"}
    assert rows["a"]["status"] == "running"


def test_a_forecast_leaves_its_ledger_as_it_is(tmp_path: Path) -> None:
    run(searched(), tmp_path)
    declared = searched(search={"lr": [1e-2, 1e-3, 1e-4, 2e-3], "batch_size": [32, 128, 256]})
    ledger = a_ledger(declared, tmp_path)
    left, wanted = len(ledger.left()), len(ledger.stages.wanted)
    before = {trial_id: ledger.rows[trial_id] for trial_id in ledger.rows}
    forecast = Forecast(ledger, durations_here(ledger), Share(1.0, 0.0))
    first, second = (forecast.on(2) for _ in range(2))
    assert first == second
    assert len(first.stays) > left > 0
    assert len(first.wanted) > wanted
    assert len(ledger.left()) == left
    assert len(ledger.stages.wanted) == wanted
    assert {trial_id: ledger.rows[trial_id] for trial_id in ledger.rows} == before
    assert all(cell.winner is None for cell in ledger.stages.cells)
    run(declared, tmp_path)
    assert set(trials(tmp_path).status) == {"completed", "stopped"}


def test_a_state_says_what_records_mean(tmp_path: Path) -> None:
    run(study(), tmp_path)
    ledger = a_ledger(study(recipe={"epochs": 5}, seeds=[0, 2]), tmp_path)
    states = [ledger.state(trial_id) for trial_id in ledger.stages.wanted]
    assert states == ["continued", "new"] * 4
    assert len(ledger.orphaned()) == 4
