"""Trials of other run directories: taken by their ids, and as if they were trained here."""

import json
import re
from pathlib import Path
from typing import Any

import forks
import pandas as pd
import pytest
import yaml
from harness import VARIES

import results
from orchestrator import load_study, plan_study, run_study
from orchestrator.errors import StudyError
from orchestrator.plan.plan import Plan
from results.store.store import Store

FIRST: dict[str, Any] = {
    "name": "first",
    "trainable": "simulated",
    "factors": {"model": ["resnet18", "resnet50"], "fraction": ["1/4", 1]},
    "recipe": {"epochs": 4},
    "search": {"lr": [1e-3, 1e-2, 3e-4, 1e-4]},
    "seeds": [0, 1],
}
MORE = {
    "name": "more",
    "factors": {"model": ["resnet18", "resnet50", "resnet34"], "fraction": ["1/4", 1]},
    "seeds": [0, 1, 2],
}
DIGITS = {
    "name": "digits",
    "factors": {"model": ["trainables.demo:small"], "fraction": ["1/32"]},
    "recipe": {"steps": 2, "evaluations": 2, "batch_size": 16, "image_size": 16},
    "seeds": [0],
}


def written(folder: Path, **values: Any) -> Path:
    file = folder.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(values))
    return file


def trained(folder: Path, **values: Any) -> Path:
    run_study(load_study(written(folder, **values)), folder, address="none")
    return folder


def planned(folder: Path, **values: Any) -> Plan:
    plan = plan_study(load_study(written(folder, **values)), folder)
    kinds = ("new", "reused", "continued", "borrowed")
    assert plan.trials["wanted"] == sum(plan.trials[kind] for kind in kinds)
    return plan


def assert_alike(one: Path, other: Path) -> None:
    """Compare all that two runs record of their trials but where and when, and what they say."""
    keys = {"trials": ["trial_id"], "epochs": ["trial_id", "epoch"]}
    keys["predictions"] = [*keys["epochs"], "example"]
    for table, order in keys.items():
        varies = [*VARIES.get(table, ()), *(["origin"] if table != "predictions" else [])]
        if table == "epochs":
            varies.append("evaluation_images_per_second")
        first, second = (
            Store(out).read(table).to_pandas().drop(columns=varies).sort_values(order)
            for out in (one, other)
        )
        pd.testing.assert_frame_equal(
            first.reset_index(drop=True), second.reset_index(drop=True), check_exact=True
        )
    said = [results.open(out).answer() for out in (one, other)]
    assert (said[0].headline, said[0].sure) == (said[1].headline, said[1].sure)
    assert Store(one).problems() == []


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("lending") / "first", **FIRST)


def test_a_study_with_borrowed_trials_is_the_study_that_trained_them(
    first: Path, tmp_path: Path
) -> None:
    study = {**FIRST, **MORE}
    plan = planned(tmp_path / "more", **study, reuse=str(first))
    there = Store(first).read("trials", ["trial_id", "status"]).to_pandas()
    assert set(there["status"]) == {"completed", "stopped"}
    assert plan.trials["borrowed"] == len(there)
    assert plan.trials["recorded"] == 0
    more = trained(tmp_path / "more", **study, reuse=str(first))
    assert_alike(more, trained(tmp_path / "whole", **study))
    run = results.open(more)
    borrowed, epochs = run.trials()["origin"].notna(), run.epochs()
    assert set(run.trials().loc[borrowed, "trial_id"]) == set(there["trial_id"])
    assert epochs["sequence"].is_unique
    assert set(epochs["origin"].dropna()) == {str(first)}
    # It is here now, and asks for the other directory no more.
    again = planned(more, **study).trials
    assert again["reused"] == again["wanted"]


def test_a_stop_elsewhere_is_none_here(first: Path, tmp_path: Path) -> None:
    study = {**FIRST, "name": "unstopped", "early_stopping": "none"}
    assert planned(tmp_path / "unstopped", **study, reuse=[str(first)]).trials["continued"]
    out = trained(tmp_path / "unstopped", **study, reuse=[str(first)])
    assert_alike(out, trained(tmp_path / "whole", **study))


def test_a_longer_budget_goes_on_from_a_kept_checkpoint_elsewhere(tmp_path: Path) -> None:
    fixed = {key: FIRST[key] for key in FIRST if key != "search"}
    short = trained(tmp_path / "short", **fixed | {"keep_checkpoints": "last"})
    study = fixed | {"name": "long", "recipe": {"epochs": 6}}
    plan = planned(tmp_path / "long", **study, reuse=str(short))
    assert plan.trials["continued"] == plan.trials["wanted"]
    assert not [finding for finding in plan.findings if finding.code == "no-checkpoint"]
    out = trained(tmp_path / "long", **study, reuse=str(short))
    assert_alike(out, trained(tmp_path / "whole", **study))
    assert not [*Store(out).checkpoints.glob("*")]


def test_what_a_later_winner_is_measured_with_is_borrowed_too(tmp_path: Path) -> None:
    # What is lent was tested more than a search's trials would be here.
    base = FIRST | {"early_stopping": "none", "test": "every"}
    one = trained(tmp_path / "one", **base)
    study = base | {"search": {"lr": [1e-5, *FIRST["search"]["lr"]]}}
    out = trained(tmp_path / "two", **study, reuse="one")
    assert_alike(out, trained(tmp_path / "whole", **study))
    trials = Store(out).read("trials").to_pandas()
    measured = trials[trials["stage"] == "measure"]
    assert set(measured["origin"]) == {str(one)}


def test_predictions_passes_and_images_come_along(tmp_path: Path) -> None:
    one = trained(tmp_path / "one", **DIGITS)
    same = trained(tmp_path / "same", **DIGITS, reuse="one")
    for table in ("examples", "predictions"):
        assert Store(one).read(table).equals(Store(same).read(table))
    assert_alike(same, one)
    more = trained(tmp_path / "more", **DIGITS | {"seeds": [0, 1]}, reuse="one")
    assert_alike(more, trained(tmp_path / "whole", **DIGITS | {"seeds": [0, 1]}))
    assert Store(more).read("examples").num_rows == Store(one).read("examples").num_rows


def test_counted_seeds_are_judged_on_what_is_borrowed(tmp_path: Path) -> None:
    study = {**FIRST, "seeds": {"at_least": 2, "at_most": 4}}
    del study["search"]
    one = trained(tmp_path / "one", **study)
    plan = planned(tmp_path / "two", **study, reuse=str(one))
    assert plan.trials["borrowed"] == Store(one).read("trials", ["trial_id"]).num_rows
    assert_alike(trained(tmp_path / "two", **study, reuse=str(one)), one)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"reuse: .*none: no run directory is there"):
        planned(tmp_path / "b", **FIRST, reuse="none")


def test_the_command_names_neighbours_and_takes_them(first: Path) -> None:
    file = written(first.parent / "more", **FIRST | MORE)

    def plan(*flags: str) -> str:
        done = forks.run(["-m", "orchestrator", "plan", str(file), *flags])
        assert done.returncode == 0, done.stderr
        return done.stdout

    out = str(first.parent / "more")
    said = " ".join(plan("--out", out).split())
    place = re.escape(str(first))
    assert re.search(rf"{place} holds \d+ trials that are new here.* --reuse {place} takes", said)
    said = json.loads(plan("--out", out, "--reuse", str(first), "--json"))
    assert said["trials"]["borrowed"] == 24
