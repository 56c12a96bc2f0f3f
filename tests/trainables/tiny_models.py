"""Models of a user's own, for tests: small, or wrong in one way."""

import torch
from torch import Tensor, nn


def dropout_net(n_classes: int) -> nn.Module:
    """Convolution, batch norm and dropout: all that a saved state must get right."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(64, n_classes),
    )


def normed_net(n_classes: int) -> nn.Module:
    """Batch norm of maps, of vectors and without a scale."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(16, affine=False, momentum=None),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.BatchNorm1d(64),
        nn.Linear(64, n_classes),
    )


def fused_net(n_classes: int) -> nn.Module:
    """A layer that is batch norm and something else."""

    class NormAct(nn.BatchNorm2d):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images).relu()

    return nn.Sequential(NormAct(3), nn.Flatten(), nn.Linear(3 * 16 * 16, n_classes))


def plain_net(n_classes: int) -> nn.Module:
    """Nothing that looks at a whole batch, and a parameter that the scores do not depend on."""

    class Plain(nn.Sequential):
        def __init__(self) -> None:
            super().__init__(
                nn.Conv2d(3, 8, 3, stride=2, padding=1),
                nn.ReLU(),
                nn.Conv2d(8, 16, 3, stride=2, padding=1),
                nn.GroupNorm(2, 16),
                nn.ReLU(),
                nn.AdaptiveAvgPool2d(2),
                nn.Flatten(),
                nn.Linear(64, n_classes),
            )
            self.unused = nn.Parameter(torch.ones(3))

    return Plain()


def masked_net(n_classes: int) -> nn.Module:
    """Dropout, and no batch norm."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(3 * 16 * 16, 64),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(64, n_classes),
    )


class _Reckless(nn.Module):
    """Scores from the channel means, spoiled in a way of choice."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(3, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.spoil(self.head(images.mean((2, 3))))

    def spoil(self, scores: Tensor) -> Tensor:
        return scores


def linear_net(n_classes: int) -> nn.Module:
    return _Reckless(n_classes)


def undecided_net(n_classes: int) -> nn.Module:
    """Scores of 0 for all classes, whatever it learns."""

    class Undecided(_Reckless):
        def spoil(self, scores: Tensor) -> Tensor:
            return scores * 0

    return Undecided(n_classes)


def blind_net(n_classes: int) -> nn.Module:
    """Good in training, NaN in evaluation."""

    class Blind(_Reckless):
        def spoil(self, scores: Tensor) -> Tensor:
            return scores if self.training else scores * float("nan")

    return Blind(n_classes)


def hungry_net(n_classes: int) -> nn.Module:
    """Asks for a pebibyte at any batch of more than three images."""

    class Hungry(_Reckless):
        def spoil(self, scores: Tensor) -> Tensor:
            return scores if len(scores) <= 3 else scores + torch.empty(2**50)[0]

    return Hungry(n_classes)


def broken_net(n_classes: int) -> nn.Module:
    """Fails in its forward pass at any batch of more than three images."""

    class Broken(_Reckless):
        def spoil(self, scores: Tensor) -> Tensor:
            if len(scores) > 3:
                raise RuntimeError("shapes of a user's own do not match")
            return scores

    return Broken(n_classes)


def two_class_net(n_classes: int) -> nn.Module:
    """Forgets how many classes it was asked for."""
    return _Reckless(2)


def tuple_net(n_classes: int) -> nn.Module:
    class Pair(_Reckless):
        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            scores = super().forward(images)
            return scores, scores

    return Pair(n_classes)


def no_module(n_classes: int) -> str:
    return "a string"


def no_parameters(n_classes: int) -> nn.Module:
    return nn.Flatten()


def raising(n_classes: int) -> nn.Module:
    raise LookupError("no such layer")
