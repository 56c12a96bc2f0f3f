"""What is left of a study will cost: time, resources, disk and money, with what each rests on."""

import math
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from orchestrator.errors import RunError, StudyError
from orchestrator.ledger.history import History
from orchestrator.ledger.passes import Pass
from orchestrator.ledger.stages import Stages, Wanted
from orchestrator.placement.shares import Node, Share, slots
from orchestrator.plan.durations import FACTORS, Basis, Durations, durations_of, kind_of, uses_gpu
from orchestrator.plan.plan import Plan
from orchestrator.plan.schedule import Schedule, Stay, simulate
from orchestrator.run.recorder import Recorder
from orchestrator.study.inputs import Inputs
from orchestrator.study.study import Study
from results.store.store import Store
from trainables.trial import Trial

SIZES = (1, 4, 16, 64)
"""GPUs, or places on CPUs, for which a plan says how long the study takes."""
_MOST_SIMULATED = 500
"""Trials up to which each size is played through."""
_EPOCH_BYTES, _TRIAL_BYTES, _PREDICTION_BYTES, _REPORT_BYTES = 130, 500, 1.5, 4e6
"""On disk, compressed: a row of each table, and the report."""
_STATE_BYTES = 12
"""Of a checkpoint, per parameter: weights, and two moments of the optimizer."""


@dataclass(frozen=True)
class Band:
    """A figure, and the range in which it is expected."""

    low: float
    value: float
    high: float


@dataclass(frozen=True)
class Cost:
    """What some trials cost.

    Parameters
    ----------
    trials, epochs
        To be trained, what is recorded left out.
    saved
        Epochs that early stopping is expected to save of these.
    seconds
        Of a place, one trial after another.
    hours
        GPU-hours, or CPU-hours where none trains on a GPU.
    basis
        What the times rest on, the weakest first, with the share of the seconds.
    """

    trials: int
    epochs: int
    saved: int
    seconds: Band
    hours: Band
    basis: dict[str, float]


@dataclass(frozen=True)
class Price:
    """What is left of a study will cost.

    Parameters
    ----------
    cells
        By the cell's name.
    total
        Of all cells.
    resource
        `gpu` or `cpu`.
    slots
        Trials at a time that the wall time goes with.
    wall
        Seconds from the first start to the last end.
    bound
        Seconds that no order could beat.
    saved_seconds
        Of a place, that early stopping is expected to save.
    sizes
        Wall seconds by number of GPUs (or places on CPUs).
    disk
        Bytes of the run directory at its largest, by what holds them.
    money
        For the wall time on all GPUs (or CPUs); None without a price.
    """

    cells: dict[str, Cost]
    total: Cost
    resource: str
    slots: int
    wall: Band
    bound: float
    saved_seconds: float
    sizes: dict[int, float]
    disk: dict[str, float]
    money: Band | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the document that `plan --json` holds."""
        return asdict(self)


class Forecast:
    """A study that can be played in virtual time, as often as asked.

    Parameters
    ----------
    study, inputs, store
        What is asked for, what was found, and what is recorded.
    durations
        What is expected of trials.
    """

    def __init__(
        self, study: Study, inputs: Inputs, store: Store, durations: Durations, share: Share
    ) -> None:
        self._study, self._inputs, self._store = study, inputs, store
        self._history = History(store)
        self.durations, self.share = durations, share
        self.wanted: dict[str, Wanted] = {}

    def on(
        self, nodes: Sequence[Node], *, max_parallel: int | None = None, seed: int = 0
    ) -> Schedule:
        """Return the schedule of what is left on some nodes."""
        stages = Stages(self._study, self._inputs)
        # Never flushed: nothing is written.
        recorder = Recorder(self._store, self._history, "forecast")
        work = Pass(
            self._study,
            stages,
            self._history,
            recorder,
            cost=self.durations.seconds,
            share=lambda trial: self.share,
            enlarge=lambda trial, shortage: shortage,
        )

        def pace(wanted: Wanted) -> tuple[float, float]:
            expected = self.durations.expect(wanted.trial)
            # What was recorded was slowed down by sharing already.
            shared = self.share.speed if expected.basis is not Basis.RECORDED else None
            return expected.setup, expected.interval / (shared or 1.0)

        schedule = simulate(
            work, nodes, pace, np.random.default_rng(seed), max_parallel=max_parallel
        )
        self.wanted = stages.wanted
        return schedule

    def done(self, trial_id: str) -> int:
        """Return how many epochs of a trial are recorded."""
        return self._history.epochs_done(trial_id)

    def band(self, stays: Sequence[Stay]) -> tuple[float, float, dict[str, float]]:
        """Return the factors of the range's ends, and the shares of what the times rest on."""
        seconds: defaultdict[Basis, float] = defaultdict(float)
        for stay in stays:
            basis = self.durations.expect(self.wanted[stay.trial_id].trial).basis
            seconds[basis] += stay.end - stay.start
        total = sum(seconds.values())
        if not total:
            return 1.0, 1.0, {}
        low = sum(spent / FACTORS[basis] for basis, spent in seconds.items()) / total
        high = sum(spent * FACTORS[basis] for basis, spent in seconds.items()) / total
        order = [basis for basis in reversed(Basis) if seconds[basis]]
        return low, high, {basis.value: seconds[basis] / total for basis in order}


