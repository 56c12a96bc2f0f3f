"""The weights that torchvision publishes: by name, by the hash of their files, downloaded once."""

import os
import re
import urllib.request
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from trainables.errors import WeightsError
from trainables.functions import is_function, own_output
from trainables.models.networks import model_names
from trainables.models.tensors import read_tensors
from trainables.trial import Channels, Weights
from trainables.vision import torchvision

_NAMED = {
    "imagenet": Channels(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    "none": Channels(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
}
"""What images are scaled to, by the name that a recipe or weights give it."""
_REACH_SECONDS = 10.0
"""Seconds that a server may take to say that it has a file."""


def weights_names(model: str) -> list[str]:
    """Return the names of torchvision's weights for a model; none for a user's own."""
    members = () if is_function(model) else torchvision.models.get_model_weights(model)
    return [member.name for member in members]


def member_of(model: str, name: str) -> Any:
    """Return torchvision's weights of that name, aliases such as DEFAULT resolved, or None."""
    if is_function(model):
        return None
    members = torchvision.models.get_model_weights(model).__members__
    return {key.lower(): value for key, value in members.items()}.get(name.lower())


def known_member(model: str, name: str) -> Any:
    """Return torchvision's weights of that name; WeightsError says which there are."""
    member = member_of(model, name)
    if member is not None:
        return member
    names, files = weights_names(model), "none, or the path of a file or folder"
    valid = ", ".join([*names, "DEFAULT", files]) if names else files
    near = get_close_matches(name.upper(), names, n=1, cutoff=0.3)
    nearest = f"; the nearest is {near[0]}" if near else ""
    if Path(name).exists():
        nearest = f"; for what lies beside the study, write ./{Path(name).name}"
    raise WeightsError(f"model {model} has no weights {name}; valid are {valid}{nearest}")


def member_of_file(digest: str) -> Any:
    """Return the member of torchvision's weights whose file has that SHA-256, or None."""
    member = _by_hash().get(digest[:8])
    return member if member and digest.startswith(str(_hash_in_name(member))) else None


def published_digest(member: Any) -> str:
    """Return the hash that the file's name carries, or the name."""
    return f"torchvision:{_hash_in_name(member) or member.url.rsplit('/', 1)[1]}"


def cache_file(member: Any) -> Path:
    """Return where torch keeps the file once downloaded."""
    return Path(torch.hub.get_dir(), "checkpoints", member.url.rsplit("/", 1)[1])


def check_reachable(member: Any, model: str) -> None:
    """Check that the file can be downloaded; WeightsError names file, address and cache folder."""
    request = urllib.request.Request(member.url, method="HEAD")
    try:
        # An opener of its own: urlopen would keep the proxy settings of its first use.
        urllib.request.build_opener().open(request, timeout=_REACH_SECONDS).close()
    except (OSError, ValueError) as error:
        raise _unobtainable(member, model, error) from error


def published_tensors(member: Any, model: str) -> dict[str, Tensor]:
    """Return the tensors of torchvision's file, which is downloaded where the cache lacks it."""
    cached = cache_file(member)
    if os.access(cached, os.F_OK):
        return read_tensors(cached, member.name)
    try:
        # torch announces a download on standard output, where programs read results.
        with own_output():
            state: dict[str, Tensor] = member.get_state_dict(
                progress=False, check_hash=True, weights_only=True, map_location="cpu"
            )
    except (OSError, RuntimeError) as error:
        raise _unobtainable(member, model, error) from error
    return state


def expected(
    kind: Literal["auto", "data", "none"], weights: Weights, model: str
) -> Channels | None:
    """Return mean and deviation to normalise by, as the recipe says; None for the data's own."""
    said = weights.normalization if kind == "auto" else kind
    if said is None and weights.name is not None:
        return channels_of(known_member(model, weights.name))
    return said if isinstance(said, Channels) else _NAMED.get(said or "data")


def channels_of(member: Any) -> Channels:
    """Return what a member of torchvision's weights expects of its inputs."""
    transforms = member.transforms()
    return Channels(mean=tuple(transforms.mean), std=tuple(transforms.std))


def _unobtainable(member: Any, model: str, error: Exception) -> WeightsError:
    reason, cached = getattr(error, "reason", None) or error, cache_file(member)
    said = f"weights {member.name} of {model} cannot be downloaded from {member.url} ({reason})"
    lack = f"{cached.name} is not in torch's cache folder {cached.parent}"
    mend = "fetch the file on a machine that can and put it there, or set TORCH_HOME to a cache"
    return WeightsError(f"{said}, and {lack}; {mend} that has it")


def _hash_in_name(member: Any) -> str | None:
    found = re.search(r"-([0-9a-f]{8,})\.", member.url.rsplit("/", 1)[1])
    return found[1] if found else None


@lru_cache(maxsize=1)
def _by_hash() -> dict[str, Any]:
    members = (m for name in model_names() for m in torchvision.models.get_model_weights(name))
    return {found[:8]: member for member in members if (found := _hash_in_name(member))}
