"""Recipes that Optuna proposes: as many for every cell, and the same ones after a resume."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from studies import a_pass, recorder_of, run, study, trials

from orchestrator.drivers.driver import train_here
from orchestrator.plan.plan import plan_study
from orchestrator.study.study import Study
from results.records import Stage
from results.store.store import Store

WIDE: dict[str, Any] = {
    "lr": {"loguniform": [1e-4, 1e-1]},
    "batch_size": {"randint": [16, 64]},
    "optimizer": ["adam", "sgd"],
    # Without bearing under adam: recorded as absent there.
    "momentum": {"uniform": [0.1, 0.9]},
    "algorithm": "optuna",
    "samples": 10,
}


def tuned(search: dict[str, Any] | None = None, **values: Any) -> Study:
    return study(recipe={"epochs": 4}, search={"seed": 0, **(search or WIDE)}, **values)


def proposals(out: Path) -> pd.DataFrame:
    """Return the recipes searched, in the order in which they were first trained."""
    rows = trials(out)
    columns = ["model", "fraction", *WIDE.keys() - {"algorithm", "samples"}]
    return rows[rows.stage == "search"][sorted(columns)]


def test_every_cell_tries_as_many_recipes_and_no_two_cells_share_theirs(tmp_path: Path) -> None:
    assert run(tuned(), tmp_path).exit_code == 0
    rows = trials(tmp_path)
    searched = rows[rows.stage == "search"]
    assert searched.groupby(["model", "fraction"]).size().tolist() == [10] * 4
    assert not searched.duplicated(["lr", "model", "fraction"]).any()
    assert searched.lr.between(1e-4, 1e-1).all()
    assert searched.batch_size.between(16, 64).all()
    assert len(rows[rows.measured]) == 4 * 2


def test_it_learns(tmp_path: Path) -> None:
    # The simulation is best at 1e-3, and worse with every decade.
    search = {"lr": {"loguniform": [1e-6, 1e-1]}, "algorithm": "optuna", "samples": 40}
    run(tuned(search, factors={"model": ["a"]}, early_stopping="none"), tmp_path)
    rows = trials(tmp_path).query("stage == 'search'")
    decades_off = np.log10(rows.lr / 1e-3).abs()
    assert decades_off.iloc[-20:].mean() < 0.7 * decades_off.iloc[:10].mean()


class Cut(BaseException):
    pass


def cut_after(declared: Study, out: Path, epochs: int, number: int) -> None:
    work = a_pass(declared, out)
    recorder = recorder_of(work, f"pass-{number}")
    left = itertools.count(epochs, -1)

    def beat() -> None:
        recorder.flush(force=True)
        if next(left) <= 0:
            raise Cut

    with pytest.raises(Cut):
        train_here(work, Store(out).checkpoints, beat)


@pytest.mark.parametrize("early_stopping", ["none", {"compare": "cell"}])
def test_after_a_resume_the_proposals_are_those_of_one_run(
    tmp_path: Path, early_stopping: Any
) -> None:
    declared = tuned(early_stopping=early_stopping)
    run(declared, tmp_path / "whole")
    out = tmp_path / "cut"
    Store(out).write_study(declared.written())
    for number, epochs in enumerate([3, 17, 26, 1]):
        cut_after(declared, out, epochs, number)
    run(declared, out)
    pd.testing.assert_frame_equal(
        proposals(out).sort_index(), proposals(tmp_path / "whole").sort_index(), check_exact=True
    )
    plan = plan_study(declared, out).trials
    assert (plan["new"], plan["continued"], plan["orphaned"]) == (0, 0, 0)


def test_what_ends_without_a_number_is_the_worst_that_a_sampler_hears_of(tmp_path: Path) -> None:
    search = {"lr": {"loguniform": [1e-4, 1e-2]}, "algorithm": "optuna", "samples": 8}
    values = {"trainable": "faulty:WithoutNumber", "data": {"source": "digits"}, "seeds": [0]}
    declared = tuned(search, factors={"model": ["a"]}, early_stopping="none", **values)
    assert run(declared, tmp_path).exit_code == 0
    rows = trials(tmp_path)
    assert len(rows) == 8
    assert rows.final_val_accuracy.isna().any()
    (winner,) = rows[rows.measured].index
    assert winner == rows.final_val_accuracy.idxmax()


def test_lists_as_yaml_writes_them_are_known_again(tmp_path: Path) -> None:
    # YAML reads 1e-3 as text: recorded as a number, it must still be the value listed.
    search = {"lr": ["1e-3", "1e-2", 0.1], "algorithm": "optuna", "samples": 2}
    declared = tuned(search, factors={"model": ["a"]})
    run(declared, tmp_path)
    assert plan_study(declared, tmp_path).trials["new"] == 0


@pytest.mark.parametrize("samples", [3, 20])
def test_a_space_that_can_be_listed_is_tried_at_most_once_whole(
    tmp_path: Path, samples: int
) -> None:
    # adam without momentum, sgd with three: four recipes, of six combinations.
    search = {
        "optimizer": ["adam", "sgd"],
        "momentum": {"choice": [0.5, 0.9, 0.99]},
        "algorithm": "optuna",
        "samples": samples,
    }
    declared = tuned(search)
    before = plan_study(declared, tmp_path).trials
    assert before["new"] == 4 * (min(samples, 4) + 1)
    assert run(declared, tmp_path).exit_code == 0
    rows = trials(tmp_path).query("stage == 'search'")
    assert rows.groupby(["model", "fraction"]).size().tolist() == [min(samples, 4)] * 4
    assert plan_study(declared, tmp_path).trials["new"] == 0


def test_more_samples_add_to_those_that_are_recorded(tmp_path: Path) -> None:
    declared = tuned(factors={"model": ["a"]}, early_stopping="none")
    run(declared, tmp_path)
    before = trials(tmp_path).query("stage == 'search'")
    more = tuned({**WIDE, "samples": 14}, factors={"model": ["a"]}, early_stopping="none")
    assert plan_study(more, tmp_path).trials["reused"] == 10
    run(more, tmp_path)
    after = trials(tmp_path).query("stage == 'search'")
    assert len(after) == 14
    assert set(before.index) <= set(after.index)


def test_cells_take_turns(tmp_path: Path) -> None:
    work = a_pass(tuned(), tmp_path)
    taken = []
    for _ in range(8):
        wanted = work.next()
        assert wanted
        assert wanted.stage is Stage.SEARCH
        taken.append(wanted.cell)
    assert sorted(taken[:4]) == sorted(taken[4:]) == [0, 1, 2, 3]


def test_proposals_that_cannot_be_trained_are_passed_over(tmp_path: Path) -> None:
    # Both ends are multiples of 5 evaluations, most numbers in between are not.
    search = {"steps": {"randint": [100, 115]}, "algorithm": "optuna", "samples": 3}
    declared = study(recipe={}, factors={"model": ["a"]}, search=search)
    assert run(declared, tmp_path).exit_code == 0
    rows = trials(tmp_path).query("stage == 'search'")
    assert sorted(rows.steps) == sorted(set(rows.steps) & {100, 105, 110, 115})
    assert len(rows) == 3


def test_a_trial_of_each_cell_is_known_before_the_first_is_asked_for(tmp_path: Path) -> None:
    # Places are counted, and parts of a GPU measured, by the trials that are left.
    work = a_pass(tuned(), tmp_path)
    assert sorted(wanted.cell for wanted in work.ledger.left()) == [0, 1, 2, 3]
