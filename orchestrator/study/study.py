"""A declared experiment, as a value object that is checked wholly when it is made."""

import itertools
import math
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from orchestrator.errors import StudyError
from orchestrator.study import recipes
from orchestrator.study.blocks import (
    EarlyStopping,
    OwnMetric,
    Prices,
    Resources,
    SeedCounts,
    SeedList,
    Trackers,
    parse_early_stopping,
    parse_metric,
    parse_seeds,
)
from orchestrator.study.levels import STANDARD_FACTORS, Factors, WeightsLevel, parse_factors
from orchestrator.study.refusals import Refused, explain, unknown, unknown_key
from orchestrator.study.schema import Name, Settings, read_as
from results.metric import ACCURACY, Metric
from results.metric import BUILT_IN as BUILT_IN_METRICS
from results.phrases import cell_name, listed
from results.store.objects import is_address
from trainables.functions import is_function
from trainables.recipe import BUDGET_FIELDS, NonNegative, Positive, Recipe, Seed, Tries
from trainables.trial import BUILT_IN, Source

TRAINABLES = ("classifier", "simulated")
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
_MOST_TRIALS = 1_000_000


@dataclass(frozen=True)
class Cell:
    """One level of every factor: the unit that charts compare."""

    levels: tuple[tuple[str, Any], ...]

    def __getitem__(self, factor: str) -> Any:
        return dict(self.levels)[factor]

    def __str__(self) -> str:
        levels = dict(self.levels) | {"fraction": str(self["fraction"])}
        return cell_name(levels, list(levels))

    @property
    def key(self) -> str:
        """The levels as text that never changes: the order of a cell's recipes hangs on it."""
        return " × ".join(str(level) for _, level in self.levels)


