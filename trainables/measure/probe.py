"""Measures what a trial takes of a GPU: the real learner, on made-up images, for a few updates."""

import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from trainables.data.dataset import Dataset, Images
from trainables.data.holding import resident_bytes
from trainables.data.splits import Training
from trainables.measure.footprint import Hardware
from trainables.recipe import Precision
from trainables.training.classifier import Classifier
from trainables.training.device import CONTEXT_BYTES, evaluation_batch, gpu_problem
from trainables.trial import Source, Trial, Weights

UPDATES = 8
"""Updates between two evaluations."""
_ENDLESS = 10**6
"""Intervals of the probe's budget, of which it trains as many as its time allows."""


def gpu_seen() -> Hardware | None:
    """Return the GPU that this process computes on; None where torch can use none."""
    if gpu_problem():
        return None
    properties = torch.cuda.get_device_properties(0)
    driver = "unknown"
    with suppress(OSError):
        driver = Path("/proc/driver/nvidia/version").read_text().splitlines()[0]
    return Hardware(
        gpu=properties.name,
        total_bytes=properties.total_memory,
        torch=torch.__version__,
        cuda=torch.version.cuda or "",
        driver=driver,
        # CUDA uses it where its control daemon listens (NVIDIA, *Multi-Process Service*).
        has_mps="CUDA_MPS_PIPE_DIRECTORY" in os.environ or Path("/tmp/nvidia-mps/control").exists(),
    )


@dataclass
class Probe:
    """One of the trials that share a GPU, in a process of its own, on made-up images."""

    trial: Trial
    """The trial to measure; its data, weights and budget are not looked at."""
    side: int
    """Side of the images in pixels."""
    evaluated: int
    """Images of the larger of validation and test set."""
    cpus: int
    """Threads of this process."""
    gpu: float = 1.0
    """Share of the GPU that the trial may take."""
    context_bytes: int | None = None
    """Bytes of it that go to the process itself, where they were measured."""
    precision: Precision | None = None
    """What `precision: auto` comes to; by default what the GPU computes natively."""

    device = "cuda"
    _learner: Classifier | None = field(default=None, init=False)

    def hardware(self) -> Hardware | None:
        """Return the GPU that this process computes on; None where torch can use none."""
        return gpu_seen()

    def peak_bytes(self) -> int:
        """Return the most bytes that torch held, what it keeps for later use included."""
        return torch.cuda.max_memory_reserved(0)

    def taken_besides(self) -> int:
        """Return the bytes of the GPU taken besides, by others too; at least `CONTEXT_BYTES`."""
        free, total = torch.cuda.mem_get_info(0)
        return max(CONTEXT_BYTES, total - free - torch.cuda.memory_reserved(0))

    def measure(self) -> tuple[int, int]:
        """Train a few updates and evaluate; return bytes of their peak, images aside, and context.

        Raises OutOfGpuMemory where there is no room.
        """
        recipe = self.trial.recipe
        n_train = max(recipe.batch_size, self.trial.n_classes, 2)
        most = evaluation_batch(self.device, recipe.sides or (self.side, self.side))
        n_test = max(self.trial.n_classes, min(self.evaluated, most))
        # It resets CUDA's count of memory.
        self._learner = Classifier(
            _stand_in(self.trial, n_train),
            cpus=self.cpus,
            device=self.device,
            dataset=made_up(n_train, n_test, self.side, self.trial.n_classes),
            gpu=self.gpu,
            context_bytes=self.context_bytes,
            precision=self.precision,
        )
        self._learner.step()
        images = resident_bytes(n_train + n_test, n_train, 3 * self.side**2)
        return max(0, self.peak_bytes() - images), self.taken_besides()

    def rate(self, seconds: float) -> float:
        """Train for that many seconds; return the images trained on per second."""
        if self._learner is None:
            raise RuntimeError("a probe is measured before it is timed")
        images, started = 0, time.perf_counter()
        while not images or time.perf_counter() < started + seconds:
            images += self._learner.train()["train_seen"]
        return images / (time.perf_counter() - started)


def _stand_in(trial: Trial, n_train: int) -> Trial:
    # Nothing may diverge, and a head alone takes less.
    settings = {"schedule": "constant", "warmup": 0.0, "lr": 1e-12, "freeze": "none"}
    steps = UPDATES * _ENDLESS
    budget = {"epochs": None, "examples": None, "steps": steps, "evaluations": _ENDLESS}
    recipe = trial.recipe.changed(**budget, **settings)
    data, weights = Source(validation="test"), Weights()
    return trial.changed(data=data, weights=weights, n_pool=n_train, n_train=n_train, recipe=recipe)


def made_up(n_train: int, n_test: int, side: int, n_classes: int) -> Dataset:
    """Return square images of noise, their classes in turn."""
    generator = np.random.default_rng(0)

    def images(n: int) -> Images:
        pixels = np.frombuffer(generator.bytes(n * side * side * 3), np.uint8)
        return Images(pixels.reshape(n, side, side, 3), np.arange(n) % n_classes)

    train, names = images(n_train), tuple(map(str, range(n_classes)))
    return Dataset(train, images(n_test), Training(train.labels, names))
