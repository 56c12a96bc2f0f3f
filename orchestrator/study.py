"""A declared experiment, as a value object: read from YAML, checked wholly when it is made."""

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from orchestrator.errors import StudyError
from orchestrator.levels import (
    Size,
    WeightsLevel,
    is_function,
    parse_gpu,
    parse_size,
    parse_weights,
)
from orchestrator.refusals import explain
from orchestrator.search import Search, check_search, normal_value
from trainables.recipe import Count, Recipe
from trainables.source import BUILT_IN, Source

STANDARD_FACTORS = ("model", "weights", "fraction")
TRAINABLES = ("classifier", "simulated")
RECIPE_FIELDS = tuple(Recipe.model_fields)


class _Settings(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        arbitrary_types_allowed=True,
    )


class EarlyStopping(_Settings):
    """Asynchronous successive halving (Li et al., MLSys 2020), one race per group of trials."""

    compare: Literal["cell"] | list[str] = "cell"
    """Which trials compete: those of one `cell`, those that share the levels of the factors named,
    or, with [], all of the study. Seeds never compete."""
    grace: Count = 1
    """Evaluation intervals that every trial is sure of: the first rung."""
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    """Each rung keeps about one in so many, and the next is so many times later."""


def _early_stopping(value: Any) -> Any:
    if isinstance(value, dict):
        return EarlyStopping.model_validate(value)
    # YAML reads `no` and `off` as false.
    if value is False or value == "none":
        return "none"
    if value is None or isinstance(value, EarlyStopping):
        return value
    raise ValueError("valid are none, and a block such as {compare: cell, grace: 1}")


class Resources(_Settings):
    """What one trial gets."""

    cpu: Count = 1
    """CPUs, and torch threads, per trial."""
    gpu: Annotated[Any, BeforeValidator(parse_gpu)] = "auto"
    """auto, a whole number, or 1/k of a GPU (0.25, "1/3")."""


@dataclass(frozen=True)
class Cell:
    """One level of every factor: the unit that charts compare."""

    levels: tuple[tuple[str, Any], ...]

    def __getitem__(self, factor: str) -> Any:
        return dict(self.levels)[factor]

    def __str__(self) -> str:
        return " × ".join(str(level) for _, level in self.levels)

    def recipe_fields(self) -> dict[str, Any]:
        """Return the levels that are recipe fields."""
        return {key: level for key, level in self.levels if key not in STANDARD_FACTORS}


