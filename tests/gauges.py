"""Counts the memory of tensors on the CPU, where a probe would read CUDA's counters.

The only part of a probe that is not real in tests. Workers of Ray import it from here.
"""

from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from trainables.measure.footprint import Hardware
from trainables.measure.probe import Probe

CONTEXT = 2**20


class _Counting(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self._live: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves((args, kwargs, result)):
            if isinstance(leaf, torch.Tensor) and leaf.device.type == "cpu":
                storage = leaf.untyped_storage()
                self._live[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self._live = {key: kept for key, kept in self._live.items() if not kept[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self._live.values()))
        return result


class CountingProbe(Probe):
    """Of a GPU of one GiB that is no GPU: what is computed, and what it takes, is real."""

    device = "cpu"

    def hardware(self) -> Hardware:
        return Hardware("counted", 2**30, torch.__version__, "", "none")

    def measure(self) -> tuple[int, int]:
        with _Counting() as self._count:
            return super().measure()

    def peak_bytes(self) -> int:
        return self._count.peak

    def taken_besides(self) -> int:
        return CONTEXT
