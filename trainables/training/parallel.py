"""Data parallelism: several processes train one trial together, each on a device of its own.

Each draws the same batches and computes its part; gradients are averaged before every update (Li et
al., PyTorch Distributed, VLDB 2020). So an update is that of one process up to rounding, batch norm
included; but dropout draws other masks.
"""

from collections.abc import Sequence
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.distributed.distributed_c10d import Store
from torch.nn.parallel import DistributedDataParallel

from trainables.data.batches import Batch
from trainables.errors import ModelError
from trainables.training.norms import share_norms

PATIENCE = timedelta(minutes=10)
"""Time that a process waits for the others before it fails: longer than they ever differ."""
_CPU = torch.device("cpu")


def meet(port: int | None = None) -> TCPStore:
    """Return the place where a trial's processes find each other: a new one, or that at a port."""
    # All processes of a trial are on one machine.
    return TCPStore(
        "127.0.0.1", port or 0, is_master=port is None, wait_for_workers=False, timeout=PATIENCE
    )


class Group:
    """The processes that train a trial together; by default this one alone.

    Several are joined through torch.distributed: NCCL between GPUs, gloo between CPUs. They find
    each other in a store; this one has a rank from 0 and a device that it computes on.
    """

    def __init__(
        self, store: Store | None = None, rank: int = 0, size: int = 1, device: torch.device = _CPU
    ) -> None:
        self.rank, self.size, self._device = rank, size, device
        self.weight = 1.0
        """Of the loss of the part that is fed; 0 where it is computed for the others' sake."""
        if size > 1:
            on_cuda = device.type == "cuda"
            backend = "nccl" if on_cuda else "gloo"
            gpu = torch.device("cuda", torch.cuda.current_device()) if on_cuda else None
            dist.init_process_group(
                backend, timeout=PATIENCE, world_size=size, rank=rank, store=store, device_id=gpu
            )

    def prepare(self, model: nn.Module) -> nn.Module:
        """Return the model with batch norm over the whole batch; the state keeps its names.

        Raises ModelError where it has layers that do more than batch norm.
        """
        if self.size > 1 and (kind := share_norms(model, lambda: self.weight > 0)):
            said = f"{kind} does more than batch norm, which cannot be divided among several GPUs"
            raise ModelError(f"{said}; set resources.gpu to at most 1")
        return model

    def parallel(self, model: nn.Module) -> nn.Module:
        """Return what computes the scores in training: gradients are averaged over processes."""
        if self.size == 1:
            return model
        # A user's own model may have parameters that its scores do not depend on.
        return DistributedDataParallel(
            model, broadcast_buffers=False, gradient_as_bucket_view=True, static_graph=True
        )

    def part(self, batch: Batch) -> Batch:
        """Return this process's part of a batch, with its weight in the mean over processes.

        The weight is 0 for a process without a part: it computes one example for the others' sake.
        """
        if self.size == 1:
            return batch
        n = len(batch.examples)
        span = self.span(n)
        weight = (span.stop - span.start) * self.size / n
        if not weight:
            span = slice(0, 1)
        crops = None if batch.crops is None else batch.crops[span]
        return Batch(batch.examples[span], crops, weight)

    def span(self, n: int) -> slice:
        """Return the span of `n` examples that is this process's: spans differ by one at most."""
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over the processes, the same in each."""
        if self.size == 1:
            return values
        total = values.clone()
        dist.all_reduce(total)
        return total

    def gather(self, parts: Sequence[Tensor], n: int, width: int) -> Tensor:
        """Return float32 of shape (n, width): what all processes found; `parts` is this one's."""
        if self.size == 1:
            return torch.cat(list(parts))
        whole = torch.zeros(n, width, device=self._device)
        if parts:
            whole[self.span(n)] = torch.cat(list(parts))
        return self.sum(whole)

    def agree(self, model: nn.Module) -> None:
        """Take over the buffers of process 0, which are the ones that are saved."""
        for buffer in model.buffers() if self.size > 1 else ():
            dist.broadcast(buffer, src=0)
