"""Pretrained weights: torchvision's by name, or a user's file."""

import os
import re
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from trainables.errors import WeightsError
from trainables.models import published
from trainables.models.exported import about_of
from trainables.models.matching import Fit, Head, fit
from trainables.models.networks import SIDES, check_model, skeleton
from trainables.models.own import weights_beside
from trainables.models.tensors import digest, read_tensors
from trainables.models.timm_models import PREFIX, timm_weights
from trainables.recipe import Sides, Stem
from trainables.trial import Normalization, Weights
from trainables.vision import torchvision


def resolve_weights(
    model: str,
    label: str,
    location: str | None = None,
    *,
    entry: str | None = None,
    head: Head | None = None,
    normalization: Normalization | None = None,
) -> Weights:
    """Return what a level of the factor `weights` means for a model.

    The label is what tables show, `none` for no pretrained weights. Without a location it is the
    name of torchvision's weights in upper or lower case, or `DEFAULT` for its best ones; of a model
    of one's own, that of a file beside its module (`weights_beside`). A location is such a name, or
    the absolute path of a file, a folder or an index of parts. A file whose hash torchvision
    publishes is that one. Raises WeightsError with the valid names, or where there is
    no such file; ModelError where there is no such model.
    """
    if label.lower() == "none" and location is None:
        return Weights()
    check_model(model)
    said: dict[str, Any] = {"label": label, "head": head, "normalization": normalization}
    sought = location or label
    if sought == "timm" and model.startswith(PREFIX):
        sought, channels = timm_weights(model)
        said["normalization"] = normalization or channels
    is_name = re.fullmatch(r"\w+", sought) is not None
    beside = weights_beside(model, sought) if is_name else None
    if beside is not None:
        sought, said["normalization"] = str(beside), normalization or "data"
    elif is_name:
        if entry is not None:
            raise WeightsError(f"weights {label}: entry goes with a path, and {sought} is a name")
        member = published.known_member(model, sought)
        return Weights(**said, name=member.name, digest=published.published_digest(member))
    content = digest(Path(sought), label)
    known = published.member_of_file(content)
    if known is not None and known is published.member_of(model, known.name):
        content = published.published_digest(known)
        return Weights(**said, name=known.name, file=sought, digest=content)
    if known is not None:
        said["normalization"] = normalization or published.channels_of(known)
    elif about := about_of(Path(sought)):
        said["normalization"] = said["normalization"] or about.normalization
    return Weights(**said, file=sought, digest=content, entry=entry)


def check_weights(
    weights: Weights, model: str, n_classes: int = 2, stem: Stem = "standard", sides: Sides = SIDES
) -> Fit | None:
    """Check, before anything trains, that the weights can be had and fit the model.

    Returns what is taken of them, or None. Of those that torchvision has yet to download, it is
    only checked that they are there. Raises WeightsError, which names file, address and cache.
    """
    if weights.file is None and weights.name is not None:
        member = published.known_member(model, weights.name)
        # A folder that may not be looked into is as good as an empty one.
        if not os.access(published.cache_file(member), os.F_OK):
            published.check_reachable(member, model)
            is_kept = not weights.head and len(member.meta.get("categories", ())) == n_classes
            return Fit({}, "kept" if is_kept else "fresh")
    return _fit(weights, skeleton(model, n_classes, stem, sides), model, n_classes)


def load_weights(module: nn.Module, weights: Weights, model: str, n_classes: int) -> Head | None:
    """Put pretrained weights into a model that `build_model` just returned, in place.

    Returns what became of the head: one of another size, or that the file lacks, stays fresh. A
    vision transformer for another image size gets its position embeddings interpolated. Raises
    WeightsError where the weights cannot be had, or do not fit: these entries are named.
    """
    found = _fit(weights, module, model, n_classes)
    if found is None:
        return None
    scaled = torchvision.models.GoogLeNet | torchvision.models.Inception3
    if weights.name is not None and isinstance(module, scaled):
        # Inception's and GoogLeNet's were trained on inputs scaled to -1..1.
        module.transform_input = True
    module.load_state_dict(found.entries, strict=False)
    return found.head


def _fit(weights: Weights, module: nn.Module, model: str, n_classes: int) -> Fit | None:
    if weights.file is not None:
        if weights.name is None and digest(Path(weights.file), weights.label) != weights.digest:
            why = f"{weights.file} is not what it was when the study was read; run the study again"
            raise WeightsError(f"weights {weights.label}: {why}")
        tensors: dict[str, Tensor] = read_tensors(Path(weights.file), weights.label)
    elif weights.name is not None:
        tensors = published.published_tensors(published.known_member(model, weights.name), model)
    else:
        return None
    try:
        return fit(tensors, module, n_classes, weights.entry, weights.head == "fresh")
    except WeightsError as error:
        why = f"do not fit model {model}: {error} (in {weights.file or weights.name})"
        raise WeightsError(f"weights {weights.label} {why}") from error
