"""Recipes: defaults, what goes together, and what is part of a trial's identity."""

from typing import Any

import pytest
from pydantic import ValidationError

from trainables.recipe import DEFAULT_EPOCHS, Recipe


def identity(**fields: Any) -> dict[str, Any]:
    return Recipe(**fields).identity()


def test_a_recipe_without_fields_is_five_epochs_of_adam() -> None:
    recipe = Recipe()
    assert (recipe.epochs, recipe.optimizer, recipe.lr) == (DEFAULT_EPOCHS, "adam", 1e-3)
    assert (recipe.batch_size, recipe.schedule, recipe.precision) == (128, "constant", "auto")
    assert (recipe.intervals, recipe.steps_per_interval) == (5, None)


@pytest.mark.parametrize(
    ("fields", "intervals", "steps"),
    [
        ({"epochs": 3}, 3, None),
        ({"epochs": "3"}, 3, None),
        ({"steps": 100}, 5, 20),
        ({"steps": 100, "evaluations": 4}, 4, 25),
        # 1,000 examples in batches of 50 are 20 updates.
        ({"examples": 1000, "batch_size": 50}, 5, 4),
        # 1,001 are 21 updates.
        ({"examples": 1001, "batch_size": 50, "evaluations": 3}, 3, 7),
    ],
)
def test_budgets(fields: dict[str, Any], intervals: int, steps: int | None) -> None:
    recipe = Recipe(**fields)
    assert (recipe.intervals, recipe.steps_per_interval) == (intervals, steps)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epochs": 3, "steps": 100}, "name one budget"),
        ({"steps": 3, "examples": 100}, "name one budget"),
        ({"epochs": 3, "evaluations": 3}, "goes with steps or examples"),
        ({"evaluations": 3}, "goes with steps or examples"),
        ({"steps": 101}, "a budget of 105 updates can"),
        ({"examples": 1001, "batch_size": 50}, "21 updates cannot be cut into 5"),
        ({"optimizer": "sgd", "nesterov": True, "momentum": 0}, "a momentum above 0"),
        ({"epochs": 0}, "greater than or equal to 1"),
        ({"epochs": True}, "not true or false"),
        ({"epochs": 2**53}, "less than"),
        ({"lr": 0}, "greater than 0"),
        ({"lr": float("nan")}, "finite"),
        ({"lr": "inf"}, "finite"),
        ({"lr": "fast"}, "valid number"),
        ({"momentum": 1.0}, "less than 1"),
        ({"weight_decay": -1e-4}, "greater than or equal to 0"),
        ({"image_size": 4}, "a side of 8 to 1,024 pixels, or height and width such as 96x224"),
        ({"optimizer": "lion"}, "'adam', 'adamw' or 'sgd'"),
        ({"lrr": 1}, "Extra inputs"),
    ],
)
def test_what_no_recipe_can_be(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Recipe(**fields)


def test_nesterov_is_sgds_alone() -> None:
    assert Recipe(nesterov=True, momentum=0).nesterov


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # Spellings of one number.
        ({"lr": 1e-3}, {"lr": "0.001"}),
        ({"lr": "1e-3"}, {"lr": 0.001}),
        ({"batch_size": 64}, {"batch_size": "64"}),
        ({"batch_size": 64}, {"batch_size": 64.0}),
        ({"weight_decay": 0}, {"weight_decay": -0.0}),
        ({"warmup": 1, "schedule": "cosine"}, {"warmup": 1.0, "schedule": "cosine"}),
        # Defaults, named or left out.
        ({}, {"lr": 1e-3, "batch_size": 128, "optimizer": "adam", "precision": "auto"}),
        ({}, {"image_size": None, "epochs": None}),
        ({"steps": 100}, {"steps": 100, "evaluations": 5}),
        # Fields without bearing.
        ({"momentum": 0.5}, {"momentum": 0.9, "nesterov": True}),
        ({"optimizer": "adamw", "momentum": 0.5}, {"optimizer": "adamw"}),
        # Under a constant schedule, an epoch is the same whatever follows it.
        ({"epochs": 3}, {"epochs": 30}),
        ({"epochs": 3, "warmup": 2}, {"epochs": 30, "warmup": 2}),
        ({"steps": 100, "evaluations": 5}, {"steps": 200, "evaluations": 10}),
        # Equally many updates between evaluations, however they are counted.
        ({"steps": 100}, {"examples": 12_800}),
    ],
)
def test_what_changes_no_number_is_not_part_of_the_identity(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert identity(**one) == identity(**other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"lr": 2e-3}),
        ({}, {"batch_size": 64}),
        ({}, {"optimizer": "adamw"}),
        ({"optimizer": "sgd"}, {"optimizer": "sgd", "momentum": 0.8}),
        ({"optimizer": "sgd"}, {"optimizer": "sgd", "nesterov": True}),
        ({}, {"weight_decay": 1e-4}),
        ({}, {"label_smoothing": 0.1}),
        ({}, {"warmup": 1}),
        ({}, {"schedule": "cosine"}),
        ({}, {"augmentation": "standard"}),
        ({}, {"freeze": "backbone"}),
        ({}, {"precision": "fp32"}),
        ({}, {"stem": "cifar"}),
        ({}, {"image_size": 64}),
        ({}, {"normalization": "data"}),
        # The course of these schedules depends on the budget.
        ({"epochs": 3, "schedule": "cosine"}, {"epochs": 4, "schedule": "cosine"}),
        ({"epochs": 3, "schedule": "one-cycle"}, {"epochs": 4, "schedule": "one-cycle"}),
        ({"steps": 100, "schedule": "cosine"}, {"steps": 200, "schedule": "cosine"}),
        # Evaluated at other updates, records are other records.
        ({"steps": 100}, {"epochs": 5}),
        ({"steps": 100}, {"steps": 200}),
        ({"steps": 100, "evaluations": 5}, {"steps": 100, "evaluations": 10}),
        ({}, {"decay_norms": False}),
        ({}, {"clip_norm": 1}),
        ({}, {"class_weights": "balanced"}),
        ({}, {"sampling": "balanced"}),
        ({}, {"mixup": 0.2}),
        ({}, {"cutmix": 1}),
        ({"schedule": "step", "step_size": 1}, {"schedule": "step", "step_size": 2}),
        ({"schedule": "step", "step_size": 1}, {"schedule": "step", "step_size": 1, "gamma": 0.2}),
        ({"epochs": 3, "schedule": "wsd"}, {"epochs": 4, "schedule": "wsd"}),
        ({"schedule": "wsd"}, {"schedule": "wsd", "decay": 0.4}),
    ],
)
def test_what_changes_numbers_is(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert identity(**one) != identity(**other)


def test_every_field_is_one_or_the_other() -> None:
    # A field that is added must be put into one of the two tests above.
    judged = {
        "epochs",
        "steps",
        "examples",
        "evaluations",
        "batch_size",
        "optimizer",
        "lr",
        "momentum",
        "nesterov",
        "weight_decay",
        "decay_norms",
        "clip_norm",
        "class_weights",
        "sampling",
        "mixup",
        "cutmix",
        "step_size",
        "gamma",
        "decay",
        "label_smoothing",
        "schedule",
        "warmup",
        "augmentation",
        "freeze",
        "precision",
        "stem",
        "image_size",
        "normalization",
    }
    assert set(Recipe.model_fields) == judged


@pytest.mark.parametrize(
    ("intervals", "tested"),
    [
        (1, [1]),
        (10, [*range(1, 11)]),
        (11, [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        (25, [3, 5, 8, 10, 13, 15, 18, 20, 23, 25]),
    ],
)
def test_the_test_set_is_evaluated_at_evenly_spaced_intervals_and_always_last(
    intervals: int, tested: list[int]
) -> None:
    recipe = Recipe(epochs=intervals)
    every = [*range(1, intervals + 1)]
    for times, expected in {10: tested, 1: [intervals], None: every, 0: []}.items():
        assert [at for at in every if recipe.is_tested(times, at)] == expected


@pytest.mark.parametrize(
    ("fields", "shared"),
    [
        ({"epochs": 5}, 5),
        ({"epochs": 5, "schedule": "step", "step_size": 2}, 5),
        ({"epochs": 5, "schedule": "cosine"}, 0),
        ({"epochs": 5, "schedule": "wsd"}, 4),
        ({"epochs": 5, "schedule": "wsd", "decay": 0.5}, 2),
        ({"epochs": 10, "schedule": "wsd", "decay": 0.7}, 3),
        ({"epochs": 5, "schedule": "wsd", "decay": 1e-12}, 4),
        ({"epochs": 5, "schedule": "wsd", "decay": 1}, 0),
    ],
)
def test_epochs_that_are_the_same_whatever_follows(fields: dict[str, Any], shared: int) -> None:
    assert Recipe(**fields).shared_intervals == shared


def test_wsd_has_room_for_its_parts() -> None:
    Recipe(epochs=5, schedule="wsd", warmup=4)
    with pytest.raises(ValueError, match="no room for both"):
        Recipe(epochs=5, schedule="wsd", warmup=4.1)


def test_fields_in_use() -> None:
    assert Recipe().used()["momentum"] is None
    assert Recipe(optimizer="sgd").used()["momentum"] == 0.9
    assert set(Recipe().used()) == set(Recipe.model_fields)
