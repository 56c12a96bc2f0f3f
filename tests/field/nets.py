"""Small networks with the names of a ResNet, as a user's own."""

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))


class ResNet(nn.Module):
    """A stem, two blocks and a linear head."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
        self.layer1 = nn.Sequential(Block(8), Block(8))
        self.fc = nn.Linear(8, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.layer1(self.bn1(self.conv1(x))).mean((2, 3)))


def resnet(n_classes: int) -> nn.Module:
    return ResNet(n_classes)


def wrapped(n_classes: int) -> nn.Module:
    """The same as the backbone of a classifier with a head of its own."""

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = ResNet(n_classes)
            self.backbone.fc = nn.Identity()
            self.head = nn.Linear(8, n_classes)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.backbone(x))

    return Wrapped()


def for_ten(n_classes: int) -> nn.Module:
    assert n_classes == 10, "the class names in this file are ten"
    return ResNet(n_classes)


def state(n_classes: int = 10) -> dict[str, Tensor]:
    """Return a state that no fresh model has."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        net = ResNet(n_classes).state_dict()
    return {key: value + 1 if value.is_floating_point() else value for key, value in net.items()}
