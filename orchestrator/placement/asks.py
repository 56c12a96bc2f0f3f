"""What is to be measured of a GPU before trials share it, and what was found."""

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.study.inputs import Inputs
from orchestrator.study.study import Study
from trainables.measure.footprint import Footprint, Hardware, Load, resident_bytes
from trainables.trial import Trial


@dataclass(frozen=True)
class Ask:
    """One load to measure.

    Parameters
    ----------
    trial
        One of those with the load.
    image_bytes
        Of the trial that keeps the most images.
    """

    trial: Trial
    image_bytes: int


@dataclass(frozen=True)
class Finding:
    """What one load takes of one kind of GPU; None for what was not measured."""

    hardware: Hardware | None
    footprint: Footprint | None
    k: int
    """Trials that the GPU holds, 0 for none; 1 where it was not measured."""


def asks_of(study: Study, inputs: Inputs, trials: Iterable[Trial]) -> dict[Load, Ask]:
    """Return what there is to measure of trials."""
    asks: dict[Load, Ask] = {}
    # What a user's own takes cannot be tried on made-up images.
    for trial in trials if study.trainable == "classifier" else ():
        load = load_of(trial, inputs)
        n_images = trial.n_train + inputs.n_validation + inputs.n_test
        images = resident_bytes(n_images, trial.n_train, load.side)
        if load not in asks or asks[load].image_bytes < images:
            asks[load] = Ask(trial, images)
    return asks


def load_of(trial: Trial, inputs: Inputs) -> Load:
    """Return all that a trial's memory on a GPU depends on, but for the number of its images."""
    from trainables.data.dataset import decode_size

    side = decode_size(trial.data, trial.recipe.image_size) or inputs.image_size or 0
    return Load.of(trial, side, max(inputs.n_validation, inputs.n_test))
