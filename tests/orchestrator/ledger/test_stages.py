"""From search to measurement: winners, lost cells, and what is wanted when."""

import math
from pathlib import Path
from typing import Any

import pytest
from studies import epochs, run, searched, study, trials

from orchestrator.ledger.history import History
from orchestrator.ledger.stages import CellStages, Outcome, Stages, Wanted, recorded_outcome
from orchestrator.study.inputs import find_inputs
from orchestrator.study.recipes import SEARCH_SEED
from orchestrator.study.study import Study
from results.records import Stage, Status
from results.store.store import Store

TUNED = {"lr": [1e-2, 1e-3, 1e-4], "batch_size": [32, 128, 256]}
DIVERGING = 0.5
"""A learning rate with adam that the simulation lets diverge at epoch 2."""


def stages_of(declared: Study) -> Stages:
    return Stages(declared, find_inputs(declared))


def settled(
    stages: Stages, cell: CellStages, accuracies: dict[str, float | Status | None]
) -> list[Wanted]:
    """Settle a cell: a number is completed with that accuracy, None is open."""

    def outcome(trial_id: str) -> Outcome | None:
        result = accuracies[trial_id]
        if isinstance(result, Status):
            return Outcome(result)
        return None if result is None else Outcome(Status.COMPLETED, result)

    return stages.settle(cell, outcome)


def unknown_measures(stages: Stages) -> int:
    return sum(map(stages.unknown_measures, stages.cells))


def ids(cell: CellStages) -> list[str]:
    return [wanted.trial.trial_id for wanted in cell.search]


def test_without_search_every_seed_of_every_cell_is_measured() -> None:
    stages = stages_of(study())
    assert len(stages.wanted) == 2 * 2 * 2
    assert {wanted.stage for wanted in stages.wanted.values()} == {Stage.MEASURE}
    assert all(stages.is_measured(trial_id) for trial_id in stages.wanted)
    assert unknown_measures(stages) == stages.unknown_recipes() == 0


def test_a_race_measures_nothing() -> None:
    stages = stages_of(study(early_stopping={"compare": []}))
    assert {wanted.stage for wanted in stages.wanted.values()} == {Stage.SEARCH}
    assert not any(stages.is_measured(trial_id) for trial_id in stages.wanted)
    groups = {stages.group(wanted) for wanted in stages.wanted.values()}
    assert groups == {("seed 0",), ("seed 1",)}


def test_every_cell_searches_the_same_recipes_with_the_search_seed_in_an_order_of_its_own() -> None:
    stages = stages_of(searched(seeds=[3, 1], search=TUNED))
    tried = [[wanted.trial.recipe for wanted in cell.search] for cell in stages.cells]
    assert [len(recipes) for recipes in tried] == [9] * 4
    assert len({frozenset(map(str, recipes)) for recipes in tried}) == 1
    assert len({tuple(map(str, recipes)) for recipes in tried}) > 1
    # A seed of its own, which more seeds do not move.
    assert {wanted.trial.seed for wanted in stages.wanted.values()} == {SEARCH_SEED}
    again = stages_of(searched(seeds=[1, 2, 3], search=TUNED))
    assert [*again.wanted] == [*stages.wanted]


def test_a_field_without_bearing_makes_no_recipe_of_its_own() -> None:
    search = {"optimizer": ["adam", "sgd"], "momentum": [0.5, 0.9]}
    stages = stages_of(study(search=search))
    # adam, sgd with 0.5, sgd with 0.9.
    assert [cell.expected for cell in stages.cells] == [3] * 4


def test_the_winner_is_the_best_completed_recipe() -> None:
    stages = stages_of(searched())
    cell = stages.cells[0]
    first, second, third, *others = ids(cell)
    results: dict[str, Any] = dict.fromkeys(others, 0.3)
    results |= {first: 0.5, second: Status.STOPPED, third: 0.7}
    assert unknown_measures(stages) == 4
    measured = settled(stages, cell, results)
    assert cell.winner is not None
    assert cell.winner.trial_id == third
    # Seed 0 searched; its trial counts and is not trained again.
    assert [(wanted.trial.seed, wanted.stage) for wanted in measured] == [(1, Stage.MEASURE)]
    assert measured[0].trial.recipe == cell.winner.recipe
    assert stages.is_measured(third)
    assert stages.is_measured(measured[0].trial.trial_id)
    assert not stages.is_measured(first)
    assert unknown_measures(stages) == 3
    assert settled(stages, cell, results) == []


def test_ties_go_to_the_smaller_trial_id() -> None:
    stages = stages_of(searched())
    settled(stages, stages.cells[0], dict.fromkeys(ids(stages.cells[0]), 0.5))
    assert stages.cells[0].winner is not None
    assert stages.cells[0].winner.trial_id == min(ids(stages.cells[0]))


