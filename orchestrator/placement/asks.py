"""What is to be measured of a GPU before trials share it, and what was found."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.placement.shares import copies
from orchestrator.study.inputs import Inputs
from orchestrator.study.study import Study
from results.phrases import byte_size
from trainables.measure.footprint import Footprint, Hardware, Load, recorded, resident_bytes
from trainables.trial import Trial

_MOST = 10_000
"""Trials on a GPU: as good as no limit."""


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


def shares_foreseen(
    study: Study, inputs: Inputs, trials: Iterable[Trial], on_gpu: bool
) -> list[str]:
    """Return what a plan can say of shares without a GPU: a sentence per figure and on the rest.

    Parameters
    ----------
    study, inputs, trials
        What is asked for with `gpu: auto`, what was found, and the trials that are left.
    on_gpu
        Whether this machine has a GPU to train on.
    """
    unknown, sentences = 0, []
    for load, ask in asks_of(study, inputs, trials).items():
        known = recorded(load)
        unknown += not known
        for hardware, footprint in known:
            where = f"{load} on {hardware.gpu} ({byte_size(hardware.total_bytes)})"
            most = study.resources.max_trials_per_gpu or _MOST
            k = copies(hardware.total_bytes, footprint, ask.image_bytes, most)
            if k and footprint.peak_bytes is not None:
                taken = footprint.context_bytes + footprint.peak_bytes + ask.image_bytes
                sentences.append(f"{where}: {byte_size(taken)} a trial, so at most {k} at once")
            else:
                sentences.append(f"{where}: not even one fits")
    if unknown and (os.environ.get("RAY_ADDRESS") or on_gpu):
        sentences.append(
            f"gpu: auto: where Ray has GPUs, {unknown} kind{'s' * (unknown > 1)} of trial (model, "
            "batch size, image size, precision) will be measured first, about half a minute each"
        )
    return sentences
