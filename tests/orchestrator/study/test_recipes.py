"""The search block: what it refuses, and what it draws."""

from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.study.recipes import Search, normal_value


def search(**block: Any) -> Search:
    return Search.model_validate(block)


def test_lists_are_a_grid_in_the_order_of_the_file() -> None:
    grid = search(lr=["1e-3", 1e-4], batch_size=[256, "32"])
    assert (grid.algorithm, grid.samples, grid.size) == ("grid", None, 4)
    assert grid.draws(0) == [
        {"lr": 1e-3, "batch_size": 256},
        {"lr": 1e-3, "batch_size": 32},
        {"lr": 1e-4, "batch_size": 256},
        {"lr": 1e-4, "batch_size": 32},
    ]


@pytest.mark.parametrize(
    ("block", "algorithm", "samples"),
    [
        ({"lr": {"loguniform": [1e-4, 1e-2]}}, "random", 8),
        ({"lr": [1e-3, 1e-4], "samples": 3}, "random", 3),
        ({"lr": [1e-3, 1e-4], "algorithm": "random"}, "random", 8),
        ({"lr": [1e-3, 1e-4], "algorithm": "optuna", "samples": 5}, "optuna", 5),
    ],
)
def test_algorithm_and_samples_by_default(
    block: dict[str, Any], algorithm: str, samples: int
) -> None:
    made = search(**block)
    assert (made.algorithm, made.samples) == (algorithm, samples)


def test_random_draws_follow_the_seed_and_keep_to_their_ranges() -> None:
    made = search(
        lr={"loguniform": ["1e-4", "1e-2"]},
        momentum={"uniform": [0.5, 0.9]},
        batch_size={"randint": [2, 4]},
        optimizer={"choice": ["adam", "sgd"]},
        schedule=["cosine", "constant"],
        samples=200,
    )
    draws = made.draws(7)
    assert draws == made.draws(7)
    assert draws != made.draws(8)
    assert all(1e-4 <= draw["lr"] <= 1e-2 and 0.5 <= draw["momentum"] <= 0.9 for draw in draws)
    assert {draw["batch_size"] for draw in draws} == {2, 3, 4}
    assert {draw["optimizer"] for draw in draws} == {"adam", "sgd"}
    assert {draw["schedule"] for draw in draws} == {"cosine", "constant"}
    # Half of the draws of a log-uniform lr lie below the geometric mean of its ends.
    assert 70 < sum(draw["lr"] < 1e-3 for draw in draws) < 130


def test_a_searcher_draws_as_it_goes() -> None:
    assert search(lr=[1e-3, 1e-4], algorithm="optuna").draws(0) == []


def test_the_corners_of_a_search_are_all_its_ends() -> None:
    made = search(lr={"loguniform": [1e-4, 1e-2]}, optimizer=["adam", "sgd"])
    assert [*made.corners()] == [
        {"lr": 1e-4, "optimizer": "adam"},
        {"lr": 1e-4, "optimizer": "sgd"},
        {"lr": 1e-2, "optimizer": "adam"},
        {"lr": 1e-2, "optimizer": "sgd"},
    ]
    assert not made.is_finite
    assert search(lr=[1e-3], optimizer={"choice": ["adam"]}).is_finite


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({}, "names no recipe field"),
        ({"samples": 3}, "names no recipe field"),
        ({"lrr": [1e-3]}, "did you mean lr"),
        ({"fields": {"lr": [1e-3]}}, "key 'fields' is not known"),
        ({"lr": []}, "at least one value"),
        ({"lr": 1e-3}, "a list, or a block of one distribution"),
        ({"lr": ["fast"]}, "a number above 0 is needed"),
        ({"lr": [1e-3, "0.001"]}, "1e-3|0.001.*one value"),
        ({"optimizer": ["admaw"]}, "did you mean adamw"),
        ({"epochs": [None, 3]}, "a whole number is needed"),
        ({"lr": {"lognormal": [1, 2]}}, "did you mean loguniform"),
        ({"lr": {"uniform": [1e-3]}}, "two numbers, low and high"),
        ({"lr": {"uniform": [1e-2, 1e-3]}}, "low below high"),
        ({"lr": {"uniform": []}}, "uniform needs a list"),
        ({"lr": {"uniform": 3}}, "uniform needs a list"),
        ({"warmup": {"loguniform": [0, 1]}}, "a low above 0"),
        ({"warmup": {"randint": [0.5, 2]}}, "whole numbers"),
        ({"batch_size": {"uniform": [16, 64]}}, "use randint"),
        ({"batch_size": {"loguniform": [16, 64]}}, "use randint"),
        ({"batch_size": {"randint": [16, 10**400]}}, "a whole number .* is needed"),
        ({"lr": {"uniform": [1e-3, 10**400]}}, "a number above 0 is needed"),
        ({"optimizer": {"uniform": ["adam", "sgd"]}}, "list the values to try"),
        ({"nesterov": {"uniform": [False, True]}}, "list the values to try"),
        ({"clip_norm": {"uniform": [0.5, None]}}, "list the values to try"),
        ({"image_size": {"randint": [32, "96x224"]}}, "list the values to try"),
        ({"lr": {"choice": ["fast"]}}, "a number above 0 is needed"),
        ({"lr": {"uniform": [1e-3, 1e-2]}, "algorithm": "grid"}, "needs lists"),
        ({"lr": [1e-3], "algorithm": "grid", "samples": 3}, "leave samples out"),
        ({"lr": [1e-3], "algorithm": "genetic"}, "grid"),
        ({"lr": [1e-3], "samples": 0}, "greater than or equal to 1"),
        ({"lr": [1e-3], "samples": True}, "not true or false"),
        ({"lr": [1e-3], "samples": 10**9}, "less than or equal to 100000"),
        ({"lr": [1e-3], "seed": -1}, "greater than or equal to 0"),
        ({"lr": [1e-3], "seed": True}, "not true or false"),
    ],
)
def test_what_no_search_can_be(block: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Search.model_validate(block)


@pytest.mark.parametrize("block", [[], "lr", 3, None])
def test_what_is_no_block(block: Any) -> None:
    with pytest.raises(ValidationError, match="a block of recipe fields to tune is needed"):
        Search.model_validate(block)


def test_a_search_is_written_as_it_is_read() -> None:
    made = search(lr={"loguniform": ["1e-4", "1e-2"]}, nesterov=["true", False], seed=3)
    assert made.written() == {
        "lr": {"loguniform": [1e-4, 1e-2]},
        "nesterov": [True, False],
        "samples": 8,
        "seed": 3,
        "algorithm": "random",
    }
    assert search(**made.written()) == made
    assert Search.model_validate(made) is made


@pytest.mark.parametrize(
    ("field", "value", "normal"),
    [
        ("lr", "1e-3", 0.001),
        ("batch_size", "32", 32),
        ("batch_size", 32.0, 32),
        ("nesterov", "true", True),
        ("image_size", None, None),
    ],
)
def test_values_as_recipes_hold_them(field: str, value: Any, normal: Any) -> None:
    held = normal_value(field, value)
    assert held == normal
    assert type(held) is type(normal)
