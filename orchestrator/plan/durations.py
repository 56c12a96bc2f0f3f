"""How long trials will take, from what is best known of their like: records, a probe, or FLOPs."""

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import NamedTuple

import pyarrow.compute as pc

from orchestrator.placement.shares import has_gpu
from orchestrator.study.inputs import TRAINING_PASSES, Inputs
from orchestrator.study.study import Study
from results.records import Status
from results.store.store import Store
from trainables.measure.footprint import Pace
from trainables.trial import Trial

CPU_SPEED, GPU_SPEED = 60e9, 8e12
"""Floating-point operations a second of one CPU and one GPU, where nothing was measured. Small
images on CPUs with and without units for bf16 reach 15 to 250e9."""
CPU_LAYER, GPU_LAYER = 3e-4, 6e-5
"""Seconds of a layer in one update besides its operations: what starts them, and the optimizer.
Small models with many layers, such as ShuffleNets, spend nearly all of their time so."""
UNKNOWN_FLOPS = 1e8
"""Floating-point operations of an image's forward pass, where nobody knows: about those of a
ResNet-18 at 32×32."""
HEAD_FLOPS = 1e4
"""Floating-point operations of a head on features: about those of 512 features and ten classes."""
_SETUP_SECONDS, _START_SECONDS = 0.5, 6.0
_EVALUATED = "evaluation_images_per_second"


@dataclass(frozen=True)
class Work:
    """What one evaluation interval of a trial computes."""

    trained: int
    evaluated: float
    """Numbers of images; those evaluated in the mean over the trial's intervals."""
    flops: float | None
    """Floating-point operations of one image's forward pass; None where nobody knows, as of a
    trainable of one's own."""
    updates: int = 0
    layers: int = 0
    """Updates of the optimizer, and layers of the model: each layer costs something in each update,
    however few its operations; 0 where nobody knows."""


def work_of(inputs: Inputs, study: Study | None = None) -> Callable[[Trial], Work]:
    """Return a function trial → what an interval of it computes; without a study all is tested."""

    def model(trial: Trial) -> tuple[float | None, int]:
        """Return FLOPs of an image, and layers."""
        if trial.trainable == "simulated":
            from trainables.training.simulated import parameters

            return 2.0 * parameters(trial.model), 0
        if trial.trainable != "classifier":
            return None, 0
        if trial.recipe.keeps_features:
            return HEAD_FLOPS, 1
        from trainables.models.facts import anatomy

        found = anatomy(*inputs.form(trial))
        return float(found.flops_per_image), found.n_layers

    def work(trial: Trial) -> Work:
        recipe, trained = trial.recipe, trial.images_per_interval
        flops, layers = model(trial)
        share = inputs.tests(study, trial) / recipe.intervals if study else 1.0
        evaluated = inputs.n_validation + share * inputs.n_test
        return Work(trained, evaluated, flops, math.ceil(trained / recipe.batch_size), layers)

    return work


class Basis(StrEnum):
    """What an expected time rests on, the best first."""

    RECORDED = "recorded trials"
    PROBE = "a probe"
    SCALED = "other trials, scaled by FLOPs"
    FLOPS = "FLOPs"
    GUESS = "a guess"


FACTORS = {
    Basis.RECORDED: 1.2,
    Basis.PROBE: 1.25,
    Basis.SCALED: 2.0,
    Basis.FLOPS: 4.0,
    Basis.GUESS: 10.0,
}
"""The true time is expected between 1/factor and factor times what is said."""


class Kind(NamedTuple):
    """What decides how fast a trial trains; trials that share it have one pace."""

    model: str
    stem: str
    image_height: int | None
    image_width: int | None
    """Pixels that images are brought to; None where they stay as they are."""
    batch_size: int
    optimizer: str
    precision: str
    freeze: str
    cpus: float
    on_gpu: bool


_FORM = Kind._fields[:-2]
"""Columns of the tables that a kind is told by, besides what it is trained on."""


def kind_of(trial: Trial, cpus: float, on_gpu: bool) -> Kind:
    """Return a trial's kind, given what it is trained on."""
    columns = {"model": trial.model, **trial.recipe.columns()}
    return Kind._make([*(columns[name] for name in _FORM), float(cpus), on_gpu])


@dataclass(frozen=True)
class Expectation:
    """What is expected of a trial."""

    interval: float
    setup: float
    """Seconds of one evaluation interval, and those that the trial takes once besides."""
    intervals: int
    """Evaluation intervals of the whole trial."""
    basis: Basis
    """What the seconds rest on."""

    @property
    def seconds(self) -> float:
        """Return the seconds of the whole trial."""
        return self.setup + self.interval * self.intervals


