"""Recipes as people write them: what is stated has a bearing, or is refused."""

from typing import Any

import digit_trials
import numpy as np
import pytest
import torch
from digit_trials import curve, make_trial, start

from orchestrator.errors import StudyError
from orchestrator.study.study import Study, study_from
from trainables.data.batches import Batches
from trainables.recipe import Recipe
from trainables.training.mixing import varied
from trainables.training.optimizers import Schedule, build_optimizer

NEW: dict[str, dict[str, Any]] = {
    "clip": {"clip_norm": 0.5},
    "weights": {"class_weights": "balanced"},
    "sampling": {"sampling": "balanced"},
    "mixup": {"mixup": 0.2},
    "cutmix": {"cutmix": 1.0},
    "both, weighted": {"mixup": 0.2, "cutmix": 1.0, "class_weights": "balanced"},
    "step": {"schedule": "step", "step_size": 1, "gamma": 0.5},
    "wsd": {"schedule": "wsd", "decay": 0.5},
    "norms": {"decay_norms": False, "weight_decay": 0.1},
    "frozen": {"freeze": "backbone"},
    "trivial": {"augmentation": "trivial"},
    "resized crop": {"augmentation": "resized-crop", "image_size": 12},
}


def study(**blocks: Any) -> Study:
    return study_from({"name": "s", "trainable": "simulated", **blocks})


@pytest.mark.parametrize("name", NEW)
def test_each_field_trains_another_trial_which_goes_on_to_the_last_digit(
    name: str, tmp_path: Any
) -> None:
    # 95 images: not as many of each class.
    trial = make_trial(n_train=95, recipe={**NEW[name], "epochs": 2, "batch_size": 48})
    bare = {"weight_decay": 0.1} if name == "norms" else {}
    plain = make_trial(n_train=95, recipe={**bare, "epochs": 2, "batch_size": 48})
    assert trial.trial_id != plain.trial_id
    whole = curve(start(trial), 2)
    assert whole != curve(start(plain), 2)
    first = start(trial)
    first.step()
    first.save(tmp_path / "state")
    second = start(trial)
    second.load(tmp_path / "state")
    assert digit_trials.numbers(second.step()) == whole[1]


def test_fields_at_their_defaults_name_no_other_trial() -> None:
    defaults = {"class_weights": "none", "sampling": "shuffled", "mixup": 0, "decay_norms": True}
    assert Recipe(**defaults).identity() == Recipe().identity()


def test_the_step_schedule_by_hand() -> None:
    schedule = Schedule(Recipe(schedule="step", step_size=2, gamma=0.1, lr=1.0, epochs=5), 3)
    assert [round(schedule.lr(step), 6) for step in (0, 5, 6, 11, 12)] == [1, 1, 0.1, 0.1, 0.01]


def test_norms_and_biases_do_not_decay() -> None:
    layer = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    for values in layer.parameters():
        values.grad = torch.zeros_like(values)
        values.data.fill_(1.0)
    recipe = Recipe(optimizer="sgd", momentum=0, lr=0.1, weight_decay=0.5, decay_norms=False)
    build_optimizer(layer.parameters(), recipe).step()
    assert torch.allclose(layer[0].weight, torch.tensor(0.95))
    assert all((values == 1).all() for values in (layer[0].bias, *layer[1].parameters()))


def test_balanced_sampling_draws_all_classes_equally_often() -> None:
    labels = np.array([0] * 900 + [1] * 100)
    chances = torch.tensor(1000 / (2 * np.bincount(labels)))[labels]
    batches = Batches(1000, 1000, 0, None, torch.device("cpu"), chances)
    drawn = batches.batch(0).examples
    assert abs(float((drawn >= 900).double().mean()) - 0.5) < 0.05
    assert torch.equal(drawn, batches.batch(0).examples)


def test_images_are_varied_each_for_itself() -> None:
    images = torch.full((2, 16, 16, 3), 7, dtype=torch.uint8)
    images[:, :8] = 200
    crop = varied(Recipe(augmentation="resized-crop", image_size=8), (16, 16))
    assert crop is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        assert crop(images).shape == (2, 8, 8, 3)
        assert not torch.equal(*crop(images))
    assert varied(Recipe(augmentation="standard"), (8, 8)) is None


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ({"recipe": {"momentum": 0.9}}, r"recipe\.momentum: has no bearing without optimizer: sgd"),
        ({"recipe": {"nesterov": True, "lr": 0.1}}, r"recipe\.nesterov: has no bearing"),
        ({"search": {"momentum": [0.8, 0.9]}}, r"momentum: has no bearing without optimizer: sgd"),
        ({"recipe": {"gamma": 0.5}}, r"recipe\.gamma: has no bearing without schedule: step"),
        ({"recipe": {"schedule": "step"}}, "schedule: step needs a step_size"),
        ({"recipe": {"epochs": 2, "warmup": 10}}, r"a warm-up of 10 in a budget of 2 epochs"),
        ({"recipe": {"steps": 20, "evaluations": 2, "warmup": 2}}, "never trains at the lr"),
        ({"recipe": {"epochs": 2}, "search": {"warmup": [0, 3]}}, "a warm-up of 3 in a budget"),
        ({"recipe": {"optimizer": "AdamW"}}, r"did you mean adamw\?"),
        ({"recipe": {"optimizer": "SGD"}}, r"did you mean sgd\?"),
        ({"recipe": {"amp": True}}, r"did you mean precision\?.*own does \(docs/extending\.md\)"),
        ({"recipe": {"mean": 0.5}}, r"did you mean normalization\?"),
        ({"recipe": {"distillation": 1}}, r"is not known; valid are.*trainable of your own does"),
        ({"recipe": {"image_size": [224, 224]}}, "the side in pixels of a square is needed"),
    ],
)
def test_what_would_be_ignored_or_is_not_known(blocks: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        study(**blocks)


def test_what_has_a_bearing_somewhere_may_be_stated() -> None:
    study(recipe={"momentum": 0.8}, search={"optimizer": ["adam", "sgd"]})
    study(recipe={"momentum": 0.8}, factors={"optimizer": ["adam", "sgd"]})
    plain = study(recipe={"epochs": 3})
    assert "momentum" not in plain.written()["recipe"]
    assert study_from(plain.written()) == study_from(plain.written())
    # As runs wrote study files until now: every default is stated.
    stated = {**Recipe().model_dump(exclude_none=True)}
    study(recipe=stated)
    with pytest.raises(StudyError, match="momentum"):
        study(recipe={**stated, "momentum": 0.5})