def durations_here(study: Study, inputs: Inputs, store: Store) -> Durations:
    """Return what is expected of trials, from records and from what was probed on this machine."""
    from orchestrator.plan.paces import remembered

    trials = [wanted.trial for wanted in Stages(study, inputs).wanted.values()]
    probed = {} if study.trainable == "simulated" else remembered(inputs.fingerprint)
    return durations_of(study, inputs, trials, store, probed)


def forecast_of(study: Study, inputs: Inputs, store: Store) -> Forecast:
    """Return a study's forecast on a machine such as this one."""
    durations = durations_here(study, inputs, store)
    return Forecast(study, inputs, store, durations, expected_share(study, durations.on_gpu))


def price_plan(
    plan: Plan,
    *,
    probe: bool = False,
    max_parallel: int | None = None,
    per_hour: float | None = None,
    show: Callable[[str], None] | None = None,
) -> Price:
    """Return what the rest of a planned study will cost.

    Parameters
    ----------
    probe
        Time a few updates of each kind of trial on this machine beforehand, and remember that.
    max_parallel, per_hour
        As of `price_of`.
    show
        Told what the probe is doing; standard error by default.

    Raises
    ------
    StudyError
        A kind of trial cannot be probed here.
    """
    study, inputs = plan.study, plan.inputs
    if probe and study.trainable != "simulated":
        _probe(study, inputs, max_parallel, show or _say)
    forecast = forecast_of(study, inputs, Store(plan.out))
    return price_of(forecast, study, inputs, max_parallel=max_parallel, per_hour=per_hour)


def _probe(
    study: Study, inputs: Inputs, max_parallel: int | None, show: Callable[[str], None]
) -> None:
    from orchestrator.plan import paces

    if study.trainable != "classifier":
        show("--probe: only classifiers are tried; a trainable of your own tells once it has run")
        return
    on_gpu = uses_gpu(study, {})
    share = expected_share(study, on_gpu)
    try:
        places = slots([own_machine(on_gpu)], share, max_parallel)
    except RunError as error:
        raise StudyError(f"--probe: {error}") from None
    trials = [wanted.trial for wanted in Stages(study, inputs).wanted.values()]
    show(f"probing each kind of trial, {places} at a time, a few updates each")
    measured = paces.probe(
        trials,
        lambda trial: kind_of(trial, study.resources.cpu, on_gpu),
        inputs.n_evaluated,
        places,
        show,
    )
    paces.remember(inputs.fingerprint, measured)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def price_of(
    forecast: Forecast,
    study: Study,
    inputs: Inputs,
    *,
    max_parallel: int | None = None,
    per_hour: float | None = None,
) -> Price:
    """Return what is left of a study will cost on this machine, and on others.

    Parameters
    ----------
    max_parallel
        Trials at a time, at most; as many as this machine has places for by default.
    per_hour
        Price of one GPU (or CPU) for an hour, in any currency.
    """
    share = forecast.share
    here = own_machine(bool(share.gpu))
    try:
        places = slots([here], share, max_parallel)
    except RunError:
        # Here nothing fits: what one fitting machine would take is said instead.
        here, places = Node("a machine", max(1.0, share.cpu), math.ceil(share.gpu)), 1
    # The same number of places as asked for, wherever they are.
    nodes = [here]
    if max_parallel and max_parallel > places:
        nodes, places = _alike(share, max_parallel, places=True), max_parallel
    schedule = forecast.on(nodes, max_parallel=max_parallel)
    stays = schedule.stays
    low, high, _ = forecast.band(stays)
    resource = "gpu" if share.gpu else "cpu"
    by_cell: dict[int, list[Stay]] = {}
    for stay in stays:
        by_cell.setdefault(stay.cell, []).append(stay)
    start = forecast.durations.start if stays else 0.0
    wall = start + schedule.makespan
    names = [str(cell) for cell in study.cells()]
    devices = math.ceil(places * getattr(share, resource) - 1e-9)
    money = wall / 3600 * devices * per_hour if per_hour is not None else None
    return Price(
        cells={
            name: _cost(forecast, by_cell.get(number, []), resource)
            for number, name in enumerate(names)
        },
        total=_cost(forecast, stays, resource),
        resource=resource,
        slots=places,
        wall=Band(wall * low, wall, wall * high),
        bound=schedule.lower_bound,
        saved_seconds=sum(_saved(forecast, stay) * _interval(forecast, stay) for stay in stays),
        sizes={count: start + _makespan(forecast, stays, count) for count in SIZES},
        disk=_disk(study, inputs, forecast, places),
        money=None if money is None else Band(money * low, money, money * high),
    )


