"""What is known of models without building them: remembered, and torch-free then.

A model is built without memory and run once to count its operations, or to see whether it takes
images of a size; that and importing torchvision are most of the time of a plan. What it comes to
depends on the arguments and the versions of torch and torchvision alone. A user's own model may
change between two calls: nothing of it is remembered.
"""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from importlib.metadata import version
from typing import Any

from trainables.data.cache import recall, remember
from trainables.functions import is_function
from trainables.recipe import Sides, Stem

_FORM = 2
"""Raised when the same models and versions give other facts."""


def check_model(name: str, stem: Stem = "standard") -> None:
    """Check that there is such a model and that it can have such a stem; else ModelError."""
    _known("networks.check_model", name, stem)


def check_input(
    name: str,
    n_classes: int,
    stem: Stem = "standard",
    sides: Sides = (224, 224),
    single: bool = False,
) -> None:
    """Check that a model can be trained on such images, `single`: one a batch; else ModelError."""
    _known("rehearsal.check_input", name, n_classes, stem, sides, single)


@lru_cache(maxsize=256)
def n_parameters(name: str, n_classes: int, stem: Stem = "standard") -> int:
    """Return the number of values of all of a model's parameters."""
    return int(_known("networks.n_parameters", name, n_classes, stem))


@lru_cache(maxsize=256)
def n_layers(name: str, n_classes: int, stem: Stem = "standard") -> int:
    """Return the number of modules of a model that have no modules of their own."""
    return int(_known("networks.n_layers", name, n_classes, stem))


@lru_cache(maxsize=256)
def flops_per_image(
    name: str, n_classes: int, stem: Stem = "standard", sides: Sides = (224, 224)
) -> int:
    """Return the floating-point operations of one image's forward pass."""
    return int(_known("networks.flops_per_image", name, n_classes, stem, sides))


@lru_cache(maxsize=256)
def head_layer(
    name: str, n_classes: int, stem: Stem = "standard", sides: Sides = (224, 224)
) -> str:
    """Return the name of the layer whose output a model's scores are; ModelError without one."""
    return str(_known("networks.head_layer", name, n_classes, stem, sides))


@lru_cache(maxsize=256)
def convolution_inputs(name: str, n_classes: int, stem: Stem, sides: Sides) -> Mapping[str, Sides]:
    """Return height and width in pixels of what each convolution is given, by its name."""
    found = _known("taps.convolution_inputs", name, n_classes, stem, sides)
    return {place: (height, width) for place, (height, width) in found.items()}


def _known(question: str, name: str, *more: Any) -> Any:
    """Return what is remembered, else what that module's function says, if it does not raise."""
    identity = repr((_FORM, *_versions(), question, name, *more))
    key = f"model-{hashlib.sha256(identity.encode()).hexdigest()[:32]}"
    facts = None if is_function(name) else recall(key)
    if facts is not None and "value" in facts:
        return facts["value"]
    module, function = question.split(".")
    answer = getattr(import_module(f"trainables.models.{module}"), function)(name, *more)
    if not is_function(name):
        remember(key, {"value": answer})
    return answer


@lru_cache(maxsize=1)
def _versions() -> tuple[str, str]:
    return version("torch"), version("torchvision")
