"""The recipes of a study: which are tried inside each cell, and all that it can come to."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from orchestrator.study.refusals import Refused, reason, shown, unknown, unknown_key
from orchestrator.study.schema import Settings, schema_of
from trainables.recipe import BUDGETS, NEEDS, NUMBER, Recipe, Seed

Algorithm = Literal["grid", "random", "optuna"]
RECIPE_FIELDS = tuple(Recipe.model_fields)
_ADAPTERS: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(field.rebuild_annotation()) for name, field in Recipe.model_fields.items()
}
RESERVED = ("algorithm", "samples", "seed")
DISTRIBUTIONS = ("choice", "uniform", "loguniform", "randint")
_DEFAULT_SAMPLES = 8
_MOST_CORNERS = 10_000
SEARCH_SEED = 1_000_000
"""Seed of searches that state none; none of a study's own, so that winners are measured afresh."""


class Search(Settings):
    """The `search` block: recipe fields with lists or distributions, and how to draw from them."""

    fields: dict[str, Any]
    """Values of each tuned recipe field: a list, or one distribution: {choice: […]},
    {uniform: [low, high]}, {loguniform: [low, high]}, {randint: [low, high]} (high included)."""
    algorithm: Algorithm | None = None
    """grid (every combination, the default for lists), random (the default with distributions or
    `samples`), or optuna (one TPE sampler per cell)."""
    samples: Annotated[int, Field(ge=1, le=100_000), *NUMBER] | None = None
    """Recipes that each cell tries; 8 by default where not every combination is tried."""
    seed: Seed | None = None
    """Seed of the draws, of their order within a cell, and of the search trials. By default
    1000000, which is kept for it: winners are then measured on seeds that chose none. A run
    directory goes on with the seed that it was searched with."""

    @model_validator(mode="before")
    @classmethod
    def _gather_fields(cls, block: Any) -> Any:
        if isinstance(block, Search):
            return block
        example = "{lr: [1e-3, 1e-4]}"
        if not isinstance(block, dict):
            raise Refused(f"a block of recipe fields to tune is needed, such as {example}")
        fields = {key: _tried(key, value) for key, value in block.items() if key not in RESERVED}
        rest = {key: block[key] for key in RESERVED if block.get(key) is not None}
        if not fields:
            raise Refused(f"names no recipe field to tune; valid is a block such as {example}")
        all_lists = all(isinstance(value, list) for value in fields.values())
        rest.setdefault("algorithm", "grid" if all_lists and "samples" not in rest else "random")
        if rest["algorithm"] != "grid":
            rest.setdefault("samples", _DEFAULT_SAMPLES)
        elif not all_lists:
            why = "needs lists; distributions go with random and optuna"
            raise Refused(why, key=("algorithm",), value="grid")
        elif "samples" in rest:
            why = "a grid tries every combination; leave samples out, or choose algorithm: random"
            raise Refused(why, key=("samples",), value=rest["samples"])
        return {"fields": fields, **rest}

    def written(self) -> dict[str, Any]:
        """Return the block as a study file holds it."""
        return self.fields | self.model_dump(include={*RESERVED}, exclude_none=True)

    @property
    def size(self) -> int:
        """Number of recipes that a search draws for each cell."""
        if self.algorithm == "grid":
            return math.prod(len(values) for values in self.fields.values())
        return self.samples or _DEFAULT_SAMPLES

    def draws(self, seed: int) -> list[dict[str, Any]]:
        """Return the recipe fields of every draw; none for `optuna`, which asks as it goes."""
        if self.algorithm == "optuna":
            return []
        if self.algorithm == "grid":
            return list(self.corners())
        # A stream of its own for each field: neither their order in the file nor another field
        # changes what is drawn of one.
        streams = {key: np.random.default_rng([seed, *key.encode()]) for key in self.fields}
        return [
            {key: _sample(value, streams[key]) for key, value in self.fields.items()}
            for _ in range(self.size)
        ]

    @property
    def is_finite(self) -> bool:
        """Whether all recipes that may be drawn can be listed: no field has a range."""
        return all(isinstance(own, list) or "choice" in own for own in self.fields.values())

    def corners(self) -> Iterator[dict[str, Any]]:
        """Yield the recipe fields of every combination of values, of a range of its two ends."""
        fields = self.fields.values()
        ends = [own if isinstance(own, list) else next(iter(own.values())) for own in fields]
        return (dict(zip(self.fields, row, strict=True)) for row in itertools.product(*ends))


