"""What is left of a study will cost: time, resources, disk and money, with what each rests on."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.errors import RunError
from orchestrator.ledger.ledger import Ledger
from orchestrator.placement.placer import declared_share
from orchestrator.placement.shares import Node, Share, own_machine, slots
from orchestrator.plan.paces import durations_here, probe_study
from orchestrator.plan.schedule import Forecast, Schedule, Stay
from trainables.trial import Trial

SIZES = (1, 4, 16, 64)
"""GPUs, or places on CPUs, for which a plan says how long the study takes."""
_MOST_SIMULATED = 500
"""Trials up to which each size is played through."""
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
    bound: float
    """Seconds that no order could beat."""
    sizes: dict[int, float]
    """Wall seconds by number of GPUs (or places on CPUs); empty where none were asked for."""
    disk: dict[str, float]
    """Bytes of the run directory at its largest, by what holds them."""
    money: Band | None = None
    """Price of all GPUs (or CPUs) for the wall time; None without a price per hour."""
    at_most: "Price | None" = None
    """The same if no look at counted seeds settles anything; None where they are listed."""


def price_study(
    ledger: Ledger,
    *,
    probe: bool = False,
    max_parallel: int | None = None,
    per_hour: float | None = None,
    sizes: Sequence[int] = SIZES,
) -> Price:
    """Return what the rest of a study will cost on a machine such as this one; see `price_of`.

    With `probe`, a few updates of each kind of trial are timed here beforehand and remembered.
    Raises StudyError where a kind of trial cannot be probed here.
    """
    if probe and ledger.study.trainable != "simulated":
        probe_study(ledger, max_parallel)
    durations = durations_here(ledger)
    forecast = Forecast(ledger, durations, declared_share(ledger.study, durations.on_gpu))
    return price_of(forecast, max_parallel=max_parallel, per_hour=per_hour, sizes=sizes)


def price_of(
    forecast: Forecast,
    *,
    max_parallel: int | None = None,
    per_hour: float | None = None,
    sizes: Sequence[int] = SIZES,
) -> Price:
    """Return what is left of a study will cost on this machine, and on others.

    The study is played once for this machine, with at most `max_parallel` trials at a time, and
    once for each of the `sizes`: numbers of GPUs (or places on CPUs) whose wall times are wanted;
    with none, a price takes a fifth of the time. `per_hour` is the price of one GPU (or CPU) for an
    hour, in any currency.
    """
    share, study = forecast.share, forecast.ledger.study
    nodes, places = _machine(share, max_parallel)
    schedule = forecast.on(nodes, max_parallel=max_parallel)
    stays = schedule.stays
    low, high, _ = forecast.band(stays)
    resource = "gpu" if share.gpu else "cpu"
    by_cell: defaultdict[int, list[Stay]] = defaultdict(list)
    for stay in stays:
        by_cell[stay.wanted.cell].append(stay)
    start = forecast.durations.start if stays else 0.0
    wall = start + schedule.makespan
    devices = math.ceil(places * getattr(share, resource) - 1e-9)
    money = wall / 3600 * devices * per_hour if per_hour is not None else None
    most = forecast.at_most()
    return Price(
        cells={
            str(cell): _cost(forecast, by_cell[number], resource)
            for number, cell in enumerate(study.cells())
        },
        total=_cost(forecast, stays, resource),
        resource=resource,
        slots=places,
        wall=Band(wall * low, wall, wall * high),
        bound=schedule.lower_bound,
        sizes={count: start + _makespan(forecast, stays, count) for count in sizes},
        disk=_disk(forecast, schedule, places),
        money=None if money is None else Band(money * low, money, money * high),
        at_most=None
        if most is None
        else price_of(most, max_parallel=max_parallel, per_hour=per_hour, sizes=sizes),
    )


def _machine(share: Share, max_parallel: int | None) -> tuple[list[Node], int]:
    """Return the nodes that a study is priced for, and the trials that run on them at a time."""
    here = own_machine(bool(share.gpu))
    try:
        places = slots([here], share, max_parallel)
    except RunError:
        # Here nothing fits: what one fitting machine would take is said instead.
        here, places = Node("a machine", max(1.0, share.cpu), math.ceil(share.gpu)), 1
    if max_parallel and max_parallel > places:
        # The same number of places as asked for, wherever they are.
        return _alike(share, max_parallel, places=True), max_parallel
    return [here], places


def _makespan(forecast: Forecast, stays: list[Stay], count: int) -> float:
    """Return how long what was scheduled takes on so many GPUs or places."""
    nodes = _alike(forecast.share, count)
    if len(stays) > _MOST_SIMULATED:
        # Of so many trials no tail remains: the order comes within a hundredth of the bound.
        return Schedule(nodes, None, stays).lower_bound
    return forecast.on(nodes).makespan


def _alike(share: Share, count: int, *, places: bool = False) -> list[Node]:
    """Return nodes of one GPU each, or of one place on CPUs."""
    if not share.gpu:
        return [Node(f"{number}", share.cpu, 0.0) for number in range(count)]
    if share.gpu > 1:
        return [Node(f"{number}", share.cpu, share.gpu) for number in range(max(1, count))]
    per_gpu = round(1 / share.gpu)
    gpus = math.ceil(count / per_gpu) if places else count
    return [Node(f"{number}", per_gpu * share.cpu, 1.0) for number in range(gpus)]


def _cost(forecast: Forecast, stays: Sequence[Stay], resource: str) -> Cost:
    low, high, basis = forecast.band(stays)
    seconds = sum(stay.seconds for stay in stays)
    hours = sum(stay.seconds * getattr(stay.share, resource) for stay in stays) / 3600
    return Cost(
        trials=len(stays),
        epochs=forecast.epochs(stays),
        saved=sum(stay.saved for stay in stays),
        seconds=Band(seconds * low, seconds, seconds * high),
        hours=Band(hours * low, hours, hours * high),
        basis=basis,
    )


def _disk(forecast: Forecast, schedule: Schedule, places: int) -> dict[str, float]:
    study, inputs = forecast.ledger.study, forecast.ledger.inputs
    trials = [wanted.trial for wanted in schedule.wanted]
    told = sum(study.tests(trial) != "never" for trial in trials)
    # The largest may all be under way together.
    largest = sorted((_parameters(trial) for trial in trials), reverse=True)
    kept = {"none": 0, "best": 1, "last": 1, "all": 2}[study.keep_checkpoints]
    return {
        "rows": sum(_TRIAL_BYTES + _EPOCH_BYTES * trial.recipe.intervals for trial in trials),
        "predictions": _PREDICTION_BYTES * inputs.n_test * told,
        "checkpoints": _STATE_BYTES * float(sum(largest[:places]) + kept * sum(largest)),
        "report": _REPORT_BYTES,
    }


def _parameters(trial: Trial) -> int:
    if trial.trainable != "classifier":
        # A simulation saves its position alone; what one's own saves is not known.
        return 0
    from trainables.models.facts import n_parameters

    return n_parameters(trial.model, trial.n_classes, trial.recipe.stem)
