"""The recipes tried inside every cell: a grid, seeded draws, or a searcher's."""

import itertools
import math
from typing import Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from orchestrator.refusals import explain
from trainables.recipe import Recipe

Algorithm = Literal["grid", "random", "optuna"]
_RESERVED = ("samples", "seed", "algorithm")
_DISTRIBUTIONS = ("choice", "uniform", "loguniform", "randint")


class Search(BaseModel):
    """The `search` block: recipe fields with lists or distributions, and how to draw from them."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    fields: dict[str, list[Any] | dict[str, list[Any]]]
    """Values of each tuned recipe field: a list, or one distribution: {choice: […]},
    {uniform: [low, high]}, {loguniform: [low, high]}, {randint: [low, high]} (high included)."""
    algorithm: Algorithm
    """grid (every combination, the default for lists), random (the default with distributions or
    `samples`), or optuna (one TPE sampler per cell)."""
    samples: int | None = None
    """Recipes per cell; 8 by default where not every combination is tried."""
    seed: int | None = None
    """Of the draws, of the order within a cell, and of the search trials; `seeds[0]` by default."""

    @model_validator(mode="before")
    @classmethod
    def _gather_fields(cls, block: Any) -> Any:
        if not isinstance(block, dict):
            raise ValueError("a block of recipe fields is needed, such as {lr: [1e-3, 1e-4]}")
        if "fields" in block:
            return block
        fields = {key: value for key, value in block.items() if key not in _RESERVED}
        rest = {key: block[key] for key in _RESERVED if block.get(key) is not None}
        if not fields:
            raise ValueError("no recipe field to tune; name one, such as lr: [1e-3, 1e-4]")
        for key, value in fields.items():
            _check_values(key, value)
        all_lists = all(isinstance(value, list) for value in fields.values())
        default = "grid" if all_lists and rest.get("samples") is None else "random"
        rest.setdefault("algorithm", default)
        if rest["algorithm"] == "grid":
            if not all_lists:
                raise ValueError("algorithm grid needs lists; with distributions, random or optuna")
            if rest.get("samples") is not None:
                raise ValueError("algorithm grid tries every combination; leave samples out")
        elif rest["algorithm"] in ("random", "optuna"):
            samples = rest.setdefault("samples", 8)
            if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
                raise ValueError(f"samples: {samples!r} is no whole number above 0")
        return {"fields": fields, **rest}

    @model_validator(mode="after")
    def _check_seed(self) -> Self:
        if self.seed is not None and self.seed < 0:
            raise ValueError(f"seed: {self.seed} is negative")
        return self

    def written(self) -> dict[str, Any]:
        """Return the block as a study file holds it."""
        rest = {key: getattr(self, key) for key in _RESERVED if getattr(self, key) is not None}
        return {**self.fields, **rest}

    def draws(self, seed: int) -> list[dict[str, Any]]:
        """Return the recipe fields of every draw; empty for `optuna`, which asks as it goes.

        Parameters
        ----------
        seed
            Of random draws.
        """
        if self.algorithm == "optuna":
            return []
        if self.algorithm == "grid":
            values = [self.fields[key] for key in self.fields]
            return [dict(zip(self.fields, row, strict=True)) for row in itertools.product(*values)]
        generator = np.random.default_rng(seed)
        return [
            {key: _sample(value, generator) for key, value in self.fields.items()}
            for _ in range(self.samples or 0)
        ]


def _check_values(key: str, value: Any) -> None:
    if isinstance(value, list):
        if not value:
            raise ValueError(f"{key}: the list is empty")
        return
    if isinstance(value, dict) and len(value) == 1:
        ((kind, arguments),) = value.items()
        if kind not in _DISTRIBUTIONS:
            raise ValueError(f"{key}: {kind!r} is no distribution; valid are {_listed()}")
        if not isinstance(arguments, list) or not arguments:
            raise ValueError(f"{key}: {kind} needs a list")
        if kind == "choice":
            return
        try:
            low, high = (float(argument) for argument in arguments)
        except (TypeError, ValueError):
            raise ValueError(f"{key}: {kind} needs two numbers, low and high") from None
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"{key}: {kind} needs low < high, not {arguments}")
        if kind == "loguniform" and low <= 0:
            raise ValueError(f"{key}: loguniform needs numbers above 0, not {arguments}")
        if kind == "randint" and (low % 1 or high % 1):
            raise ValueError(f"{key}: randint needs whole numbers, not {arguments}")
        return
    raise ValueError(f"{key}: a list, or one distribution ({_listed()}) is needed, not {value!r}")


def _listed() -> str:
    return ", ".join(_DISTRIBUTIONS)


def _sample(value: list[Any] | dict[str, list[Any]], generator: np.random.Generator) -> Any:
    if isinstance(value, list):
        return value[generator.integers(len(value))]
    ((kind, arguments),) = value.items()
    if kind == "choice":
        return arguments[generator.integers(len(arguments))]
    low, high = (float(argument) for argument in arguments)
    if kind == "uniform":
        return float(generator.uniform(low, high))
    if kind == "loguniform":
        return float(np.exp(generator.uniform(np.log(low), np.log(high))))
    return int(generator.integers(int(low), int(high), endpoint=True))


def check_search(search: Search, recipe: dict[str, Any], factors: set[str]) -> None:
    """Refuse fields that are no recipe fields, are factors too, or have impossible values.

    Raises
    ------
    ValueError
        With the field and what is valid.
    """
    for key, values in search.fields.items():
        if key in factors:
            raise ValueError(
                f"search.{key} is a factor too; a field is compared or tuned, not both"
            )
        if isinstance(values, list):
            listed = values
        elif "choice" in values:
            listed = values["choice"]
        else:
            listed = values[next(iter(values))]
        seen: dict[Any, Any] = {}
        for value in listed:
            try:
                normal = normal_value(recipe, key, value)
            except ValidationError as error:
                raise ValueError(f"search.{key}: {value!r}: {explain.first(error)}") from None
            if isinstance(values, list) and normal in seen:
                raise ValueError(f"search.{key}: {value!r} and {seen[normal]!r} are one value")
            seen[normal] = value


def normal_value(recipe: dict[str, Any], key: str, value: Any) -> Any:
    """Return a recipe field's value as the recipe holds it, so that 1e-3 equals "0.001".

    Raises
    ------
    ValueError
        (pydantic's ValidationError) The recipe refuses the value.
    """
    budget = {"epochs", "steps", "examples"}
    others = {k: v for k, v in recipe.items() if not (key in budget and k in budget)}
    return getattr(Recipe.model_validate({**others, key: value}), key)