def _tried(field: Any, values: Any) -> Any:
    """Return the values of a recipe field that are to be tried, as the recipe holds them."""
    if field not in RECIPE_FIELDS:
        raise Refused(unknown_key(field, [*RECIPE_FIELDS, *RESERVED]))
    refused = partial(Refused, key=(field,), value=values)
    if isinstance(values, list):
        if not values:
            raise refused("at least one value is needed, such as lr: [1e-3, 1e-4]")
        return distinct(field, values, "value")
    if not isinstance(values, dict) or len(values) != 1:
        kinds = ", ".join(DISTRIBUTIONS)
        raise refused(f"a list, or a block of one distribution ({kinds}), is needed")
    ((kind, arguments),) = values.items()
    if kind not in DISTRIBUTIONS:
        raise refused(f"{shown(kind)} is no distribution; {unknown(str(kind), DISTRIBUTIONS)}")
    if not isinstance(arguments, list) or not arguments:
        raise refused(f"{kind} needs a list")
    if kind == "choice":
        return {kind: [normal_value(field, value) for value in arguments]}
    if len(arguments) != 2:
        raise refused(f"{kind} needs two numbers, low and high")
    low, high = (normal_value(field, argument) for argument in arguments)
    if any(isinstance(end, bool) or not isinstance(end, int | float) for end in (low, high)):
        raise refused(f"{kind} draws numbers, and {field} is none; list the values to try")
    if not low < high:
        raise refused(f"{kind} needs low below high")
    if kind == "loguniform" and low <= 0:
        raise refused("loguniform needs a low above 0")
    if kind == "randint" and (low % 1 or high % 1):
        raise refused("randint needs whole numbers")
    if kind != "randint" and isinstance(low, int):
        raise refused(f"{kind} draws fractions, and {field} is a whole number; use randint")
    return {kind: [low, high]}


def distinct(
    field: str, values: list[Any], noun: str, parse: Callable[[Any], Any] | None = None
) -> list[Any]:
    """Return values as `parse`, by default the recipe's field, reads them; twins are refused."""
    seen: dict[str, Any] = {}
    parsed = []
    for value in values:
        try:
            parsed.append(parse(value) if parse else normal_value(field, value))
        except ValueError as error:
            raise Refused(str(error), key=(field,), value=value) from None
        twin = seen.setdefault(str(parsed[-1]), value)
        if len(seen) < len(parsed):
            why = f"{shown(twin)} and {shown(value)} are one {noun}; list it once"
            raise Refused(why, key=(field,), value=values)
    return parsed


def _sample(value: list[Any] | dict[str, list[Any]], generator: np.random.Generator) -> Any:
    ((kind, arguments),) = (value if isinstance(value, dict) else {"choice": value}).items()
    if kind == "choice":
        return arguments[generator.integers(len(arguments))]
    low, high = arguments
    if kind == "uniform":
        return float(generator.uniform(low, high))
    if kind == "loguniform":
        return float(np.exp(generator.uniform(np.log(low), np.log(high))))
    return int(generator.integers(int(low), int(high), endpoint=True))


def normal_value(field: str, value: Any) -> Any:
    """Return a recipe field's value as the recipe holds it, so that 1e-3 equals "0.001"."""
    if value is None and field in BUDGETS:
        raise Refused("a whole number is needed", key=(field,), value=value)
    try:
        return _ADAPTERS[field].validate_python(value)
    except ValidationError as error:
        why = reason(error.errors(include_url=False)[0], schema_of(Recipe)["properties"][field])
        raise Refused(why, key=(field,), value=value) from None


