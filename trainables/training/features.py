"""What a frozen backbone makes of images: computed once per node, and mapped by all trials.

An entry of the cache folder is named by all that it depends on: the decoded images, what the caller
says of the network and where it runs, and what that makes of two images, where other code shows.
"""

import hashlib
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainables.data import cache
from trainables.data.dataset import Dataset, Images
from trainables.data.reading import Pixels
from trainables.data.rows import mapped, write_head
from trainables.machine import free_disk

_FORM = 1
"""Raised when entries hold something else."""
_SUMS = "crc32.json"


def with_features(
    dataset: Dataset,
    rows: NDArray[np.int64],
    network: str,
    head: nn.Module,
    score: Callable[[Tensor], object],
    batch: int,
) -> tuple[Images, Images]:
    """Return training images, at rows of theirs, and test images with features for their pixels.

    Features are what is given to the head, in float32, where `score` runs the network that it ends
    on images, uint8 on the CPU, `batch` at a time; `network` tells it, and where it runs, from
    others. Raises DataError where the cache folder has no room.
    """

    def look(pixels: Pixels) -> NDArray[np.float32]:
        given: list[Tensor] = []
        with head.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0])):
            score(torch.from_numpy(np.array(pixels)))
        return given[0].float().cpu().numpy()

    every, seen = np.arange(len(dataset.test.labels)), look(dataset.train.images[:2])
    parts = {"train": (dataset.train.images, rows), "test": (dataset.test.images, every)}
    said = f"{_FORM}, {torch.__version__}, {dataset.key}, {network}".encode()
    key = hashlib.sha256(said + rows.tobytes() + seen.tobytes()).hexdigest()[:32]
    folder = cache.cache_folder() / "features"

    def write(entry: Path) -> None:
        with suppress(FileNotFoundError):  # another process makes room too
            _make_room(folder, seen[:1].nbytes * (len(rows) + len(every)))
        for name, (images, chosen) in parts.items():
            # Always in the same batches: others give other last digits.
            with (entry / f"{name}.npy").open("wb") as file:
                write_head(file, "<f4", (len(chosen), *seen.shape[1:]))
                for start in range(0, len(chosen), batch):
                    file.write(look(images[chosen[start : start + batch]]).tobytes())
        sums = {file.name: cache.checksum(file) for file in entry.glob("*.npy")}
        (entry / _SUMS).write_bytes(cache.sealed_json(sums))

    def read(entry: Path) -> tuple[Images, Images] | None:
        try:
            if not cache.is_as_written(entry, cache.opened_json((entry / _SUMS).read_bytes())):
                return None
            os.utime(entry)
            train, test = (mapped(entry / f"{name}.npy") for name in parts)
        except (OSError, ValueError):
            return None
        return Images(train, dataset.train.labels[rows]), Images(test, dataset.test.labels)

    return cache.kept(folder / key, read, write)


def _make_room(folder: Path, needed: int) -> None:
    """Remove what was used longest ago where features would take more than half of the room."""
    entries = sorted(folder.glob("[!.]*"), key=lambda entry: entry.stat().st_mtime)
    sizes = [sum(file.stat().st_size for file in entry.iterdir()) for entry in entries]
    room = (sum(sizes) + free_disk(folder)) // 2
    while entries and sum(sizes) + needed > room:
        shutil.rmtree(entries.pop(0), ignore_errors=True)
        sizes.pop(0)
