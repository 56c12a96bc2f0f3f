"""What is left of a study will cost: time, resources, disk and money, with what each rests on."""

import math
import multiprocessing
import sys
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import astuple, dataclass
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
from orchestrator.plan.schedule import Forecast, Schedule, Stay
from orchestrator.study.inputs import Inputs
from results.store.files import write_whole
from trainables.data.cache import cache_folder
from trainables.errors import TrainableError
from trainables.machine import usable_cpus
from trainables.measure.footprint import Pace, measure_pace
from trainables.trial import Trial

SIZES = (1, 4, 16, 64)
"""GPUs, or places on CPUs, for which a plan says how long the study takes."""
_EPOCH_BYTES, _TRIAL_BYTES, _PREDICTION_BYTES, _REPORT_BYTES = 130, 500, 1.5, 4e6
"""Bytes on disk, compressed, of a row of each table, and of the report."""
_STATE_BYTES = 12
"""Bytes of a checkpoint for each parameter: its weight, and two moments of the optimizer."""
_SAME = ("host", "cpu_model", "torch", "torchvision", "scalestudy", "cpus")
"""What a remembered pace holds for, besides the data: environment columns."""
_REMEMBERED = TypeAdapter(tuple[dict[str, Any], list[tuple[Kind, Pace]]])


@dataclass(frozen=True)
class Band:
    """A value, and the range in which it is expected."""

    low: float
    value: float
    high: float


@dataclass(frozen=True)
class Cost:
    """What some trials cost."""

    trials: int
    epochs: int
    """Numbers to be trained, what is recorded left out."""
    saved: int
    """Epochs that early stopping is expected to save of the budgets."""
    seconds: Band
    """Seconds that they hold a place, one trial after another."""
    hours: Band
    """GPU-hours, or CPU-hours where none trains on a GPU."""
    basis: dict[str, float]
    """What the times rest on, the weakest first, with the share of the seconds."""


@dataclass(frozen=True)
class Price:
    """What is left of a study will cost."""

    cells: dict[str, Cost]
    """The cost of each cell, by its name."""
    total: Cost
    resource: str
    """What is counted in hours: `gpu` or `cpu`."""
    slots: int
    """Trials at a time that the wall time goes with."""
    wall: Band
    """Seconds from the first start to the last end."""
    sizes: dict[int, float]
    """Wall seconds at best by number of GPUs (or places on CPUs); the real order comes close."""
    disk: dict[str, float]
    """Bytes of the run directory at its largest, by what holds them."""
    money: Band | None = None
    """Price of all GPUs (or CPUs) for the wall time; None without a price per hour."""
    at_most: "Price | None" = None
    """The same if no look at counted seeds settles anything; None where they are listed."""


def price_study(ledger: Ledger, *, probe: bool = False, max_parallel: int | None = None) -> Price:
    """Return what the rest of a study will cost on a machine such as this one.

    With `probe`, a few updates of each kind of trial are timed here beforehand and remembered. The
    study is played with at most `max_parallel` trials at a time. Raises StudyError where a kind of
    trial cannot be probed here.
    """
    if probe and ledger.study.trainable != "simulated":
        _probe_study(ledger, max_parallel)
    durations = durations_here(ledger)
    forecast = Forecast(ledger, durations, declared_share(ledger.study, durations.on_gpu))
    try:
        room = slots([own_machine(bool(forecast.share.gpu))], forecast.share, max_parallel)
    except RunError:
        # Here nothing fits: what one fitting machine would take is said instead.
        room = 1
    # As many places as asked for, wherever they are.
    return price_of(forecast, max(room, max_parallel or 0))


