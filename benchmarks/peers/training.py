"""What every peer trains and how, in the manner of PyTorch's own CIFAR-10 tutorial.

A torchvision dataset with transforms for one image at a time, a DataLoader, a loop that reads its
loss at every step, and a test loop after each epoch.
"""

import argparse
import itertools
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision import transforms

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
RECIPE = ("lr", "batch_size", "optimizer")


class PixelArrays(torch.utils.data.Dataset):
    """Images as torchvision holds CIFAR-10: pixels in one array, an image made of each on demand.

    Parameters
    ----------
    data : uint8 array of shape (n, 32, 32, 3)
    targets : class of each image
    """

    def __init__(self, data: np.ndarray, targets: list[int], transform: Any) -> None:
        self.data, self.targets, self.transform = data, targets, transform

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image = Image.fromarray(self.data[index])
        return self.transform(image), self.targets[index]


def plain() -> Any:
    """Return the transforms of the test set."""
    return transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])


def augmenting() -> Any:
    """Return the transforms of the training set."""
    crop = transforms.RandomCrop(32, padding=4)
    return transforms.Compose([crop, transforms.RandomHorizontalFlip(), plain()])


def cifar10(root: str, part: str, transform: Any) -> PixelArrays:
    """Return a part of CIFAR-10 from train.npz or test.npz, each of `images` and `labels`."""
    with np.load(Path(root) / f"{part}.npz") as stored:
        return PixelArrays(stored["images"], stored["labels"].tolist(), transform)


def load_data(root: str, fraction: str, seed: int) -> tuple[Subset, PixelArrays]:
    """Return a random part of the training set, and the test set."""
    train_set, test_set = cifar10(root, "train", augmenting()), cifar10(root, "test", plain())
    size = int(len(train_set) * Fraction(fraction))
    order = torch.randperm(len(train_set), generator=torch.Generator().manual_seed(seed))
    return Subset(train_set, order[:size].tolist()), test_set


class Training:
    """One training run: model, optimizer and loaders.

    Parameters
    ----------
    config
        `model`, `fraction`, `lr`, `batch_size`, `optimizer`, `seed`.
    options
        `data`, `workers`, `channels_last`, `bf16`.
    """

    def __init__(self, config: dict[str, Any], options: dict[str, Any]) -> None:
        torch.manual_seed(config["seed"])
        self.layout = torch.channels_last if options["channels_last"] else torch.contiguous_format
        self.bf16 = options["bf16"]
        model = torchvision.models.get_model(config["model"], weights=None, num_classes=10)
        self.model = model.to(memory_format=self.layout)
        train_set, test_set = load_data(options["data"], config["fraction"], config["seed"])
        loading = {"batch_size": config["batch_size"], "num_workers": options["workers"]}
        self.train_loader = DataLoader(train_set, shuffle=True, **loading)
        self.test_loader = DataLoader(test_set, shuffle=False, **loading)
        self.criterion = nn.CrossEntropyLoss()
        if config["optimizer"] == "adam":
            self.optimizer = torch.optim.Adam(self.model.parameters(), lr=config["lr"])
        else:
            self.optimizer = torch.optim.SGD(self.model.parameters(), lr=config["lr"], momentum=0.9)

    def train(self) -> float:
        """Train one epoch; return the mean loss."""
        self.model.train()
        running_loss = 0.0
        for images, labels in self.train_loader:
            images = images.contiguous(memory_format=self.layout)
            self.optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
                loss = self.criterion(self.model(images), labels)
            loss.backward()
            self.optimizer.step()
            running_loss += loss.item()
        return running_loss / len(self.train_loader)

    def test(self) -> float:
        """Return the share of test images that are classified correctly."""
        self.model.eval()
        correct = total = 0
        with torch.no_grad():
            for images, labels in self.test_loader:
                images = images.contiguous(memory_format=self.layout)
                with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
                    outputs = self.model(images)
                correct += (outputs.argmax(1) == labels).sum().item()
                total += labels.size(0)
        return correct / total


class Results:
    """What a peer leaves: one line of JSON for each epoch."""

    def __init__(self, file: Path) -> None:
        self.file = file.absolute()

    def write(self, config: dict[str, Any], epoch: int, accuracy: float, seconds: float) -> None:
        """Add an epoch; one write of a short line, so that processes can share the file."""
        row = {**config, "epoch": epoch, "accuracy": accuracy, "seconds": seconds}
        with self.file.open("a") as handle:
            handle.write(json.dumps(row) + "\n")


def parse(description: str) -> tuple[argparse.Namespace, dict[str, list[Any]], dict[str, Any]]:
    """Return the command's arguments, the grid, and the options of `Training`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", required=True, help="folder with train.npz and test.npz")
    parser.add_argument("--out", type=Path, required=True, help="file of JSON lines")
    parser.add_argument("--models", nargs="+", default=["resnet18", "resnet50"])
    parser.add_argument("--fractions", nargs="+", default=["1/64", "1/16", "1/4"])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--lr", type=float, nargs="+", default=[1e-3])
    parser.add_argument("--batch-size", type=int, nargs="+", default=[256])
    parser.add_argument("--optimizer", nargs="+", default=["adam"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="of each DataLoader")
    parser.add_argument("--asha", action="store_true", help="Ray Tune: stop trials early")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--bf16", action="store_true")
    arguments = parser.parse_args()
    grid = {
        "model": arguments.models,
        "fraction": arguments.fractions,
        "lr": arguments.lr,
        "batch_size": arguments.batch_size,
        "optimizer": arguments.optimizer,
        "seed": [arguments.seed],
    }
    options = {
        "data": str(Path(arguments.data).absolute()),
        "workers": arguments.workers,
        "channels_last": arguments.channels_last,
        "bf16": arguments.bf16,
    }
    return arguments, grid, options


def combinations(grid: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Return every combination of the grid."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
