"""The networks: any classification model of torchvision, or a user's own; and their states."""

import hashlib
import pickle
import zipfile
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from trainables.errors import CheckpointError, ModelError, first_line
from trainables.functions import is_function
from trainables.models.facts import Anatomy
from trainables.models.own import build_own, builder
from trainables.recipe import Sides, Stem
from trainables.vision import torchvision

SIDES: Sides = (224, 224)
"""Height and width in pixels of the images that most published models are for."""
_SIZE_ARGUMENT = {"VisionTransformer": "image_size", "MaxVit": "input_size"}
"""Families whose layers depend on the image size, and how their builders call it."""


def model_names() -> list[str]:
    """Return the names of torchvision's classification models."""
    return list(torchvision.models.list_models(module=torchvision.models))


def check_model(name: str, stem: Stem = "standard") -> None:
    """Check that there is such a model with such a stem, without building it; else ModelError."""
    if ":" in name:  # whatever its form: what is wrong with it is said
        builder(name, SIDES)
    elif name not in model_names():
        raise ModelError(_no_model(name))
    if stem == "cifar" and _family(name) != "ResNet":
        these = "torchvision's ResNets (resnet, resnext and wide_resnet)"
        raise ModelError(f"stem: cifar is for {these}, and {name} is none; use stem: standard")


def build_model(
    name: str, n_classes: int, stem: Stem = "standard", sides: Sides = SIDES
) -> nn.Module:
    """Return a freshly initialised model whose head has `n_classes` outputs; no auxiliary heads.

    Weights are drawn from torch's global generator: seed it, inside `torch.random.fork_rng`. The
    name is one of `model_names()`, or package.module:function, which is called with `n_classes` and
    returns a module from images (N, 3, height, width) to scores (N, n_classes). The stem `cifar`,
    of ResNets only, is a first convolution of 3×3 with stride 1 and no max-pool. Vision
    transformers, MaxViT and lazy layers of one's own are built for images of these sides, height
    and width in pixels; other models do not depend on them. Raises ModelError where there is no
    such model, or it cannot be built so.
    """
    check_model(name, stem)
    if is_function(name):
        return build_own(name, n_classes, sides)
    arguments: dict[str, Any] = {"num_classes": n_classes}
    family = _family(name)
    if family in ("GoogLeNet", "Inception3"):
        arguments |= {"aux_logits": False, "init_weights": True}
    # Oblong images suit none of them, which running one then shows.
    if family in _SIZE_ARGUMENT and sides[0] == sides[1]:
        arguments[_SIZE_ARGUMENT[family]] = sides if family == "MaxVit" else sides[0]
    model: nn.Module = torchvision.models.get_model(name, weights=None, **arguments)
    if stem == "cifar":
        # As in He et al., Deep Residual Learning, section 4.2.
        first = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
        nn.init.kaiming_normal_(first.weight, mode="fan_out", nonlinearity="relu")
        model.conv1, model.maxpool = first, nn.Identity()
    return model


def skeleton(name: str, n_classes: int, stem: Stem = "standard", sides: Sides = SIDES) -> nn.Module:
    """Return the model with shapes but without memory, in milliseconds (on the meta device).

    A user's own model is built for real: it may look at its values. Raises ModelError where there
    is no such model, or it cannot be built so.
    """
    with torch.random.fork_rng(devices=[]):
        if is_function(name):
            return build_model(name, n_classes, stem, sides)
        with _ParametersOnMeta():
            return build_model(name, n_classes, stem, sides).to("meta")


def count_parameters(model: nn.Module, frozen: bool = True) -> int:
    """Return the number of values of a model's parameters, with or without those not trained."""
    return sum(values.numel() for values in model.parameters() if frozen or values.requires_grad)


def place_of(model: nn.Module) -> torch.device:
    """Return the device that a model lies on; the CPU where it has no parameters."""
    return next((values.device for values in model.parameters()), torch.device("cpu"))


def anatomy(name: str, n_classes: int, stem: Stem = "standard", sides: Sides = SIDES) -> Anatomy:
    """Return what a model is made of, found by showing it one image of these sides."""
    model = skeleton(name, n_classes, stem, sides).eval()
    inputs: dict[str, set[Sides]] = {}
    made: list[tuple[str, Any]] = []

    def seen(place: str, layer: nn.Module, given: Any, output: Any) -> None:
        made.append((place, output))
        # A user's own model may look at its kernels.
        if isinstance(layer, nn.Conv2d) and not is_function(name):
            inputs.setdefault(place, set()).add(tuple(given[0].shape[2:]))

    for place, layer in model.named_modules():
        if place and next(layer.parameters(recurse=False), None) is not None:
            layer.register_forward_hook(partial(seen, place))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        scores = model(torch.zeros(1, 3, *sides, device=place_of(model)))
    heads = [place for place, output in made if output is scores]
    is_head = len(heads) == 1 and [place for place, _ in made].count(heads[0]) == 1
    n_layers = sum(not [*module.children()] for module in model.modules())
    sums = count_parameters(model), n_layers, int(counter.get_total_flops())
    alike = {place: sides.pop() for place, sides in inputs.items() if len(sides) == 1}
    return Anatomy(*sums, alike, heads[0] if is_head else "")


def read_checkpoint(file: Path) -> dict[str, Any]:
    """Return a classifier's saved state, in main memory; nothing in the file is executed.

    Raises CheckpointError where it cannot be read, is damaged, or is none that this program wrote.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            # torch does not compare checksums, and would load flipped bits.
            damaged = archive.testzip()
        if damaged is not None:
            raise CheckpointError(f"{file} is damaged: the checksum of {damaged} does not match")
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError(f"{file} is damaged: {first_line(error)}") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{file} is not a checkpoint of this program")
    return state


def shapes(state: dict[str, Tensor]) -> dict[str, torch.Size]:
    """Return the shape of every entry of a state dict, by its name."""
    return {name: values.shape for name, values in state.items()}


def hash_state(model: nn.Module, but: str = "") -> str:
    """Return 16 hex digits, a hash over all parameters and buffers and their names.

    Those of the layer `but`, by its name, are left out.
    """
    digest = hashlib.sha256()
    for name, values in model.state_dict().items():
        if but and name.startswith(f"{but}."):
            continue
        digest.update(f"{name}{values.dtype}{tuple(values.shape)}".encode())
        digest.update(values.cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


class _ParametersOnMeta(TorchFunctionMode):
    """Send what layers allocate for their parameters to the meta device, and nothing else.

    `torch.device("meta")` would also send the small tensors that some builders compute their
    widths with (RegNet), and those must have values.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.empty and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def _family(name: str) -> str:
    """Return the class that torchvision builds the model from; empty for a user's own."""
    if is_function(name):
        return ""
    builder = torchvision.models.get_model_builder(name)
    return str(builder.__annotations__["return"].__name__)


def _no_model(name: str) -> str:
    short = name.removeprefix("torchvision.").removeprefix("models.")
    if short in model_names():
        return f"model {name}: torchvision's models are named alone; write {short}"
    if name in torchvision.models.list_models():
        module = torchvision.models.get_model_builder(name).__module__
        task = module.removeprefix("torchvision.models.").partition(".")[0]
        return f"torchvision has {name} for {task}; a model that classifies images is needed"
    near = get_close_matches(name.lower(), model_names(), n=3, cutoff=0.5)
    hint = f"the nearest are {', '.join(near)}" if near else "list_models() lists them"
    hint += ", or name your own as package.module:function"
    return f"there is no model {name} in torchvision {torchvision.__version__}; {hint}"
