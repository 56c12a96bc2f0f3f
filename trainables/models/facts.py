"""What is known of models without building them: remembered, and torch-free then.

Building and running them takes most of the time of a plan, and depends on the arguments and the
versions of torch and torchvision alone. A user's own may change: nothing of it is remembered.
"""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from importlib.metadata import version
from typing import Any, NamedTuple

from trainables.data.cache import recall, remember
from trainables.errors import ModelError
from trainables.functions import is_function
from trainables.recipe import Sides, Stem

_FORM = 3
"""Raised when the same models and versions give other facts."""


class Anatomy(NamedTuple):
    """What a model is made of."""

    n_parameters: int
    """Values of all of its parameters."""
    n_layers: int
    """Modules that have no modules of their own."""
    flops_per_image: int
    """Floating-point operations of one image's forward pass: a multiplication and an addition count
    as two, as in `torch.utils.flop_counter`; element-wise work does not."""
    convolutions: Mapping[str, Sides]
    """Height and width of what each convolution of torchvision's models is given, by its name;
    those are left out that are used at more than one size."""
    head: str
    """Name of the one layer whose output the scores are; empty where more is made of it."""


def check_input(name: str, n_classes: int, stem: Stem, sides: Sides, single: bool = False) -> None:
    """Check that there is such a model and that it can be trained on such images; else ModelError.

    `single` says whether batches are of one.
    """
    _known("rehearsal.check_input", name, n_classes, stem, sides, single)


@lru_cache(maxsize=256)
def anatomy(name: str, n_classes: int, stem: Stem, sides: Sides) -> Anatomy:
    """Return what a model is made of that images of these sides are shown to."""
    found = Anatomy(*_known("networks.anatomy", name, n_classes, stem, sides))
    inputs = {place: (height, width) for place, (height, width) in found.convolutions.items()}
    return found._replace(convolutions=inputs)


def head_layer(name: str, n_classes: int, stem: Stem, sides: Sides) -> str:
    """Return the name of a model's head; ModelError where none can be told."""
    head = anatomy(name, n_classes, stem, sides).head
    if not head:
        said = "trains the one layer whose output is the scores, and no layer's is"
        raise ModelError(f"model {name}: freeze: backbone {said}; leave freeze out")
    return head


def _known(question: str, name: str, *more: Any) -> Any:
    """Return what is remembered, else what that module's function says, if it does not raise."""
    identity = repr((_FORM, *_versions(), question, name, *more))
    key = f"model-{hashlib.sha256(identity.encode()).hexdigest()[:32]}"
    if not is_function(name) and (facts := recall(key)) and "value" in facts:
        return facts["value"]
    module, function = question.split(".")
    answer = getattr(import_module(f"trainables.models.{module}"), function)(name, *more)
    if not is_function(name):
        remember(key, {"value": answer})
    return answer


@lru_cache(maxsize=1)
def _versions() -> tuple[str, str]:
    return version("torch"), version("torchvision")
