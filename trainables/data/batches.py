"""What each update is fed: which examples, how they are cropped, and the network's input of them.

All of it is a function of seed and position, so that nothing here has a state to save.
"""

import hashlib
import math
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from trainables.data.dataset import Images
from trainables.data.holding import Held
from trainables.data.pictures import quiet
from trainables.data.reading import Pixels
from trainables.data.rows import Rows

PADDING = 8
"""Each side of an image is padded by this part of it, an eighth, before it is cropped."""
_CHUNK_BYTES = 2**24
"""Bytes of images that are copied to a GPU at once."""
_AHEAD = 2
"""Batches that are read while one is trained on."""
_PART = 8
"""Stored images that a thread decodes at a time."""


def derive_seed(seed: int, *purpose: str | int) -> int:
    """Return a 63-bit seed for one purpose; different purposes are independent of each other."""
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


@dataclass(frozen=True)
class Batch:
    """The examples of one update."""

    examples: Tensor
    """Places in the training subset, int64 of shape (batch,)."""
    crops: Tensor | None
    """Crops from `draw_crops`, int64 of shape (batch, 3); None without augmentation."""
    weight: float = 1.0
    """Of its loss, where it is one process's part of a batch."""


_Wanted = TypeVar("_Wanted", Batch, slice)


class Batches:
    """The endless sequence of a trial's batches, pass after pass over its subset of `n` examples.

    A pass is divided evenly among as few batches of at most `batch_size` as that takes: a last one
    of what is left over, of two examples at worst, would end every pass with an update whose batch
    norm knows next to nothing. None has a single example, on which batch norm cannot train, unless
    that is the size asked for. Images are cropped and mirrored where their `sides`, height and
    width in pixels, are given. Where the chances of the `n` examples are given, a pass draws `n` of
    them by these, with replacement. All is drawn on the CPU, so that every device sees the same
    batches, and goes to the device once a pass.
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        seed: int,
        sides: tuple[int, int] | None,
        device: torch.device,
        chances: Tensor | None = None,
    ) -> None:
        self._n, self._seed, self._sides, self._device = n, seed, sides, device
        self._chances = chances
        count = -(-n // batch_size)
        if batch_size > 1:
            count = min(count, max(1, n // 2))
        self._edges = [number * n // count for number in range(count + 1)]
        self._turn = -1
        self._order = torch.empty(0, dtype=torch.int64)
        self._crops: Tensor | None = None

    @property
    def per_pass(self) -> int:
        """Number of updates in one pass over the subset."""
        return len(self._edges) - 1

    def size(self, step: int) -> int:
        """Return the number of examples of the batch of an update, counted from 0."""
        place = step % self.per_pass
        return self._edges[place + 1] - self._edges[place]

    def batch(self, step: int) -> Batch:
        """Return the batch of an update, counted from 0."""
        turn, place = divmod(step, self.per_pass)
        if turn != self._turn:
            self._turn, generator = turn, self._generator("order", turn)
            if self._chances is None:
                order = torch.randperm(self._n, generator=generator)
            else:
                order = torch.multinomial(self._chances, self._n, True, generator=generator)
            self._order = _moved(order, self._device)
            if self._sides is not None:
                crops = draw_crops(self._n, self._sides, self._generator("crops", turn))
                self._crops = _moved(crops, self._device)
        span = slice(self._edges[place], self._edges[place + 1])
        return Batch(self._order[span], None if self._crops is None else self._crops[span])

    def _generator(self, purpose: str, turn: int) -> torch.Generator:
        return torch.Generator().manual_seed(derive_seed(self._seed, purpose, turn))


class Examples:
    """A subset of the images, by indices in its order, and how they come to a device.

    All are on the device, if they are held there; on the CPU those that are mapped are read where
    they lie, shared by all trials, without a copy. Else threads, of which there may be so many,
    read them ahead: one of decoded images, all of stored ones, which take longer.
    """

    def __init__(
        self,
        source: Images,
        indices: NDArray[np.int64] | None,
        device: torch.device,
        held: Held = Held.DEVICE,
        threads: int = 1,
    ) -> None:
        images, n = source.images, len(source.labels)
        self._chosen = torch.from_numpy(np.arange(n) if indices is None else indices)
        self._device, self._shape = device, images.shape[1:]
        self._kind = torch.from_numpy(np.empty(0, images.dtype)).dtype
        self._images: Tensor | None = None
        self.home = device if held is Held.DEVICE else torch.device("cpu")
        """The device that places of examples are wanted on."""
        self.labels = _moved(torch.from_numpy(source.labels[self._chosen.numpy()]), self.home)
        if held is Held.DEVICE and device.type == "cpu" and not isinstance(images, Rows):
            with warnings.catch_warnings():
                # torch has no read-only tensors, and warns; nothing here writes to the images.
                warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
                self._images, self._places = torch.from_numpy(images), self._chosen
            return
        self._rows = Rows.of(images) if isinstance(images, np.memmap) else images
        self._threads, self._part = (threads, _PART) if isinstance(images, Rows) else (1, n)
        if held is Held.DEVICE:
            whole = torch.empty((len(self), *self._shape), dtype=self._kind, device=device)
            # Pinned memory is kept by torch for good: one copy of all images would be too much.
            size = max(1, _CHUNK_BYTES // math.prod(self._shape))
            for span, chunk in self._come(_spans(size, slice(0, len(self)))):
                whole[span] = chunk
            self._images, self._places = whole, torch.arange(len(self), device=device)

    def __len__(self) -> int:
        return len(self._chosen)

    def batches(self, wanted: Iterable[Batch]) -> Iterator[tuple[Batch, Tensor, Tensor]]:
        """Yield each batch with its images, uint8 of (batch, height, width, 3), and its labels.

        All are on the device then.
        """
        for batch, images in self._come(wanted):
            labels = _moved(self.labels.index_select(0, batch.examples), self._device)
            crops = None if batch.crops is None else _moved(batch.crops, self._device)
            yield replace(batch, crops=crops), images, labels

    def chunks(self, size: int, span: slice) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images and labels of a span of the subset in order, `size` examples at a time."""
        for chunk, images in self._come(_spans(size, span)):
            yield images, _moved(self.labels[chunk], self._device)

    def _come(self, wanted: Iterable[_Wanted]) -> Iterator[tuple[_Wanted, Tensor]]:
        """Yield what is wanted with its images on the device; threads read a few ahead."""
        if self._images is not None:
            for each in wanted:
                yield each, self._images.index_select(0, self._places[_places(each)])
            return
        is_pinned = self._device.type == "cuda"
        waiting = deque[tuple[_Wanted, Tensor, list[Future[None]]]]()

        def next_one() -> tuple[_Wanted, Tensor]:
            each, images, parts = waiting.popleft()
            for part in parts:
                part.result()
            return each, images.to(self._device, non_blocking=True)

        with ThreadPoolExecutor(self._threads, "images") as pool, quiet():
            try:
                for each in wanted:
                    chosen = self._chosen[_places(each)].numpy()
                    shape = (chosen.size, *self._shape)
                    images = torch.empty(shape, dtype=self._kind, pin_memory=is_pinned)
                    parts = [
                        pool.submit(_read, self._rows, chosen[part], images.numpy()[part])
                        for part in _spans(self._part, slice(0, chosen.size))
                    ]
                    waiting.append((each, images, parts))
                    if len(waiting) > _AHEAD:
                        yield next_one()
                while waiting:
                    yield next_one()
            finally:
                pool.shutdown(cancel_futures=True)


