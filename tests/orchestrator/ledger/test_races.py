"""Recorded stops under the rule as it is now."""

from pathlib import Path
from typing import Any

from orchestrator.plan.plan import plan_study
from orchestrator.run.runner import run_study
from orchestrator.study.study import study_from
from results.store.store import Store

SEARCH: dict[str, Any] = {
    "name": "races",
    "trainable": "simulated",
    "factors": {"model": ["a", "b"], "fraction": ["1/4", 1]},
    "recipe": {"epochs": 9},
    "search": {"lr": ["1e-2", "1e-3", "1e-4"], "batch_size": [32, 64, 256]},
    "seeds": [0, 1],
}


def stops(out: Path) -> list[int]:
    trials = Store(out).read("trials").to_pandas()
    return trials[trials.status == "stopped"].stopped_at_epoch.astype(int).tolist()


def test_stops_where_the_rule_has_no_rung_any_more_do_not_stand(tmp_path: Path) -> None:
    early = study_from({**SEARCH, "early_stopping": {"grace": 1}})
    run_study(early, tmp_path, address="none")
    at_first = stops(tmp_path).count(1)
    assert at_first > 0
    assert plan_study(early, tmp_path).trials["continued"] == 0
    late = study_from({**SEARCH, "early_stopping": {"grace": 3}})
    assert plan_study(late, tmp_path).trials["continued"] == at_first
    run_study(late, tmp_path, address="none")
    assert set(stops(tmp_path)) <= {3}


def test_plan_counts_what_a_larger_budget_stops_at_once(tmp_path: Path) -> None:
    short = {**SEARCH, "recipe": {"epochs": 3}}
    run_study(study_from(short), tmp_path, address="none")
    longer = study_from(SEARCH)
    planned = plan_study(longer, tmp_path).trials["continued"]
    epochs = Store(tmp_path).read("epochs").to_pandas()
    before = set(epochs.trial_id[epochs.epoch > 3])
    run_study(longer, tmp_path, address="none")
    epochs = Store(tmp_path).read("epochs").to_pandas()
    search = epochs[(epochs.stage == "search") & (epochs.epoch > 3)]
    assert not before
    assert planned == search.trial_id.nunique()