def _name(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(_NAME, value):
        return value
    quote = "" if isinstance(value, str) else ", in quotes where it looks like a number or a date"
    raise Refused(
        "no name; letters, digits, dots, dashes and underscores make one, beginning with a letter "
        f"or digit{quote} (it becomes a folder's name)"
    )


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Study(Settings):
    """The declared experiment: data, factors, recipe, search, seeds, stopping and resources."""

    name: Annotated[str, BeforeValidator(_name), read_as(Annotated[str, Field(pattern=_NAME)])]
    """Name of the study; its results go to runs/<name> by default."""
    trainable: str = "classifier"
    """What one trial does: classifier, simulated, or package.module:Class of your own."""
    data: Source = Field(default_factory=Source)
    """Where the images come from."""
    metric: Annotated[
        Metric, BeforeValidator(parse_metric), read_as(Literal[BUILT_IN_METRICS] | OwnMetric)
    ] = Field(default=ACCURACY, examples=["balanced_accuracy"])
    """What trials are ranked and cells compared by: accuracy, balanced_accuracy, macro_f1, top5,
    log_loss, or a column that a trainable of your own reports."""
    factors: Annotated[dict[str, list[Any]], BeforeValidator(parse_factors), read_as(Factors)] = (
        Field(default_factory=dict, validate_default=True)
    )
    """Levels of `model`, `weights`, `fraction` and any recipe field."""
    recipe: Annotated[dict[str, Any], read_as(Recipe)] = Field(default_factory=dict)
    """Recipe fields that all cells share."""
    search: recipes.Search | None = None
    """Recipe fields tuned inside each cell."""
    early_stopping: Annotated[
        EarlyStopping | Literal["none"] | None,
        BeforeValidator(parse_early_stopping),
        read_as(EarlyStopping | Literal["none", False] | None),
    ] = None
    """Rule that stops recipes of the search stage early. On by default with `search`; none turns it
    off."""
    seeds: Annotated[
        list[Seed] | SeedCounts, BeforeValidator(parse_seeds), read_as(SeedList | SeedCounts)
    ] = Field(default=[0], examples=[[0, 1, 2]])
    """Seeds that every cell is trained with: each fixes subset, initial weights and batch order
    together."""
    test: Annotated[Literal["auto", "final", "every"] | None, Field(examples=["final"])] = None
    """After which epochs (evaluation intervals) the test set is evaluated: every, the final one, or
    auto, the default: ten at most, evenly spaced, and fewer where they would take more than half as
    long as training and validating, always the final one. But for `every`, search trials of seeds
    that are not measured skip it, except the recipe of the values that are listed first, at its
    end. Null where it was not evaluated. With `validation: test` it is every. Epochs that a longer
    budget goes on from keep the values that they have."""
    resources: Resources = Field(default_factory=Resources)
    """What one trial gets."""
    order: Literal["fair", "longest-first"] = "fair"
    """Order in which trials start. fair: one recipe or seed of every cell per round, longest first
    within a round."""
    checkpoint_seconds: NonNegative = 30.0
    """Seconds of training between two checkpoints of a trial, at least."""
    keep_checkpoints: Literal["none", "best", "last", "all"] = "none"
    """Which checkpoints of a finished trial stay."""
    max_failures: Tries = 2
    """How often a trial whose worker died or raised is tried again in one pass."""
    trial_timeout: Annotated[Positive | None, Field(examples=[30])] = None
    """Minutes without a row after which a trial's worker is ended and the trial tried again; never
    by default. With `--address none`, nobody can end it."""
    prices: Prices | None = None
    """What the report reckons steps with, in any one currency."""
    exclude: dict[str, Annotated[str, Field(min_length=1)]] | None = None
    """Trials that comparisons leave out, by trial_id in quotes, each with the reason, which the
    report states."""
    reuse: Annotated[
        list[Name] | None, BeforeValidator(_listed), read_as(Name | list[Name] | None)
    ] = None
    """Other run directories whose trials are taken instead of being trained again: a path or
    several; what is of use is copied, with its `origin`."""
    trackers: Trackers | None = None
    """Experiment trackers that are fed too: tensorboard, mlflow, wandb."""

    @field_validator("trainable")
    @classmethod
    def _know_trainable(cls, value: str) -> str:
        if value not in TRAINABLES and not is_function(value):
            raise Refused(unknown(value, (*TRAINABLES, "package.module:Class")))
        return value

    @field_validator("data")
    @classmethod
    def _know_source(cls, value: Source) -> Source:
        if value.source not in BUILT_IN and not is_function(value.source):
            why = unknown(value.source, (*BUILT_IN, "package.module:function"))
            raise Refused(why, key=("source",), value=value.source)
        return value

    @field_validator("recipe", mode="before")
    @classmethod
    def _check_recipe(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise Refused("a block of recipe fields is needed, such as {epochs: 5, lr: 1e-3}")
        for field, given in value.items():
            if field not in recipes.RECIPE_FIELDS:
                own = "what no recipe says, a trainable of your own does (docs/extending.md)"
                raise Refused(f"{unknown_key(field, recipes.RECIPE_FIELDS)}; {own}")
            if isinstance(given, list | dict):
                why = (
                    f"a recipe has one {field}; to tune it inside every cell, move it to search, "
                    "to compare its values, to factors"
                )
                if field == "image_size" and isinstance(given, list):
                    why = "the side in pixels of a square is needed, or 96x224 (height x width)"
                raise Refused(why, key=(field,), value=given)
        # How fields go together shows once those of factors and search have joined them.
        return {
            field: recipes.normal_value(field, given)
            for field, given in value.items()
            if given is not None or field not in BUDGET_FIELDS
        }

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        for field in self.recipe_factors:
            if field in self.recipe:
                raise Refused("named in factors too; name it once", key=("recipe", field))
        for field in self.search.fields if self.search else ():
            for block in ("factors", "recipe"):
                if field in getattr(self, block):
                    why = f"named in {block} too; a field is the same for all, compared or tuned"
                    raise Refused(why, key=("search", field))
        reserved = recipes.SEARCH_SEED
        if self.search and self.search.seed is None and reserved in self.all_seeds:
            raise Refused(
                f"{reserved} is the search's own, so that winners are measured on other seeds; "
                f"leave it out, or state search: {{seed: {reserved}}} to measure on it too",
                key=("seeds",),
            )
        gpu = self.resources.gpu
        if self.trainable not in TRAINABLES and gpu != "auto" and gpu > 1:
            why = "a trainable of your own trains in one process; valid are auto, 0, 1 and 1/k"
            raise Refused(why, key=("resources", "gpu"), value=gpu)
        if self.resources.max_trials_per_gpu and gpu != "auto":
            why = f"goes with gpu: auto; gpu: {gpu} says already how many trials share one"
            raise Refused(why, key=("resources", "max_trials_per_gpu"))
        known = {"classifier": BUILT_IN_METRICS, "simulated": ("accuracy", "log_loss")}
        if self.metric.column not in known.get(self.trainable, (self.metric.column,)):
            reports = f"{self.trainable} reports {listed(known[self.trainable])}"
            why = f"{reports}; another column is a trainable's of your own"
            raise Refused(why, key=("metric",), value=self.metric.column)
        rule = self.early_stopping
        compare = rule.compare if isinstance(rule, EarlyStopping) else "cell"
        for factor in compare if isinstance(compare, list) else ():
            if factor not in self.factors:
                why = f"no factor of this study; {unknown(factor, self.factors)}"
                raise Refused(why, key=("early_stopping", "compare"), value=factor)
        if self.is_race and isinstance(self.seeds, SeedCounts):
            raise Refused("a race decides no comparison; list the seeds", key=("seeds",))
        cells = math.prod(map(len, self.factors.values()))
        draws = self.search.size if self.search else 1
        if cells * (draws + len(self.all_seeds)) > _MOST_TRIALS:
            raise Refused(
                f"{cells} cells × {draws} recipes and {len(self.all_seeds)} seeds make more than "
                f"{_MOST_TRIALS:,} trials; fewer levels, values or samples are needed"
            )
        self.recipe_space.check()
        return self

    @property
    def recipe_factors(self) -> list[str]:
        """Names of the factors that are recipe fields."""
        return [factor for factor in self.factors if factor not in STANDARD_FACTORS]

    @property
    def functions(self) -> list[str]:
        """Every `package.module:function` that the study names, each once."""
        named = [self.trainable, self.data.source, *map(str, self.factors["model"])]
        return [name for name in dict.fromkeys(named) if is_function(name)]

    @property
    def recipe_space(self) -> recipes.RecipeSpace:
        """Every recipe that a cell may be trained with."""
        compared = {field: self.factors[field] for field in self.recipe_factors}
        return recipes.RecipeSpace(self.recipe, compared, self.search, self.search_seed)

    @property
    def stopping(self) -> EarlyStopping | None:
        """The rule of early stopping in force, or None where nothing is ever stopped."""
        if self.early_stopping == "none" or not (self.search or self.is_race):
            return None
        return self.early_stopping or EarlyStopping()

    @property
    def is_race(self) -> bool:
        """Whether unlike cells compete and nothing is measured."""
        rule = self.early_stopping
        return not self.search and isinstance(rule, EarlyStopping) and rule.compare != "cell"

    @property
    def looks(self) -> tuple[int, ...]:
        """Numbers of seeds at which is looked whether more are needed; none of a list of seeds."""
        return self.seeds.counts if isinstance(self.seeds, SeedCounts) else ()

    @property
    def first_seeds(self) -> list[int]:
        """The seeds that every cell is measured with."""
        return [*range(self.seeds.at_least)] if isinstance(self.seeds, SeedCounts) else self.seeds

    @property
    def all_seeds(self) -> list[int]:
        """The seeds that a cell may come to be measured with."""
        return [*range(self.seeds.at_most)] if isinstance(self.seeds, SeedCounts) else self.seeds

    @property
    def search_seed(self) -> int:
        """The seed that every search trial is trained with."""
        chosen = self.search.seed if self.search else None
        return recipes.SEARCH_SEED if chosen is None else chosen

    def is_stated(self, recipe: Recipe) -> bool:
        """Return whether a recipe has the values that the search lists first."""
        fields = self.search.fields if self.search else {}
        stated = {name: values[0] for name, values in fields.items() if isinstance(values, list)}
        return all(getattr(recipe, name) == stated.get(name) for name in fields)

    def cells(self) -> list[Cell]:
        """Return every combination of levels, in the order in which the study lists them."""
        rows = itertools.product(*self.factors.values())
        return [Cell(tuple(zip(self.factors, row, strict=True))) for row in rows]

    def recipe_of(self, cell: Cell, draw: dict[str, Any] | None = None) -> Recipe:
        """Return the recipe that a cell is trained with, a draw of the search filled in."""
        compared = {key: level for key, level in cell.levels if key not in STANDARD_FACTORS}
        return Recipe.model_validate({**self.recipe, **compared, **(draw or {})})

    def rooted(self, base: Path) -> Self:
        """Return the study with the relative paths that it names taken from a folder."""
        path: Any = self.data.path
        if path is not None:
            is_split = isinstance(path, dict)
            path = {key: base / part for key, part in path.items()} if is_split else base / path
        weights = [
            level.moved(str(base / level.path)) if level.path else level
            for level in self.factors["weights"]
        ]
        reuse = self.reuse and [
            place if is_address(place) else str(base / Path(place).expanduser())
            for place in self.reuse
        ]
        data, factors = self.data.model_copy(update={"path": path}), self.factors
        factors = {**factors, "weights": weights}
        return self.model_copy(update={"reuse": reuse, "data": data, "factors": factors})

    def written(self) -> dict[str, Any]:
        """Return the study as a file holds it, every default filled in."""
        blocks = {
            "metric": self.metric.written,
            "prices": self.prices and self.prices.model_dump(exclude_none=True),
            "trackers": self.trackers and self.trackers.model_dump(mode="json", exclude_none=True),
            "factors": {key: [*map(_written, levels)] for key, levels in self.factors.items()},
            "recipe": self.recipe_space.written(),
            "search": self.search and self.search.written(),
            "seeds": self.seeds.written() if isinstance(self.seeds, SeedCounts) else self.seeds,
            "resources": {key: _written(each) for key, each in self.resources if each is not None},
        }
        values = self.model_dump(mode="json", exclude={*blocks}) | blocks
        return {key: values[key] for key in type(self).model_fields if values[key] is not None}


def _written(level: Any) -> Any:
    if isinstance(level, WeightsLevel):
        return level.written()
    return str(level) if isinstance(level, Fraction) else level


def study_from(values: Any, base: Path | None = None, file: str = "study") -> Study:
    """Return the declared study, relative paths taken from `base`; messages name the `file`."""
    if not isinstance(values, dict):
        raise StudyError(f"{file}: no study; keys such as name, data and factors are needed.")
    try:
        study = Study.model_validate(values)
    except ValidationError as error:
        raise StudyError(f"{file}: {explain(error, Study)}") from None
    return study if base is None else study.rooted(base.absolute())
