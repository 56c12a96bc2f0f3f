"""A trained model is taken home: it predicts what was recorded, and is the next study's weights."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import forks
import numpy as np
import pytest
import safetensors
import torch
import yaml
from PIL import Image

import results
import scalestudy
from orchestrator.commands.export import _chosen
from trainables.errors import WeightsError
from trainables.models.weights import resolve_weights

MODEL = "trainables.demo:small"


def command(*words: object, code: int = 0) -> str:
    done = forks.run(["-m", "orchestrator", *map(str, words)])
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def draw(folder: Path, generator: np.random.Generator) -> None:
    """Draw photos of unlike sizes: bright to the left or to the right."""
    for part, count in (("train", 12), ("test", 6)):
        for kind in ("left", "right"):
            (folder / part / kind).mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 140, (24, 20 + number, 3), dtype=np.uint8)
                half = np.s_[:, :12] if kind == "left" else np.s_[:, -12:]
                pixels[half] += 60
                Image.fromarray(pixels).save(folder / part / kind / f"{number:02}.png")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    draw(folder / "images", np.random.default_rng(0))
    study = {
        "name": "home",
        "data": {"source": "imagefolder", "path": "images", "fit": "squash", "validation": 4},
        "factors": {"model": [MODEL], "fraction": [0.5, 1]},
        "recipe": {"epochs": 3, "batch_size": 4, "image_size": "16x12", "lr": 0.01},
        "seeds": [0, 1],
        "keep_checkpoints": "last",
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    words = ("--out", folder / "run", "--address", "none", "--no-report")
    command("run", folder / "study.yaml", *words)
    return folder / "run"


@pytest.mark.parametrize("suffix", ["pt", "safetensors", "onnx"])
def test_a_model_predicts_the_test_images_as_was_recorded(
    run: Path, tmp_path: Path, suffix: str
) -> None:
    if suffix == "onnx" and not all(map(find_spec, ("onnx", "onnxscript", "onnxruntime"))):
        said = command("export", run, "--to", tmp_path / "model.onnx", code=2)
        assert "pip install 'scalestudy[onnx]'" in said
        pytest.skip("the packages of ONNX are not here")
    file = tmp_path / f"model.{suffix}"
    assert "seed 1" in command("export", run, "--cell", f"{MODEL} × 1", "--seed", 1, "--to", file)
    model = scalestudy.load_model(file)
    study = results.open(run)
    (row,) = study.trials(compared=True).query("seed == 1 and fraction == 1").to_dict("records")
    assert model.about.trial_id == row["trial_id"]
    assert model.about.accuracy == row["final_test_accuracy"]
    assert model.about.classes == ("left", "right")
    assert model.about.image_size == (16, 12)
    told = study.predictions().query(f"trial_id == '{row['trial_id']}'").sort_values("example")
    files = sorted((run.parent / "images/test").glob("*/*.png"))
    names = [model.predict(image)[0] for image in files]
    assert names == [model.about.classes[place] for place in told["prediction"]]
    script = tmp_path / "model_predict.py"
    done = forks.run([str(script), str(files[0])], check=True)
    assert done.stdout.split()[0] == names[0]


def test_the_file_says_what_it_is_and_brings_its_normalisation(run: Path, tmp_path: Path) -> None:
    for suffix in ("pt", "safetensors"):
        file = tmp_path / f"model.{suffix}"
        command("export", run, "--to", file)
        about = scalestudy.load_model(file).about
        weights = resolve_weights(MODEL, "mine", str(file))
        assert weights.normalization == about.normalization
        assert resolve_weights(MODEL, "m", str(file), normalization="none").normalization == "none"
    assert torch.load(tmp_path / "model.pt", weights_only=True)["classes"] == ["left", "right"]
    with safetensors.safe_open(tmp_path / "model.safetensors", "pt") as held:
        assert held.metadata()["classes"] == '["left", "right"]'
    study = yaml.safe_load((run.parent / "study.yaml").read_text())
    study["factors"]["weights"] = ["none", {"mine": str(tmp_path / "model.pt")}]
    (run.parent / "next.yaml").write_text(yaml.safe_dump(study))
    said = command("plan", run.parent / "next.yaml", "--out", tmp_path / "next")
    assert "normalised by the data's mean" not in said


def test_of_a_cells_seeds_the_studys_metric_takes_the_best(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(run, tmp_path / "run")
    words = ("--set", "metric=log_loss", "--out", tmp_path / "run", "--address", "none")
    command("run", run.parent / "study.yaml", *words, "--no-report")
    study = results.open(tmp_path / "run")
    trials = study.trials(compared=True)
    # The seed that is right more often is also sure where it is wrong.
    told = {"final_val_accuracy": [0.5, 0.9], "final_val_log_loss": [0.4, 0.8]}
    values = {name: trials["seed"].map(dict(enumerate(of))) for name, of in told.items()}
    changed = trials.assign(**values)
    monkeypatch.setattr(type(study), "trials", lambda _, compared: changed)
    for level in ("1/2", "1"):
        assert _chosen(study, level, None)["seed"] == 0


def test_what_is_no_model_is_told_apart_from_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is not there; `scalestudy export"):
        scalestudy.load_model(tmp_path / "model.pt")
    torch.save({"fc.weight": torch.ones(2)}, tmp_path / "other.pt")
    (tmp_path / "other.onnx").write_bytes(b"not one")
    wrong = {"other.pt": "no model that `scalestudy export` wrote"}
    found = find_spec("onnxruntime")
    wrong["other.onnx"] = wrong["other.pt"] if found else "pip install onnxruntime"
    for name, message in wrong.items():
        with pytest.raises(WeightsError, match=message):
            scalestudy.load_model(tmp_path / name)


def test_what_was_not_kept_says_what_to_set(run: Path, tmp_path: Path) -> None:
    said = command("export", run, "--cell", "resnet18", code=2)
    assert "no completed run of resnet18; cells are" in said
    for state in run.glob("checkpoints/*/*.state"):
        state.rename(state.with_suffix(".away"))
    said = command("export", run, "--to", tmp_path / "model.pt", code=1)
    assert "Set keep_checkpoints: last" in said
