"""`init`: what it writes loads, plans and fits the budget."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from orchestrator.commands.app import app
from orchestrator.plan.plan import plan_study
from orchestrator.plan.price import price_study
from orchestrator.plan.starter import Starter
from orchestrator.study.file import load_study
from orchestrator.study.study import Study


def init(*words: object) -> Any:
    return CliRunner().invoke(app, ["init", *map(str, words)])


def seconds(study: Study) -> float:
    return price_study(plan_study(study, "/nowhere/at/all").ledger).wall.value


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 160 small training images in two classes, and 8 for the test."""
    folder = tmp_path_factory.mktemp("mine") / "my pictures"
    generator = np.random.default_rng(0)
    for part, count in (("train", 80), ("test", 4)):
        for label in ("cat", "dog"):
            place = folder / part / label
            place.mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 255, (24, 24, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.png")
    return folder


def test_what_is_written_loads_and_fits(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    done = init(file, "--models", "shufflenet_v2_x0_5", "--budget", 0.01)
    assert done.exit_code == 0, done.exception
    study = load_study(file)
    assert study.factors["model"] == ["shufflenet_v2_x0_5"]
    fits = seconds(study)
    assert fits <= 36
    # The next more epochs would not.
    more = load_study(file, [f"recipe.epochs={round(1.5 * study.recipe['epochs']) + 1}"])
    assert study.recipe["epochs"] == 50 or seconds(more) > 36
    text = file.read_text()
    assert "# Expected here: about" in text
    # What is said of it, after what was read of the data, stands in the file, too.
    data, *said, _ = done.stdout.splitlines()
    assert data.startswith("data: 10 classes")
    for sentence in said:
        assert f"# {sentence}" in text


def test_more_time_buys_more(tmp_path: Path) -> None:
    studies = []
    for name, hours in (("short", "0.6min"), ("long", "10h")):
        file = tmp_path / f"{name}.yaml"
        file.write_text(Starter(file, models=["shufflenet_v2_x0_5"], budget=hours).start()[0])
        studies.append(load_study(file))
    short, long = studies
    assert long.recipe["epochs"] == 50
    assert len(long.seeds) == 5
    assert seconds(short) < seconds(long) < 36_000


def test_a_folder_of_images(images: Path) -> None:
    file = images.parent / "study.yaml"
    done = init(file, "--data", images, "--models", "resnet18", "--budget", 1, "--schema")
    assert done.exit_code == 0, done.exception
    values = yaml.safe_load(file.read_text())
    assert values["name"] == "my-pictures"
    assert values["data"] == {"source": "imagefolder", "path": "my pictures", "validation": 0.1}
    # 144 images remain, of which 1/4 holds 32 and 1/8 does not.
    assert values["factors"]["fraction"] == ["1/4", "1/2", 1]
    assert values["recipe"]["batch_size"] == 16
    assert "image_size" not in values["recipe"]
    study = load_study(file)
    assert plan_study(study, images.parent / "run").trials["new"] > 0
    first = file.read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=study.schema.json"
    jsonschema = pytest.importorskip("jsonschema")
    schema = yaml.safe_load((images.parent / "study.schema.json").read_text())
    assert jsonschema.Draft202012Validator(schema).is_valid(values)


@pytest.mark.parametrize(
    ("names", "data"),
    [
        ("train Test", {"path": "{}"}),
        ("train val", {"path": {"train": "{}/train", "test": "{}/val"}}),
        ("train", {"path": "{}", "test": 0.2}),
        ("", {"path": {"train": "{}"}, "test": 0.2}),
        ("set/train set/test", {"path": "{}/set"}),
    ],
)
def test_the_lines_that_read_a_layout(
    names: str, data: dict[str, Any], images: Path, tmp_path: Path
) -> None:
    images = shutil.copytree(images, tmp_path / "mine")
    for part, new in zip(("train", "test"), names.split(), strict=False):
        (images / new).parent.mkdir(exist_ok=True)
        (images / part).rename(images / new)
    if len(names.split()) < 2:
        shutil.rmtree(images / "test")
    if not names:
        for entry in (images / "train").iterdir():
            entry.rename(images / entry.name)
        (images / "train").rmdir()
    file = images.parent / "study.yaml"
    file.write_text(Starter(file, data=str(images), models=["resnet18"]).start()[0])
    written = yaml.safe_load(file.read_text())["data"]
    expected = json.loads(json.dumps(data).replace("{}", images.name))
    assert written == {"source": "imagefolder", **expected, "validation": 0.1}
    assert load_study(file).data.path is not None


def test_unlike_weights_search_their_learning_rates(images: Path, tmp_path: Path) -> None:
    import torchvision
    from torch import save

    weights = tmp_path / "mine.pth"
    save(torchvision.models.resnet18(num_classes=5).state_dict(), weights)
    file = tmp_path / "study.yaml"
    words = ("--data", images, "--models", "resnet18", "--weights", f"none,{weights}")
    assert init(file, *words, "--budget", 5).exit_code == 0
    study = load_study(file)
    assert study.search is not None
    assert set(study.search.fields) == {"lr"}
    assert "lr" not in study.recipe
    warnings = plan_study(study, tmp_path / "run").warnings
    assert not [said for said in warnings if "one lr" in said or "early_stopping" in said]


def test_data_of_a_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "init_data.py").write_text(
        "import numpy as np\ndef load():\n"
        "    parts = [(np.zeros((n, 16, 16, 3), np.uint8), np.arange(n) % 4) for n in (400, 80)]\n"
        "    return tuple(parts)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    done = init(
        tmp_path / "s.yaml", "--data", "init_data:load", "--models", "trainables.demo:small"
    )
    assert done.exit_code == 0, done.exception
    study = load_study(tmp_path / "s.yaml")
    assert (study.name, study.data.source) == ("init-data-load", "init_data:load")


def test_without_a_budget_there_is_a_price(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    done = init(file, "--models", "shufflenet_v2_x0_5")
    assert done.exit_code == 0
    # What was read is said at once: a folder too high has other classes.
    assert done.stdout.startswith("data: 10 classes (0 142, ")
    assert load_study(file).recipe["epochs"] == 10
    assert "Expected here: about" in file.read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--budget", 1e-6), "even one epoch, one seed and 3 data sizes take about"),
        (("--budget", "3gpu-hours"), "--budget 3gpu-hours: a time is needed here"),
        (("--budget", "much"), "--budget much: valid are 3h, 90min"),
        (("--data", "absent"), "--data absent: no folder"),
        (("--models", "resnet19"), "resnet19"),
        (("--weights", "http://a/b.pth"), "--weights: http://a/b.pth is an address"),
        (("--preset", "demo", "--budget", 1), "--preset goes without --budget"),
    ],
)
def test_refusals(words: tuple[object, ...], said: str, tmp_path: Path) -> None:
    refused = init(tmp_path / "study.yaml", *words)
    assert getattr(refused.exception, "exit_code", None) == 2
    assert said in str(refused.exception)
    assert not (tmp_path / "study.yaml").exists()


def test_without_a_wish_it_is_the_demo(tmp_path: Path) -> None:
    assert init(tmp_path / "s.yaml").exit_code == 0
    assert load_study(tmp_path / "s.yaml").name == "demo"
