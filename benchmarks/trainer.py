"""Measure training and evaluation steps of the trainer's model against plain ones, on one thread.

Run it: python benchmarks/trainer.py [--model resnet18] [--batch 256] [--rounds 5] [--whole]

Each round makes one step of every variant in turn; the numbers are medians over rounds of images
per second of CPU time, which a busy machine disturbs less than the clock. `plain` is torchvision's
model under torch's default Adam; `layout` adds channels-last and the fused optimizer; `trainer` is
what trials use: no dead kernel taps, matrix products where a convolution is one, and gradients that
are not copied; `trainer, bf16` is that under autocast, which only pays where the CPU computes it
natively.
The first loss of each variant shows that they compute the same.

`--whole` measures whole epochs instead: of a trial, with its shuffling, cropping, mirroring and
bookkeeping, and of the notebook loop, beside as many steps on one constant batch of the trial's
model, precision and layout.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.data.dataset import Dataset, Images
from trainables.data.splits import Training
from trainables.models.facts import anatomy
from trainables.models.networks import build_model
from trainables.models.taps import LiveTaps
from trainables.recipe import Recipe
from trainables.training.classifier import Classifier
from trainables.training.device import resolve_precision
from trainables.training.optimizers import build_optimizer, update
from trainables.trial import Source, Trial

VARIANTS = ("plain", "layout", "trainer", "trainer, bf16")
CLASSES, SIDE = 10, 32
STEPS = 8
"""Of a whole epoch."""


class Variant:
    """A model, its optimizer and one constant batch."""

    def __init__(self, kind: str, name: str, batch: int) -> None:
        torch.manual_seed(0)
        self.bf16 = "bf16" in kind
        self.model = build_model(name, CLASSES)
        images, self.labels = torch.randn(batch, 3, SIDE, SIDE), torch.arange(batch) % CLASSES
        layout = torch.contiguous_format if kind == "plain" else torch.channels_last
        self.is_trials = kind.startswith("trainer")
        if self.is_trials:
            LiveTaps(self.model, anatomy(name, CLASSES, "standard", (SIDE, SIDE)).convolutions)
        self.images = images.contiguous(memory_format=layout)
        self.model.to(memory_format=layout)
        fused, weights = None if kind == "plain" else True, self.model.parameters()
        self.optimizer = (
            build_optimizer(weights, Recipe())
            if self.is_trials
            else torch.optim.Adam(weights, fused=fused)
        )

    def train(self) -> float:
        """Make one update; return the loss."""
        loss = F.cross_entropy(self._scores(self.model.train()), self.labels)
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        advance = update if self.is_trials else type(self.optimizer).step
        advance(self.optimizer)
        return loss.item()

    @torch.inference_mode()
    def evaluate(self) -> Tensor:
        """Return the scores of the batch."""
        return self._scores(self.model.eval())

    def _scores(self, model: torch.nn.Module) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            scores: Tensor = model(self.images)
        return scores.float()


def main() -> None:
    """Print one row per variant, or per kind of epoch."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--whole", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{arguments.model}, batches of {arguments.batch}, one thread")
    measure = _epochs if arguments.whole else _steps
    measure(arguments.model, arguments.batch, arguments.rounds)


def _steps(model: str, batch: int, rounds: int) -> None:
    variants = {kind: Variant(kind, model, batch) for kind in VARIANTS}
    first = {kind: variant.train() for kind, variant in variants.items()}
    seconds: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for kind, variant in variants.items():
            for what, step in (("train", variant.train), ("evaluate", variant.evaluate)):
                seconds.setdefault((kind, what), []).append(_cpu_seconds(step))
    print("| variant | train, images/s | × plain | evaluate, images/s | × plain | first loss |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for kind in VARIANTS:
        cells = []
        for what in ("train", "evaluate"):
            mine, plain = (median(seconds[each, what]) for each in (kind, "plain"))
            cells += [f"{batch / mine:.0f}", f"{plain / mine:.2f}"]
        print(f"| {kind} | {' | '.join(cells)} | {first[kind]:.6f} |")


def _epochs(model: str, batch: int, rounds: int) -> None:
    n = batch * STEPS
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (n, SIDE, SIDE, 3), dtype=np.uint8)
    labels = np.arange(n) % CLASSES
    precision = resolve_precision("auto", torch.device("cpu"))
    constant = Variant("trainer, bf16" if precision == "bf16" else "trainer", model, batch)
    print(f"trial and constant batch in {precision}")

    def steps() -> None:
        for _ in range(STEPS):
            constant.train()

    with tempfile.TemporaryDirectory() as folder:
        epochs: dict[str, Callable[[], object]] = {
            "constant batch": steps,
            "trial": _learner(model, batch, pixels, labels).train,
            "notebook loop": _notebook(model, batch, pixels, labels, Path(folder)).train,
        }
        seconds: dict[str, list[float]] = {kind: [] for kind in epochs}
        for epoch in epochs.values():
            epoch()
        for _ in range(rounds):
            for kind, epoch in epochs.items():
                seconds[kind].append(_cpu_seconds(epoch))
    ratios = {
        kind: [other / own for other, own in zip(seconds[kind], seconds["trial"], strict=True)]
        for kind in epochs
    }
    print("| epoch | images/s | trial beside it | lowest to highest |")
    print("| --- | ---: | ---: | ---: |")
    for kind, each in ratios.items():
        pace = n / median(seconds[kind])
        print(f"| {kind} | {pace:.0f} | {median(each):.3f} | {min(each):.3f} to {max(each):.3f} |")
    print("asked for: at least 0.97 of the constant batch and 1.6 of the notebook loop")


def _learner(model: str, batch: int, pixels: np.ndarray, labels: np.ndarray) -> Classifier:
    recipe = {"epochs": 1, "batch_size": batch, "augmentation": "standard"}
    trial = Trial.model_validate(
        {
            "trainable": "classifier",
            "data": Source(source="digits", validation="test"),
            "fingerprint": "none",
            "n_pool": len(labels),
            "n_classes": CLASSES,
            "model": model,
            "weights": {},
            "fraction": 1.0,
            "n_train": len(labels),
            "seed": 0,
            "recipe": recipe,
        }
    )
    images = Images(pixels, labels)
    names = tuple(str(number) for number in range(CLASSES))
    return Classifier(
        trial, device="cpu", dataset=Dataset(images, images, Training(images.labels, names))
    )


def _notebook(model: str, batch: int, pixels: np.ndarray, labels: np.ndarray, folder: Path) -> Any:
    """Return the peers' training, its loader in this process: all of it is counted."""
    sys.path.insert(0, str(Path(__file__).parent / "peers"))
    from training import Training

    for part in ("train", "test"):
        np.savez(folder / f"{part}.npz", images=pixels, labels=labels)
    config = {"model": model, "fraction": "1", "lr": 1e-3, "batch_size": batch}
    options = {"data": str(folder), "workers": 0, "channels_last": False, "bf16": False}
    return Training({**config, "optimizer": "adam", "seed": 0}, options)


def _cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    main()