def _makespan(forecast: Forecast, stays: list[Stay], count: int) -> float:
    """Return how long what was scheduled takes on so many GPUs or places."""
    nodes = _alike(forecast.share, count)
    if len(stays) > _MOST_SIMULATED:
        # Of so many trials no tail remains: the order comes within a hundredth of the bound.
        return Schedule(nodes, None, stays).lower_bound
    return forecast.on(nodes).makespan


def own_machine(with_gpus: bool) -> Node:
    """Return this machine as a node, without starting Ray."""
    gpus = 0.0
    if with_gpus:
        import torch

        gpus = float(torch.cuda.device_count())
    return Node("here", float(os.cpu_count() or 1), gpus)


def expected_share(study: Study, on_gpu: bool) -> Share:
    """Return what each trial will be given, as far as that is known before a cluster is."""
    gpu = study.resources.gpu
    if gpu == "auto":
        gpu = 1 if on_gpu else 0
    return Share(float(study.resources.cpu), float(Fraction(gpu)))


def _alike(share: Share, count: int, *, places: bool = False) -> list[Node]:
    """Return nodes of one GPU each, or of one place on CPUs."""
    if not share.gpu:
        return [Node(f"{number}", share.cpu, 0.0) for number in range(count)]
    if share.gpu > 1:
        return [Node(f"{number}", share.cpu, share.gpu) for number in range(max(1, count))]
    per_gpu = round(1 / share.gpu)
    gpus = math.ceil(count / per_gpu) if places else count
    return [Node(f"{number}", per_gpu * share.cpu, 1.0) for number in range(gpus)]


def _saved(forecast: Forecast, stay: Stay) -> int:
    return forecast.wanted[stay.trial_id].trial.recipe.intervals - stay.intervals


def _interval(forecast: Forecast, stay: Stay) -> float:
    return forecast.durations.expect(forecast.wanted[stay.trial_id].trial).interval


def _cost(forecast: Forecast, stays: Sequence[Stay], resource: str) -> Cost:
    low, high, basis = forecast.band(stays)
    seconds = sum(stay.end - stay.start for stay in stays)
    hours = sum((s.end - s.start) * getattr(s.share, resource) for s in stays) / 3600
    return Cost(
        trials=len(stays),
        epochs=sum(stay.intervals - forecast.done(stay.trial_id) for stay in stays),
        saved=sum(_saved(forecast, stay) for stay in stays),
        seconds=Band(seconds * low, seconds, seconds * high),
        hours=Band(hours * low, hours, hours * high),
        basis=basis,
    )


def _disk(study: Study, inputs: Inputs, forecast: Forecast, places: int) -> dict[str, float]:
    wanted = forecast.wanted.values()
    trials = [entry.trial for entry in wanted]
    n_test = 0 if inputs.test_labels is None else len(inputs.test_labels)
    # The largest may all be under way together.
    largest = sorted((_parameters(trial) for trial in trials), reverse=True)
    kept = {"none": 0, "best": 1, "last": 1, "all": 2}[study.keep_checkpoints]
    return {
        "rows": sum(_TRIAL_BYTES + _EPOCH_BYTES * trial.recipe.intervals for trial in trials),
        "predictions": _PREDICTION_BYTES * n_test * len(trials),
        "checkpoints": _STATE_BYTES * float(sum(largest[:places]) + kept * sum(largest)),
        "report": _REPORT_BYTES,
    }


def _parameters(trial: Trial) -> int:
    if trial.trainable != "classifier":
        # A simulation saves its position alone; what one's own saves is not known.
        return 0
    from trainables.models.facts import n_parameters

    return n_parameters(trial.model, trial.n_classes, trial.recipe.stem)
