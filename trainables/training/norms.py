"""Batch norm over a batch whose parts several processes hold.

It is that of one process (Ioffe and Szegedy 2015), up to rounding, on any device: torch's
`SyncBatchNorm` needs CUDA, and waits for the device in every layer.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def share_norms(model: nn.Module, is_counted: Callable[[], bool]) -> str | None:
    """Put layers over the whole batch in the place of a model's batch norm, under its names.

    They ask whether the examples at hand are part of the batch, not computed for the others' sake.
    Returns the class of a layer that does more than batch norm, which nothing can replace.
    """
    for parent in model.modules():
        for name, layer in parent.named_children():
            if type(layer) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
                setattr(parent, name, SharedBatchNorm(layer, is_counted))  # type: ignore[arg-type]
            elif isinstance(layer, _BatchNorm):
                return type(layer).__name__
    return None


class SharedBatchNorm(_BatchNorm):
    """A layer's parameters and buffers, with statistics over all processes in training."""

    def __init__(self, layer: _BatchNorm, is_counted: Callable[[], bool]) -> None:
        super().__init__(0, layer.eps, layer.momentum, affine=False, track_running_stats=False)
        self.num_features, self.affine = layer.num_features, layer.affine
        self.track_running_stats, self.training = layer.track_running_stats, layer.training
        self._parameters, self._buffers = layer._parameters, layer._buffers
        self._is_counted = is_counted

    def forward(self, images: Tensor) -> Tensor:
        """Return normalised maps of shape (batch, channels, …); the batch is this process's."""
        if not self.training:
            return super().forward(images)
        counted = float(self._is_counted())
        found: tuple[Tensor, ...] = _Normed.apply(images, self.weight, self.bias, counted, self.eps)
        outputs, mean, squares, count = found
        seen = self.num_batches_tracked
        if self.running_mean is not None and self.running_var is not None and seen is not None:
            seen.add_(1)
            share = 1 / seen if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(squares / (count - 1).clamp(min=1), share)
        return outputs

    def _check_input_dim(self, images: Tensor) -> None:
        pass


class _Normed(torch.autograd.Function):
    """Normalised maps; mean, summed squares and count of the whole batch, each by channel."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, weight: Any, bias: Any, counted: float, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Take maps (batch, channels, …), what they are scaled by, and whether they count."""
        dims = [0, *range(2, images.dim())]
        var, mean = torch.var_mean(images.float(), dims, correction=0)
        n = counted * images.numel() / images.shape[1]
        own = torch.cat([mean, n * var, mean.new_full((1,), n)])
        everyone = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(everyone, own)
        sizes = [len(mean), len(mean), 1]
        means, squares, counts = torch.split(torch.stack(everyone), sizes, dim=1)
        count = counts.sum()
        mean = (counts * means).sum(0) / count
        squares = (squares + counts * (means - mean) ** 2).sum(0)
        scale = (squares / count + eps).rsqrt()
        ctx.save_for_backward(images, weight, mean, scale, count)
        ctx.counted = counted
        outputs = (images - _spread(mean, images)) * _spread(scale, images)
        if weight is not None:
            outputs = outputs * _spread(weight, images) + _spread(bias, images)
        ctx.mark_non_differentiable(mean, squares, count)
        return outputs.to(images.dtype), mean, squares, count

    @staticmethod
    def backward(ctx: Any, slopes: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        """Return the gradients of maps, and of weight and bias by this part of the batch."""
        images, weight, mean, scale, count = ctx.saved_tensors
        dims = [0, *range(2, images.dim())]
        normed = (images - _spread(mean, images)) * _spread(scale, images)
        by_bias, by_weight = slopes.float().sum(dims), (slopes * normed).float().sum(dims)
        sums = torch.cat([by_bias, by_weight])
        dist.all_reduce(sums)
        level, tilt = (ctx.counted * sums / count).chunk(2)
        change = slopes - _spread(level, images) - normed * _spread(tilt, images)
        factor = scale if weight is None else scale * weight
        found = (change * _spread(factor, images)).to(images.dtype)
        return found, *((None, None) if weight is None else (by_weight, by_bias)), None, None


def _spread(values: Tensor, images: Tensor) -> Tensor:
    """Return one value per channel in the shape that goes with maps."""
    return values.view(1, -1, *[1] * (images.dim() - 2))
