"""What `results.statistics.forecast` makes of a curve, for many at once: so it can be fitted."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[np.float64]
Bank = dict[str, torch.Tensor]

RUNS = 3


def variances(runs: Array) -> Array:
    """Return the variance of means as `Curve` does, for runs of shape (cases, sizes, runs)."""
    each = runs.var(axis=2, ddof=1)
    pooled = each.mean(axis=1, keepdims=True)
    weighed = (RUNS - 1) * each + 4 * pooled + 2 * 0.02
    return np.asarray(weighed / (RUNS + 3) / RUNS)


def filtered(
    mean: torch.Tensor, variance: torch.Tensor, bank: Bank, doublings: float, steps: Sequence[float]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return value and spread as `results.statistics.forecast.filtered`, of many curves at once."""
    c, first, wander, jump = (bank[n].exp()[None] for n in ("c", "variance", "wander", "jump"))
    keep, centre = torch.sigmoid(bank["keep"])[None], bank["centre"][None]
    errors = mean[:, :, None] + c[:, None, :]
    y, noise = errors.log(), variance[:, :, None] / errors**2
    level, slope = y[:, 0], bank["start"][None].expand(len(mean), -1)
    a, b, d = noise[:, 0] + jump, torch.zeros_like(noise[:, 0]), first.expand(len(mean), -1)
    score = torch.zeros_like(a)
    for j, step in enumerate(steps, 1):
        kept = keep**step
        damped = (1 - kept) / -keep.log()
        level = level - (centre * step + (slope - centre) * damped)
        slope = centre + kept * (slope - centre)
        a = a - 2 * damped * b + damped**2 * d + jump * step
        b, d = kept * (b - damped * d), kept**2 * d + wander * step
        total, miss = a + noise[:, j], y[:, j] - level
        score = score - 0.5 * total.log() - 2.5 * torch.log1p(miss**2 / total / 4) - y[:, j]
        gain, other = a / total, b / total
        level, slope = level + gain * miss, slope + other * miss
        a, b, d = a - gain * a, b - gain * b, d - other * b
    damped = (1 - keep**doublings) / -keep.log()
    ahead = level - (centre * doublings + (slope - centre) * damped)
    value = (ahead.exp() - c).clamp(-1, 130)
    spread = a - 2 * damped * b + damped**2 * d + (jump + wander) * doublings
    share = torch.softmax(bank["sharpness"].exp() * score + bank["weight"][None], 1)
    together = (share * value).sum(1)
    squares = (share * ((value - together[:, None]) ** 2 + spread * (value + c) ** 2)).sum(1)
    return together.clamp(0, 100), (squares + 1e-4).sqrt()


def local_law(mean: Array, shares: Array, doublings: float) -> Array:
    """Return the local law as `Curve` has it, of many curves at once."""
    inside = shares >= shares[-1] - np.log2(2.1)
    inside[-2:] = True
    x = shares[inside] - shares[inside].mean()
    slope = np.minimum(np.log(np.maximum(mean[:, inside], 0.05)) @ x / (x @ x), 0)
    return np.asarray(mean[:, -1] * np.exp(slope * (1 - 0.9**doublings) / -np.log(0.9)))


def tensor(values: Array) -> torch.Tensor:
    """Return an array as a tensor in single precision."""
    return torch.tensor(values, dtype=torch.float32)
