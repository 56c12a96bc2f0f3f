"""Paces of trials: recorded, or measured beforehand by a few updates of each kind and kept."""

import multiprocessing
import sys
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import astuple
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import fmean
from typing import Any

from pydantic import TypeAdapter

from orchestrator.errors import RunError, StudyError
from orchestrator.ledger.ledger import Ledger
from orchestrator.placement.environment import describe
from orchestrator.placement.placer import declared_share
from orchestrator.placement.shares import own_machine, slots
from orchestrator.plan.durations import Durations, Kind, kind_of, recorded_paces, uses_gpu, work_of
from results.store.files import write_whole
from trainables.data.cache import cache_folder
from trainables.errors import TrainableError
from trainables.machine import usable_cpus
from trainables.measure.footprint import Pace, measure_pace

_SAME = ("host", "cpu_model", "torch", "torchvision", "scalestudy", "cpus")
"""What a remembered pace holds for, besides the data: environment columns."""
_REMEMBERED = TypeAdapter(tuple[dict[str, Any], list[tuple[Kind, Pace]]])


def durations_here(ledger: Ledger) -> Durations:
    """Return what is expected of trials, from records and from what was probed on this machine."""
    study, inputs = ledger.study, ledger.inputs
    recorded = recorded_paces(ledger.history.store, inputs.n_evaluated)
    probed = {} if study.trainable == "simulated" else remembered(inputs.fingerprint)
    on_gpu = uses_gpu(study, recorded)
    trials = [wanted.trial for wanted in ledger.stages.wanted.values()]
    kind = partial(kind_of, cpus=study.resources.cpu, on_gpu=on_gpu)
    return Durations(work_of(inputs, study), kind, recorded, probed, trials, on_gpu)


def probe_study(ledger: Ledger, max_parallel: int | None) -> None:
    """Measure every kind of trial on this machine, and remember that for later plans and runs."""
    study, show = ledger.study, partial(print, file=sys.stderr)
    if study.trainable != "classifier":
        show("--probe: only classifiers are tried; a trainable of your own tells once it has run")
        return
    on_gpu = uses_gpu(study)
    try:
        places = slots([own_machine(on_gpu)], declared_share(study, on_gpu), max_parallel)
    except RunError as error:
        raise StudyError(f"--probe: {error}") from None
    show(f"probing each kind of trial, {places} at a time, a few updates each")
    trials = (wanted.trial for wanted in ledger.stages.wanted.values())
    # The largest of each kind, so that it makes full batches.
    examples = {
        kind_of(trial, study.resources.cpu, on_gpu): trial
        for trial in sorted(trials, key=lambda trial: trial.n_train)
    }
    fingerprint, evaluated = ledger.inputs.fingerprint, ledger.inputs.n_evaluated
    # As many at once as the study will train: they slow each other down, and the probe does so
    # alike. Places left over train something too.
    count = -(-len(examples) // places) * places
    found: dict[Kind, list[Pace]] = defaultdict(list)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(places, mp_context=context, max_tasks_per_child=1) as pool:
        asked = {
            pool.submit(
                measure_pace, trial, evaluated, int(of.cpus), None if of.on_gpu else "cpu"
            ): of
            for of, trial in islice(cycle(examples.items()), count)
        }
        for number, done in enumerate(as_completed(asked), 1):
            try:
                found[asked[done]].append(done.result())
            except TrainableError as error:
                raise StudyError(f"--probe: {asked[done].model}: {error}") from None
            except BrokenProcessPool:
                raise StudyError(
                    f"--probe: the process that tried {asked[done].model} was killed, most likely "
                    "for its memory; try fewer at once (--max-parallel 1), or leave --probe out."
                ) from None
            show(f"probing: {number} of {count}")
    paces = remembered(fingerprint)
    for of, own in found.items():
        paces[of] = Pace(*map(fmean, zip(*map(astuple, own), strict=True)))
    write_whole(_file(fingerprint), _REMEMBERED.dump_json((_here(), [*paces.items()])))


def remembered(fingerprint: str) -> dict[Kind, Pace]:
    """Return what was measured of this data on this machine with these versions."""
    try:
        here, paces = _REMEMBERED.validate_json(_file(fingerprint).read_bytes())
    except (OSError, ValueError):
        return {}
    return dict(paces) if here == _here() else {}


def _file(fingerprint: str) -> Path:
    return cache_folder() / "paces" / f"{fingerprint[:32]}.json"


def _here() -> dict[str, Any]:
    facts = describe(float(usable_cpus()), 0.0)
    return {name: facts[name] for name in _SAME}
