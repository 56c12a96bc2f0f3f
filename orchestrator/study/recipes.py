"""The recipes of a study: which are tried inside each cell, and all that it can come to."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, get_args

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from orchestrator.study.refusals import Refused, reason, shown, unknown, unknown_key
from orchestrator.study.schema import Settings, block_of, list_of
from trainables.recipe import BUDGET_FIELDS, BUDGETS, DEFAULT_EPOCHS, NUMBER, Recipe, Seed

Algorithm = Literal["grid", "random", "optuna"]
RECIPE_FIELDS = tuple(Recipe.model_fields)

_RESERVED = ("samples", "seed", "algorithm")
_DISTRIBUTIONS = ("choice", "uniform", "loguniform", "randint")
_DEFAULT_SAMPLES = 8
_MOST_CORNERS = 10_000


class Search(Settings):
    """The `search` block: recipe fields with lists or distributions, and how to draw from them."""

    fields: dict[str, Any]
    """Values of each tuned recipe field: a list, or one distribution: {choice: […]},
    {uniform: [low, high]}, {loguniform: [low, high]}, {randint: [low, high]} (high included)."""
    algorithm: Algorithm
    """grid (every combination, the default for lists), random (the default with distributions or
    `samples`), or optuna (one TPE sampler per cell)."""
    samples: Annotated[int, Field(ge=1, le=100_000), *NUMBER] | None = None
    """Recipes that each cell tries; 8 by default where not every combination is tried."""
    seed: Seed | None = None
    """Seed of the draws, of their order within a cell, and of the search trials; by default the
    first of `seeds`."""

    @model_validator(mode="before")
    @classmethod
    def _gather_fields(cls, block: Any) -> Any:
        if isinstance(block, Search):
            return block
        example = "{lr: [1e-3, 1e-4]}"
        if not isinstance(block, dict):
            raise Refused(f"a block of recipe fields to tune is needed, such as {example}")
        fields = {key: _tried(key, value) for key, value in block.items() if key not in _RESERVED}
        rest = {key: block[key] for key in _RESERVED if block.get(key) is not None}
        if not fields:
            raise Refused(f"names no recipe field to tune; valid is a block such as {example}")
        all_lists = all(isinstance(value, list) for value in fields.values())
        rest.setdefault("algorithm", "grid" if all_lists and "samples" not in rest else "random")
        if rest["algorithm"] != "grid":
            rest.setdefault("samples", _DEFAULT_SAMPLES)
        elif not all_lists:
            raise Refused(
                "needs lists; distributions go with random and optuna",
                key=("algorithm",),
                value="grid",
            )
        elif "samples" in rest:
            raise Refused(
                "a grid tries every combination; leave samples out, or choose algorithm: random",
                key=("samples",),
                value=rest["samples"],
            )
        return {"fields": fields, **rest}

    def written(self) -> dict[str, Any]:
        """Return the block as a study file holds it."""
        rest = {key: getattr(self, key) for key in _RESERVED if getattr(self, key) is not None}
        return {**self.fields, **rest}

    @property
    def size(self) -> int:
        """Number of recipes that a search draws for each cell."""
        if self.algorithm == "grid":
            return math.prod(len(values) for values in self.fields.values())
        return self.samples or _DEFAULT_SAMPLES

    def draws(self, seed: int) -> list[dict[str, Any]]:
        """Return the recipe fields of every draw, empty for `optuna`, which asks as it goes.

        Parameters
        ----------
        seed
            Seed of the random draws.
        """
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
        return all(
            isinstance(values, list) or "choice" in values for values in self.fields.values()
        )

    def corners(self) -> Iterator[dict[str, Any]]:
        """Yield the recipe fields of every combination of values, of a range of its two ends."""
        ends = [
            values if isinstance(values, list) else next(iter(values.values()))
            for values in self.fields.values()
        ]
        return (dict(zip(self.fields, row, strict=True)) for row in itertools.product(*ends))


def _tried(field: Any, values: Any) -> Any:
    """Return the values of a recipe field that are to be tried, as the recipe holds them."""
    if field not in RECIPE_FIELDS:
        raise Refused(unknown_key(field, [*RECIPE_FIELDS, *_RESERVED]))

    def refused(why: str) -> Refused:
        return Refused(why, key=(field,), value=values)

    if isinstance(values, list):
        if not values:
            raise refused("at least one value is needed, such as lr: [1e-3, 1e-4]")
        return distinct(field, values, normal_value, "value")
    if not isinstance(values, dict) or len(values) != 1:
        kinds = ", ".join(_DISTRIBUTIONS)
        raise refused(f"a list, or a block of one distribution ({kinds}), is needed")
    ((kind, arguments),) = values.items()
    if kind not in _DISTRIBUTIONS:
        raise refused(f"{shown(kind)} is no distribution; {unknown(str(kind), _DISTRIBUTIONS)}")
    if not isinstance(arguments, list) or not arguments:
        raise refused(f"{kind} needs a list")
    if kind == "choice":
        return {kind: [normal_value(field, value) for value in arguments]}
    return {kind: _range(field, kind, arguments, refused)}


def distinct(
    field: str, values: list[Any], parse: Callable[[str, Any], Any], noun: str
) -> list[Any]:
    """Return each value as `parse(field, value)` reads it.

    Raises
    ------
    Refused
        Two of them are one; the message calls them by the noun.
    """
    seen: dict[str, Any] = {}
    parsed = []
    for value in values:
        parsed.append(parse(field, value))
        name = str(parsed[-1])
        if name in seen:
            raise Refused(
                f"{shown(seen[name])} and {shown(value)} are one {noun}; list it once",
                key=(field,),
                value=values,
            )
        seen[name] = value
    return parsed


def _range(field: str, kind: str, arguments: list[Any], refused: Any) -> list[Any]:
    if len(arguments) != 2:
        raise refused(f"{kind} needs two numbers, low and high")
    low, high = (normal_value(field, argument) for argument in arguments)
    if isinstance(low, bool) or not isinstance(low, int | float):
        raise refused(f"{kind} draws numbers, and {field} is none; list the values to try")
    if not low < high:
        raise refused(f"{kind} needs low below high")
    if kind == "loguniform" and low <= 0:
        raise refused("loguniform needs a low above 0")
    if kind == "randint" and (low % 1 or high % 1):
        raise refused("randint needs whole numbers")
    if kind != "randint" and isinstance(low, int):
        raise refused(f"{kind} draws fractions, and {field} is a whole number; use randint")
    return [low, high]


def _sample(value: list[Any] | dict[str, list[Any]], generator: np.random.Generator) -> Any:
    if isinstance(value, list):
        return value[generator.integers(len(value))]
    ((kind, arguments),) = value.items()
    if kind == "choice":
        return arguments[generator.integers(len(arguments))]
    low, high = arguments
    if kind == "uniform":
        return float(generator.uniform(low, high))
    if kind == "loguniform":
        return float(np.exp(generator.uniform(np.log(low), np.log(high))))
    return int(generator.integers(int(low), int(high), endpoint=True))


def normal_value(field: str, value: Any) -> Any:
    """Return a recipe field's value as the recipe holds it, so that 1e-3 equals "0.001".

    Raises
    ------
    Refused
        The field cannot have the value.
    """
    if value is None and field in BUDGETS:
        raise Refused("a whole number is needed", key=(field,), value=value)
    declared = Recipe.model_fields[field]
    try:
        return _adapter(field).validate_python(value)
    except ValidationError as error:
        why = reason(error, declared.annotation, declared.metadata)
        raise Refused(why, key=(field,), value=value) from None


@cache
def _adapter(field: str) -> TypeAdapter[Any]:
    return TypeAdapter(Recipe.model_fields[field].rebuild_annotation())


def value_of(field: str) -> Any:
    """Return the type of a recipe field's value where it is compared or tuned."""
    annotation = Recipe.model_fields[field].rebuild_annotation()
    # A budget that is not meant is left out.
    return get_args(annotation)[0] if field in BUDGET_FIELDS else annotation


