"""What is left of a study will cost: time, resources, disk and money, with what each rests on."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.errors import RunError
from orchestrator.ledger.ledger import Ledger
from orchestrator.placement.placer import declared_share
from orchestrator.placement.shares import Node, Share, own_machine, places, slots
from orchestrator.plan.durations import Durations
from orchestrator.plan.paces import durations_here, probe_study
from orchestrator.plan.schedule import Forecast, Schedule, Stay
from trainables.trial import Trial

SIZES = (1, 4, 16, 64)
"""GPUs, or places on CPUs, for which a plan says how long the study takes."""
_MOST_PREDICTED = 2_000
"""Trials beyond which playing a pass through would keep it waiting."""
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
    """Wall seconds by number of GPUs (or places on CPUs), which the real order comes close to."""
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
) -> Price:
    """Return what the rest of a study will cost on a machine such as this one.

    With `probe`, a few updates of each kind of trial are timed here beforehand and remembered. The
    study is played with at most `max_parallel` trials at a time; `per_hour` is the price of one GPU
    (or CPU) for an hour, in any currency. Raises StudyError where a kind of trial cannot be probed
    here.
    """
    if probe and ledger.study.trainable != "simulated":
        probe_study(ledger, max_parallel)
    durations = durations_here(ledger)
    forecast = Forecast(ledger, durations, declared_share(ledger.study, durations.on_gpu))
    nodes, at_once = _machine(forecast.share, max_parallel)
    return price_of(forecast, nodes, at_once, max_parallel, per_hour)


def price_of(
    forecast: Forecast,
    nodes: list[Node],
    at_once: int,
    max_parallel: int | None = None,
    per_hour: float | None = None,
) -> Price:
    """Return what is left of a study will cost on nodes on which so many trials run at a time."""
    share = forecast.share
    schedule = forecast.on(nodes, max_parallel=max_parallel)
    stays = schedule.stays
    low, high, _ = forecast.band(stays)
    resource = "gpu" if share.gpu else "cpu"
    by_cell: defaultdict[int, list[Stay]] = defaultdict(list)
    for stay in stays:
        by_cell[stay.wanted.cell].append(stay)
    start = forecast.durations.start if stays else 0.0
    wall = start + schedule.makespan
    devices = math.ceil(at_once * getattr(share, resource) - 1e-9)
    money = wall / 3600 * devices * per_hour if per_hour is not None else None
    dearer = forecast.at_most()
    most = price_of(dearer, nodes, at_once, max_parallel, per_hour) if dearer else None
    return Price(
        cells={
            str(cell): _cost(forecast, by_cell[number], resource)
            for number, cell in enumerate(forecast.ledger.study.cells())
        },
        total=_cost(forecast, stays, resource),
        resource=resource,
        slots=at_once,
        wall=Band(wall * low, wall, wall * high),
        bound=schedule.lower_bound,
        # Of many trials no tail remains: the order comes within a hundredth of the bound.
        sizes={
            count: start + Schedule(_alike(share, count), None, stays).lower_bound
            for count in SIZES
        },
        disk=_disk(forecast, schedule, at_once),
        money=None if money is None else Band(money * low, money, money * high),
        at_most=most,
    )


def predict(
    ledger: Ledger,
    durations: Durations,
    shares: Sequence[Share],
    nodes: list[Node],
    max_parallel: int | None,
) -> str | None:
    """Return what a pass is expected to take, as its environment record holds it.

    Recorded at the pass's start, so that the report can hold it to that. JSON: `trials`, `epochs`,
    `seconds` with `low` and `high` (from the first start to the last epoch), `slots`, `basis`
    (share of the seconds by what they rest on). None where nothing is left or fits, of a
    simulation, whose time is its own, and of very many trials. `shares` are those of the trials
    known to be left.
    """
    if ledger.study.trainable == "simulated" or not 0 < len(shares) <= _MOST_PREDICTED:
        return None
    share = Counter(shares).most_common(1)[0][0]
    room = sum(places(node, share) for node in nodes)
    if not room:
        # Nodes that fit may yet join the cluster; what they will be nobody knows.
        return None
    at_once = min(room, max_parallel or room)
    price = price_of(Forecast(ledger, durations, share), nodes, at_once, max_parallel)
    wall, most = price.wall, price.at_most or price
    if not math.isfinite(wall.value):
        return None
    return json.dumps(
        {
            "trials": price.total.trials,
            "epochs": price.total.epochs,
            "seconds": wall.value,
            "low": wall.low,
            "high": max(wall.high, most.wall.high),
            "slots": at_once,
            "basis": price.total.basis,
        }
    )


def _machine(share: Share, max_parallel: int | None) -> tuple[list[Node], int]:
    """Return the nodes that a study is priced for, and the trials that run on them at a time."""
    here = own_machine(bool(share.gpu))
    try:
        room = slots([here], share, max_parallel)
    except RunError:
        # Here nothing fits: what one fitting machine would take is said instead.
        here, room = Node("a machine", max(1.0, share.cpu), math.ceil(share.gpu)), 1
    if max_parallel and max_parallel > room:
        # The same number of places as asked for, wherever they are.
        gpus = math.ceil(max_parallel * min(1.0, share.gpu) - 1e-9) or max_parallel
        return _alike(share, gpus), max_parallel
    return [here], room


def _alike(share: Share, count: int) -> list[Node]:
    """Return nodes of one GPU each, of as many as a trial has, or of one place on CPUs."""
    trials = round(1 / share.gpu) if 0 < share.gpu < 1 else 1
    node = Node("", trials * share.cpu, math.ceil(share.gpu))
    return [node] * count


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


def _disk(forecast: Forecast, schedule: Schedule, at_once: int) -> dict[str, float]:
    study, inputs = forecast.ledger.study, forecast.ledger.inputs
    trials = [wanted.trial for wanted in schedule.wanted]
    told = sum(study.tests(trial) != "never" for trial in trials)
    # The largest may all be under way together.
    largest = sorted((_parameters(trial) for trial in trials), reverse=True)
    kept = {"none": 0, "best": 1, "last": 1, "all": 2}[study.keep_checkpoints]
    return {
        "rows": sum(_TRIAL_BYTES + _EPOCH_BYTES * trial.recipe.intervals for trial in trials),
        "predictions": _PREDICTION_BYTES * inputs.n_test * told,
        "checkpoints": _STATE_BYTES * float(sum(largest[:at_once]) + kept * sum(largest)),
        "report": _REPORT_BYTES,
    }


def _parameters(trial: Trial) -> int:
    if trial.trainable != "classifier":
        # A simulation saves its position alone; what one's own saves is not known.
        return 0
    from trainables.models.facts import n_parameters

    return n_parameters(trial.model, trial.n_classes, trial.recipe.stem)