class Durations:
    """Expected seconds of trials.

    `work` returns what an interval of a trial computes, `kind` its kind, by which paces were
    recorded or probed. Of the `examples`, trials of measured kinds tell how fast others may be.
    `on_gpu` says whether trials are expected to train on GPUs.
    """

    def __init__(
        self,
        work: Callable[[Trial], Work],
        kind: Callable[[Trial], Kind],
        recorded: Mapping[Kind, Pace] | None = None,
        probed: Mapping[Kind, Pace] | None = None,
        examples: Iterable[Trial] = (),
        on_gpu: bool = False,
    ) -> None:
        self.on_gpu = on_gpu
        self._work, self._kind = work, kind
        recorded, probed = recorded or {}, probed or {}
        self._measured = {
            **{kind: (Basis.PROBE, pace) for kind, pace in probed.items()},
            **{kind: (Basis.RECORDED, pace) for kind, pace in recorded.items()},
        }
        known = [*recorded.values(), *probed.values()]
        self._setup = median([pace.setup for pace in known] or [_SETUP_SECONDS])
        self.start = median([pace.start for pace in known if pace.start] or [_START_SECONDS])
        """Seconds that a worker takes before its first trial."""
        self._ratios = self._ratios_of(examples) if known else {}

    def expect(self, trial: Trial) -> Expectation:
        """Return what is expected of a trial, from its beginning to its budget."""
        kind, work, intervals = self._kind(trial), self._work(trial), trial.recipe.intervals
        if kind in self._measured:
            basis, pace = self._measured[kind]
            return Expectation(_paced(work, pace), pace.setup, intervals, basis)
        ratio = self._ratios.get((kind.cpus, kind.on_gpu)) if work.flops else None
        basis = Basis.SCALED if ratio else Basis.FLOPS if work.flops else Basis.GUESS
        return Expectation((ratio or 1.0) * _reckoned(work, kind), self._setup, intervals, basis)

    def seconds(self, trial: Trial) -> float:
        """Return the seconds of a whole trial."""
        return self.expect(trial).seconds

    def _ratios_of(self, trials: Iterable[Trial]) -> dict[tuple[float, bool], float]:
        """Return measured over reckoned seconds by CPUs and GPU or not: medians over the kinds."""
        examples = {self._kind(trial): trial for trial in reversed([*trials])}
        found: defaultdict[tuple[float, bool], list[float]] = defaultdict(list)
        for kind in examples.keys() & self._measured.keys():
            work, (_, pace) = self._work(examples[kind]), self._measured[kind]
            if work.flops:
                found[kind.cpus, kind.on_gpu].append(_paced(work, pace) / _reckoned(work, kind))
        return {place: median(ratios) for place, ratios in found.items()}


def _paced(work: Work, pace: Pace) -> float:
    return pace.train * work.trained + pace.evaluate * work.evaluated


def _reckoned(work: Work, kind: Kind) -> float:
    speed = GPU_SPEED if kind.on_gpu else CPU_SPEED * kind.cpus
    passes = TRAINING_PASSES * work.trained + work.evaluated
    layers = work.updates * work.layers * (GPU_LAYER if kind.on_gpu else CPU_LAYER)
    return passes * (work.flops or UNKNOWN_FLOPS) / speed + layers


def uses_gpu(study: Study, recorded: Collection[Kind] = ()) -> bool:
    """Return whether a study's trials are expected to train on GPUs, as it asks for.

    With `auto`, kinds of trial that were trained before decide; without any, this machine.
    """
    if study.resources.gpu != "auto":
        return bool(study.resources.gpu)
    if recorded or study.trainable == "simulated":
        return any(kind.on_gpu for kind in recorded)
    return has_gpu()


def recorded_paces(store: Store, evaluated: int) -> dict[Kind, Pace]:
    """Return the pace of every kind of trial that a run directory holds: medians over its epochs.

    The directory need not exist; an interval that says no pace evaluated so many images.
    """
    if not store.root.is_dir():
        return {}
    measured = ["trial_id", "train_seen", "seconds", "images_per_second", _EVALUATED]
    epochs = store.read("epochs", [*_FORM, "image_size", *measured]).to_pandas()
    facts = ["trial_id", "cpu", "gpu", "slot", "attempts", "seconds", "started_at", "ended_at"]
    done = pc.field("status") == Status.COMPLETED.value
    trials = store.read("trials", facts, where=done).to_pandas()
    if epochs.empty or trials.empty:
        return {}
    once = trials[trials["attempts"] == 1]
    spent = (once["ended_at"] - once["started_at"]).dt.total_seconds()
    beside = (spent - once["seconds"]).clip(lower=0)
    setup = float(beside.median()) if len(once) else _SETUP_SECONDS
    # The first trial of each place waits for its worker's imports.
    first = beside[once.sort_values("started_at").groupby("slot").head(1).index]
    start = max(0.0, float(first.median()) - setup) if len(once) else 0.0
    epochs["training"] = epochs["train_seen"] / epochs["images_per_second"]
    epochs["train"] = 1 / epochs["images_per_second"]
    spent = (epochs["seconds"] - epochs["training"]).clip(lower=0) / max(1, evaluated)
    epochs["evaluate"] = (1 / epochs[_EVALUATED]).fillna(spent)
    epochs = epochs.merge(trials[["trial_id", "cpu", "gpu"]], on="trial_id")
    epochs["freeze"] = epochs["freeze"].fillna("none")  # rows of older versions
    for side in ("image_height", "image_width"):
        # Rows of older versions have squares, and their one side alone.
        epochs[side] = epochs[side].fillna(epochs["image_size"])
    alike = epochs.groupby([*_FORM, "cpu", "gpu"], dropna=False, sort=False)
    # A trainable of one's own need not say how fast it is.
    middle = alike[["train", "evaluate"]].median().dropna()
    paces = {}
    for key, train, evaluate in middle.itertuples(name=None):
        *form, cpus, gpus = (None if value != value else value for value in key)
        paces[Kind._make([*form, cpus, bool(gpus)])] = Pace(train, evaluate, setup, start)
    return paces
