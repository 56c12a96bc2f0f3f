"""A cap that holds: what would exceed it is not started, and what is left is said and goes on."""

from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from studies import a_pass, run, searched, study

import results
from orchestrator.errors import StudyError
from orchestrator.ledger import allowance as module
from orchestrator.ledger.allowance import Allowance, parse_budget
from orchestrator.ledger.passes import Pass
from orchestrator.placement.shares import Share
from orchestrator.run.runner import run_study
from results.store.store import Store
from trainables.trial import Trial

CPU, GPU = Share(2.0, 0.0), Share(1.0, 0.5)
HOUR = 3600.0


class Clock:
    """Seconds that go on when a test says so, and by `step` whenever they are asked for."""

    def __init__(self, step: float = 0.0) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def allowed(text: str, clock: Clock, price: float | None = None) -> Allowance:
    return Allowance(parse_budget(text, bare="money"), price, clock)


def large_takes_longer(trial: Trial) -> float:
    return 60.0 if trial.model == "b" else 20.0


def trained(work: Pass, clock: Clock, pace: float = 1.0) -> list[tuple[str, int]]:
    """Train one trial after another, each `pace` times as long as expected; return what began."""
    begun = []
    while wanted := work.next():
        trial = wanted.trial
        begun.append((trial.model, trial.seed))
        work.start(trial.trial_id)
        clock.now += pace * large_takes_longer(trial)
        # A forecast has no rows of epochs either.
        work.ledger.rows.update(trial.trial_id, {"epochs_done": trial.recipe.intervals})
        work.reached(trial.trial_id, trial.recipe.intervals, 0.5, True)
    assert work.is_finished
    return begun


def capped(out: Path, text: str, clock: Clock, **values: Any) -> Pass:
    work = a_pass(study(**values), out, large_takes_longer)
    work.allowance = allowed(text, clock)
    return work


@pytest.mark.parametrize("slots", [1, 8])
def test_the_fair_order_ends_where_the_budget_does(tmp_path: Path, slots: int) -> None:
    clock = Clock()
    # A round: twice 60 and twice 20 seconds; of the second, one of 60 and one of 20 fit.
    work = capped(tmp_path, "4min", clock, seeds=[0, 1, 2])
    work.slots = slots
    begun = trained(work, clock)
    assert Counter(begun) == {("a", 0): 2, ("b", 0): 2, ("b", 1): 1, ("a", 1): 1}
    assert clock.now <= 240
    assert len(work.ledger.left()) == 6


def test_what_trials_take_corrects_what_is_expected(tmp_path: Path) -> None:
    slow, fast = Clock(), Clock()
    assert len(trained(capped(tmp_path, "5min", slow), slow, pace=2.0)) == 3
    assert slow.now <= 300
    assert len(trained(capped(tmp_path, "2min", fast), fast, pace=0.1)) == 8


@pytest.mark.parametrize(
    ("text", "price", "share", "fits"),
    [
        ("1gpu-hours", None, GPU, 2 * HOUR),
        ("1cpu-hours", None, CPU, HOUR / 2),
        ("3", 6.0, GPU, HOUR),
        ("3", 6.0, CPU, HOUR / 4),
        ("1h", None, CPU, HOUR),
    ],
)
def test_units(text: str, price: float | None, share: Share, fits: float) -> None:
    allowance = allowed(text, Clock(), price)
    assert allowance.affords(0.99 * fits, share)
    assert not allowance.affords(1.01 * fits, share)


def test_trials_under_way_count_as_what_they_will_take() -> None:
    clock = Clock()
    allowance = allowed("1cpu-hours", clock)
    allowance.take("a", 1000, CPU)
    allowance.start("a")
    assert not allowance.affords(900, CPU)
    assert allowance.affords(700, CPU)
    clock.now = 1500
    assert not allowance.affords(400, CPU)
    assert not allowance.is_spent
    clock.now = 1900
    assert allowance.is_spent
    allowance.end("a", 0.0)
    assert allowance.is_spent


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(StudyError, match=r"no prices\.hour"):
        allowed("50", Clock())
    with pytest.raises(StudyError, match="no GPU trains here"):
        allowed("5gpu-hours", Clock()).affords(1.0, CPU)


def test_a_capped_run_says_what_is_open_and_the_next_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = study()
    nothing = run_study(declared, tmp_path / "none", address="none", budget="1e-5h")
    assert nothing.counts == {"planned": 8}
    assert (nothing.exit_code, len(nothing.incomplete)) == (3, 4)
    assert "of 1e-5h is spent; the next run has 8 trials of 4 cells: about" in nothing.left_open
    search = run_study(searched(), tmp_path / "search", address="none", budget="1e-5h")
    assert (search.exit_code, len(search.incomplete)) == (3, 4)
    # Every look at the clock takes twenty seconds of it: the budget ends while a trial trains.
    monkeypatch.setattr(module, "monotonic", Clock(20.0))
    out = tmp_path / "some"
    some = run_study(declared, out, address="none", budget="10min")
    monkeypatch.undo()
    assert some.exit_code == 3
    assert some.counts.keys() == {"planned", "completed"}
    findings = results.open(out).findings().set_index("code")["evidence"]
    assert findings["capped"] == some.left_open
    assert Store(out).read("environments")["ended_by"].to_pylist() == ["its budget of 10min"]
    assert run(declared, out).exit_code == 0
    whole = tmp_path / "whole"
    run(declared, whole)
    first, second = (results.open(each).summary() for each in (out, whole))
    scores = [name for name in first if "accuracy" in name]
    assert scores
    pd.testing.assert_frame_equal(first[scores], second[scores])
    assert "capped" not in set(results.open(out).findings()["code"])


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
