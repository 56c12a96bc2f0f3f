"""What is left of a study will cost: time, resources, disk and money, with what each rests on."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.errors import RunError
from orchestrator.ledger.ledger import Ledger
from orchestrator.placement.placer import declared_share
from orchestrator.placement.shares import own_machine, slots
from orchestrator.plan.paces import durations_here, probe_study
from orchestrator.plan.schedule import Forecast, Schedule, Stay
from orchestrator.study.inputs import Inputs
from trainables.trial import Trial

SIZES = (1, 4, 16, 64)
"""GPUs, or places on CPUs, for which a plan says how long the study takes."""
_EPOCH_BYTES, _TRIAL_BYTES, _PREDICTION_BYTES, _REPORT_BYTES = 130, 500, 1.5, 4e6
"""Bytes on disk, compressed, of a row of each table, and of the report."""
_STATE_BYTES = 12
"""Bytes of a checkpoint for each parameter: its weight, and two moments of the optimizer."""


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
        probe_study(ledger, max_parallel)
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
    trials = {stay.wanted.trial.trial_id: stay.wanted.trial for stay in stays}
    done = forecast.ledger.history.epochs_done
    seconds, epochs = sum(stay.seconds for stay in stays), sum(stay.intervals for stay in stays)
    hours = seconds * getattr(forecast.share, resource) / 3600
    return Cost(
        trials=len(trials),
        epochs=epochs,
        saved=sum(trial.recipe.intervals - done(name) for name, trial in trials.items()) - epochs,
        seconds=Band(seconds * low, seconds, seconds * high),
        hours=Band(hours * low, hours, hours * high),
        basis=basis,
    )


def _disk(forecast: Forecast, schedule: Schedule, at_once: int) -> dict[str, float]:
    study, inputs = forecast.ledger.study, forecast.ledger.inputs
    trials = [wanted.trial for wanted in schedule.wanted]
    told = sum(inputs.tests(study, trial) > 0 for trial in trials)
    # The largest may all be under way together, and all that compete may wait at a rung.
    largest = sorted((_parameters(trial, inputs) for trial in trials), reverse=True)
    rivals = filter(forecast.ledger.stages.group, schedule.wanted)
    waiting = sum(_parameters(wanted.trial, inputs) for wanted in rivals)
    held = max(waiting, sum(largest[:at_once]))
    kept = {"none": 0, "best": 1, "last": 1, "all": 2}[study.keep_checkpoints]
    return {
        "rows": sum(_TRIAL_BYTES + _EPOCH_BYTES * trial.recipe.intervals for trial in trials),
        "predictions": _PREDICTION_BYTES * inputs.n_test * told,
        "checkpoints": _STATE_BYTES * float(held + kept * sum(largest)),
        "report": _REPORT_BYTES,
    }


def _parameters(trial: Trial, inputs: Inputs) -> int:
    if trial.trainable != "classifier":
        # A simulation saves its position alone; what one's own saves is not known.
        return 0
    from trainables.models.facts import anatomy

    return anatomy(*inputs.form(trial)).n_parameters
