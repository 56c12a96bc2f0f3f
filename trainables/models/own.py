"""A user's own model: its function called by its signature, its lazy layers made real."""

import inspect
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from trainables.errors import ModelError, first_line
from trainables.functions import load_function, own_output
from trainables.models.timm_models import PREFIX, find_timm

_CLASSES = ("num_classes", "n_classes")


def builder(name: str, sides: tuple[int, int]) -> Callable[[int], Any]:
    """Return what is called with a number of classes; ModelError where there is no such function.

    Of timm's models it builds the one for images of these sides.
    """
    if name.startswith(PREFIX):
        return find_timm(name, sides)
    try:
        return partial(_called, name, load_function(name))
    except ImportError as error:
        raise ModelError(f"model {name}: {error}") from error


def build_own(name: str, n_classes: int, sides: tuple[int, int]) -> nn.Module:
    """Return what a function returns for a number of classes, ready to be trained.

    Lazy layers are made real by a forward pass of two images of these sides. Raises ModelError
    where it returns no module with parameters, or raises.
    """
    said = f"called with n_classes={n_classes}, it"
    build = builder(name, sides)
    try:
        with own_output():
            model = build(n_classes)
            said = f"on two images of {sides[0]}×{sides[1]} pixels, it"
            if isinstance(model, nn.Module) and any(map(is_lazy, model.parameters())):
                with torch.no_grad():
                    model.eval()(torch.zeros(2, 3, *sides))
                model.train()
    except ModelError:
        raise
    except (Exception, SystemExit) as error:  # a user's function may raise anything
        why = f"{type(error).__name__}: {first_line(error)}"
        raise ModelError(f"model {name}: {said} raised {why}") from error
    if not isinstance(model, nn.Module) or isinstance(model, torch.jit.ScriptModule):
        kind = type(model).__name__
        raise ModelError(f"model {name}: it returned {kind}, a torch.nn.Module is needed")
    model.register_forward_hook(_scores)
    if not any(values.requires_grad for values in model.parameters()):
        raise ModelError(f"model {name}: it has no parameters that could be trained")
    strange = [key for key, value in model.state_dict().items() if not torch.is_tensor(value)]
    if strange:
        said = f"its state holds {strange[0]}, which is no tensor; checkpoints hold tensors alone"
        mend = "register it as a buffer, or leave get_extra_state out"
        raise ModelError(f"model {name}: {said}, so {mend}")
    return model


def weights_beside(name: str, weights: str) -> Path | None:
    """Return the file of an own model's weights that lies beside its module; None without one.

    Weights `faces` of the model `package.module:small` are `small-faces.safetensors`. The module
    has been imported.
    """
    module, _, function = name.partition(":")
    source = getattr(sys.modules.get(module), "__file__", None) if function else None
    file = source and Path(source).with_name(f"{function}-{weights}.safetensors")
    return file if file and file.is_file() else None


def _scores(model: nn.Module, images: Any, output: Any) -> Any:
    """Return the scores alone of what models of transformers return: a mapping."""
    return output.get("logits", output) if isinstance(output, dict) else output


def _called(name: str, function: Callable[..., Any], n_classes: int) -> Any:
    """Return what a function returns; no other parameter is given the number of classes."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # written in C
        return function(n_classes)
    for keyword in _CLASSES:
        found = parameters.get(keyword)
        if found and found.kind != found.POSITIONAL_ONLY:
            return function(**{keyword: n_classes})
    needed = [key for key, own in parameters.items() if own.default is own.empty and own.kind < 2]
    if len(needed) == 1 or next(iter(parameters), None) in _CLASSES:
        return function(n_classes)
    if not needed and any(own.kind == own.VAR_KEYWORD for own in parameters.values()):
        return function(num_classes=n_classes)
    said = f"none of its parameters ({', '.join(parameters) or 'none'}) is the number of classes"
    raise ModelError(f"model {name}: {said}; call it num_classes or n_classes")
