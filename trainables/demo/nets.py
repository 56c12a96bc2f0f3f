"""Two networks for small images, which train in a second on one CPU core."""

from itertools import pairwise

from torch import nn


def small(n_classes: int) -> nn.Module:
    """Return a network of 60 thousand parameters: images (N, 3, H, W) to scores (N, n_classes)."""
    return _net((16, 32, 64), 128, n_classes)


def large(n_classes: int) -> nn.Module:
    """Return a network of 260 thousand parameters: images (N, 3, H, W) to scores (N, n_classes)."""
    return _net((32, 64, 128), 256, n_classes)


def _net(widths: tuple[int, ...], hidden: int, n_classes: int) -> nn.Module:
    layers: list[nn.Module] = []
    for before, width in pairwise((3, *widths)):
        half = nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False)
        layers += [half, nn.BatchNorm2d(width), nn.ReLU()]
    head = (nn.Linear(4 * widths[-1], hidden), nn.ReLU(), nn.Linear(hidden, n_classes))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), *head)
