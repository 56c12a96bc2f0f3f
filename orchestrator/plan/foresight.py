"""What a plan can say of GPUs without one: what was measured before, and what is not the same."""

import os
from collections.abc import Iterable, Sequence

from orchestrator.placement.asks import asks_of
from orchestrator.placement.shares import copies
from orchestrator.plan.durations import uses_gpu
from orchestrator.study.inputs import Inputs
from orchestrator.study.study import Study
from results.findings.finding import Finding, Severity
from results.phrases import byte_size
from trainables.measure.footprint import recorded
from trainables.trial import Trial

_MOST = 10_000
"""Trials on a GPU: as good as no limit."""


def shares_foreseen(study: Study, inputs: Inputs, trials: Iterable[Trial]) -> list[str]:
    """Return a sentence on what will be measured, and one per figure that is remembered."""
    if study.resources.gpu != "auto":
        return []
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
    if unknown and (os.environ.get("RAY_ADDRESS") or uses_gpu(study, {})):
        sentences.append(
            f"gpu: auto: where Ray has GPUs, {unknown} kind{'s' * (unknown > 1)} of trial (model, "
            "batch size, image size, precision) will be measured first, about half a minute each"
        )
    return sentences


def parallel_caveats(study: Study, inputs: Inputs) -> list[Finding]:
    """Return what is not the same on several GPUs as on one, for the models of a study."""
    gpu = study.resources.gpu
    if study.trainable != "classifier" or gpu == "auto" or gpu <= 1:
        return []
    from trainables.models.networks import skeleton
    from trainables.training.parallel import has_batch_norm, has_dropout

    models = {name: skeleton(name, inputs.n_classes) for name in study.factors["model"]}
    normed = [name for name, model in models.items() if has_batch_norm(model)]
    masked = [name for name, model in models.items() if has_dropout(model)]
    caveats = []
    if normed:
        caveats.append(
            f"resources.gpu: {gpu}: {_some(normed)} with batch norm, which is synchronised by "
            "torch's SyncBatchNorm on CUDA; no test of this program has run that"
        )
    if masked:
        caveats.append(
            f"resources.gpu: {gpu}: {_some(masked)} with dropout, whose masks are others on "
            "another number of GPUs, as with another seed"
        )
    return [Finding("several-gpus", Severity.WARNING, "", text, "") for text in caveats]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 1} more models" if len(names) > 1 else ""
    return f"{names[0]}{more}"
