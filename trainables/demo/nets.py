"""Two networks for small images, which train in a second on one CPU core."""

from collections.abc import Iterator

from torch import nn


def small(n_classes: int) -> nn.Module:
    """Return a network of 60 thousand parameters: images (N, 3, H, W) to scores (N, n_classes)."""
    return _net((16, 32, 64), 128, n_classes)


def large(n_classes: int) -> nn.Module:
    """Return a network of 260 thousand parameters: images (N, 3, H, W) to scores (N, n_classes)."""
    return _net((32, 64, 128), 256, n_classes)


def _net(widths: tuple[int, ...], hidden: int, n_classes: int) -> nn.Module:
    return nn.Sequential(
        *_convolutions(widths),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * widths[-1], hidden),
        nn.ReLU(),
        nn.Linear(hidden, n_classes),
    )


def _convolutions(widths: tuple[int, ...]) -> Iterator[nn.Module]:
    """Yield blocks that halve height and width each, and take an image to the last width."""
    before = 3
    for width in widths:
        yield nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False)
        yield nn.BatchNorm2d(width)
        yield nn.ReLU()
        before = width
