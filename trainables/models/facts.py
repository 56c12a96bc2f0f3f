"""What is known of torchvision's models without building them; remembered, and torch-free then.

A model is built without memory and run once to know its operations, or whether it takes images of
a size; that and importing torchvision are most of the time of a plan. What it comes to depends on
nothing but the arguments and the versions of torch and torchvision. A user's own model may change
between two calls: nothing of it is remembered.
"""

import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from trainables.data.cache import recall, remember
from trainables.functions import is_function

if TYPE_CHECKING:
    from trainables.models.networks import Stem

_FORM = 1
"""Raised when the same models and versions give other facts."""

Sides = tuple[int, int]


def check_model(name: str, stem: "Stem" = "standard") -> None:
    """Check a model's name, as of `trainables.models.networks.check_model`."""

    def check() -> bool:
        from trainables.models.networks import check_model

        check_model(name, stem)
        return True

    _known("model", (name, stem), check)


def check_input(
    name: str, n_classes: int, stem: "Stem" = "standard", sides: Sides = (224, 224)
) -> None:
    """Check that a model takes images, as of `trainables.models.networks.check_input`."""

    def check() -> bool:
        from trainables.models.networks import check_input

        check_input(name, n_classes, stem, sides)
        return True

    _known("input", (name, n_classes, stem, *sides), check)


@lru_cache(maxsize=256)
def n_parameters(name: str, n_classes: int, stem: "Stem" = "standard") -> int:
    """Return the trainable values of a model, as of `trainables.models.networks.n_parameters`."""

    def count() -> int:
        from trainables.models.networks import n_parameters

        return n_parameters(name, n_classes, stem)

    return int(_known("parameters", (name, n_classes, stem), count))


@lru_cache(maxsize=256)
def n_layers(name: str, n_classes: int, stem: "Stem" = "standard") -> int:
    """Return a model's number of layers, as of `trainables.models.networks.n_layers`."""

    def count() -> int:
        from trainables.models.networks import n_layers

        return n_layers(name, n_classes, stem)

    return int(_known("layers", (name, n_classes, stem), count))


@lru_cache(maxsize=256)
def flops_per_image(
    name: str, n_classes: int, stem: "Stem" = "standard", sides: Sides = (224, 224)
) -> int:
    """Return a forward pass's operations, as of `trainables.models.networks.flops_per_image`."""

    def count() -> int:
        from trainables.models.networks import flops_per_image

        return flops_per_image(name, n_classes, stem, sides)

    return int(_known("operations", (name, n_classes, stem, *sides), count))


@lru_cache(maxsize=256)
def convolution_inputs(
    name: str, n_classes: int, stem: "Stem", sides: Sides
) -> Mapping[str, Sides]:
    """Return what each convolution is given, as of `trainables.models.taps.convolution_inputs`."""

    def look() -> dict[str, Sides]:
        from trainables.models.taps import convolution_inputs

        return dict(convolution_inputs(name, n_classes, stem, sides))

    found = _known("convolutions", (name, n_classes, stem, *sides), look)
    return {place: (height, width) for place, (height, width) in found.items()}


def _known(kind: str, arguments: tuple[str | int, ...], find: Callable[[], Any]) -> Any:
    """Return what is remembered, else find and remember it; errors are not remembered."""
    if is_function(str(arguments[0])):
        return find()
    identity = repr((_FORM, *_versions(), kind, *arguments))
    key = f"model-{hashlib.sha256(identity.encode()).hexdigest()[:32]}"
    facts = recall(key)
    if facts is None or "value" not in facts:
        facts = {"value": find()}
        remember(key, facts)
    return facts["value"]


@lru_cache(maxsize=1)
def _versions() -> tuple[str, str]:
    return version("torch"), version("torchvision")
