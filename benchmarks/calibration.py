"""Intervals around forecasts: powers of what is known of a curve, and quantiles of misses."""

from collections.abc import Sequence

import numpy as np
import torch
from filter_bank import Array, tensor


def scale_powers(groups: Sequence[tuple[Sequence[Array], float]], steps: int = 250) -> Array:
    """Return the powers of which the scale is a product, such that intervals are short.

    Minimises mean log scale plus the log of the conformal quantile that it leads to, with a little
    least squares on log miss, so that quiet and noisy curves are held alike.
    """
    every = np.concatenate([parts[0] for parts, _ in groups])
    middle, deviation = every.mean(0), every.std(0)
    data = [
        (tensor((x - middle) / deviation), torch.log(tensor(np.abs(r)) + 0.03), tensor(w), cover)
        for (x, r, w), cover in groups
    ]
    power = torch.zeros(every.shape[1], requires_grad=True)
    optimizer = torch.optim.Adam([power], lr=0.04)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = 0.002 * (power**2).sum()
        for x, log_miss, weight, cover in data:
            scale = x @ power
            left = log_miss - scale
            mean = (weight * left).sum() / weight.sum()
            ends = (cover, cover - 0.03, min(cover + 0.02, 0.99))
            tail = torch.stack([_quantile(left, weight, end) for end in ends]).mean()
            rough = (weight * (left - mean) ** 2).sum() / weight.sum()
            loss = loss + ((weight * scale).sum() / weight.sum() + tail + 0.1 * rough) / len(data)
        loss.backward()
        optimizer.step()
    return np.asarray(power.detach().numpy() / deviation)


def _quantile(values: torch.Tensor, weight: torch.Tensor, share: float) -> torch.Tensor:
    order = torch.argsort(values)
    below = torch.cumsum(weight[order], 0) / weight.sum()
    place = int(torch.searchsorted(below, torch.tensor(share)))
    near = max(3, len(values) // 400)
    return values[order[max(place - near, 0) : place + near]].mean()


def shortest(
    logs: Array, miss: Array, weight: Array, power: Array, cover: float
) -> tuple[float, float]:
    """Return quantiles down and up of miss over scale, a fifth of the misses at least each side."""
    ratio = miss / np.exp(logs @ power)
    order = np.argsort(ratio)
    below = np.cumsum(weight[order]) / weight.sum()

    def at(share: float) -> float:
        return float(ratio[order][np.searchsorted(below, share)])

    tails = np.linspace(0.2, 0.8, 13) * (1 - cover)
    tail = min(tails, key=lambda t: at(t + cover) - at(t))
    return -at(tail), at(tail + cover)
