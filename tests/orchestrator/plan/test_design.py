"""What a plan says of a study's design, and that its advice is good."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from orchestrator.plan.design import _few_sizes
from orchestrator.plan.plan import plan_study
from orchestrator.study.inputs import Inputs
from orchestrator.study.study import study_from

SOUND: dict[str, Any] = {
    "name": "sound",
    "trainable": "simulated",
    "factors": {"model": ["a", "b"], "fraction": ["1/16", "1/8", "1/4", "1/2", 1]},
    "recipe": {"steps": 1500, "evaluations": 3},
    "seeds": [0, 1, 2],
}
WEIGHTED = {**SOUND["factors"], "weights": ["none", {"mine": "w/{model}.pth"}]}
FOUR = {"lr": [1e-4, 1e-3, 1e-2, 0.1]}


def warnings(**values: Any) -> list[str]:
    return plan_study(study_from({**SOUND, **values}), "/nowhere/at/all").warnings


def test_a_study_without_doubts() -> None:
    assert warnings() == []
    assert warnings(search=FOUR) == []
    assert warnings(factors=WEIGHTED, search=FOUR) == []
    # One data size asks nothing of data sizes.
    assert warnings(factors={"model": ["a"]}, recipe={"epochs": 3}) == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"seeds": [0]}, "seeds: one seed gives no interval"),
        (
            {
                "factors": {"fraction": ["1/100", "1/50", "1/25", "1/10"]},
                "recipe": {"epochs": 2000, "batch_size": 512},
            },
            "resnet18 × none × 1/100 and 3 more cells: 1 update an epoch",
        ),
        # 45,000/16/128 and 45,000/128 updates an epoch, rounded up.
        (
            {"recipe": {"epochs": 3, "batch_size": 128}},
            "equal epochs are not equal updates: 66 at fraction 1/16, 1,056 at 1, so",
        ),
        ({"factors": {"fraction": ["1/2", 1]}}, "with 2 data sizes no curve can be fitted"),
        (
            {"factors": {"fraction": ["1/4", "1/2", 1]}},
            "with 3 data sizes a fitted curve has nothing",
        ),
        (
            {"factors": WEIGHTED},
            "one lr (0.001) for training from scratch and for fine-tuning mine",
        ),
        ({"search": {"lr": [1e-3, 1e-2], "batch_size": [32, 64]}}, "of two values the winner"),
        ({"search": {"lr": [1e-3, 2e-3, 3e-3, 4e-3]}}, "from 0.001 to 0.004 is a narrow grid"),
        ({"search": {**FOUR, "weight_decay": [0, 0.1]}}, "search.weight_decay: of two values"),
        ({"early_stopping": {}}, "without search nothing competes inside a cell"),
        ({"search": {"lr": [1e-4, 1e-3, 1e-2]}}, "at most 3 trials compete"),
        (
            {"search": FOUR, "early_stopping": {"grace": 3}},
            "the first rung (grace 3) is not before the end of the longest trial (3 epochs)",
        ),
        ({"early_stopping": {"compare": ["model", "fraction"]}}, "at most 1 trials compete"),
    ],
)
def test_doubts(values: dict[str, Any], said: str) -> None:
    (warning,) = warnings(**values)
    assert said in warning


@pytest.mark.parametrize(
    ("fewest", "advice"),
    [
        (10, "5 tell more: fraction: [1/16, 1/8, 1/4, 1/2, 1]"),
        (41, "3 tell more: fraction: [1/4, 1/2, 1]"),
        (90, "smaller ones leave classes without images"),
    ],
)
def test_advice_is_checked_before_it_is_given(fewest: int, advice: str) -> None:
    values = {"name": "tail", "trainable": "simulated", "factors": {"fraction": ["1/2", "1"]}}
    inputs = Inputs("x", np.zeros(164, np.int64), 2, {}, 0, None, fewest=fewest)
    (finding,) = _few_sizes(study_from(values), inputs)
    assert finding.advice == advice


def test_how_heads_are_trained_is_said() -> None:
    scratch = "recipe.freeze: backbone with weights none trains a head on what random weights make"
    once = "recipe.freeze: heads are trained on features, which are computed once for all trials"
    placed = "recipe.freeze: heads are trained in place, since the images are others in every pass"
    pretrained = {**SOUND["factors"], "weights": [{"mine": "w/{model}.pth"}]}
    for recipe, search, said in (
        ({"freeze": "backbone"}, {}, [once]),
        ({"freeze": "backbone", "mixup": 0.2}, {}, [placed]),
        ({"freeze": "backbone"}, {"augmentation": ["none", "standard"]}, [once, placed]),
        ({}, {"freeze": ["none", "backbone"]}, [once]),
    ):
        values = {"recipe": {**SOUND["recipe"], **recipe}, "search": {**FOUR, **search}}
        for factors, more in ((pretrained, []), (SOUND["factors"], [scratch])):
            found = warnings(factors=factors, **values)
            for text, beginning in zip(found, [*more, *said], strict=True):
                assert text.startswith(beginning)


def test_selection_on_the_test_set() -> None:
    values = {
        "name": "digits",
        "data": {"source": "digits", "validation": "test"},
        "factors": {"model": ["resnet18"]},
        "seeds": [0, 1, 2],
    }
    (warning,) = plan_study(study_from(values), "/nowhere/at/all").warnings
    assert warning.startswith("data.validation: test selects on the test set")


def test_a_test_set_that_was_copied_from_train(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(256, size=(12, 3), dtype=np.uint8)
    for number, colour in enumerate(colours):
        folder = tmp_path / ("train" if number < 8 else "test") / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), colour)).save(folder / f"{number}.png")
    values = {
        "name": "copied",
        "data": {"source": "imagefolder", "path": str(tmp_path), "validation": 2},
        "factors": {"model": ["resnet18"]},
        "recipe": {"steps": 1500, "evaluations": 3, "batch_size": 2},
        "seeds": [0, 1, 2],
    }

    def said() -> list[str]:
        return plan_study(study_from(values), "/nowhere/at/all").warnings

    assert not any("learning by heart" in warning for warning in said())
    shutil.copy(tmp_path / "train/cat/0.png", tmp_path / "test/cat/copy.png")
    (warning,) = (warning for warning in said() if "learning by heart" in warning)
    assert warning.startswith("data: 1 of 5 test images, such as ")
    assert "test/cat/copy.png, are training images too" in warning


def test_enough_epochs_are_not_doubted() -> None:
    # 22 updates an epoch at 1/16 make 1,012 in all: no longer few.
    assert warnings(recipe={"epochs": 46}) == []
    assert len(warnings(recipe={"epochs": 45})) == 1


def test_a_race_fits_no_curve(tmp_path: Path) -> None:
    values = {"factors": {"fraction": ["1/2", 1]}, "early_stopping": {"compare": []}}
    assert not [said for said in warnings(**values) if "data sizes" in said]


@pytest.mark.parametrize(
    ("values", "block"),
    [
        ({"recipe": {"epochs": 3}}, "recipe"),
        ({"search": {"lr": [1e-3, 1e-2], "batch_size": [32, 64]}}, "search"),
        ({"search": {"lr": [1e-3, 2e-3, 3e-3, 4e-3]}}, "search"),
        ({"factors": {"fraction": ["1/2", 1]}}, "factors"),
        ({"factors": WEIGHTED}, "search"),
    ],
)
def test_advice_that_is_followed_silences_the_warning(values: dict[str, Any], block: str) -> None:
    (warning,) = warnings(**values)
    found = re.search(r"(?:recipe|search): (\{.+?\})|(\w+: \[[^]]+\])", warning)
    assert found
    advice = yaml.safe_load(found[1] or found[2])
    if block == "recipe":
        followed = {**values, "recipe": advice}
    else:
        followed = {**values, block: {**values.get(block, {}), **advice}}
    assert warnings(**followed) == []


@pytest.mark.parametrize(
    ("recipe", "search"),
    [
        ({"epochs": 4, "schedule": "step"}, {"step_size": [1, 2, 3, 4]}),
        ({"evaluations": 4, "schedule": "cosine"}, {"steps": [4000, 5000, 6000, 7000]}),
    ],
)
def test_a_recipe_that_only_its_search_completes(
    recipe: dict[str, Any], search: dict[str, Any]
) -> None:
    said = warnings(factors=WEIGHTED, recipe=recipe, search=search)
    assert any("one lr (0.001) for training from scratch" in warning for warning in said)
