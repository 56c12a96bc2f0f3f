"""Pretrained weights: torchvision's by name, or a user's file."""

import contextlib
import hashlib
import math
import pickle
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
import torchvision
from torch import Tensor, nn

from trainables.errors import WeightsError
from trainables.functions import is_function
from trainables.models.networks import check_model, head_names, skeleton
from trainables.recipe import Stem
from trainables.trial import Weights

SUFFIXES = (".pth", ".pt", ".safetensors")
"""Endings of files that weights are read from."""

_REACH_SECONDS = 10.0
"""Seconds that a server may take to say that it has a file."""

_WRAPPERS = ("state_dict", "model")
"""Keys under which training scripts keep the state dict, beside other things."""

_PREFIXES = ("module.", "_orig_mod.")
"""What DistributedDataParallel and torch.compile put before every name."""

_AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")
"""Inception's and GoogLeNet's auxiliary heads, which are not built."""

_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.\w+)$")
"""Names such as `norm.1.weight`, in files from before the layers were called `norm1`."""


def weights_names(model: str) -> list[str]:
    """Return the names of torchvision's weights for a model; none for a user's own."""
    if is_function(model):
        return []
    return [member.name for member in torchvision.models.get_model_weights(model)]


def resolve_weights(model: str, label: str, location: str | None = None) -> Weights:
    """Return what a level of the factor `weights` means for a model.

    The label is what tables show, `none` for no pretrained weights. Without a location it is the
    name of torchvision's weights in upper or lower case, or `DEFAULT` for its best ones. A location
    is such a name, or the absolute path of a .pth, .pt or .safetensors file. Raises WeightsError
    with the valid names, or where there is no such file, or one of an unknown kind; ModelError
    where there is no such model.
    """
    if label.lower() == "none" and location is None:
        return Weights()
    check_model(model)
    sought = location or label
    member = _member(model, sought)
    if member is not None:
        return Weights(label=label, name=member.name, digest=_published_digest(member))
    if "/" not in sought and Path(sought).suffix not in SUFFIXES:
        raise WeightsError(f"model {model} has no weights {sought}; {_valid(model, sought)}")
    file = Path(sought)
    if file.suffix not in SUFFIXES:
        raise WeightsError(
            f"weights {label}: {file} is not a weights file; {', '.join(SUFFIXES)} can be read"
        )
    return Weights(label=label, file=str(file), digest=_file_digest(file, label))


def check_weights(weights: Weights, model: str, stem: Stem = "standard") -> None:
    """Check, before anything trains, that the weights can be had and fit the model.

    Weights that torchvision has yet to download are only checked for being there. Raises
    WeightsError, which names the file, the address and the cache folder.
    """
    if weights.name is not None:
        member = _known_member(model, weights.name)
        file = _cache_file(member)
        if not file.exists():
            _check_reachable(member, file, model)
            return
    elif weights.file is not None:
        file = Path(weights.file)
    else:
        return
    _fit(_read(file, weights.label), skeleton(model, 2, stem), model, weights.label)


def load_weights(module: nn.Module, weights: Weights, model: str) -> None:
    """Put pretrained weights into a model that `build_model` just returned, in place.

    A head of another size keeps its fresh values. A vision transformer built for another image size
    gets its position embeddings interpolated. Raises WeightsError where the weights cannot be had,
    or do not fit; the entries that do not are named.
    """
    if weights.name is not None:
        state = _published_state(_known_member(model, weights.name), model)
        if isinstance(module, torchvision.models.GoogLeNet | torchvision.models.Inception3):
            # Inception's and GoogLeNet's were trained on inputs scaled to -1..1.
            module.transform_input = True
    elif weights.file is not None:
        state = _read(Path(weights.file), weights.label)
    else:
        return
    module.load_state_dict(_fit(state, module, model, weights.label), strict=False)


def preprocessing(weights: Weights, model: str) -> tuple[list[float], list[float]] | None:
    """Return the channels' mean and standard deviation that the weights expect of their inputs.

    They are of inputs scaled to 0..1, three values each; None for a user's file, which says none.
    """
    if weights.name is None:
        return None
    transforms = _known_member(model, weights.name).transforms()
    return list(transforms.mean), list(transforms.std)


def _member(model: str, name: str) -> Any:
    """Return torchvision's weights of that name, aliases such as DEFAULT resolved, or None."""
    if is_function(model):
        return None
    members = torchvision.models.get_model_weights(model).__members__
    return {key.lower(): value for key, value in members.items()}.get(name.lower())


def _known_member(model: str, name: str) -> Any:
    member = _member(model, name)
    if member is None:
        raise WeightsError(f"model {model} has no weights {name}; {_valid(model, name)}")
    return member


def _valid(model: str, name: str) -> str:
    names = weights_names(model)
    files = f"none, or the path of a {', '.join(SUFFIXES)} file"
    if not names:
        return f"valid are {files}"
    near = get_close_matches(name.upper(), names, n=1, cutoff=0.3)
    nearest = f"; the nearest is {near[0]}" if near else ""
    return f"valid are {', '.join(names)}, DEFAULT, {files}{nearest}"


def _published_digest(member: Any) -> str:
    """Return the hash that the file's name carries, or the name."""
    name = member.url.rsplit("/", 1)[1]
    found = re.search(r"-([0-9a-f]{8,})\.", name)
    return f"torchvision:{found.group(1) if found else name}"


