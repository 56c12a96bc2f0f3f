"""Every recipe that a study can come to: whether its fields go together, and how it is written."""

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from orchestrator.study.refusals import Refused, shown
from orchestrator.study.search import RECIPE_FIELDS
from trainables.recipe import BUDGET_FIELDS, BUDGETS, DEFAULT_EPOCHS, Recipe

if TYPE_CHECKING:
    from orchestrator.study.study import Study

_MOST_TRIALS = 1_000_000
_MOST_CORNERS = 10_000

_Levels = tuple[Any, ...]


def check_recipes(study: "Study") -> None:
    """Refuse fields that do not go together, and cells that would share their trials.

    Raises
    ------
    Refused
        With the fields and what is wrong with them.
    """
    cells = math.prod(len(levels) for levels in study.factors.values())
    draws = study.search.size if study.search else 1
    if cells * (draws + len(study.seeds)) > _MOST_TRIALS:
        raise Refused(
            f"{cells} cells × {draws} recipes and {len(study.seeds)} seeds make more than "
            f"{_MOST_TRIALS:,} trials; fewer levels, values or samples are needed"
        )
    found: dict[str, tuple[_Levels, Recipe]] = {}
    for levels, recipe in possible_recipes(study):
        twin = found.setdefault(str(recipe.identity()), (levels, recipe))
        _refuse_twins(study.recipe_factors, twin, (levels, recipe))


def possible_recipes(study: "Study") -> Iterator[tuple[_Levels, Recipe]]:
    """Yield every recipe that a cell of any model may be trained with, of ranges the ends.

    Returns
    -------
    iterator of (levels, recipe)
        The levels are those of `study.recipe_factors`.

    Raises
    ------
    Refused
        Its fields do not go together.
    """
    possible = _possible_draws(study)
    for levels in itertools.product(*(study.factors[field] for field in study.recipe_factors)):
        fields = dict(zip(study.recipe_factors, levels, strict=True))
        for draw in possible:
            yield levels, _recipe(study, {**fields, **draw})


def written_recipe(study: "Study") -> dict[str, Any]:
    """Return the recipe block as a study file holds it, every default filled in."""
    elsewhere = {*study.recipe_factors, *(study.search.fields if study.search else ())}
    named = {*elsewhere, *study.recipe}
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
    values = {**defaults, **study.recipe}
    return {
        field: values[field]
        for field in RECIPE_FIELDS
        if values.get(field) is not None and field not in elsewhere
    }


def _possible_draws(study: "Study") -> list[dict[str, Any]]:
    if not study.search:
        return [{}]
    if study.search.algorithm == "optuna":
        return list(itertools.islice(study.search.corners(), _MOST_CORNERS))
    return study.search.draws(study.search_seed)


def _recipe(study: "Study", fields: dict[str, Any]) -> Recipe:
    try:
        return Recipe.model_validate({**study.recipe, **fields})
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
