"""Learners that fail in known ways, named by tests as `faulty:Name`. Each is a real `Learner`."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.errors import OutOfGpuMemory
from trainables.training.simulated import Simulated

FOLDER_VARIABLE = "FAULTY_FOLDER"
"""Environment variable: where learners leave marks for each other and for the test."""


def mark(name: str) -> Path:
    """Return the file in which a fault is noted."""
    return Path(os.environ[FOLDER_VARIABLE]) / name


class DiesOnce(Simulated):
    """Its process is killed at epoch 3 of seed 1, the first time."""

    def step(self) -> dict[str, Any]:
        died = mark(f"died-{self._trial.trial_id}")
        if self.epoch == 2 and self._trial.seed == 1 and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step()


class ToldToGo(Simulated):
    """Its process is asked to end in epoch 3 of seed 1, the first time; marks what it trains."""

    def step(self) -> dict[str, Any]:
        if self._trial.seed == 1:
            told, trained = mark("told"), mark("trained")
            with trained.open("a") as file:
                file.write(f"{self.epoch + 1} ")
            if self.epoch == 2 and not told.exists():
                told.touch()
                os.kill(os.getpid(), signal.SIGTERM)
        return super().step()


class HangsOnce(Simulated):
    """Stands still at epoch 3 of seed 1, the first time."""

    def step(self) -> dict[str, Any]:
        hung = mark(f"hung-{self._trial.trial_id}")
        if self.epoch == 2 and self._trial.seed == 1 and not hung.exists():
            hung.touch()
            time.sleep(3600)
        return super().step()


class DiesAlways(Simulated):
    """Its process is killed at epoch 2 of seed 1, every time."""

    def step(self) -> dict[str, Any]:
        if self.epoch == 1 and self._trial.seed == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step()


class Waits(Simulated):
    """Waits after its first epoch until the test says `go`."""

    def step(self) -> dict[str, Any]:
        while self.epoch == 1 and not mark("go").exists():
            time.sleep(0.05)
        return super().step()


class Raises(Simulated):
    """Raises an error of its own at epoch 2 of seed 1."""

    def step(self) -> dict[str, Any]:
        if self.epoch == 1 and self._trial.seed == 1:
            raise ZeroDivisionError("the user's own mistake")
        return super().step()


class ShortOfGpuMemory(Simulated):
    """Stands in for CUDA: out of memory until seed 1 has failed once. The fake edge is the GPU."""

    def step(self) -> dict[str, Any]:
        tries = sorted(Path(os.environ[FOLDER_VARIABLE]).glob(f"{self._trial.trial_id}-*"))
        if self.epoch == 1 and self._trial.seed == 1 and not tries:
            mark(f"{self._trial.trial_id}-{len(tries)}").touch()
            raise OutOfGpuMemory("CUDA out of memory")
        return super().step()


class WithoutNumber(Simulated):
    """Its validation accuracy is no number at learning rates below 1e-3."""

    def step(self) -> dict[str, Any]:
        row = super().step()
        return {**row, "val_accuracy": float("nan")} if self._trial.recipe.lr < 1e-3 else row


class NeverEnoughMemory(Simulated):
    """Out of memory at any share, for seed 1."""

    def step(self) -> dict[str, Any]:
        if self._trial.seed == 1:
            raise OutOfGpuMemory("CUDA out of memory")
        return super().step()


def sound_net(n_classes: int) -> Any:
    """Return a model that looks at one example at a time; it does not fail."""
    from torch import nn

    layers = nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(32, n_classes))


_begun = 0
"""Trials of `noted_net` that this process has trained."""


def noted_net(n_classes: int) -> Any:
    """Return a sound model that notes each process of a trial on several GPUs as it trains.

    Process 2 is killed in its second trial, once, if the test says `kill`.
    """
    import torch

    noted: list[bool] = []

    def note(model: Any, inputs: tuple[Any]) -> None:
        global _begun
        # A model is tried on a few images when a process first sees it.
        trains = model.training and len(inputs[0]) > 8
        if noted or not trains or not torch.distributed.is_initialized():
            return
        noted.append(True)
        _begun += 1
        with mark("processes").open("a") as file:
            file.write(f"{os.getpid()}\n")
        if _begun == 2 and torch.distributed.get_rank() == 1 and mark("kill").exists():
            mark("kill").unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    model = sound_net(n_classes)
    model.register_forward_pre_hook(note)
    return model


def wide_net(n_classes: int) -> Any:
    """Return a model that is one layer of 16×16 or 32×32 pixels to all classes."""
    from torch import nn

    return nn.Sequential(nn.AdaptiveAvgPool2d(16), nn.Flatten(), nn.Linear(768, n_classes))


def second_process_dies(n_classes: int) -> Any:
    """Return a model that kills process 2 of its trial at the first training step."""
    import torch
    from torch import Tensor, nn

    class Dying(nn.Linear):
        def forward(self, images: Tensor) -> Tensor:
            together = torch.distributed.is_initialized()
            if self.training and together and torch.distributed.get_rank() == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().forward(images.mean((2, 3)))

    return Dying(3, n_classes)


class Hungry(Simulated):
    """Takes main memory at seed 1 until the machine's guard ends its process."""

    def step(self) -> dict[str, Any]:
        if self.epoch == 1 and self._trial.seed == 1:
            taken = []
            while True:
                # Written to, since memory that is only asked for is not taken yet.
                taken.append(b"x" * (64 * 2**20))
        return super().step()


class Brief(Simulated):
    """Returns no more than it must."""

    def step(self) -> dict[str, Any]:
        row = super().step()
        return {"epoch": row["epoch"], "val_accuracy": row["val_accuracy"], "test_loss": None}

    def facts(self) -> dict[str, Any]:
        return {}


class ReturnsNothing(Simulated):
    """Forgets to return its row."""

    def step(self) -> dict[str, Any]:
        super().step()
        return None  # type: ignore[return-value]


class Unmeasured(Simulated):
    """Leaves out what trials are compared by."""

    def step(self) -> dict[str, Any]:
        return {"epoch": super().step()["epoch"]}


class Miscounts(Simulated):
    """Counts its epochs from 0."""

    def step(self) -> dict[str, Any]:
        row = super().step()
        return {**row, "epoch": row["epoch"] - 1}


class Wordy(Simulated):
    """Returns text where a number belongs."""

    def step(self) -> dict[str, Any]:
        return {**super().step(), "train_loss": "low"}


class Factless(Simulated):
    """Forgets to return its facts."""

    def facts(self) -> dict[str, Any]:
        return None  # type: ignore[return-value]


class Guesses(Simulated):
    """Predicts at random for each test image of digits."""

    def predictions(self) -> NDArray[np.int64]:
        return np.random.default_rng(self._trial.seed).integers(10, size=359)


class TooFew(Simulated):
    """Predicts for three images, whatever the test set."""

    def predictions(self) -> NDArray[np.int64]:
        return np.zeros(3, dtype=np.int64)


class Exits(Simulated):
    """Ends the process, as a module does that parses arguments."""

    def step(self) -> dict[str, Any]:
        raise SystemExit(2)