def _places(wanted: Batch | slice) -> Tensor | slice:
    return wanted if isinstance(wanted, slice) else wanted.examples


def _spans(size: int, span: slice) -> Iterator[slice]:
    for start in range(span.start, span.stop, size):
        yield slice(start, min(start + size, span.stop))


def _read(images: Pixels | Rows, chosen: NDArray[np.int64], found: Pixels) -> None:
    if isinstance(images, Rows):
        images.read(chosen, found)
    else:
        np.take(images, chosen, axis=0, out=found, mode="clip")


def draw_crops(n: int, sides: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Draw where each of `n` images is cropped from its padded self, and whether it is mirrored.

    Sides are height and width in pixels. An int64 tensor of shape (n, 3): top and left edge of the
    crop, 0 to twice the padding, and 1 for mirrored.
    """
    ends = (2 * (sides[0] // PADDING) + 1, 2 * (sides[1] // PADDING) + 1, 2)
    columns = [torch.randint(end, (n,), generator=generator) for end in ends]
    return torch.stack(columns, dim=1)


def crop_and_flip(images: Tensor, crops: Tensor) -> Tensor:
    """Mirror images, pad them with black, and crop them back to their size.

    Images are a uint8 tensor of shape (batch, height, width, channels), crops what `draw_crops`
    drew, on the same device.
    """
    batch, height, width, channels = images.shape
    above, beside = height // PADDING, width // PADDING
    tall, wide = height + 2 * above, width + 2 * beside
    # Both orientations of every image, padded; then each row of each crop is one run of bytes.
    padded = images.new_zeros((batch, 2, tall, wide, channels))
    inside = padded[:, :, above : above + height, beside : beside + width]
    inside[:, 0] = images
    inside[:, 1] = images.flip(2)
    run = width * channels
    runs = padded.view(-1).as_strided((padded.numel() - run + 1, run), (1, 1))
    top, left, mirrored = crops.unbind(1)
    image = torch.arange(batch, device=images.device) * 2 + mirrored
    first = (image * tall + top) * wide + left
    rows = torch.arange(height, device=images.device) * wide
    starts = (first[:, None] + rows) * channels
    return runs.index_select(0, starts.view(-1)).view(images.shape)


class Preparation:
    """What is done to every batch, in training and evaluation: normalised, resized.

    Mean and std are per channel, of inputs scaled to 0..1; sides are height and width of the stored
    images in pixels; `goal` those to resize to, None to leave them as they are.
    """

    def __init__(
        self,
        mean: list[float],
        std: list[float],
        sides: tuple[int, int],
        goal: tuple[int, int] | None,
        device: torch.device,
    ) -> None:
        # Repeated over a row of pixels: broadcasting over three channels does not vectorise.
        deviation = torch.tensor(std, dtype=torch.float64)
        scale = 1 / (255 * deviation)
        shift = -torch.tensor(mean, dtype=torch.float64) / deviation
        self._scale = scale.float().repeat(sides[1]).to(device)
        self._shift = shift.float().repeat(sides[1]).to(device)
        self._goal = None if sides == goal else goal

    def __call__(self, images: Tensor) -> Tensor:
        """Return uint8 images (n, height, width, 3) as float32 input, channels-last."""
        batch, height, width, channels = images.shape
        rows = images.reshape(batch, height, width * channels).float()
        scaled = torch.addcmul(self._shift, rows, self._scale)
        inputs = scaled.view(batch, height, width, channels).permute(0, 3, 1, 2)
        if self._goal is None:
            return inputs
        return F.interpolate(inputs, size=self._goal, mode="bilinear", antialias=True)


def _moved(values: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on the device; nothing waits for the copy."""
    if device.type == "cuda" and not values.is_cuda:
        return values.pin_memory().to(device, non_blocking=True)
    return values
