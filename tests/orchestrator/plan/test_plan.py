"""Wanted − recorded, as a study grows and shrinks."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.commands.status import leftovers
from orchestrator.errors import StudyError
from orchestrator.ledger.history import COMPARED
from orchestrator.plan.plan import default_out, plan_study
from orchestrator.run.runner import run_study
from orchestrator.study.file import recorded_study
from orchestrator.study.recipes import SEARCH_SEED
from orchestrator.study.study import Study, study_from
from results.errors import StoreError
from results.store.store import Store
from results.store.tables import table_of

BASE: dict[str, Any] = {
    "name": "grown",
    "trainable": "simulated",
    "factors": {"model": ["a", "b"], "fraction": ["1/4", 1]},
    "recipe": {"epochs": 3},
    "seeds": [0, 1],
}
SEARCHED: dict[str, Any] = {
    **BASE,
    "recipe": {"epochs": 4},
    "search": {"lr": [1e-2, 1e-3], "batch_size": [32, 64]},
}
"""Four recipes in each of four cells, then two seeds of each cell's winner."""


def counts(values: dict[str, Any], out: Path) -> tuple[int, ...]:
    """Return (wanted, new, reused, continued, orphaned) after checking that they add up."""
    trials = plan_study(study_from(values), out).trials
    assert trials["wanted"] == trials["new"] + trials["reused"] + trials["continued"]
    assert trials["recorded"] == trials["reused"] + trials["continued"] + trials["orphaned"]
    return tuple(trials[key] for key in ("wanted", "new", "reused", "continued", "orphaned"))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    run_study(study_from(BASE), tmp_path / "run", address="none")
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, (8, 0, 8, 0, 0)),
        ({"factors": {"model": ["a", "b", "c"], "fraction": ["1/4", 1]}}, (12, 4, 8, 0, 0)),
        ({"factors": {"model": ["a", "b"], "fraction": ["1/4", "1/2", 1]}}, (12, 4, 8, 0, 0)),
        ({"factors": {"model": ["a"], "fraction": ["1/4", 1]}}, (4, 0, 4, 0, 4)),
        ({"factors": {"model": ["a", "b"], "fraction": [0.25, 45000]}}, (8, 0, 8, 0, 0)),
        ({"seeds": [0, 1, 2]}, (12, 4, 8, 0, 0)),
        ({"recipe": {"epochs": 5}}, (8, 0, 0, 8, 0)),
        ({"recipe": {"epochs": 2}}, (8, 0, 8, 0, 0)),
        ({"recipe": {"epochs": 3, "schedule": "cosine"}}, (8, 8, 0, 0, 8)),
        ({"recipe": {"epochs": 3, "lr": "0.001"}}, (8, 0, 8, 0, 0)),
    ],
)
def test_counts(out: Path, change: dict[str, Any], expected: tuple[int, ...]) -> None:
    assert counts({**BASE, **change}, out) == expected


def test_a_level_taken_away_and_put_back_is_not_trained_again(out: Path) -> None:
    before = Store(out).read("epochs").num_rows
    run_study(study_from({**BASE, "factors": {"model": ["a"]}}), out, address="none")
    run_study(study_from(BASE), out, address="none")
    assert Store(out).read("epochs").num_rows == before
    assert all(Store(out).read("trials")["wanted"].to_pylist())


def test_fewer_epochs_read_the_recorded_rows(out: Path) -> None:
    run_study(study_from({**BASE, "recipe": {"epochs": 2}}), out, address="none")
    trials = Store(out).read("trials").to_pandas().set_index("trial_id")
    epochs = Store(out).read("epochs").to_pandas()
    second = epochs[epochs.epoch == 2].set_index("trial_id").test_accuracy
    assert (trials.final_test_accuracy == second[trials.index]).all()


@pytest.mark.parametrize("change", [{"name": "other"}, {"data": {"validation": 0.2}}])
def test_another_study_is_refused(out: Path, change: dict[str, Any]) -> None:
    before = {file: file.read_bytes() for file in out.glob("[!.]*/*.parquet")}
    if "name" in change:
        with pytest.raises(StudyError, match="belongs to another study"):
            run_study(study_from({**BASE, **change}), out, address="none")
    else:
        assert counts({**BASE, **change}, out)[1] == 8
    assert {file: file.read_bytes() for file in out.glob("[!.]*/*.parquet")} == before


