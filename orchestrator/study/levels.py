"""The `factors` block: what a study compares, and its levels as a study file writes them."""

import os
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError

from orchestrator.study.recipes import RECIPE_FIELDS, distinct
from orchestrator.study.refusals import Refused, explain, unknown_key
from orchestrator.study.schema import Name, Settings, share
from trainables.trial import Normalization

# Bounded, because an exponent of a billion would be worked out in full.
_NUMBER = re.compile(r"-?\d{0,99}(\.\d{0,20})?(e[+-]?\d{1,3})?(/\d{1,99})?", re.IGNORECASE)

Size = Fraction | int
"""A level of `fraction`: a share of the training pool, or a whole number of images."""


def parse_size(value: Any) -> Size:
    """Read `1/16`, `0.5`, `1` as shares, whole numbers above one as images; others: ValueError."""
    valid = "valid are shares above 0 and up to 1 (1/16, 0.5, 1) and whole numbers of images"
    number = exact(value)
    if number is None:
        raise ValueError(f"no amount of data; {valid}")
    if number <= 0:
        raise ValueError(f"not above 0; {valid}")
    if number <= 1:
        return number
    if isinstance(value, float) or number.denominator != 1:
        raise ValueError(f"a share above 1; {valid}")
    return int(number)


def exact(value: Any) -> Fraction | None:
    """Return a number exactly as a study file writes it (0.1, "1/3"); None where it is none."""
    with suppress(ValueError, ZeroDivisionError):
        text = str(value).replace(" ", "")
        return Fraction(text) if _NUMBER.fullmatch(text) else None
    return None


class OwnWeights(Settings):
    """What a study says of weights under a label of its own."""

    path: Name
    """File, folder, or index of parts; `{model}` in it stands for the model's name, `~` and
    variables such as `$HOME` are filled in. A name of torchvision's may stand for it."""
    entry: Name | None = None
    """Place of the state in the file, where several fit."""
    head: Literal["fresh"] | None = None
    """`fresh` where the file's head is not to be loaded, though it has the data's classes."""
    normalization: Normalization | None = None
    """What the weights expect of images: `imagenet`, `data`, `none`, or mean and std."""


_Own = Annotated[dict[str, Name | OwnWeights], Field(min_length=1, max_length=1)]


@dataclass(frozen=True)
class WeightsLevel:
    """A level of `weights`: a label, and where the weights are if not at torchvision."""

    label: str
    own: OwnWeights | None = None

    def __str__(self) -> str:
        return self.label

    @property
    def path(self) -> str | None:
        """Path of a weights file, which may hold `{model}`; None where torchvision has them."""
        # A torchvision name under a label of one's own is no path.
        return self.own.path if self.own and not re.fullmatch(r"\w+", self.own.path) else None

    def path_for(self, model: str) -> str | None:
        """Return the place for a model: of a function of one's own, `{model}` is its name."""
        name = model.partition(":")[2] or model
        return self.own.path.replace("{model}", name) if self.own else None

    def moved(self, path: str) -> Self:
        """Return the level with its weights at another path."""
        return replace(self, own=self.own and self.own.model_copy(update={"path": path}))

    def written(self) -> str | dict[str, Any]:
        """Return the level as a study file holds it."""
        if self.own is None:
            return self.label
        said = self.own.model_dump(mode="json", exclude_none=True)
        return {self.label: said if len(said) > 1 else self.own.path}


class Factors(Settings):
    """The factors that every study has, as a file writes them; any recipe field may be one too."""

    model: list[Name] = Field(default=["resnet18"], min_length=1)
    weights: list[Name | _Own | None] = Field(default=["none"], min_length=1)
    fraction: list[Annotated[Any, share(exclusiveMinimum=0)]] = Field(default=[1], min_length=1)


STANDARD_FACTORS: dict[str, list[Any]] = Factors().model_dump()
"""The factors that every study has, and their levels where it names none."""


def parse_weights(value: Any) -> WeightsLevel:
    """Read `none`, a torchvision name, a path, or `{label: …}`; others raise a `ValueError`."""
    if isinstance(value, WeightsLevel):
        return value
    if value is None or value == "none":
        return WeightsLevel("none")
    if isinstance(value, dict) and len(value) == 1:
        ((label, location),) = value.items()
        if isinstance(label, str) and label and isinstance(location, str | dict) and location:
            if label == "none":
                raise ValueError("the label none means no pretrained weights; choose another label")
            return WeightsLevel(label, _own(location))
    if isinstance(value, str) and value:
        return WeightsLevel(value, None if re.fullmatch(r"\w+", value) else _own(value))
    raise ValueError(
        "names no weights; valid are none, a torchvision name such as IMAGENET1K_V1, a path, "
        "{label: path} and {label: {path: …, entry: …, head: fresh, normalization: …}}"
    )


def _own(given: str | dict[str, Any]) -> OwnWeights:
    try:
        own = OwnWeights.model_validate({"path": given} if isinstance(given, str) else given)
    except ValidationError as error:
        raise ValueError(explain(error, OwnWeights).rstrip(".")) from None
    if re.match(r"[a-z][a-z0-9+.-]*://", own.path, re.IGNORECASE):
        raise ValueError(
            f"{own.path} is an address, and weights are read from files; download it, and name "
            "the file"
        )
    path = os.path.expandvars(os.path.expanduser(own.path))  # noqa: PTH111
    if unset := re.search(r"\$\w+|\$\{(?!model\})\w+\}|^~", path):
        raise ValueError(f"{unset[0]} in {own.path} stands for nothing here; write the path out")
    return own.model_copy(update={"path": path})


def _parse_model(value: Any) -> str:
    if isinstance(value, str) and value:
        return value
    valid = "valid are names such as resnet18, and package.module:function"
    raise ValueError(f"no model's name; {valid}")


_PARSERS = {"model": _parse_model, "weights": parse_weights, "fraction": parse_size}


def parse_factors(value: Any) -> dict[str, list[Any]]:
    """Return every factor's levels of a file's block; a standard one left out has one level."""
    if not isinstance(value, dict):
        raise Refused("a block of factors is needed, such as {model: [resnet18, resnet50]}")
    valid = (*STANDARD_FACTORS, *RECIPE_FIELDS)
    for factor, levels in value.items():
        if factor not in valid:
            raise Refused(unknown_key(factor, valid))
        if not isinstance(levels, list) or not levels:
            example = STANDARD_FACTORS.get(factor, ["…"])
            why = f"a list with at least one level is needed, such as [{example[0]}]"
            raise Refused(why, key=(factor,), value=levels)
    return {
        factor: distinct(factor, levels, "level", _PARSERS.get(factor))
        for factor, levels in {**STANDARD_FACTORS, **value}.items()
    }