def price_of(forecast: Forecast, at_once: int) -> Price:
    """Return what is left of a study will cost with so many trials at a time."""
    share = forecast.share
    schedule = forecast.on(at_once)
    stays = schedule.stays
    low, high, _ = forecast.band(stays)
    resource = "gpu" if share.gpu else "cpu"
    by_cell: defaultdict[int, list[Stay]] = defaultdict(list)
    for stay in stays:
        by_cell[stay.wanted.cell].append(stay)
    start = forecast.durations.start if stays else 0.0
    wall = start + schedule.makespan
    devices = math.ceil(at_once * getattr(share, resource) - 1e-9)
    prices, dearer = forecast.ledger.study.prices, forecast.at_most()
    per_hour = prices.hour if prices else None
    money = wall / 3600 * devices * per_hour if per_hour is not None else None
    per_gpu = round(1 / share.gpu) if 0 < share.gpu < 1 else 1
    return Price(
        cells={
            str(cell): _cost(forecast, by_cell[number], resource)
            for number, cell in enumerate(forecast.ledger.study.cells())
        },
        total=_cost(forecast, stays, resource),
        resource=resource,
        slots=at_once,
        wall=Band(wall * low, wall, wall * high),
        # Of many trials no tail remains: the order comes within a hundredth of the bound.
        sizes={count: start + schedule.bound(count * per_gpu) for count in SIZES},
        disk=_disk(forecast, schedule, at_once),
        money=None if money is None else Band(money * low, money, money * high),
        at_most=price_of(dearer, at_once) if dearer else None,
    )


def _cost(forecast: Forecast, stays: Sequence[Stay], resource: str) -> Cost:
    low, high, basis = forecast.band(stays)
    seconds = sum(stay.seconds for stay in stays)
    hours = seconds * getattr(forecast.share, resource) / 3600
    return Cost(
        trials=len(stays),
        epochs=forecast.epochs(stays),
        saved=sum(stay.wanted.trial.recipe.intervals - stay.intervals for stay in stays),
        seconds=Band(seconds * low, seconds, seconds * high),
        hours=Band(hours * low, hours, hours * high),
        basis=basis,
    )


def _disk(forecast: Forecast, schedule: Schedule, at_once: int) -> dict[str, float]:
    study, inputs = forecast.ledger.study, forecast.ledger.inputs
    trials = [wanted.trial for wanted in schedule.wanted]
    told = sum(inputs.tests(study, trial) > 0 for trial in trials)
    # The largest may all be under way together.
    largest = sorted((_parameters(trial, inputs) for trial in trials), reverse=True)
    kept = {"none": 0, "best": 1, "last": 1, "all": 2}[study.keep_checkpoints]
    return {
        "rows": sum(_TRIAL_BYTES + _EPOCH_BYTES * trial.recipe.intervals for trial in trials),
        "predictions": _PREDICTION_BYTES * inputs.n_test * told,
        "checkpoints": _STATE_BYTES * float(sum(largest[:at_once]) + kept * sum(largest)),
        "report": _REPORT_BYTES,
    }


def _parameters(trial: Trial, inputs: Inputs) -> int:
    if trial.trainable != "classifier":
        # A simulation saves its position alone; what one's own saves is not known.
        return 0
    from trainables.models.facts import anatomy

    return anatomy(*inputs.form(trial)).n_parameters


def durations_here(ledger: Ledger) -> Durations:
    """Return what is expected of trials, from records and from what was probed on this machine."""
    study, inputs = ledger.study, ledger.inputs
    recorded = recorded_paces(ledger.history.store, inputs.n_evaluated)
    probed = {} if study.trainable == "simulated" else _remembered(inputs.fingerprint)
    on_gpu = uses_gpu(study, recorded)
    trials = [wanted.trial for wanted in ledger.stages.wanted.values()]
    kind = partial(kind_of, cpus=study.resources.cpu, on_gpu=on_gpu)
    return Durations(work_of(inputs, study), kind, recorded, probed, trials, on_gpu)


def _probe_study(ledger: Ledger, max_parallel: int | None) -> None:
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
    paces = _remembered(fingerprint)
    for of, own in found.items():
        paces[of] = Pace(*map(fmean, zip(*map(astuple, own), strict=True)))
    write_whole(_file(fingerprint), _REMEMBERED.dump_json((_here(), [*paces.items()])))


def _remembered(fingerprint: str) -> dict[Kind, Pace]:
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