def test_no_number_wins_nothing_that_a_number_can_win() -> None:
    stages = stages_of(searched())
    one, other = stages.cells[:2]
    first, *others = ids(one)
    settled(stages, one, {first: math.nan, **dict.fromkeys(others, 0.0)})
    assert one.winner is not None
    assert one.winner.trial_id == min(others)
    settled(stages, other, dict.fromkeys(ids(other), math.nan))
    assert other.winner is not None
    assert other.winner.trial_id == min(ids(other))


def test_an_open_recipe_keeps_its_cell_waiting_and_no_other() -> None:
    stages = stages_of(searched())
    one, other = stages.cells[:2]
    results: dict[str, Any] = dict.fromkeys(ids(one) + ids(other), 0.5)
    results[ids(one)[4]] = None
    assert settled(stages, one, results) == []
    assert one.winner is None
    assert settled(stages, other, results) != []


def test_a_cell_none_of_whose_recipes_completed_is_lost_with_the_reason() -> None:
    stages = stages_of(searched())
    cell = stages.cells[0]
    results: dict[str, Any] = dict.fromkeys(ids(cell), Status.FAILED)
    results |= dict.fromkeys(ids(cell)[:2], Status.STOPPED)
    assert settled(stages, cell, results) == []
    assert cell.lost == "none of its recipes completed (7 failed, 2 stopped)"
    assert unknown_measures(stages) == 3


@pytest.mark.parametrize("stated", [{}, {"seed": 9}])
def test_a_search_seed_of_its_own_is_not_measured(stated: dict[str, int]) -> None:
    stages = stages_of(searched(search={"lr": [1e-2, 1e-3], **stated}))
    cell = stages.cells[0]
    assert unknown_measures(stages) == 2 * 4
    measured = settled(stages, cell, dict.fromkeys(ids(cell), 0.5))
    assert [wanted.trial.seed for wanted in measured] == [0, 1]
    assert cell.winner is not None
    assert not stages.is_measured(cell.winner.trial_id)
    assert cell.winner.trial_id not in stages.possible_measures(cell)


def test_what_a_cell_may_come_to_measure() -> None:
    stages = stages_of(searched(seeds=[0, 1, 2]))
    cell = stages.cells[0]
    possible = stages.possible_measures(cell)
    assert len(possible) == 9 * 2
    measured = settled(stages, cell, dict.fromkeys(ids(cell), 0.5))
    assert {wanted.trial.trial_id for wanted in measured} <= possible
    assert stages.possible_measures(cell) == set()


@pytest.mark.parametrize(
    ("compare", "group"),
    [
        ("cell", ("a", "none", "1/16", "seed 0")),
        (["fraction"], ("1/16", "seed 0")),
        (["fraction", "model"], ("1/16", "a", "seed 0")),
        ([], ("seed 0",)),
    ],
)
def test_groups(compare: Any, group: tuple[str, ...]) -> None:
    stages = stages_of(searched(early_stopping={"compare": compare}))
    cell = stages.cells[0]
    assert stages.group(cell.search[0]) == group
    measured = settled(stages, cell, dict.fromkeys(ids(cell), 0.5))
    assert stages.group(measured[0]) is None
    assert stages_of(searched(early_stopping="none")).group(cell.search[0]) is None


# Whole studies.


def test_a_search_end_to_end(tmp_path: Path) -> None:
    summary = run(searched(seeds=[0, 1, 2]), tmp_path)
    assert (summary.exit_code, summary.failed, summary.incomplete) == (0, [], [])
    rows = trials(tmp_path)
    for _, cell in rows.groupby(["model", "fraction"]):
        search = cell[cell.stage == "search"]
        complete = search[search.status == "completed"]
        best = complete.sort_values(["final_val_accuracy", "trial_id"], ascending=[False, True])
        winner = best.iloc[0]
        assert len(search) == 9
        assert set(search.seed) == {0}
        assert [*search[search.measured].trial_id] == [winner.trial_id]
        measure = cell[cell.stage == "measure"]
        assert sorted(measure.seed) == [1, 2]
        assert measure.measured.all()
        assert set(measure.lr) == {winner.lr}
        assert set(measure.batch_size) == {winner.batch_size}
    assert rows.wanted.all()
    assert rows.measured.sum() == 4 * 3


def test_a_cell_that_has_its_winner_measures_while_others_still_search(tmp_path: Path) -> None:
    run(searched(order="longest-first"), tmp_path)
    rows = epochs(tmp_path)
    first_measure = rows[rows.stage == "measure"].sequence.min()
    last_search = rows[rows.stage == "search"].sequence.max()
    assert first_measure < last_search


