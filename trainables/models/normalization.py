"""What images are scaled to before a network sees them: what its weights expect, where known."""

from typing import Any, Literal

from trainables.models.published import known_member
from trainables.trial import Channels, Weights

_NAMED = {
    "imagenet": Channels(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    "none": Channels(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
}


def expected(
    kind: Literal["auto", "data", "none"], weights: Weights, model: str
) -> Channels | None:
    """Return the mean and deviation that images are normalised by; None for the data's own.

    The recipe's kind has the last word; `auto` leaves it to the weights.
    """
    said = weights.normalization if kind == "auto" else kind
    if said is None and weights.name is not None:
        return channels_of(known_member(model, weights.name))
    return said if isinstance(said, Channels) else _NAMED.get(said or "data")


def channels_of(member: Any) -> Channels:
    """Return what a member of torchvision's weights expects of its inputs."""
    transforms = member.transforms()
    return Channels(mean=tuple(transforms.mean), std=tuple(transforms.std))