def _name(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", value):
        return value
    raise ValueError(
        f"{value!r} is no name; letters, digits, dots, dashes and underscores make one, "
        "beginning with a letter or digit (it becomes a folder's name)"
    )


class Study(_Settings):
    """The declared experiment: data, factors, recipe, search, seeds, stopping and resources."""

    name: Annotated[str, BeforeValidator(_name)]
    """Also the default folder: runs/<name>."""
    trainable: str = "classifier"
    """classifier, simulated, or package.module:Class of your own."""
    data: Source = Source()
    """Where the images come from."""
    factors: dict[str, list[Any]] = Field(default_factory=dict)
    """Levels of `model`, `weights`, `fraction` and any recipe field."""
    recipe: dict[str, Any] = Field(default_factory=dict)
    """Recipe fields that all cells share."""
    search: Search | None = None
    """Recipe fields tuned inside each cell."""
    early_stopping: Annotated[
        EarlyStopping | Literal["none"] | None, BeforeValidator(_early_stopping)
    ] = None
    """Of the search stage. On by default with `search`; none turns it off."""
    seeds: list[Annotated[int, Field(ge=0, lt=2**31)]] = Field(default=[0], min_length=1)
    """Each fixes subset, initial weights and batch order together."""
    resources: Resources = Resources()
    """What one trial gets."""
    order: Literal["fair", "longest-first"] = "fair"
    """fair: one recipe or seed of every cell per round, longest first within a round."""
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 30.0
    """Training time between two checkpoints of a trial, at least."""
    keep_checkpoints: Literal["none", "best", "last", "all"] = "none"
    """Which checkpoints of finished trials stay."""
    max_failures: Annotated[int, Field(ge=0)] = 2
    """How often a trial whose worker died or raised is tried again in one pass."""

    @field_validator("trainable")
    @classmethod
    def _know_trainable(cls, value: str) -> str:
        if value not in TRAINABLES and not is_function(value):
            raise ValueError(f"valid are {', '.join(TRAINABLES)} and package.module:Class")
        return value

    @field_validator("data")
    @classmethod
    def _know_source(cls, value: Source) -> Source:
        if value.source not in BUILT_IN and not is_function(value.source):
            raise ValueError(
                f"source: {value.source!r} is not known; "
                f"valid are {', '.join(BUILT_IN)} and package.module:function"
            )
        return value

    @field_validator("factors", mode="before")
    @classmethod
    def _know_factors(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError("a block of factors with a list of levels each is needed")
        valid = (*STANDARD_FACTORS, *RECIPE_FIELDS)
        for factor, levels in value.items():
            if factor not in valid:
                raise ValueError(explain.unknown(str(factor), valid))
            if not isinstance(levels, list) or not levels:
                raise ValueError(f"{factor}: a list with at least one level is needed")
        return {"model": ["resnet18"], "weights": ["none"], "fraction": [1], **value}

    @field_validator("recipe", mode="before")
    @classmethod
    def _check_recipe(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError("a block of recipe fields is needed, such as {epochs: 5, lr: 1e-3}")
        Recipe.model_validate(value)
        return value

    @field_validator("seeds")
    @classmethod
    def _distinct_seeds(cls, seeds: list[int]) -> list[int]:
        repeated = sorted({seed for seed in seeds if seeds.count(seed) > 1})
        if repeated:
            raise ValueError(f"{repeated[0]} is listed twice")
        return seeds

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        parsed = {factor: self._parse(factor, levels) for factor, levels in self.factors.items()}
        self.factors.update(parsed)
        for field in self.recipe_factors:
            if field in self.recipe:
                raise ValueError(f"recipe: {field} is a factor too; name it once")
        if self.search:
            for field in self.search.fields:
                if field not in RECIPE_FIELDS:
                    raise ValueError(f"search: {explain.unknown(field, RECIPE_FIELDS)}")
                if field in self.recipe:
                    raise ValueError(f"recipe: {field} is tuned by search too; name it once")
            check_search(self.search, self.recipe, set(self.factors))
        if isinstance(self.early_stopping, EarlyStopping):
            compare = self.early_stopping.compare
            for factor in compare if isinstance(compare, list) else []:
                if factor not in self.factors:
                    raise ValueError(
                        f"early_stopping: compare: {explain.unknown(factor, tuple(self.factors))}"
                    )
        for cell in self.cells():
            self.recipe_of(cell)
        return self

    def _parse(self, factor: str, levels: list[Any]) -> list[Any]:
        """Normalise a factor's levels and refuse what is one level written twice."""
        parsed: list[Any] = []
        for level in levels:
            try:
                if factor == "fraction":
                    value: Any = parse_size(level)
                elif factor == "weights":
                    value = parse_weights(level)
                elif factor == "model":
                    if not isinstance(level, str) or not level:
                        raise ValueError(f"{level!r} is no model's name")
                    value = level
                else:
                    value = normal_value(self.recipe, factor, level)
            except ValidationError as error:
                raise ValueError(f"factors.{factor}: {level!r}: {explain.first(error)}") from None
            except ValueError as error:
                raise ValueError(f"factors.{factor}: {error}") from None
            twin = [w for w, p in zip(levels, parsed, strict=False) if str(p) == str(value)]
            if twin:
                raise ValueError(f"factors.{factor}: {level!r} and {twin[0]!r} are one level")
            parsed.append(value)
        return parsed

    @property
    def recipe_factors(self) -> list[str]:
        """Factors that are recipe fields."""
        return [factor for factor in self.factors if factor not in STANDARD_FACTORS]

    @property
    def stopping(self) -> EarlyStopping | None:
        """The rule in force, or None where nothing is ever stopped."""
        if self.early_stopping == "none":
            return None
        if self.search:
            return self.early_stopping or EarlyStopping()
        return self.early_stopping if self.is_race else None

    @property
    def is_race(self) -> bool:
        """Whether unlike cells compete and nothing is measured."""
        rule = self.early_stopping
        return not self.search and isinstance(rule, EarlyStopping) and rule.compare != "cell"

    @property
    def search_seed(self) -> int:
        """The seed that every search trial is trained with."""
        chosen = self.search.seed if self.search else None
        return self.seeds[0] if chosen is None else chosen

    def cells(self) -> list[Cell]:
        """Return every combination of levels, in the order in which the study lists them."""
        factors = list(self.factors)
        rows = itertools.product(*self.factors.values())
        return [Cell(tuple(zip(factors, row, strict=True))) for row in rows]

    def recipe_of(self, cell: Cell, draw: dict[str, Any] | None = None) -> Recipe:
        """Return how a cell is trained, with a draw of the search filled in.

        Raises
        ------
        ValueError
            The fields do not go together.
        """
        fields = {**self.recipe, **cell.recipe_fields(), **(draw or {})}
        return Recipe.model_validate(fields)

    def written(self) -> dict[str, Any]:
        """Return the study as a file holds it, every default filled in."""
        values = self.model_dump(mode="json", exclude={"factors", "search", "recipe", "resources"})
        recipe = Recipe.model_validate(self.recipe).model_dump(exclude_none=True)
        tuned = {*self.recipe_factors, *(self.search.fields if self.search else ())}
        gpu = self.resources.gpu
        order = [*type(self).model_fields]
        values |= {
            "factors": {
                factor: [_written(level) for level in levels]
                for factor, levels in self.factors.items()
            },
            "recipe": {
                key: value
                for key, value in recipe.items()
                if key not in tuned and not (key == "epochs" and tuned & {"steps", "examples"})
            },
            "search": self.search.written() if self.search else None,
            "resources": {
                "cpu": self.resources.cpu,
                "gpu": gpu if isinstance(gpu, int | str) else str(gpu),
            },
        }
        return {key: values[key] for key in order if values[key] is not None}


def _written(level: Any) -> Any:
    return level.written() if isinstance(level, Size | WeightsLevel) else level


class _Loader(yaml.SafeLoader):
    """YAML without code, and without a key that silently overrides its twin."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    seen = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | float | bool | None):
            raise yaml.MarkedYAMLError(problem=f"{key!r} is no key", problem_mark=node.start_mark)
        if key in seen:
            raise yaml.MarkedYAMLError(
                problem=f"the key {key!r} stands twice", problem_mark=key_node.start_mark
            )
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load_study(path: str | Path, settings: Iterable[str] = ()) -> Study:
    """Read and check a study file.

    Parameters
    ----------
    path
        A YAML file. Relative paths in it are taken from its folder.
    settings
        `key=value` pairs that override keys of the file, such as `recipe.epochs=3`.

    Raises
    ------
    StudyError
        One message that names file, key, value, what is valid and the nearest valid spelling.
    """
    file = Path(path)
    values = _read(file)
    for setting in settings:
        _override(values, setting)
    return study_from(values, base=file.parent, file=str(path))


def study_from(values: Any, base: Path | None = None, file: str = "study") -> Study:
    """Check a study's values; `base` is the folder that relative paths start from.

    Raises
    ------
    StudyError
        As `load_study`.
    """
    if not isinstance(values, dict):
        raise StudyError(f"{file}: no study; keys such as name, data and factors are needed.")
    try:
        study = Study.model_validate(values)
    except ValidationError as error:
        raise StudyError(f"{file}: {explain(error, Study)}") from None
    return study if base is None else _rooted(study, base.absolute())


def _rooted(study: Study, base: Path) -> Study:
    path = study.data.path
    if isinstance(path, dict):
        rooted: Any = {split: base / part for split, part in path.items()}
    else:
        rooted = None if path is None else base / path
    weights = [
        level if level.location is None else WeightsLevel(level.label, _located(base, level))
        for level in study.factors["weights"]
    ]
    return study.model_copy(
        update={
            "data": study.data.model_copy(update={"path": rooted}),
            "factors": {**study.factors, "weights": weights},
        }
    )


def _located(base: Path, level: WeightsLevel) -> str:
    location = level.location or ""
    # A torchvision name under a label of one's own is no path.
    return location if re.fullmatch(r"\w+", location) else str(base / location)


def _read(file: Path) -> Any:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise StudyError(f"{file}: cannot be read: {error.strerror}.") from None
    if len(content) > 2**20:
        raise StudyError(f"{file}: larger than 1 MiB; no study file is.")
    try:
        values = yaml.load(content.decode(), _Loader)
    except UnicodeDecodeError:
        raise StudyError(f"{file}: not a text file (UTF-8 YAML is needed).") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}:" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise StudyError(f"{file}:{where} not valid YAML: {problem}.") from None
    if values is None:
        raise StudyError(f"{file}: the file is empty; `scalestudy init` writes one to start from.")
    return values


def _override(values: Any, setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise StudyError(f"--set {setting}: key=value is needed, such as recipe.epochs=3.")
    try:
        value = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise StudyError(f"--set {setting}: {text!r} is not valid YAML.") from None
    *path, last = key.split(".")
    block = values
    for part in path:
        block = block.setdefault(part, {}) if isinstance(block, dict) else None
    if not isinstance(block, dict):
        raise StudyError(f"--set {setting}: {'.'.join(path)} is no block of keys.")
    block[last] = value
