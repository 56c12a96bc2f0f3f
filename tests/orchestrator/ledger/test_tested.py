"""When the test set is evaluated: the same rows, winners and trials, and nothing for nobody."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from studies import PLAIN, epochs, run, searched, study, trials

import results
from orchestrator.ledger.history import COMPARED
from orchestrator.plan.plan import plan_study
from orchestrator.study.inputs import Inputs
from orchestrator.study.study import Study, study_from
from results.store.store import Store
from trainables.recipe import Recipe
from trainables.trial import Trial, Weights

SEARCH: dict[str, Any] = {"lr": [1e-2, 1e-3, 1e-4], "batch_size": [32, 128], "seed": 9}
TESTED = [name for name in COMPARED if name.startswith("test_")]


def rows(out: Path) -> pd.DataFrame:
    return epochs(out).set_index(["trial_id", "epoch"])[[*COMPARED]].sort_index()


def finals(out: Path) -> pd.DataFrame:
    return trials(out).filter(regex="^final_|^best_").dropna(axis=1, how="all").sort_index()


def codes(declared: Study, out: Path) -> set[str]:
    return {finding.code for finding in plan_study(declared, out).findings}


@pytest.mark.parametrize("rule", ["auto", "final"])
def test_winners_trials_and_rows_are_those_of_a_study_that_tests_every_interval(
    tmp_path: Path, rule: str
) -> None:
    # Of 12 epochs auto leaves two out.
    ask = {"recipe": {"epochs": 12}, "search": SEARCH, "early_stopping": "none"}
    every, less = tmp_path / "every", tmp_path / rule
    run(searched(**ask, test="every"), every)
    run(searched(**ask, test=rule), less)
    whole, part = rows(every), rows(less)
    known = part["test_accuracy"].notna()
    assert part[known].equals(whole[known])
    assert part.drop(columns=TESTED).equals(whole.drop(columns=TESTED))
    assert part.loc[~known, TESTED].isna().all(axis=None)
    one, other = trials(every), trials(less)
    same = ["status", "measured", "best_epoch", "final_val_accuracy", "best_val_accuracy"]
    assert one[same].sort_index().equals(other[same].sort_index())
    measured = other["measured"].astype(bool)
    assert other[measured]["final_test_accuracy"].equals(one[measured]["final_test_accuracy"])
    # In the search, the recipe that is listed first alone, at its end.
    stated = other[~measured & other["final_test_accuracy"].notna()]
    assert {(row.lr, row.batch_size) for row in stated.itertuples()} == {(1e-2, 32)}
    at = part.reset_index(level="epoch")[known.to_numpy()].loc[stated.index]
    assert set(at["epoch"]) == {12}
    best = other.apply(lambda row: part["test_accuracy"][row.trial_id, row.best_epoch], axis=1)
    assert other["best_test_accuracy"].equals(best.rename("best_test_accuracy"))
    # What the tuned recipe gains is told, by what was measured of it.
    gained = results.open(less).levers().set_index("lever").loc["recipe"]
    assert gained["step"].startswith("lr 0.01 → lr 0.001")
    assert gained["gain"] > 0


def test_a_lower_budget_that_ends_untested_is_trained_again_once(tmp_path: Path) -> None:
    longer, lower = study(recipe={"epochs": 20}), study(recipe={"epochs": 15})
    out, fresh = tmp_path / "run", tmp_path / "fresh"
    run(longer, out)
    written = rows(out)
    plan = plan_study(lower, out)
    assert (plan.trials["continued"], plan.trials["reused"]) == (8, 0)
    said = next(str(one) for one in plan.findings if one.code == "untested-there")
    assert said.startswith("8 of the continued trials are recorded up to the budget and trained")
    summary = run(lower, out)
    assert (summary.exit_code, summary.problems) == (0, [])
    # The rows stay as they are; what the test set says is the trials'.
    assert rows(out).equals(written)
    run(lower, fresh)
    columns = [name for name in finals(fresh) if name.startswith("final_")]
    assert finals(out)[columns].equals(finals(fresh)[columns])
    plan = plan_study(lower, out)
    assert (plan.trials["reused"], "untested-there" in codes(lower, out)) == (8, False)
    run(lower, out)
    assert finals(out)[columns].equals(finals(fresh)[columns])
    # 16 is one of ten of twenty.
    assert plan_study(study(recipe={"epochs": 16}), out).trials["reused"] == 8


def test_a_search_trial_that_comes_to_be_measured_is_tested(tmp_path: Path) -> None:
    run(searched(search=SEARCH), tmp_path)
    more = searched(search=SEARCH, seeds=[0, 1, 9])
    run(more, tmp_path)
    found = trials(tmp_path)
    assert found[found["measured"].astype(bool)]["final_test_accuracy"].notna().all()
    assert plan_study(more, tmp_path).trials["continued"] == 0


def test_an_older_directory_goes_on_testing_every_interval(tmp_path: Path) -> None:
    run(study(recipe={"epochs": 12}, test="every"), tmp_path)
    store = Store(tmp_path)
    values = store.study()
    del values["test"]
    store.write_study(values)
    more = study_from({**PLAIN, "recipe": {"epochs": 12}, "seeds": [0, 1, 2]})
    run(more, tmp_path)
    assert epochs(tmp_path)["test_accuracy"].notna().all()
    assert store.study()["test"] == "every"


INPUTS = Inputs("f", np.zeros(1000, int), 2, {}, 700, np.zeros(2000, int))


def times(declared: Study, **changes: Any) -> int:
    """Return how often a trial tests, of 100 images that are trained on, 700 that validate."""
    return INPUTS.tests(declared, trial_of(declared, **changes))


def longest(declared: Study) -> float:
    return INPUTS.longest(declared, trial_of(declared, seed=0))


def trial_of(declared: Study, **changes: Any) -> Trial:
    return Trial(
        trainable=declared.trainable,
        data=declared.data,
        fingerprint="f",
        model="m",
        weights=Weights(label="none"),
        fraction=0.1,
        n_train=100,
        n_pool=1000,
        n_classes=2,
        recipe=Recipe(**declared.recipe),
        **changes,
    )


@pytest.mark.parametrize(("epochs", "expected"), [(1, 1), (4, 1), (8, 2), (20, 5), (50, 10)])
def test_auto_takes_half_as_long_as_training_and_validating(epochs: int, expected: int) -> None:
    # An epoch is 3 × 100 + 700 passes of one image, the test set 2,000.
    assert times(study(recipe={"epochs": epochs}), seed=0) == expected


def test_auto_tests_ten_times_where_trials_are_compared_that_are_stopped() -> None:
    race = study(recipe={"epochs": 4}, early_stopping={"compare": ["fraction"]})
    assert times(race, seed=0) == 4


def test_a_search_trial_is_tested_as_any_other_where_its_seed_is_measured() -> None:
    ask: dict[str, Any] = {"recipe": {"epochs": 4}, "seeds": [0, 9]}
    assert times(searched(search={**SEARCH, "seed": 9}, **ask), seed=9) == 1
    assert times(searched(search={**SEARCH, "seed": 8}, **ask), seed=8) == 0


def test_the_interval_that_ends_with_the_test_set_is_the_longest() -> None:
    declared = study(recipe={"epochs": 4}, test="final")
    # 1,000 passes and the test set's 2,000, beside a mean of 1,500.
    assert longest(declared) == 2
    assert longest(study(recipe={"epochs": 4}, test="every")) == 1


def test_where_validation_is_the_test_set_nothing_is_left_out() -> None:
    declared = study(data={"validation": "test"}, test="final", recipe={"epochs": 4})
    own = searched(search=SEARCH, trainable="a_module:Own", test="final", recipe={"epochs": 4})
    assert {times(one, seed=9) for one in (declared, own)} == {4}
