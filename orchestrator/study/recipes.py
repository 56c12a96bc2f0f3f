"""Every recipe that a study can come to: whether its fields go together, and how it is written."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from orchestrator.study.refusals import Refused, shown
from orchestrator.study.search import RECIPE_FIELDS, Search
from trainables.recipe import BUDGET_FIELDS, BUDGETS, DEFAULT_EPOCHS, Recipe

_MOST_CORNERS = 10_000

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