def _file_digest(file: Path, label: str) -> str:
    try:
        stat = file.stat()
        return _content_digest(file, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise _unreadable(file, label, error) from error


@lru_cache(maxsize=256)
def _content_digest(file: Path, size: int, changed: int) -> str:
    """Return the SHA-256 of a file; size and time of change tell contents apart in the cache."""
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _unreadable(file: Path, label: str, error: OSError) -> WeightsError:
    reason = error.strerror or str(error)
    return WeightsError(f"weights {label}: {file} cannot be read ({reason}); check the path")


def _cache_file(member: Any) -> Path:
    """Return where torch keeps the file once downloaded."""
    return Path(torch.hub.get_dir(), "checkpoints", member.url.rsplit("/", 1)[1])


def _check_reachable(member: Any, cached: Path, model: str) -> None:
    request = urllib.request.Request(member.url, method="HEAD")
    try:
        # An opener of its own: urlopen would keep the proxy settings of its first use.
        urllib.request.build_opener().open(request, timeout=_REACH_SECONDS).close()
    except (OSError, ValueError) as error:
        raise _unobtainable(member, cached, model, error) from error


def _unobtainable(member: Any, cached: Path, model: str, error: Exception) -> WeightsError:
    reason = getattr(error, "reason", None) or error
    return WeightsError(
        f"weights {member.name} of {model} cannot be downloaded from {member.url} ({reason}), and "
        f"{cached.name} is not in torch's cache folder {cached.parent}; fetch the file on a "
        "machine that can and put it there, or set TORCH_HOME to a cache that has it"
    )


def _published_state(member: Any, model: str) -> dict[str, Tensor]:
    cached = _cache_file(member)
    if cached.exists():
        return _read(cached, member.name)
    try:
        # torch announces a download on standard output, where programs read results.
        with contextlib.redirect_stdout(sys.stderr):
            state: dict[str, Tensor] = member.get_state_dict(
                progress=False, check_hash=True, weights_only=True, map_location="cpu"
            )
    except (OSError, RuntimeError) as error:
        raise _unobtainable(member, cached, model, error) from error
    return state


def _read(file: Path, label: str) -> dict[str, Tensor]:
    """Return the state dict that a file holds, unwrapped; no code in it is executed."""
    try:
        if file.suffix == ".safetensors":
            content: Any = safetensors.torch.load_file(file)
        else:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise _unreadable(file, label, error) from error
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"weights {label}: {file} is refused: it is damaged, or holds Python objects beside "
            "tensors, which could run code; save the model's state_dict() alone, or as .safetensors"
        ) from error
    except (safetensors.SafetensorError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else "it ends early"
        raise WeightsError(
            f"weights {label}: {file} is damaged ({reason}); fetch or save it again"
        ) from error
    return _unwrap(content, file, label)


def _unwrap(content: Any, file: Path, label: str) -> dict[str, Tensor]:
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(f"weights {label}: {file} holds no state dict")
    odd = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
    if odd:
        raise WeightsError(
            f"weights {label}: {file} is no state dict, {_listed(odd)} is no tensor; state dicts "
            f"are looked for at the top and under {' and '.join(_WRAPPERS)}"
        )
    state = dict(content)
    for prefix in _PREFIXES:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _fit(state: dict[str, Tensor], module: nn.Module, model: str, label: str) -> dict[str, Tensor]:
    """Return the entries to load, the head only if it has the module's size."""
    ours = module.state_dict()
    state = {_OLD_DENSENET.sub(r"\1\2", key): value for key, value in state.items()}
    if isinstance(module, torchvision.models.GoogLeNet | torchvision.models.Inception3):
        state = {key: value for key, value in state.items() if not key.startswith(_AUXILIARY)}
    head = head_names(model)
    shared = [key for key in head if key in state and key in ours]
    dropped: Collection[str] = ()
    if any(state[key].shape != ours[key].shape for key in shared):
        dropped = shared
        state = {key: value for key, value in state.items() if key not in dropped}
    if isinstance(module, torchvision.models.VisionTransformer):
        state = _with_positions(state, module)
    # Files from before torch 0.4.1 do not count batches; the count has no bearing on the numbers.
    optional = {key for key in ours if key.endswith(".num_batches_tracked")}
    missing = [key for key in ours if key not in state and key not in optional | set(dropped)]
    unexpected = [key for key in state if key not in ours]
    other = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(ours[key].shape)}"
        for key in ours
        if key in state and state[key].shape != ours[key].shape
    ]
    kinds = {"missing": missing, "not in the model": unexpected, "of another shape": other}
    problems = [f"{kind}: {_listed(keys)}" for kind, keys in kinds.items() if keys]
    if problems:
        raise WeightsError(
            f"weights {label} do not fit model {model}: {'; '.join(problems)}. "
            "Are they of this model, and of its stem?"
        )
    return state


def _with_positions(state: dict[str, Tensor], module: Any) -> dict[str, Tensor]:
    """Return the state with a vision transformer's position embeddings at the module's size."""
    key = "encoder.pos_embedding"
    ours: Tensor = module.encoder.pos_embedding
    theirs = state.get(key)
    if theirs is None or theirs.shape == ours.shape or theirs.ndim != 3:
        return state
    if theirs.shape[0] != 1 or math.isqrt(theirs.shape[1] - 1) ** 2 != theirs.shape[1] - 1:
        return state
    moved = torchvision.models.vision_transformer.interpolate_embeddings(
        module.image_size, module.patch_size, {key: theirs.float()}
    )
    return {**state, **moved}


def _listed(names: list[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