def test_cells_whose_recipes_all_fail_are_listed_and_the_others_complete(tmp_path: Path) -> None:
    declared = study(
        factors={"model": ["a"], "optimizer": ["adam", "sgd"]},
        search={"lr": [DIVERGING, 2 * DIVERGING], "seed": 0},
    )
    summary = run(declared, tmp_path)
    assert summary.exit_code == 3
    cell = "a × none × 1 × optimizer adam"
    assert summary.incomplete == [f"{cell}: none of its recipes completed (2 failed)"]
    assert len(summary.failed) == 2
    assert all(f"{cell}, seed 0" in line for line in summary.failed)
    assert all("epoch 2, step" in line for line in summary.failed)
    rows = trials(tmp_path)
    failed = rows[rows.status == "failed"]
    assert not failed.measured.any()
    assert failed.error.str.startswith("diverged: the loss is not finite at epoch 2, step ").all()
    assert (failed.epochs_done == 1).all()
    measured = rows[rows.measured]
    assert set(measured.optimizer) == {"sgd"}
    assert sorted(measured.seed) == [0, 1]


def test_a_failed_recipe_leaves_its_cell_complete(tmp_path: Path) -> None:
    declared = study(factors={"model": ["a"]}, search={"lr": [DIVERGING, 1e-3]})
    summary = run(declared, tmp_path)
    assert (len(summary.failed), summary.incomplete) == (1, [])
    rows = trials(tmp_path)
    assert rows[rows.measured].lr.tolist() == [1e-3, 1e-3]


def test_a_recipe_that_completes_without_a_number_is_not_measured(tmp_path: Path) -> None:
    # 1e-4 comes first and ends with NaN as its validation accuracy.
    search = {"lr": [1e-4, 1e-3, 1e-2]}
    declared = study(
        trainable="faulty:WithoutNumber",
        data={"source": "digits"},
        search=search,
        early_stopping="none",
    )
    assert run(declared, tmp_path).exit_code == 0
    rows = trials(tmp_path)
    assert rows[rows.lr == 1e-4].final_val_accuracy.isna().all()
    assert (rows.status == "completed").all()
    assert set(rows[rows.measured].lr) <= {1e-3, 1e-2}
    assert rows.measured.sum() == 4 * 2


def test_a_race_end_to_end(tmp_path: Path) -> None:
    declared = study(
        factors={"model": list("abcdefgh")}, recipe={"epochs": 9}, early_stopping={"compare": []}
    )
    summary = run(declared, tmp_path)
    assert summary.exit_code == 0
    rows = trials(tmp_path)
    assert set(rows.stage) == set(epochs(tmp_path).stage) == {"search"}
    assert not rows.measured.any()
    assert set(rows.status) == {"completed", "stopped"}


def test_the_stage_is_where_a_trial_was_first_trained(tmp_path: Path) -> None:
    recipe = {"epochs": 3, "lr": 1e-3}
    run(study(recipe=recipe, factors={"model": ["a"]}), tmp_path)
    before = trials(tmp_path)
    assert set(before.stage) == {"measure"}
    # The same recipe wins a search: its trials are there already.
    run(study(search={"lr": [1e-3, 0.09], "seed": 0}, factors={"model": ["a"]}), tmp_path)
    after = trials(tmp_path)
    assert (after.loc[before.index, "stage"] == "measure").all()
    assert after.loc[before.index, "measured"].all()
    assert after[after.lr == 0.09].stage.tolist() == ["search"]
    assert (epochs(tmp_path).groupby("trial_id").stage.nunique() == 1).all()
    # And back: nothing changes its stage, and what was searched is no longer wanted.
    run(study(recipe=recipe, factors={"model": ["a"]}), tmp_path)
    last = trials(tmp_path)
    assert last.stage.equals(after.stage)
    assert last[last.lr == 0.09].wanted.tolist() == [False]


def test_recorded_outcomes(tmp_path: Path) -> None:
    declared = searched()
    run(declared, tmp_path)
    history, stages = History(Store(tmp_path)), stages_of(declared)
    rows = trials(tmp_path)

    def outcome(trial_id: str, asked: Study = declared) -> Outcome | None:
        return recorded_outcome(history, asked, stages.wanted[trial_id])

    completed = rows[(rows.status == "completed") & (rows.stage == "search")].iloc[0]
    stopped = rows[rows.status == "stopped"].iloc[0]
    assert outcome(completed.trial_id) == Outcome(Status.COMPLETED, completed.final_val_accuracy)
    assert outcome(stopped.trial_id) == Outcome(Status.STOPPED, stopped.final_val_accuracy)
    # Where nothing is stopped any more, a stopped trial goes on.
    assert outcome(stopped.trial_id, searched(early_stopping="none")) is None
    first = next(iter(stages.wanted.values()))
    assert recorded_outcome(History(Store(tmp_path / "none")), declared, first) is None
