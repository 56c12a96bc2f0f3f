"""Levels of the standard factors, as a study file writes them."""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

_FILE_SUFFIXES = (".pth", ".pt", ".safetensors")
# Bounded, because an exponent of a billion would be worked out in full.
_NUMBER = re.compile(r"-?\d{0,15}(\.\d{0,20})?(e[+-]?\d{1,3})?(/\d{1,15})?", re.IGNORECASE)
_SMALLEST_SHARE = Fraction(1, 1000)
"""Of a GPU; Ray counts in steps of a ten-thousandth."""
_MOST_GPUS = 64


@dataclass(frozen=True)
class Size:
    """A level of `fraction`: a share of the training pool, or a number of images."""

    share: Fraction | None = None
    count: int | None = None

    def __str__(self) -> str:
        return str(self.share) if self.share is not None else f"{self.count}"

    def written(self) -> str | int:
        """Return the level as a study file holds it."""
        return str(self.share) if self.share is not None else int(self.count or 0)


def parse_size(value: Any) -> Size:
    """Read `1/16`, `0.5`, `1` as shares and an integer above one as a number of images.

    Raises
    ------
    ValueError
        It is neither.
    """
    valid = "valid are shares above 0 and up to 1 (1/16, 0.5, 1) and whole numbers of images"
    if isinstance(value, Size):
        return value
    number = _exact(value)
    if number is None:
        raise ValueError(f"no amount of data; {valid}")
    if number <= 0:
        raise ValueError(f"not above 0; {valid}")
    if number <= 1:
        return Size(share=number)
    if isinstance(value, float) or number.denominator != 1:
        raise ValueError(f"a share above 1; {valid}")
    return Size(count=int(number))


def _exact(value: Any) -> Fraction | None:
    """Return a number as it was written, or None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Fraction):
        return None
    if isinstance(value, int | Fraction):
        return Fraction(value)
    text = str(value).replace(" ", "")
    try:
        return Fraction(text) if _NUMBER.fullmatch(text) else None
    except (ValueError, ZeroDivisionError):
        return None


@dataclass(frozen=True)
class WeightsLevel:
    """A level of `weights`: a label, and where the weights are if not at torchvision."""

    label: str
    location: str | None = None

    def __str__(self) -> str:
        return self.label

    def written(self) -> str | dict[str, str]:
        """Return the level as a study file holds it."""
        return self.label if self.location is None else {self.label: self.location}


def parse_weights(value: Any) -> WeightsLevel:
    """Read `none`, a torchvision name, a path, or `{label: path}`.

    Raises
    ------
    ValueError
        It is none of these.
    """
    if isinstance(value, WeightsLevel):
        return value
    if value is None or value == "none":
        return WeightsLevel("none")
    if isinstance(value, dict) and len(value) == 1:
        ((label, location),) = value.items()
        if isinstance(label, str) and label and isinstance(location, str) and location:
            if label == "none":
                raise ValueError("the label none means no pretrained weights; choose another label")
            return WeightsLevel(label, location)
    if isinstance(value, str) and value:
        is_file = value.endswith(_FILE_SUFFIXES) or "/" in value
        return WeightsLevel(value, value if is_file else None)
    raise ValueError(
        "names no weights; valid are none, a torchvision name such as IMAGENET1K_V1, a path, "
        "and {label: path}"
    )


def parse_gpu(value: Any) -> str | int | Fraction:
    """Read `auto`, a whole number of GPUs, or one k-th of a GPU.

    Raises
    ------
    ValueError
        A fraction that is no 1/k: Ray would count places that do not exist.
    """
    if value == "auto":
        return "auto"
    valid = "valid are auto, a whole number, and 1/k such as 0.5, 0.25 or 1/3"
    share = _exact(value)
    if share is None:
        raise ValueError(f"no number of GPUs; {valid}")
    if share < 0:
        raise ValueError(f"negative; {valid}")
    if share > _MOST_GPUS:
        raise ValueError(f"more GPUs than a machine has, and a trial stays on one; {valid}")
    if share.denominator == 1:
        return int(share)
    if share < _SMALLEST_SHARE:
        raise ValueError(f"less than {_SMALLEST_SHARE} of a GPU; {valid}")
    # A decimal such as 0.333 means the k it is within one percent of.
    k = round(1 / share)
    if share < 1 and (share.numerator == 1 or (k > 1 and abs(share * k - 1) < Fraction(1, 200))):
        return Fraction(1, k)
    nearest = f"1/{max(k, 1)}" if share < 1 else str(round(share))
    raise ValueError(f"would leave a part of a GPU unused; {valid}; nearest is {nearest}")


def is_function(name: str) -> bool:
    """Return whether a name has the form package.module:function."""
    return re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", name) is not None
