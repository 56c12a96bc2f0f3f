"""What the rest of a study costs, worked out by hand from known paces."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from studies import PLAIN, run, searched, study
from typer.testing import CliRunner

import results
from orchestrator.commands.app import app
from orchestrator.ledger.history import History
from orchestrator.ledger.ledger import Ledger
from orchestrator.ledger.proposer import Proposer
from orchestrator.ledger.rows import Rows
from orchestrator.ledger.stages import Stages
from orchestrator.placement.shares import Node, Share
from orchestrator.plan import price as pricing
from orchestrator.plan.durations import Durations, kind_of, work_of
from orchestrator.plan.plan import plan_study
from orchestrator.plan.price import Price, price_of, price_study
from orchestrator.plan.schedule import Forecast
from orchestrator.screen.plan_text import price_lines
from orchestrator.study.study import Study, study_from
from trainables.measure.footprint import Pace


@pytest.fixture(autouse=True)
def two_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pricing, "own_machine", lambda with_gpus: Node("here", 2.0, 0.0))


def priced(declared: Study, out: Path, **values: Any) -> Price:
    """Return the price where a training image takes 1 ms, on any place, and nothing else counts."""
    ledger = plan_study(declared, out).ledger
    trials = [wanted.trial for wanted in ledger.stages.wanted.values()]
    probed = {kind_of(trial, 1, False): Pace(1e-3, 0.0, 0.0, 0.0) for trial in trials}
    work = work_of(ledger.inputs)
    durations = Durations(work, lambda trial: kind_of(trial, 1, False), probed=probed)
    durations.start = 0.0
    forecast = Forecast(ledger, durations, Share(1.0, 0.0))
    return price_of(forecast, **{"at_once": 2, **values})


def test_by_hand(tmp_path: Path) -> None:
    price = priced(study(prices={"hour": 3.0}), tmp_path / "run")
    # Two models, two seeds, three epochs of 45,000 and of 2,813 images at 1 ms.
    seconds = 4 * 3 * (45 + 2.813)
    assert price.total.seconds.value == pytest.approx(seconds)
    assert (price.total.trials, price.total.epochs, price.total.saved) == (8, 24, 0)
    assert price.total.hours.value == pytest.approx(seconds / 3600)
    assert price.total.basis == {"a probe": 1.0}
    assert (price.resource, price.slots) == ("cpu", 2)
    assert price.wall.value == pytest.approx(seconds / 2)
    assert price.wall.low == pytest.approx(price.wall.value / 1.25)
    assert price.wall.high == pytest.approx(price.wall.value * 1.25)
    assert price.sizes[1] == pytest.approx(seconds)
    assert price.sizes[4] == pytest.approx(3 * (45 + 2.813))
    assert price.sizes[16] == price.sizes[64] == pytest.approx(3 * 45)
    # Two CPUs for as long as it takes.
    assert price.money
    assert price.money.value == pytest.approx(3.0 * seconds / 3600)
    big = price.cells["a × none × 1"]
    assert (big.trials, big.epochs) == (2, 6)
    assert big.seconds.value == pytest.approx(2 * 3 * 45)
    assert sum(cost.seconds.value for cost in price.cells.values()) == pytest.approx(seconds)
    assert not (tmp_path / "run").exists()


def test_only_what_is_left_costs(tmp_path: Path) -> None:
    run(study(), tmp_path)
    price = priced(study(), tmp_path)
    assert (price.total.trials, price.wall.value) == (0, 0.0)
    # Two more epochs of each: five of which three are there.
    longer = priced(study(recipe={"epochs": 5}), tmp_path)
    assert longer.total.epochs == 16


def test_more_at_a_time_than_this_machine_has(tmp_path: Path) -> None:
    price = priced(study(), tmp_path / "run", at_once=4)
    assert price.slots == 4
    assert price.wall.value == pytest.approx(price.sizes[4])
    alone = priced(study(), tmp_path / "run", at_once=1)
    assert alone.wall.value == pytest.approx(price.sizes[1])


def test_what_stopping_saves(tmp_path: Path) -> None:
    price = priced(searched(), tmp_path / "run")
    whole = priced(searched(early_stopping="none"), tmp_path / "run")
    assert whole.total.epochs == 4 * 10 * 9
    assert price.total.saved > 0
    assert price.total.epochs + price.total.saved == whole.total.epochs
    assert price.total.seconds.value < whole.total.seconds.value
    assert any("epochs saved" in line for line in price_lines(price))


def test_gpus_are_counted_where_they_are_used(tmp_path: Path) -> None:
    declared = study(resources={"gpu": "1/4"}, prices={"hour": 2.0})
    plan = plan_study(declared, tmp_path / "run")
    price = price_study(plan.ledger, max_parallel=8)
    assert (price.resource, price.slots) == ("gpu", 8)
    assert price.total.hours.value == pytest.approx(price.total.seconds.value / 4 / 3600)
    # Eight quarters are two GPUs.
    assert price.money
    assert price.money.value == pytest.approx(2 * 2.0 * price.wall.value / 3600)
    assert price.sizes[1] >= price.sizes[4] >= price.sizes[16]


def test_the_command(tmp_path: Path) -> None:
    import json

    import yaml

    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(PLAIN))
    words = ["plan", str(file), "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(app, [*words, "--set", "prices.hour=2", "--json"])
    document = json.loads(done.stdout)["price"]
    assert document["total"]["trials"] == 8
    assert document["total"]["basis"] == {"FLOPs": 1.0}
    assert set(document["sizes"]) == {"1", "4", "16", "64"}
    assert document["money"]["low"] < document["money"]["value"] < document["money"]["high"]
    shown = CliRunner().invoke(app, words).stdout
    assert "basis: FLOPs (100 %)" in shown


def test_a_probe_measures_the_real_thing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCALESTUDY_CACHE", str(tmp_path / "cache"))
    declared = Study.model_validate(
        {
            "name": "probed",
            "factors": {"model": ["squeezenet1_1"], "fraction": [1]},
            "recipe": {"epochs": 2, "batch_size": 64},
        }
    )
    plan = plan_study(declared, tmp_path / "run")
    price = price_study(plan.ledger, probe=True)
    assert price.total.basis == {"a probe": 1.0}
    assert capsys.readouterr().err.splitlines()[-1] == "probing: 2 of 2"
    assert 0 < price.total.seconds.value < 600
    # It is remembered for the next plan.
    assert price_study(plan.ledger).total == price.total


@pytest.mark.parametrize("algorithm", ["grid", "optuna"])
def test_records_are_read_once_for_a_plan_and_its_price(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algorithm: str
) -> None:
    made: Counter[str] = Counter()
    for each in (Ledger, Stages, Rows, History, Proposer):

        def counted(self: Any, *given: Any, init: Any = each.__init__, **named: Any) -> None:
            made[type(self).__name__] += 1
            init(self, *given, **named)

        monkeypatch.setattr(each, "__init__", counted)
    search = {"lr": [1e-2, 1e-3, 1e-4], "algorithm": algorithm}
    if algorithm == "optuna":
        search["samples"] = 2
    plan = plan_study(searched(search=search), tmp_path / "run")
    price = price_study(plan.ledger)
    # Played on a ledger of its own.
    assert len(price.sizes) == 4
    twice = dict.fromkeys(["Ledger", "Stages", "Rows"], 2)
    proposers = {"Proposer": 2} if algorithm == "optuna" else {}
    assert made == {"History": 1, **twice, **proposers}


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
