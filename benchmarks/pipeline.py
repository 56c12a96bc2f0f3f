"""Measure the input pipeline alone: shuffle, crop, flip, normalise; against torchvision's.

Run it: python benchmarks/pipeline.py [--images 20000] [--batch 256] [--rounds 5] [--model resnet18]

Both give batches of float32 images with augmentation and labels, on one thread, from pixels that
are decoded already. Numbers are medians over rounds of images per second of CPU time. The last line
is the pipeline's part of a training step of the model.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch.utils.data import DataLoader

from trainables.data.batches import Batches, Examples, Preparation, crop_and_flip
from trainables.data.dataset import Images
from trainables.training.device import resolve_precision

sys.path.insert(0, str(Path(__file__).parent / "peers"))

from trainer import Variant
from training import MEAN, STD, PixelArrays, augmenting

CPU, SIDE = torch.device("cpu"), 32


class Pipeline:
    """What a trial does to get its batches.

    Parameters
    ----------
    images : uint8 array of shape (n, 32, 32, 3)
    labels : int64 array of shape (n,)
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, batch: int) -> None:
        self.examples = Examples(Images(images, labels), None, CPU)
        self.prepared = Preparation(list(MEAN), list(STD), (SIDE, SIDE), None, CPU)
        self.batches = Batches(len(labels), batch, 0, (SIDE, SIDE), CPU)
        self._step = 0

    def epoch(self) -> None:
        """Make every batch of the next epoch."""
        steps = range(self._step, self._step + self.batches.per_pass)
        self._step = steps.stop
        for batch, images, _ in self.examples.batches(map(self.batches.batch, steps)):
            self.prepared(crop_and_flip(images, batch.crops))


def main() -> None:
    """Print one row for each pipeline."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default="resnet18")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (arguments.images, SIDE, SIDE, 3), dtype=np.uint8)
    labels = np.arange(arguments.images) % 10
    ours = Pipeline(images, labels, arguments.batch)
    # In this process: its workers would only move the same work to other cores.
    loader = DataLoader(
        PixelArrays(images, labels.tolist(), augmenting()), arguments.batch, shuffle=True
    )
    bf16 = resolve_precision("auto", CPU) == "bf16"
    training = Variant("trainer, bf16" if bf16 else "trainer", arguments.model, arguments.batch)
    training.train()

    def theirs() -> None:
        for _ in loader:
            pass

    rates: dict[str, list[float]] = {"torchvision's DataLoader": [], "of a trial": []}
    steps = []
    for _ in range(arguments.rounds):
        for name, epoch in zip(rates, (theirs, ours.epoch), strict=True):
            rates[name].append(arguments.images / _seconds(epoch))
        steps.append(arguments.batch / _seconds(training.train))
    theirs_rate, ours_rate = (median(each) for each in rates.values())
    print("| pipeline | images/s per core | lowest to highest |\n| --- | ---: | ---: |")
    for name, each in rates.items():
        print(f"| {name} | {median(each):.0f} | {min(each):.0f} to {max(each):.0f} |")
    print(f"{ours_rate / theirs_rate:.1f} times as fast")
    step = arguments.batch / median(steps) + arguments.batch / ours_rate
    share = 100 * (arguments.batch / ours_rate) / step
    print(f"{share:.2f} % of a training step of {arguments.model}, batches of {arguments.batch}")


def _seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    main()