def count(values: dict[str, Any], before: dict[str, Any], out: Path) -> tuple[int, ...]:
    """Return what `values` would train where `before` has run, then see that it does."""
    run_study(study_from(before), out, address="none")
    planned = counts(values, out)
    rows = Store(out).read("epochs").num_rows
    trials = Store(out).read("trials").num_rows
    run_study(study_from(values), out, address="none")
    assert counts(values, out)[1] == counts(values, out)[3] == 0
    if planned[1] == planned[3] == 0:
        assert Store(out).read("epochs").num_rows == rows
    assert Store(out).read("trials").num_rows >= trials
    return planned


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, (24, 0, 24, 0, 0)),
        # Two recipes more in each cell. Whom it measures is open again, so that the trials of
        # the former winners are not yet counted on.
        ({"search": {"lr": [1e-2, 1e-3, 1e-4], "batch_size": [32, 64]}}, (32, 16, 16, 0, 8)),
        ({"search": {"lr": [1e-3], "batch_size": [32, 64]}}, (16, 0, 16, 0, 8)),
        ({"seeds": [0, 1, 2]}, (28, 4, 24, 0, 0)),
        ({"factors": {"model": ["a", "b", "c"], "fraction": ["1/4", 1]}}, (36, 12, 24, 0, 0)),
        ({"recipe": {"epochs": 6}}, (24, 8, 0, 16, 8)),
        ({"recipe": {"epochs": 4, "schedule": "cosine"}}, (24, 24, 0, 0, 24)),
        # Other seeds leave the search where it was.
        ({"seeds": [1, 0]}, (24, 0, 24, 0, 0)),
        # Another seed searches: the winners' trials with it are recorded, the others to be chosen.
        ({"search": {**SEARCHED["search"], "seed": 0}}, (20, 16, 4, 0, 20)),
    ],
)
def test_counts_of_searches(
    tmp_path: Path, change: dict[str, Any], expected: tuple[int, ...]
) -> None:
    declared = {**SEARCHED, "early_stopping": "none"}
    assert count({**declared, **change}, declared, tmp_path) == expected


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle"])
def test_where_the_budget_matters_more_epochs_are_new_trials(tmp_path: Path, schedule: str) -> None:
    before = {**BASE, "recipe": {"epochs": 3, "schedule": schedule}}
    after = {**BASE, "recipe": {"epochs": 5, "schedule": schedule}}
    assert count(after, before, tmp_path) == (8, 8, 0, 0, 8)
    # The former ones are still there.
    assert counts(before, tmp_path) == (8, 0, 8, 0, 8)


def test_a_longer_wsd_goes_on_from_the_stable_part(tmp_path: Path) -> None:
    values: dict[str, Any] = {
        "name": "stable",
        "factors": {"model": ["trainables.demo:small"], "fraction": ["1/16"]},
        "recipe": {"epochs": 5, "schedule": "wsd", "batch_size": 16},
        "keep_checkpoints": "last",
        "test": "every",
        "seeds": [0, 1],
    }
    longer = study_from({**values, "recipe": {**values["recipe"], "epochs": 10}})
    run_study(study_from(values), tmp_path / "grown", address="none")
    plan = plan_study(longer, tmp_path / "grown")
    for out in (tmp_path / "grown", tmp_path / "whole"):
        run_study(longer, out, address="none")
    columns = ["trial_id", "epoch", *COMPARED]
    rows = [Store(tmp_path / out).read("epochs", columns).to_pylist() for out in ("grown", "whole")]
    wanted = {*plan.ledger.stages.wanted}
    grown, whole = (
        {(row["trial_id"], row["epoch"]): row for row in found if row["trial_id"] in wanted}
        for found in rows
    )
    assert grown == whole
    assert len(grown) == 20
    # Four epochs of each are not trained again: their times are the shorter trial's.
    timed = Store(tmp_path / "grown").read("epochs", ["trial_id", "epoch", "seconds"]).to_pylist()
    long, short = (
        {r["seconds"] for r in timed if r["epoch"] < 5 and (r["trial_id"] in wanted) is is_long}
        for is_long in (True, False)
    )
    assert long == short
    # What later budgets go on from is kept as the trials' own states are.
    store = Store(tmp_path / "grown")
    assert len([*store.checkpoints.glob("stable-*")]) == 2
    assert not [path for path in leftovers(store) if "stable-" in path.name]
    store.write_study({**store.study(), "keep_checkpoints": "none"})
    assert len([path for path in leftovers(store) if "stable-" in path.name]) == 2


def test_failed_trials_count_as_new(tmp_path: Path) -> None:
    values = {**BASE, "factors": {"model": ["a"], "lr": [1e-3, 0.5]}}
    run_study(study_from(values), tmp_path, address="none")
    assert counts(values, tmp_path) == (4, 2, 2, 0, 0)
    # What failed and is no longer wanted is nothing that could be used again.
    assert counts({**BASE, "factors": {"model": ["a"], "lr": [1e-3]}}, tmp_path) == (2, 0, 2, 0, 0)


def test_trials_that_were_cut_short_are_continued(out: Path) -> None:
    store = Store(out)
    epochs = store.read("epochs").to_pylist()
    kept = [row for row in epochs if row["model"] == "a" or row["epoch"] == 1]
    for part in store.parts("epochs"):
        part.unlink()
    store.write_part("epochs", "cut", [table_of("epochs", kept)])
    assert counts(BASE, out) == (8, 0, 4, 4, 0)


