"""What a trial computes: images and floating-point operations, from its declaration alone."""

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.inputs import Inputs
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
    """

    trained: int
    evaluated: int
    flops: float | None

    @property
    def operations(self) -> float:
        """Floating-point operations; a backward pass counts as two forward ones.

        Where those of an image are not known, one stands for them.
        """
        return (3.0 * self.trained + self.evaluated) * (self.flops or 1.0)


def work_of(inputs: Inputs) -> Callable[[Trial], Work]:
    """Return a function trial → what an interval of it computes."""

    def flops(trial: Trial) -> float | None:
        if trial.trainable == "simulated":
            from trainables.simulated import parameters

            return 2.0 * parameters(trial.model)
        if trial.trainable != "classifier":
            return None
        from trainables.model_facts import flops_per_image

        side = trial.recipe.image_size or inputs.image_size or 224
        return float(flops_per_image(trial.model, trial.n_classes, trial.recipe.stem, (side, side)))

    def work(trial: Trial) -> Work:
        recipe = trial.recipe
        per_interval = recipe.steps_per_interval
        trained = per_interval * recipe.batch_size if per_interval else trial.n_train
        return Work(trained, inputs.n_evaluated, flops(trial))

    return work
