"""Which examples each update sees, and how each is cropped: a function of seed and position.

Nothing here has a state to save. A trial that goes on from step s computes what it needs from s.
"""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.data.augment import draw_crops


def derive_seed(seed: int, *purpose: str | int) -> int:
    """Return a 63-bit seed for one purpose; different purposes are independent of each other."""
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


@dataclass(frozen=True)
class Batch:
    """One update's examples."""

    examples: Tensor
    """int64 of shape (batch,): indices into the training subset."""
    crops: Tensor | None
    """int64 of shape (batch, 3), as of `draw_crops`; None without augmentation."""


class Batches:
    """The endless sequence of a trial's batches, pass after pass over its subset.

    Parameters
    ----------
    n
        Examples of the subset.
    batch_size
        Examples of a batch, at most. A pass is divided evenly among as few batches as that takes:
        a last one of what is left over, of two examples at worst, would end every pass with an
        update whose batch norm knows next to nothing. None has a single example, on which batch
        norm cannot train, unless that is the size asked for.
    sides
        Height and width of the images to crop and mirror; None for no augmentation.
    device
        Where the indices are to lie. They are drawn on the CPU, so that every device sees the
        same batches, and go there once a pass.
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        seed: int,
        sides: tuple[int, int] | None,
        device: torch.device,
    ) -> None:
        self._n, self._seed, self._sides, self._device = n, seed, sides, device
        count = -(-n // batch_size)
        if batch_size > 1:
            count = min(count, max(1, n // 2))
        self._edges = [number * n // count for number in range(count + 1)]
        self._turn = -1
        self._order = torch.empty(0, dtype=torch.int64)
        self._crops: Tensor | None = None

    @property
    def per_pass(self) -> int:
        """Updates of one pass over the subset."""
        return len(self._edges) - 1

    def size(self, step: int) -> int:
        """Return the number of examples of the batch of an update, counted from 0."""
        place = step % self.per_pass
        return self._edges[place + 1] - self._edges[place]

    def batch(self, step: int) -> Batch:
        """Return the batch of an update, counted from 0."""
        turn, place = divmod(step, self.per_pass)
        if turn != self._turn:
            self._draw_pass(turn)
        span = slice(self._edges[place], self._edges[place + 1])
        return Batch(self._order[span], None if self._crops is None else self._crops[span])

    def _draw_pass(self, turn: int) -> None:
        self._turn = turn
        order = torch.randperm(self._n, generator=self._generator("order", turn))
        self._order = self._place(order)
        if self._sides is not None:
            crops = draw_crops(self._n, self._sides, self._generator("crops", turn))
            self._crops = self._place(crops)

    def _generator(self, purpose: str, turn: int) -> torch.Generator:
        return torch.Generator().manual_seed(derive_seed(self._seed, purpose, turn))

    def _place(self, drawn: Tensor) -> Tensor:
        if self._device.type == "cuda":
            return drawn.pin_memory().to(self._device, non_blocking=True)
        return drawn
