"""What one trial does: data, models, weights, training; and what a learner of one's own needs."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainables.data.dataset import open_dataset
    from trainables.data.splits import carve, draw
    from trainables.errors import CheckpointError
    from trainables.models.exported import load_model
    from trainables.training.learner import Learner

_HOMES = {
    "CheckpointError": "errors",
    "Learner": "training.learner",
    "carve": "data.splits",
    "draw": "data.splits",
    "load_model": "models.exported",
    "open_dataset": "data.dataset",
}

__all__ = ["CheckpointError", "Learner", "carve", "draw", "load_model", "open_dataset"]


def __getattr__(name: str) -> Any:
    # Resolved when asked for: a plan and a simulation load neither images nor torch.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"trainables.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'trainables' has no attribute {name!r}")
