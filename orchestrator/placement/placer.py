"""What each trial is given, on the nodes there are."""

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from fractions import Fraction

from orchestrator.errors import RunError
from orchestrator.placement import shares
from orchestrator.placement.precision import is_auto, is_left_open, natives_here, settled
from orchestrator.study.inputs import Inputs
from orchestrator.study.study import Study
from trainables.measure.footprint import Load
from trainables.recipe import Precision
from trainables.trial import Trial
from trainables.work.reports import FailureKind


class Placer:
    """Gives trials their shares, larger ones after a shortage; where it `grows`, nodes may come."""

    def __init__(self, study: Study, inputs: Inputs, *, grows: bool = False) -> None:
        self._study, self._inputs, self._grows = study, inputs, grows
        self._enlarged: dict[str, shares.Share] = {}
        self._measured: dict[Load, shares.Share] = {}
        self._found: dict[str, dict[Load, shares.Measured]] = {}
        self._precision: Precision | None = None
        self._only_kind = ""
        """Ray's name of all GPUs that were there as bf16 was settled, if it is one."""
        self._has_gpu = False
        self.nodes: list[shares.Node] = []
        """Those that are there now; as some join or leave during a run, what trials get stays."""

    def share(self, trial: Trial) -> shares.Share:
        """Return a trial's CPUs and GPUs."""
        share = self._enlarged.get(trial.trial_id) or self._first(trial)
        if not is_auto(trial):
            return share
        # A kind of GPU that comes later may not compute bf16.
        kind = share.kind or (self._only_kind if share.gpu else "")
        return replace(share, kind=kind, precision=self._precision)

    def enlarge(self, trial: Trial, shortage: FailureKind) -> str | None:
        """Give a trial more of what it was short of from now on; else return why it cannot."""
        now = self.share(trial)
        share = shares.larger(now, self.nodes, shortage)
        if share is None:
            return shares.remedy(now, shortage)
        self._enlarged[trial.trial_id] = share
        return None

    def spread(self, trial: Trial, together: int) -> None:
        """Give more of a GPU where so few (`together`, this one too) run or wait that one idles."""
        share = self.share(trial)
        gpus = sum(int(node.gpu) for node in self.nodes if share.kind in ("", node.kind))
        part = 1 / math.ceil(together / gpus) if gpus else 0.0
        if 0 < share.gpu < part:
            speed = 1.0 if part == 1 else None
            self._enlarged[trial.trial_id] = replace(share, gpu=part, speed=speed)

    def declared(self) -> shares.Share:
        """Return the share of every trial that was not measured."""
        return declared_share(self._study, self._has_gpu and self._study.trainable != "simulated")

    def meet(self, nodes: list[shares.Node]) -> list[str]:
        """Take note of the nodes; return what is odd. RunError where GPUs asked for are missing."""
        self.nodes = nodes
        self._has_gpu = any(node.gpu for node in nodes)
        gpu = self._study.resources.gpu
        if gpu not in ("auto", 0) and not (self._grows or self._has_gpu):
            raise RunError(
                f"resources.gpu: {gpu} asks for GPUs, and Ray counts none; "
                "gpu: auto uses them where there are any."
            )
        is_simulated = self._study.trainable == "simulated"
        if gpu == "auto" and self._grows and not (self._has_gpu or is_simulated):
            raise RunError(
                "resources.gpu: auto measures what a GPU holds on one that is there, and the "
                "cluster has none yet; with --autoscale say what a trial gets, such as "
                "--set resources.gpu=1 (or 1/2, or 0 for CPUs)."
            )
        if gpu != "auto" or not self._has_gpu or len(nodes) > 1:
            # On other nodes than this one it is Ray's word that counts, until they are surveyed.
            return []
        from trainables.training.device import gpu_problem

        # Ray's count may be declared; only a device that torch can use trains anything.
        self._has_gpu = gpu_problem() is None
        return [] if self._has_gpu else [_UNSEEN]

    def settle(self, recorded: Precision | None, note: Callable[[str], None]) -> None:
        """Settle `precision: auto` as `settled` does, with its RunError; `note` its sentence."""
        if is_left_open(self._study):
            on_gpu = bool(self.declared().gpu)
            if len(self.nodes) == 1:
                natives = natives_here(on_gpu)
            else:
                from orchestrator.placement.survey import natives_of_nodes

                natives = natives_of_nodes(on_gpu)
            self._precision, said = settled(recorded, natives, on_gpu)
            kinds = {node.kind for node in self.nodes if node.gpu}
            is_one = len(kinds) == 1 and self._precision == "bf16"
            self._only_kind = kinds.pop() if is_one else ""
            if said:
                note(said)

    def survey(self, trials: Sequence[Trial], note: Callable[[str], None]) -> list[str]:
        """Measure how many trials share a GPU, where that is asked for; return what is odd."""
        asks = shares.asks_of(self._study, self._inputs, trials)
        if not (asks and self._has_gpu and self._study.resources.gpu == "auto"):
            return []
        from orchestrator.placement.survey import Survey

        cpus, most = self._study.resources.cpu, self._most(len(trials))
        return self.take(Survey(cpus, most, note, precision=self._precision).take(asks))

    def take(self, found: dict[str, dict[Load, shares.Measured]]) -> list[str]:
        """Place trials by what each load takes of every kind of GPU; return what is odd."""
        self._found = found
        if not found:
            self._has_gpu = False
            return [_UNSEEN]
        gpus: Counter[str] = Counter()
        for node in self.nodes:
            gpus[node.kind] += int(node.gpu)
        cpus = self.declared().cpu
        # A GPU that torch does not see is one on which nothing fits.
        unseen = {node.kind for node in self.nodes if node.gpu} - found.keys()
        for load in next(iter(found.values())):
            fits: dict[str, tuple[int, float | None]] = dict.fromkeys(unseen, (0, None))
            fits |= {kind: loads[load].fit for kind, loads in found.items()}
            each = (loads[load].footprint for loads in found.values())
            context = max((footprint.context_bytes for footprint in each if footprint), default=0)
            share = shares.share_for(cpus, fits, gpus)
            self._measured[load] = replace(share, context_bytes=context or None)
        return []

    def measurements(self) -> str | None:
        """Return what was measured, as JSON that the environment record holds."""
        rows = [
            {"kind": kind, **asdict(load), **asdict(measured)}
            for kind, loads in self._found.items()
            for load, measured in loads.items()
        ]
        return json.dumps(rows) if rows else None

    def _first(self, trial: Trial) -> shares.Share:
        declared = self.declared()
        if not self._measured or not declared.gpu:
            return declared
        load = shares.load_of(trial, self._inputs)
        size = load.batch_size
        # Of one that was proposed since, larger batches are sure to take no less.
        alike = (known for known in self._measured if replace(known, batch_size=size) == load)
        enough = (known for known in alike if known.batch_size >= size)
        nearest = min(enough, key=lambda known: known.batch_size, default=None)
        return self._measured[nearest] if nearest else declared

    def _most(self, n_trials: int) -> dict[str, int]:
        resources = self._study.resources
        gpus = sum(int(node.gpu) for node in self.nodes)
        most: dict[str, int] = {}
        for node in self.nodes:
            if node.gpu >= 1:
                by_cpu = int(node.cpu / int(node.gpu) // resources.cpu)
                most[node.kind] = max(most.get(node.kind, 1), by_cpu)
        wanted = math.ceil(n_trials / max(1, gpus))
        limit = min(wanted, resources.max_trials_per_gpu or wanted)
        return {kind: max(1, min(limit, number)) for kind, number in most.items()}


_UNSEEN = (
    "resources.gpu: auto: Ray counts GPUs and torch sees none that it can use, so trials run on "
    "the CPU; `scalestudy doctor` says why."
)


def declared_share(study: Study, on_gpu: bool) -> shares.Share:
    """Return what a trial is given by the study's word; `auto` is a whole GPU, if on GPUs."""
    gpu = int(on_gpu) if study.resources.gpu == "auto" else study.resources.gpu
    return shares.Share(float(study.resources.cpu), float(Fraction(gpu)))
