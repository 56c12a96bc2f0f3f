"""Convolutions cut to the taps of their kernels that ever meet a pixel: equal up to rounding.

On images of 32×32 a ResNet ends in maps of one pixel, where eight of the nine taps of a padded 3×3
kernel meet nothing but padding: computed, and carried by the optimizer, without any bearing.
"""

from collections.abc import Mapping
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.recipe import Sides


class LiveTaps:
    """Cuts a model's convolutions in place, and translates its state to whole kernels and back.

    The model is fresh, its weights loaded. Weight decay no longer reaches the taps that are cut
    away: they stay as they were built. Inputs are `Anatomy.convolutions`; those that are not
    named there stay whole.
    """

    def __init__(self, model: nn.Module, inputs: Mapping[str, Sides]) -> None:
        self._kernels: dict[str, tuple[Tensor, slice, slice]] = {}
        """Of each kernel that was cut: the whole of it as built, and its live rows and columns."""
        for name, sides in inputs.items():
            layer = model.get_submodule(name)
            # torch's own, padded with zeros, alike at both ends.
            if type(layer) is not nn.Conv2d or layer.padding_mode != "zeros":
                continue
            if isinstance(layer.padding, str):
                continue
            self._cut(f"{name}.weight", layer, sides)
            seen = [{*map(len, _taps(layer, *at))} for at in enumerate(sides)]
            # Each output sees every pixel.
            if layer.groups == 1 and seen == [{side} for side in sides]:
                parent, _, own = name.rpartition(".")
                setattr(model.get_submodule(parent), own, Dense(layer, sides))

    def whole(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return a model's state with whole kernels, as any copy of the model can load it."""
        whole = dict(state)
        for name, (built, rows, columns) in self._kernels.items():
            whole[name] = built.clone()
            whole[name][:, :, rows, columns] = state[name].to(built.device)
        return whole

    def cut(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return a state of whole kernels with those cut that this model has cut."""
        cut = dict(state)
        for name, (_, rows, columns) in self._kernels.items():
            cut[name] = state[name][:, :, rows, columns]
        return cut

    def _cut(self, name: str, layer: nn.Conv2d, sides: Sides) -> None:
        (rows, above), (columns, beside) = (_live(layer, *at) for at in enumerate(sides))
        whole = layer.weight.detach()
        live = whole[:, :, rows, columns]
        if live.shape == whole.shape:
            return
        self._kernels[name] = whole, rows, columns
        layer.weight = nn.Parameter(live.clone(memory_format=torch.contiguous_format))
        layer.kernel_size = (live.shape[2], live.shape[3])
        layer.padding = (above, beside)


class Dense(nn.Module):
    """A convolution all of whose outputs see all pixels, as the matrix product that it is.

    On maps of 2×2, a padded 3×3 convolution makes 9 products where 4 meet a pixel. The layer's
    weights are taken over, under their names; sides are height and width of its input.
    """

    _seen: Tensor
    """Taps that each output sees, numbered row by row, in the order of the pixels."""

    def __init__(self, layer: nn.Conv2d, sides: Sides) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        rows, columns = (_taps(layer, axis, side) for axis, side in enumerate(sides))
        self._sides = (len(rows), len(columns))
        width = layer.kernel_size[1]
        seen = product(rows, columns)
        taps = [[row * width + column for row, column in product(*each)] for each in seen]
        self._in_order = taps == [list(range(width * layer.kernel_size[0]))]
        self.register_buffer("_seen", torch.tensor(taps), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the convolution of images of shape (batch, channels, height, width)."""
        pixels = images.permute(0, 2, 3, 1).flatten(1)
        if self._in_order:
            matrix = self.weight.permute(0, 2, 3, 1).flatten(1)
        else:
            matrix = _Matrix.apply(self.weight, self._seen)
        biases = None if self.bias is None else self.bias.repeat(len(self._seen))
        outputs = F.linear(pixels, matrix, biases)
        return outputs.view(len(images), *self._sides, -1).permute(0, 3, 1, 2)


class _Matrix(torch.autograd.Function):
    """The weights of a `Dense` as a matrix, (outputs × channels out, pixels × channels in).

    They are rounded as the product rounds them before they are written down once for each output,
    and gradients are added up in the weights' own precision.
    """

    @staticmethod
    def forward(context: Any, weight: Tensor, seen: Tensor) -> Tensor:
        """Take weights, (channels out, channels in, height, width), and the taps outputs see."""
        kind, channels = weight.device.type, weight.shape[1]
        rounds = torch.is_autocast_enabled(kind)
        rounded = weight.to(torch.get_autocast_dtype(kind) if rounds else weight.dtype)
        kernels = rounded.permute(0, 2, 3, 1).flatten(1, 2)
        matrix = kernels.new_empty(len(seen), len(kernels), seen.shape[1], channels)
        for taps, rows in zip(seen, matrix, strict=True):
            torch.index_select(kernels, 1, taps, out=rows)
        context.save_for_backward(seen)
        context.like = weight.shape, weight.dtype
        return matrix.flatten(2).flatten(0, 1)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return the weights' gradient."""
        (seen,), ((out, channels, height, width), dtype) = context.saved_tensors, context.like
        parts = gradients[0].reshape(len(seen), out, seen.shape[1], channels)
        total = parts.new_zeros(out, height * width, channels, dtype=dtype)
        for taps, part in zip(seen, parts, strict=True):
            total.index_add_(1, taps, part.to(dtype))
        return total.view(out, height, width, channels).permute(0, 3, 1, 2), None


def _live(layer: nn.Conv2d, axis: int, side: int) -> tuple[slice, int]:
    """Return the taps that meet a pixel along a side, and their padding; all where none fits."""
    size, padding, dilation = layer.kernel_size[axis], layer.padding[axis], layer.dilation[axis]
    seen = _taps(layer, axis, side)
    live = sorted({tap for taps in seen for tap in taps})
    if live:
        first, last = live[0], live[-1]
        fitting = int(padding) - first * dilation
        reach = side + 2 * fitting - dilation * (last - first) - 1
        # One number pads both ends: the outputs must begin and end where they did.
        if fitting >= 0 and reach // layer.stride[axis] + 1 == len(seen):
            return slice(first, last + 1), fitting
    return slice(0, size), int(padding)


def _taps(layer: nn.Conv2d, axis: int, side: int) -> list[list[int]]:
    """Return for each output along a side the taps that meet a pixel, in the pixels' order."""
    size, padding = layer.kernel_size[axis], int(layer.padding[axis])
    stride, dilation = layer.stride[axis], layer.dilation[axis]
    count = (side + 2 * padding - dilation * (size - 1) - 1) // stride + 1
    starts = [place * stride - padding for place in range(count)]
    return [[tap for tap in range(size) if 0 <= start + tap * dilation < side] for start in starts]