def test_planning_starts_and_writes_nothing(tmp_path: Path) -> None:
    plan = plan_study(study_from(SEARCHED), tmp_path / "run")
    assert plan.trials == {
        "wanted": 24,
        "wanted_at_most": 24,
        "recorded": 0,
        "new": 24,
        "reused": 0,
        "continued": 0,
        "borrowed": 0,
        "orphaned": 0,
    }
    assert not (tmp_path / "run").exists()
    assert default_out(plan.study) == Path("runs/grown")


def test_a_directory_that_the_first_seed_searched_goes_on_with_it(tmp_path: Path) -> None:
    own = {**SEARCHED["search"], "seed": 0}
    run_study(study_from({**SEARCHED, "search": own}), tmp_path, address="none")
    store = Store(tmp_path)
    # As it was written before searches had a seed of their own.
    values = store.study()
    del values["search"]["seed"]
    store.write_study(values)
    more = study_from({**SEARCHED, "seeds": [5, 0, 1]})
    plan = plan_study(more, tmp_path)
    assert (plan.trials["reused"], plan.trials["orphaned"], plan.trials["new"]) == (20, 0, 4)
    assert recorded_study(store).search_seed == 0
    run_study(more, tmp_path, address="none")
    # From then on it is written.
    assert store.study()["search"]["seed"] == 0
    assert counts({**SEARCHED, "seeds": [9, 5, 0, 1]}, tmp_path)[2:] == (24, 0, 0)


def test_the_search_seed_is_written_into_the_resolved_study(tmp_path: Path) -> None:
    run_study(study_from(SEARCHED), tmp_path, address="none")
    assert Store(tmp_path).study()["search"]["seed"] == SEARCH_SEED
    rows = Store(tmp_path).read("trials").to_pandas()
    assert not (rows.measured & (rows.stage == "search")).any()


def test_the_document(out: Path) -> None:
    document = plan_study(study_from({**BASE, "seeds": [0, 1, 2]}), out).as_json()
    assert document["trials"]["wanted"] == 12
    assert document["cells"][0] == {
        "cell": "a × none × 1/4",
        "levels": {"model": "a", "weights": "none", "fraction": "1/4"},
        "n_train": 11_250,
        "head": None,
        "recipes": 1,
        "trials": 3,
        "new": 1,
        "reused": 2,
        "continued": 0,
        "borrowed": 0,
    }
    assert document["data"]["n_train"] == 45_000
    assert [said.partition(":")[0] for said in document["warnings"]] == [
        "recipe.epochs",
        "factors.fraction",
    ]
    for key in ("trials", "new", "reused", "continued"):
        name = "wanted" if key == "trials" else key
        assert sum(cell[key] for cell in document["cells"]) == document["trials"][name]


# Whose directory it is.


@pytest.mark.parametrize(
    ("change", "named"),
    [({"name": "other"}, "name grown, not other"), ({"trainable": "classifier"}, "trainable")],
)
def test_what_differs_is_named(out: Path, change: dict[str, Any], named: str) -> None:
    study = study_from({**BASE, "factors": {"model": ["resnet18"]}, **change})
    with pytest.raises(StudyError, match=named) as refused:
        plan_study(study, out)
    assert "choose another --out" in str(refused.value)


def test_other_data_are_another_study(out: Path) -> None:
    store = Store(out)
    rows = [{"pass_id": "zz", "data_fingerprint": "of other images"}]
    store.write_part("environments", "zz", [table_of("environments", rows)])
    with pytest.raises(StudyError, match="data fingerprint of other images, not simulated"):
        plan_study(study_from(BASE), out)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(StudyError, match=r"holds other files \(thesis.tex"):
        plan_study(study_from(BASE), tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(StudyError, match="a file is there"):
        plan_study(study_from(BASE), tmp_path / "file")


def test_a_directory_of_ours_whose_study_file_is_gone_is_ours(out: Path) -> None:
    Store(out).study_file.unlink()
    (out / "report").mkdir()
    (out / "damaged").mkdir()
    assert counts(BASE, out) == (8, 0, 8, 0, 0)


def test_damage_is_said_by_plan_and_mended_by_run(out: Path) -> None:
    store = Store(out)
    store.parts("environments")[0].write_bytes(b"PAR1 and then nothing PAR1")
    store.parts("trials")[0].write_bytes(b"")
    with pytest.raises(StoreError, match="`scalestudy run` sets damaged parts aside"):
        plan_study(study_from(BASE), out)
    before = store.read("epochs").num_rows
    summary = run_study(study_from(BASE), out, address="none")
    assert len(summary.problems) == 2
    assert store.read("epochs").num_rows == before
    assert counts(BASE, out) == (8, 0, 8, 0, 0)


# What is doubtful about the records; the design has tests of its own.


def test_records_of_unlike_machines_are_named(out: Path) -> None:
    rows = [{"pass_id": "zz", "data_fingerprint": "simulated", "torch": "0.0.1"}]
    Store(out).write_part("environments", "zz", [table_of("environments", rows)])
    declared: Study = study_from({**BASE, "seeds": [0, 1, 2]})
    *_, warning = plan_study(declared, out).warnings
    assert warning.startswith("records: passes ran with different torch (0.0.1, ")
