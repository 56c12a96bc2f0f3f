"""What a model's scores are worth: the loss that updates lower, and what is said of examples."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.errors import Diverged


def mean_loss(scores: Tensor, targets: Tensor, smoothing: float, weights: Tensor | None) -> Tensor:
    """Return the mean cross-entropy of a batch; examples count by the weights of their classes."""
    if weights is None:
        return F.cross_entropy(scores, targets, label_smoothing=smoothing)
    # Not torch's own mean, whose divisor changes with a batch: parts of one must add up.
    each = F.cross_entropy(scores, targets, weights, reduction="none", label_smoothing=smoothing)
    return each.mean()


def judge(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum of the losses of a batch and, (batch, 4), what is said of each example.

    That is the class, how many are likelier than the true one, and the probabilities of both.
    """
    logs = F.log_softmax(logits, 1)
    classes, truth = logits.argmax(1, keepdim=True), labels[:, None]
    own, order = logits.gather(1, truth), torch.arange(logits.shape[1], device=truth.device)
    # Of equals the first is the likelier one, as for argmax.
    ahead = ((logits > own) | ((logits == own) & (order < truth))).sum(1, keepdim=True)
    chances = logs.gather(1, torch.cat([truth, classes], 1)).exp()
    return F.nll_loss(logs, labels, reduction="sum"), torch.cat([classes, ahead, chances], 1)


def refuse_diverged(kind: str, loss: float, epoch: int, step: int, lr: float) -> None:
    """Raise Diverged, naming epoch and update from 1, where a loss became NaN or infinite."""
    if not math.isfinite(loss):
        became = f"the {kind} loss became {'NaN' if math.isnan(loss) else 'infinite'}"
        mend = f"a lower lr than {lr:g}, or a warm-up, may help"
        raise Diverged(f"{became} at epoch {epoch}, step {step}; {mend}")
