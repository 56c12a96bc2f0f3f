"""Images and labels where the trial computes, addressed by their place in a subset."""

import warnings
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.data.dataset import Images


class Examples:
    """A subset of the images, without a copy on the CPU, resident on a GPU.

    Parameters
    ----------
    source
        Images and labels; on the CPU they are read where they lie, shared by all trials.
    indices
        Which of them, in the subset's order; None for all.
    """

    def __init__(
        self, source: Images, indices: NDArray[np.int64] | None, device: torch.device
    ) -> None:
        everything = np.arange(len(source.labels)) if indices is None else indices
        if device.type == "cuda":
            self._images = _resident(source.images[everything], device)
            self.labels = _resident(source.labels[everything], device)
            self._rows = torch.arange(len(everything), device=device)
        else:
            self._images = _shared(source.images)
            self.labels = torch.from_numpy(source.labels[everything])
            self._rows = torch.from_numpy(everything)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the images in pixels."""
        return self._images.shape[1], self._images.shape[2]

    def images(self, places: Tensor) -> Tensor:
        """Return uint8 images of shape (places, height, width, 3)."""
        return self._images.index_select(0, self._rows.index_select(0, places))

    def chunks(self, size: int, span: slice) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the images and labels of a span in order, `size` at a time."""
        for start in range(span.start, span.stop, size):
            chunk = slice(start, min(start + size, span.stop))
            yield self._images.index_select(0, self._rows[chunk]), self.labels[chunk]


def _shared(array: NDArray[np.uint8]) -> Tensor:
    with warnings.catch_warnings():
        # torch has no read-only tensors, and warns; nothing here writes to the images.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _resident(array: NDArray[np.generic], device: torch.device) -> Tensor:
    return torch.from_numpy(array).pin_memory().to(device, non_blocking=True)
