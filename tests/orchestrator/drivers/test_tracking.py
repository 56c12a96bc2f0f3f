import struct
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tensorboardX.proto.event_pb2 import Event

from orchestrator.errors import StudyError
from orchestrator.run.runner import run_study
from orchestrator.study.blocks import Trackers
from orchestrator.study.study import study_from
from results.store.store import Store

STUDY: dict[str, Any] = {
    "name": "tracked",
    "trainable": "simulated",
    "factors": {"model": ["a", "b"], "fraction": ["1/4", 1]},
    "recipe": {"epochs": 3},
    "resources": {"gpu": 0},
}


def run(tmp_path: Path, trackers: dict[str, Any]) -> tuple[pd.DataFrame, list[str]]:
    """Run the study; return its epochs by trial and epoch, and what was noticed."""
    study = study_from({**STUDY, "trackers": trackers}, base=tmp_path)
    summary = run_study(study, tmp_path / "run", max_parallel=2)
    assert summary.exit_code == 0
    epochs = Store(tmp_path / "run").read("epochs").to_pandas()
    assert len(epochs) == 12
    return epochs.set_index(["trial_id", "epoch"]).sort_index(), summary.problems


def events(file: Path) -> list[Event]:
    """Read a file of length-prefixed records with checksums."""
    content, found, at = file.read_bytes(), [], 0
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        found.append(Event.FromString(content[at + 12 : at + 12 + length]))
        at += 16 + length
    return found


def logged(file: Path) -> list[bytes]:
    """Read a file in LevelDB's log format: blocks of 32 KiB, records with checksum and kind."""
    content, found, at, part = file.read_bytes(), [], 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = struct.unpack_from("<HB", content, at + 4)
        part += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            found.append(part)
            part = b""
    return found


@pytest.mark.ray
def test_tensorboard_holds_every_epoch_of_every_trial(ray_cluster: Any, tmp_path: Path) -> None:
    recorded, problems = run(tmp_path, {"tensorboard": {"folder": str(tmp_path / "logs")}})
    assert problems == []
    folders = sorted((tmp_path / "logs").iterdir())
    assert [folder.name.rsplit("-", 1)[0] for folder in folders] == [
        "a-none-1-seed0",
        "a-none-1_4-seed0",
        "b-none-1-seed0",
        "b-none-1_4-seed0",
    ]
    ids = {trial_id[:6]: trial_id for trial_id, _ in recorded.index}
    seen = 0
    for folder in folders:
        trial_id = ids[folder.name.rsplit("-", 1)[1]]
        for file in folder.glob("events*"):
            for event in events(file):
                for value in event.summary.value:
                    if value.tag == "ray/tune/val_accuracy":
                        expected = recorded.loc[(trial_id, event.step), "val_accuracy"]
                        assert value.simple_value == pytest.approx(expected)
                        seen += 1
    assert seen == 12


@pytest.mark.ray
def test_a_tracker_that_fails_is_given_up_and_the_study_goes_on(
    ray_cluster: Any, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("no folder")
    _, problems = run(tmp_path, {"tensorboard": {"folder": str(tmp_path / "taken")}})
    assert len(problems) == 1
    assert problems[0].startswith("trackers.tensorboard: given up for this run: ")


@pytest.mark.ray
@pytest.mark.trackers
@pytest.mark.filterwarnings("default")
def test_mlflow_holds_every_epoch_of_every_trial(tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    recorded, problems = run(tmp_path, {"mlflow": {"uri": uri}})
    assert problems == []
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("tracked")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 4
    assert {run.info.status for run in runs} == {"FINISHED"}
    ids = {trial_id[:6]: trial_id for trial_id, _ in recorded.index}
    for run_ in runs:
        trial_id = ids[run_.info.run_name.rsplit("-", 1)[1]]
        assert run_.data.params["model"] in ("a", "b")
        assert run_.data.params["stage"] == "measure"
        history = client.get_metric_history(run_.info.run_id, "val_accuracy")
        assert {metric.step: metric.value for metric in history} == pytest.approx(
            recorded.loc[trial_id, "val_accuracy"].to_dict()
        )


@pytest.mark.ray
@pytest.mark.trackers
def test_wandb_keeps_a_run_per_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recorded, problems = run(tmp_path, {"wandb": {"project": "p", "mode": "offline"}})
    assert problems == []
    runs = {file.stem.removeprefix("run-") for file in tmp_path.glob("wandb/*/run-*.wandb")}
    assert runs == {trial_id for trial_id, _ in recorded.index}
    from wandb.proto.wandb_internal_pb2 import Record

    for file in tmp_path.glob("wandb/*/run-*.wandb"):
        steps = {}
        for content in logged(file):
            record = Record.FromString(content)
            items = {item.key or item.nested_key[0]: item for item in record.history.item}
            if "val_accuracy" in items:
                steps[int(items["epoch"].value_json)] = float(items["val_accuracy"].value_json)
        trial_id = file.stem.removeprefix("run-")
        assert steps == pytest.approx(recorded.loc[trial_id, "val_accuracy"].to_dict())


def test_a_library_that_is_missing_is_named_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.study.blocks.find_spec", lambda name: None)
    study = study_from({**STUDY, "trackers": {"wandb": {"project": "p"}}}, base=tmp_path)
    with pytest.raises(StudyError, match=r"trackers\.wandb: this Python has no wandb; pip install"):
        run_study(study, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("trackers", "message"),
    [
        ({"mlflow": {"uri": "http://me:secret@host"}}, "MLFLOW_TRACKING_PASSWORD"),
        ({"mlflow": {}}, r"trackers\.mlflow\.uri"),
        ({"wandb": {"project": "p", "mode": "loud"}}, r"trackers\.wandb\.mode"),
        ({"tensorbord": {"folder": "x"}}, "tensorboard"),
        ({"tensorboard": "logs"}, r"trackers\.tensorboard"),
    ],
)
def test_refusals(trackers: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message) as refusal:
        study_from({**STUDY, "trackers": trackers})
    assert "secret" not in str(refusal.value)


def test_trackers_are_written_with_the_study_and_change_no_trial() -> None:
    trackers = {"tensorboard": {"folder": "logs"}}
    study = study_from({**STUDY, "trackers": trackers})
    assert study.written()["trackers"] == trackers
    assert study_from(study.written()).trackers == Trackers.model_validate(trackers)
    assert "trackers" not in study_from(STUDY).written()
