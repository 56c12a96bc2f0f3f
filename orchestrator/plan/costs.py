"""What a trial computes: images and floating-point operations, from its declaration alone."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.study.inputs import Inputs
from trainables.trial import Trial


@dataclass(frozen=True)
class Work:
    """One evaluation interval of a trial.

    Parameters
    ----------
    trained, evaluated
        Images.
    flops
        Of one image's forward pass; None where nobody knows, as of a trainable of one's own.
    updates, layers
        Of the optimizer, and of the model: each layer costs something in each update, however few
        its operations; 0 where nobody knows.
    """

    trained: int
    evaluated: int
    flops: float | None
    updates: int = 0
    layers: int = 0

    @property
    def operations(self) -> float:
        """Floating-point operations; a backward pass counts as two forward ones.

        Where those of an image are not known, one stands for them.
        """
        return (3.0 * self.trained + self.evaluated) * (self.flops or 1.0)


def work_of(inputs: Inputs) -> Callable[[Trial], Work]:
    """Return a function trial → what an interval of it computes."""

    def model(trial: Trial) -> tuple[float | None, int]:
        """Return FLOPs of an image, and layers."""
        if trial.trainable == "simulated":
            from trainables.training.simulated import parameters

            return 2.0 * parameters(trial.model), 0
        if trial.trainable != "classifier":
            return None, 0
        from trainables.models.facts import flops_per_image, n_layers

        side = trial.recipe.image_size or inputs.image_size or 224
        form = (trial.model, trial.n_classes, trial.recipe.stem)
        return float(flops_per_image(*form, (side, side))), n_layers(*form)

    def work(trial: Trial) -> Work:
        recipe = trial.recipe
        per_interval = recipe.steps_per_interval
        trained = per_interval * recipe.batch_size if per_interval else trial.n_train
        flops, layers = model(trial)
        updates = per_interval or math.ceil(trained / recipe.batch_size)
        return Work(trained, inputs.n_evaluated, flops, updates, layers)

    return work
