"""One of the processes that train a trial together, as `actor` calls it. Ray-free."""

from pathlib import Path
from typing import Any

import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from trainables.training.classifier import Classifier
from trainables.training.device import resolve_device
from trainables.training.parallel import PATIENCE, ProcessGroup
from trainables.work.reports import Task

_HOST = "127.0.0.1"
"""All processes of a trial are on one machine."""


class Rank:
    """A process of a trial: joins the others, then does what all are told to do.

    Parameters
    ----------
    task
        What the trial's worker was asked to do.
    rank, size
        Which process this is, and of how many.
    """

    def __init__(self, task: Task, rank: int, size: int) -> None:
        self._task, self._rank, self._size = task, rank, size
        self._store: TCPStore | None = None
        self._learner: Classifier | None = None

    def open(self) -> int:
        """Open the place where the processes meet, in one of them; return its port."""
        self._store = TCPStore(_HOST, 0, is_master=True, wait_for_workers=False, timeout=PATIENCE)
        return int(self._store.port)

    def join(self, port: int) -> None:
        """Meet the others and make the learner; every process must.

        Raises
        ------
        TrainableError
            As of the learner.
        """
        store = self._store or TCPStore(_HOST, port, is_master=False, timeout=PATIENCE)
        device: torch.device = resolve_device(self._task.device)
        self._learner = Classifier(
            self._task.trial,
            cpus=max(1, self._task.cpus // self._size),
            device=self._task.device,
            group=ProcessGroup(store, self._rank, self._size, device),
        )

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the learner."""
        return getattr(self._learner, method)(*arguments)

    def load(self, file: Path) -> int:
        """Go on from a saved state, as of `Learner.load`; return its epoch."""
        self.call("load", file)
        return self._learner.epoch if self._learner else 0