def search_block() -> Any:
    """Return the type of the `search` block as a study file writes it."""
    rest = {
        key: Annotated[field.rebuild_annotation() | None, Field(description=field.description)]
        for key, field in Search.model_fields.items()
        if key in _RESERVED
    }
    needed = [{"required": [field]} for field in RECIPE_FIELDS]
    return block_of({**{field: _tuned(field) for field in RECIPE_FIELDS}, **rest}, anyOf=needed)


def _tuned(field: str) -> Any:
    declared = Recipe.model_fields[field]
    values: Any = list_of(value_of(field))
    ends = Annotated[values, Field(min_length=2, max_length=2)]
    kinds = {kind: values if kind == "choice" else ends for kind in _DISTRIBUTIONS}
    about = {"description": declared.description, "default": declared.default}
    distribution = block_of(kinds, minProperties=1, maxProperties=1)
    return Annotated[values | distribution, Field(json_schema_extra=about)]


_Levels = tuple[Any, ...]


@dataclass(frozen=True)
class RecipeSpace:
    """Every recipe that a cell of a study may be trained with.

    Parameters
    ----------
    shared
        Values of the recipe fields that all cells share.
    compared
        Levels of the recipe fields that are factors.
    search
        The recipe fields that are tuned inside each cell, or None.
    seed
        The seed of the search's random draws.
    """

    shared: Mapping[str, Any]
    compared: Mapping[str, list[Any]]
    search: Search | None
    seed: int

    def check(self) -> None:
        """Refuse fields that do not go together, and cells that would share their trials.

        Raises
        ------
        Refused
            The message names the fields and what is wrong with them.
        """
        found: dict[str, tuple[_Levels, Recipe]] = {}
        for levels, recipe in self.recipes():
            twin = found.setdefault(str(recipe.identity()), (levels, recipe))
            _refuse_twins([*self.compared], twin, (levels, recipe))

    def recipes(self) -> Iterator[tuple[_Levels, Recipe]]:
        """Yield each possible recipe with its levels of `compared`; of a range, the two ends.

        Raises
        ------
        Refused
            The fields of a recipe do not go together.
        """
        draws = self._draws()
        for levels in itertools.product(*self.compared.values()):
            fields = dict(zip(self.compared, levels, strict=True))
            for draw in draws:
                yield levels, self._recipe({**fields, **draw})

    def written(self) -> dict[str, Any]:
        """Return the `recipe` block as a study file holds it, every default filled in."""
        elsewhere = {*self.compared, *(self.search.fields if self.search else ())}
        named = {*elsewhere, *self.shared}
        defaults: dict[str, Any] = {}
        if named & {"steps", "examples"}:
            defaults["evaluations"] = DEFAULT_EPOCHS
        elif not named & set(BUDGETS):
            defaults["epochs"] = DEFAULT_EPOCHS
        defaults |= {
            field: declared.default
            for field, declared in Recipe.model_fields.items()
            if field not in BUDGET_FIELDS
        }
        values = {**defaults, **self.shared}
        return {
            field: values[field]
            for field in RECIPE_FIELDS
            if values.get(field) is not None and field not in elsewhere
        }

    def _draws(self) -> list[dict[str, Any]]:
        if not self.search:
            return [{}]
        if self.search.algorithm == "optuna":
            return list(itertools.islice(self.search.corners(), _MOST_CORNERS))
        return self.search.draws(self.seed)

    def _recipe(self, fields: dict[str, Any]) -> Recipe:
        try:
            return Recipe.model_validate({**self.shared, **fields})
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            why = str(problem.get("ctx", {}).get("error", problem["msg"]))
            place = f" (with {shown(fields)})" if fields else ""
            raise Refused(f"{why}{place}", key=("recipe",)) from None


def _refuse_twins(
    factors: list[str], one: tuple[_Levels, Recipe], other: tuple[_Levels, Recipe]
) -> None:
    """Refuse two recipes that would be one trial, but for fields without bearing in a search."""
    budgets = one[1].intervals, other[1].intervals
    if budgets[0] != budgets[1]:
        raise Refused(
            f"{budgets[0]} and {budgets[1]} evaluation intervals under a constant schedule are one "
            f"trial, of which the longer holds the shorter; ask for {max(budgets)} alone and read "
            f"epoch {min(budgets)} off its records, or choose schedule: cosine, whose course "
            "depends on the budget",
            key=("recipe",),
        )
    if one[0] != other[0]:
        cells = [
            ", ".join(f"{factor} {level}" for factor, level in zip(factors, levels, strict=True))
            for levels in (one[0], other[0])
        ]
        raise Refused(
            f"the cells ({cells[0]}) and ({cells[1]}) are one: what differs has no bearing there; "
            "leave a level out",
            key=("factors",),
        )
