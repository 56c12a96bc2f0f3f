"""Own models with one trait each: every one of them trains in an ordinary PyTorch loop."""

import torch
import torchvision
from torch import Tensor, nn


def net(n: int) -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, n)),
    )


class Viewing(nn.Module):
    """Flattens a map of more than one pixel and channel with view(), as first tutorials do."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(4))
        self.head = nn.Linear(6 * 7 * 7, n)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        return self.head(x.view(x.size(0), -1))


class Volume(nn.Module):
    """Has a weight of five dimensions."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv3d(1, 4, 3), nn.Linear(4, n)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x[:, None]).mean((2, 3, 4)))


def lazy(n: int) -> nn.Module:
    return nn.Sequential(nn.LazyConv2d(8, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.LazyLinear(n))


def frozen(n: int) -> nn.Module:
    model = net(n).requires_grad_(False)
    model[-1].requires_grad_(True)  # type: ignore[index]
    return model


def seeded(n: int) -> nn.Module:
    torch.manual_seed(42)
    return net(n)


def talking(n: int) -> nn.Module:
    print("building a net of", n, "classes")
    return net(n)


def keyword(*, num_classes: int) -> nn.Module:
    return net(num_classes)


def positional(num_classes: int, /) -> nn.Module:
    return net(num_classes)


def positional_default(n_classes: int = 10, /, width: int = 8) -> nn.Module:
    assert width == 8
    return net(n_classes)


def zoo_style(pretrained: bool = False, n_classes: int = 1000) -> nn.Module:
    assert not pretrained
    return net(n_classes)


def no_classes(pretrained: bool = False, width: int = 8) -> nn.Module:
    raise AssertionError("not to be called")


def two_needed(width: int, depth: int) -> nn.Module:
    raise AssertionError("not to be called")


resnet18 = torchvision.models.resnet18


class Differs(nn.Module):
    """Trains on scores; what it returns in evaluation is up to the subclass."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.net = net(n)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.net(x)
        return scores if self.training else self.answer(scores)

    def answer(self, scores: Tensor) -> Tensor:
        return scores


class EvalTuple(Differs):
    def answer(self, scores: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return scores, scores.argmax(1)


class EvalDict(Differs):
    def answer(self, scores: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        return {"scores": scores}


class Logits(Differs):
    def forward(self, x: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        return {"logits": self.net(x)}


class EvalDropout(Differs):
    def answer(self, scores: Tensor) -> Tensor:
        return nn.functional.dropout(scores)


class Divides(Differs):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) / 0


class Exits(Differs):
    def forward(self, x: Tensor) -> Tensor:
        raise SystemExit("no licence")


def scripted(n: int) -> object:
    return torch.jit.script(net(n))


class EvalClass(Differs):
    def answer(self, scores: Tensor) -> Tensor:
        return scores.argmax(1)


class EvalProbabilities(Differs):
    def answer(self, scores: Tensor) -> Tensor:
        return scores.softmax(1)


class EvalRaises(Differs):
    def answer(self, scores: Tensor) -> Tensor:
        raise NotImplementedError("use predict()")


class ExtraState(Differs):
    def get_extra_state(self) -> dict[str, int]:
        return {"version": 1}

    def set_extra_state(self, state: object) -> None:
        pass


class Output(dict[str, Tensor]):
    """What models of transformers return."""

    @property
    def logits(self) -> Tensor:
        return self["logits"]


class Transformer(Differs):
    def forward(self, x: Tensor) -> Output:  # type: ignore[override]
        return Output(logits=self.net(x))


class Integers(Differs):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).long()


class Detached(Differs):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).detach()
