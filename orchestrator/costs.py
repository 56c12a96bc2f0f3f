"""How long trials take beside each other, for the order in which they start."""

from collections.abc import Callable

from trainables.trial import Trial


def relative_cost(native_size: int | None) -> Callable[[Trial], float]:
    """Return a function trial → training work, as images times the model's FLOPs per image.

    Parameters
    ----------
    native_size
        Side of the images as they are, in pixels.
    """

    def flops(trial: Trial) -> float:
        if trial.trainable == "simulated":
            from trainables.simulated import parameters

            return float(parameters(trial.model))
        if trial.trainable != "classifier":
            return 1.0
        from trainables.models import flops_per_image

        side = trial.recipe.image_size or native_size or 224
        return float(flops_per_image(trial.model, trial.n_classes, trial.recipe.stem, (side, side)))

    def cost(trial: Trial) -> float:
        recipe = trial.recipe
        per_interval = recipe.steps_per_interval
        images = per_interval * recipe.batch_size if per_interval else trial.n_train
        return images * recipe.intervals * flops(trial)

    return cost
