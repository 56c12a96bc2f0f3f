"""What a pass records of its own price."""

import json
from pathlib import Path

import pytest
from studies import a_ledger, run, study

import results
from orchestrator.plan.plan import plan_study
from orchestrator.plan.price import price_study
from orchestrator.study.study import study_from
from results.records import ENVIRONMENT_SCHEMA
from results.store.store import Store

TINY = {
    "name": "tiny",
    "factors": {"model": ["shufflenet_v2_x0_5"], "fraction": [64, 128]},
    "recipe": {"epochs": 1, "batch_size": 32},
    "seeds": [0],
}


def test_a_run_records_what_it_is_expected_to_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No pace that another test measured.
    monkeypatch.setenv("SCALESTUDY_CACHE", str(tmp_path / "cache"))
    tmp_path = tmp_path / "run"
    run(study_from(TINY), tmp_path)
    longer = study_from({**TINY, "recipe": {"epochs": 3, "batch_size": 32}})
    run(longer, tmp_path)
    recorded = results.open(tmp_path)
    texts = list(recorded.environments()["forecast"])
    first, second = map(json.loads, texts)
    assert (first["trials"], first["epochs"], first["slots"]) == (2, 2, 1)
    assert first["basis"].keys() == {"FLOPs"}
    # The second pass knows the first, and trains what it lacks.
    assert (second["trials"], second["epochs"]) == (2, 4)
    assert second["basis"].keys() == {"recorded trials"}
    assert second["low"] < second["seconds"] < second["high"]


def test_a_simulation_has_no_time_to_predict(tmp_path: Path) -> None:
    run(study(), tmp_path)
    recorded = results.open(tmp_path)
    assert recorded.environments()["forecast"].isna().all()


def test_records_of_earlier_versions_have_none(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    run(study(), tmp_path)
    (part,) = Store(tmp_path).parts("environments")
    table = pq.read_table(part).drop_columns(["forecast"])
    pq.write_table(table, part)
    assert "forecast" in ENVIRONMENT_SCHEMA.names
    assert results.open(tmp_path).environments()["forecast"].isna().all()


@pytest.mark.parametrize("most", [2_000, 3])
def test_very_many_trials_do_not_wait_for_it(
    most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.placement.shares import Node, Share
    from orchestrator.plan import price
    from orchestrator.plan.paces import durations_here

    monkeypatch.setattr(price, "_MOST_PREDICTED", most)
    ledger = a_ledger(study_from({**TINY, "seeds": [0, 1]}), tmp_path / "run")
    shares = [Share(1.0, 0.0) for _ in ledger.left()]
    nodes = [Node("here", 4.0, 0.0)]
    durations = durations_here(ledger)
    text = price.predict(ledger, durations, shares, nodes, None)
    assert (text is None) == (most < 4)
    if text:
        assert json.loads(text)["slots"] == 4
        # Where nothing fits yet, nodes may join.
        small = [Node("small", 0.5, 0.0)]
        assert price.predict(ledger, durations, shares, small, None) is None
    assert not (tmp_path / "run").exists()


def test_a_trainable_that_does_not_say_how_fast_it_is_can_go_on(tmp_path: Path) -> None:
    declared = {
        "name": "brief",
        "trainable": "faulty:Brief",
        "factors": {"model": ["a"], "fraction": ["1/4", 1]},
        "recipe": {"epochs": 2},
        "seeds": [0, 1],
    }
    run(study_from(declared), tmp_path)
    more = study_from({**declared, "seeds": [0, 1, 2]})
    plan = plan_study(more, tmp_path)
    assert plan.trials["reused"] == 4
    price = price_study(plan.ledger)
    assert price.wall == price.wall
    run(more, tmp_path)
    assert plan_study(more, tmp_path).trials["reused"] == 6
    assert results.write_report(tmp_path).exists()
