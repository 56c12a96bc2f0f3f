"""`merge`: what two machines trained of one study becomes one run directory."""

from pathlib import Path

import forks
import pandas as pd
import pytest
import yaml

import results
from results.store.store import Store

STUDY = {
    "name": "parted",
    "trainable": "simulated",
    "factors": {"model": ["resnet18", "resnet50"], "fraction": ["1/4", 1]},
    "recipe": {"epochs": 2},
}


def scalestudy(*words: object) -> str:
    done = forks.run(["-m", "orchestrator", *map(str, words)])
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def trained(folder: Path, seeds: list[int], **changes: object) -> Path:
    file = folder.with_suffix(".yaml")
    file.write_text(yaml.safe_dump({**STUDY, "seeds": seeds, **changes}))
    scalestudy("run", file, "--out", folder, "--address", "none", "--no-report")
    return folder


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("merging")
    return [trained(folder / "a", [0, 1]), trained(folder / "b", [1, 2])]


def test_runs_of_two_machines_with_an_overlap_become_one(parts: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "c"
    said = scalestudy("merge", *parts, "--out", out)
    assert "12 trials of 2 run directories, 4 rows of trials that were there twice" in said
    store = Store(out)
    assert store.problems() == []
    run = results.open(out)
    assert run.study["seeds"] == [0, 1, 2]
    assert run.summary()["seeds"].tolist() == [3] * 4
    epochs = run.epochs()
    assert epochs["sequence"].is_unique
    assert set(epochs["origin"]) == {str(part) for part in parts}
    # The first directory's come first, and each keeps its order.
    first = results.open(parts[0]).epochs()
    keys = ["trial_id", "epoch"]
    merged = epochs[epochs["origin"] == str(parts[0])]
    kept = first[first["trial_id"].isin(merged["trial_id"])]
    assert merged[keys].to_numpy().tolist() == kept[keys].to_numpy().tolist()
    # One run of all three seeds has the same numbers, and a run goes on with nothing to train.
    whole = results.open(trained(tmp_path / "whole", [0, 1, 2])).summary()
    columns = [name for name in whole if "accuracy" in name]
    pd.testing.assert_frame_equal(run.summary()[columns], whole[columns])
    before = len(epochs)
    scalestudy("run", tmp_path / "whole.yaml", "--out", out, "--address", "none", "--no-report")
    after = results.open(out)
    assert len(after.epochs()) == before
    assert after.trials()["origin"].notna().all()


def test_what_is_no_one_study_is_refused(parts: list[Path], tmp_path: Path) -> None:
    other = trained(tmp_path / "other", [0], recipe={"epochs": 3})
    words = ["-m", "orchestrator", "merge", str(parts[0]), str(other), "--out"]
    done = forks.run([*words, str(tmp_path / "d")])
    assert done.returncode == 1
    assert "not of one study, since they differ in recipe" in done.stderr
    assert not (tmp_path / "d").exists()
    done = forks.run([*words[:-1], "--out", str(parts[1])])
    assert "is there already" in done.stderr