@dataclass(frozen=True)
class RecipeSpace:
    """Every recipe that a cell of a study may be trained with."""

    shared: Mapping[str, Any]
    compared: Mapping[str, list[Any]]
    search: Search | None
    seed: int

    def check(self) -> None:
        """Refuse fields that do not go together, and cells that would share their trials."""
        found: dict[str, tuple[tuple[Any, ...], Recipe]] = {}
        idle = {*self.shared, *self.compared, *(self.search.fields if self.search else ())}
        # Files that a run wrote until now state every default, which nobody chose.
        if {"momentum", "nesterov", "stem", "precision", "warmup", "normalization"} <= idle:
            defaults = {name: field.default for name, field in Recipe.model_fields.items()}
            idle -= {key for key in self.shared if self.shared[key] == defaults[key]}
        idle &= NEEDS.keys()
        for levels, recipe in self.recipes():
            idle -= {field for field, value in recipe.used().items() if value is not None}
            if recipe.warmup >= recipe.intervals:
                raise Refused(
                    f"a warm-up of {recipe.warmup:g} in a budget of {recipe.intervals} epochs "
                    "(evaluation intervals) never trains at the lr that is stated; warm up for "
                    "less, or train for more",
                    key=("recipe", "warmup"),
                )
            twin_levels, twin = found.setdefault(str(recipe.identity()), (levels, recipe))
            budgets = twin.intervals, recipe.intervals
            if budgets[0] != budgets[1]:
                raise Refused(
                    f"{budgets[0]} and {budgets[1]} evaluation intervals under a constant schedule "
                    f"are one trial, of which the longer holds the shorter; ask for {max(budgets)} "
                    f"alone and read epoch {min(budgets)} off its records, or choose schedule: "
                    "cosine, whose course depends on the budget",
                    key=("recipe",),
                )
            # Inside one cell, a search tries such recipes once.
            if twin_levels != levels:
                pair = (twin_levels, levels)
                one, other = (", ".join(map("{} {}".format, self.compared, of)) for of in pair)
                why = f"the cells ({one}) and ({other}) are one: what differs has no bearing there"
                raise Refused(f"{why}; leave a level out", key=("factors",))
        for field in sorted(idle):
            other, value = NEEDS[field]
            why = f"has no bearing without {other}: {value}; name that too, or leave {field} out"
            raise Refused(why, key=("recipe", field))

    def recipes(self) -> Iterator[tuple[tuple[Any, ...], Recipe]]:
        """Yield each possible recipe, of a range the two ends, with its levels of `compared`."""
        draws: Iterable[dict[str, Any]] = [{}]
        if self.search:
            corners = itertools.islice(self.search.corners(), _MOST_CORNERS)
            draws = self.search.draws(self.seed) or list(corners)
        for levels in itertools.product(*self.compared.values()):
            for draw in draws:
                fields = {**dict(zip(self.compared, levels, strict=True)), **draw}
                try:
                    recipe = Recipe.model_validate({**self.shared, **fields})
                except ValidationError as error:
                    problem = error.errors(include_url=False)[0]
                    why = str(problem.get("ctx", {}).get("error", problem["msg"]))
                    place = f" (with {shown(fields)})" if fields else ""
                    raise Refused(f"{why}{place}", key=("recipe",)) from None
                yield levels, recipe

    def written(self) -> dict[str, Any]:
        """Return the `recipe` block as a study file holds it, every default filled in."""
        _, recipe = next(self.recipes())
        elsewhere = {*self.compared, *(self.search.fields if self.search else ())}
        said = {key: value for key, value in recipe.used().items() if value is not None}
        stated = {key: value for key, value in self.shared.items() if value is not None}
        return {key: value for key, value in (said | stated).items() if key not in elsewhere}
