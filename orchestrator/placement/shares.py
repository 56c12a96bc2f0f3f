"""What trials take of a machine, and how many fit where: arithmetic over nodes and loads."""

import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from orchestrator.errors import RunError
from orchestrator.study.inputs import Inputs
from orchestrator.study.study import Study
from results.phrases import byte_size, count
from trainables.data.holding import Held, held, resident_bytes
from trainables.machine import cpu_limits, usable_cpus
from trainables.measure.footprint import Footprint, Hardware, Load, recorded
from trainables.recipe import Precision
from trainables.trial import Trial
from trainables.work.reports import FailureKind

HEADROOM = 1.1
"""Bytes that a trial is given, for each byte of tensors that it was seen to take."""
PAYS = 1.1
"""Images that trials which share a GPU train together, for each of one alone: less is noise."""
_AMD = Path("/dev/kfd")
_GPU_FILES = ("nvidia*", "nvhost*", "nvmap", "dxg")
"""Names in `/dev` of every GPU that trials can use: NVIDIA's, Jetson's, WSL's."""
MOST = 10_000
"""Trials on a GPU at once, as good as no limit."""


@dataclass(frozen=True)
class Share:
    """What a trial is given."""

    cpu: float
    gpu: float
    """Numbers of CPUs and GPUs; GPUs are a fraction of one, or a whole number."""
    kind: str = ""
    """Ray's name of the only kind of GPU that will do; empty where any does."""
    speed: float | None = None
    """Images per second beside the trials that share the GPU, divided by those of a trial alone;
    None where it was not measured."""
    context_bytes: int | None = None
    """Bytes that a process takes of a GPU besides its tensors; None where it was not measured."""
    precision: Precision | None = None
    """What `precision: auto` comes to there; None where the device itself says."""


@dataclass(frozen=True)
class Node:
    """One machine, with the CPUs and GPUs that Ray may hand out there."""

    host: str
    cpu: float
    gpu: float
    kind: str = ""
    """Ray's name of the GPUs, such as H100; empty where there are none, or Ray knows no name."""


def own_machine(with_gpus: bool) -> Node:
    """Return this machine as a node, without starting Ray; GPUs are those that torch can use."""
    gpus = 0.0
    if with_gpus:
        import torch

        from trainables.training.device import gpu_problem

        gpus = 0.0 if gpu_problem() else float(torch.cuda.device_count())
    return Node("here", float(usable_cpus()), gpus)


def cpus_said(groups: Path = Path("/sys/fs/cgroup")) -> str:
    """Return why fewer CPUs are used than the machine has, in a sentence; empty where all are."""
    usable, why = min(cpu_limits(groups))
    there = os.cpu_count() or 1
    return f"{usable:g} of {count(there, 'CPU')} may be used here: {why}" if usable < there else ""


def places(node: Node, share: Share) -> int:
    """Return how many trials with a share fit on a node at once."""
    if share.kind and share.kind != node.kind:
        return 0
    by_cpu = math.floor(node.cpu / share.cpu + 1e-9) if share.cpu else math.inf
    if not share.gpu:
        return int(by_cpu)
    # A fraction never spans two GPUs: 1/3 fits three times on each.
    if share.gpu < 1:
        by_gpu = math.floor(node.gpu) * math.floor(1 / Fraction(share.gpu).limit_denominator(1000))
    else:
        by_gpu = math.floor(node.gpu / share.gpu + 1e-9)
    return int(min(by_cpu, by_gpu))


def slots(nodes: Sequence[Node], share: Share, max_parallel: int | None = None) -> int:
    """Return how many trials run at once; RunError where none fits: it would wait for ever."""
    fitting = sum(places(node, share) for node in nodes)
    if not fitting:
        raise RunError(
            f"a trial needs {needs(share)} on one machine, and no node has that "
            f"(there is {described(nodes)}); add one, or ask for less in resources.cpu and "
            "resources.gpu. On a cluster that adds nodes by itself, --autoscale asks for them."
        )
    return min(fitting, max_parallel) if max_parallel else fitting


def needs(share: Share) -> str:
    """Return a share in words, such as `1 CPU and 0.5 GPUs of kind T4`."""
    words = " and ".join(_amounts(share.cpu, share.gpu)) or "nothing"
    return f"{words} of kind {share.kind}" if share.kind else words


def described(nodes: Iterable[Node]) -> str:
    """Return what nodes have, alike ones together, such as `64 × 8 CPUs and 8 GPUs (H100)`."""
    alike: dict[Node, list[str]] = {}
    for node in nodes:
        alike.setdefault(replace(node, host=""), []).append(node.host)
    words = []
    for kind, hosts in alike.items():
        has = " and ".join(_amounts(kind.cpu, kind.gpu)) or "neither CPUs nor GPUs"
        has += f" ({kind.kind})" if kind.kind and kind.gpu else ""
        words.append(f"{hosts[0]}: {has}" if len(hosts) == 1 else f"{len(hosts)} × {has}")
    return ", ".join(words) or "no node"


def _amounts(cpu: float, gpu: float) -> list[str]:
    amounts = ((cpu, "CPU"), (gpu, "GPU"))
    return [f"{held:.4g} {name}{'' if held == 1 else 's'}" for held, name in amounts if held]


def copies(total_bytes: int, footprint: Footprint, image_bytes: int, most: int) -> int:
    """Return how many trials of one kind a GPU holds at once, at most `most`; 0 for none.

    Each takes its footprint, and its images' bytes where its part holds them (`data.holding`).
    """
    peak, context = footprint.peak_bytes, footprint.context_bytes
    # A trial alone may use the headroom too.
    if peak is None or context + peak + _on_gpu(image_bytes, total_bytes) > total_bytes:
        return 0

    def fitting(n_bytes: int) -> int:
        tensors = math.ceil((peak + n_bytes) * HEADROOM)
        return max(1, min(most, total_bytes // (context + tensors)))

    return fitting(_on_gpu(image_bytes, total_bytes / fitting(0)))


def _on_gpu(image_bytes: int, room: float) -> int:
    """Return the bytes of images that a trial's part of a GPU holds: of all of them, or none."""
    return image_bytes if held(image_bytes, room, is_stored=False) is Held.DEVICE else 0


def speed(footprint: Footprint, k: int) -> float | None:
    """Return one of k trials' images per second, divided by a lone one's; None if not measured."""
    if k == 1:
        return 1.0
    shared, alone = footprint.shared.get(k), footprint.images_per_second
    return shared / alone if shared and alone else None


def worth_sharing(footprint: Footprint, k: int) -> int:
    """Return how many of k trials train most together: 1 where none pays, k if none was tried."""
    tried = ((n, speed(footprint, n)) for n in footprint.shared if n <= k)
    together = {n: n * each for n, each in tried if each is not None}
    if not together:
        return k
    best = max(together, key=lambda n: together[n])
    return best if together[best] >= PAYS else 1


def share_for(
    cpu: float, fits: Mapping[str, tuple[int, float | None]], gpus: Mapping[str, float]
) -> Share:
    """Return the share of a trial with some CPUs, safe wherever Ray may place it.

    `fits` has by kind how many trials a GPU holds, and their `speed`. The fewest decide; where some
    kind holds none, the trial is kept to the kind, of those where it fits, with the most `gpus`.
    """
    fitting = {kind: found for kind, found in fits.items() if found[0]}
    if not fitting:
        return Share(cpu, 1.0)
    kind = ""
    k, measured = min(fitting.values(), key=lambda found: found[0])
    if len(fitting) < len(fits):
        kind = max(fitting, key=lambda kind: (gpus[kind], kind))
        k, measured = fitting[kind]
    return Share(cpu, 1 / k, kind, measured)


def larger(share: Share, nodes: Sequence[Node], shortage: FailureKind) -> Share | None:
    """Return the next larger share, for a trial that ran out of memory; None where none helps.

    It is the whole GPU at once, as each share on the way would train anew, or twice the CPUs, so
    that fewer run beside it; its threads, and so its numbers, stay.
    """
    if shortage == FailureKind.OUT_OF_GPU_MEMORY:
        return replace(share, gpu=1.0, speed=1.0) if 0 < share.gpu < 1 else None
    most = max((node.cpu for node in nodes if places(node, share)), default=0.0)
    return replace(share, cpu=min(most, 2 * share.cpu)) if share.cpu < most else None


def remedy(share: Share, shortage: FailureKind) -> str:
    """Return what would help a trial that had the largest share and ran out of memory."""
    if shortage != FailureKind.OUT_OF_GPU_MEMORY:
        return (
            "it had the largest share there is, all CPUs of a machine; one with more memory helps"
        )
    gpus = max(1, round(share.gpu))
    had = "a whole GPU" if gpus == 1 else f"{gpus} whole GPUs"
    return (
        f"it had {had}; a smaller recipe.batch_size takes less, and resources.gpu: {2 * gpus} "
        f"divides each batch among {2 * gpus} GPUs"
    )


@dataclass(frozen=True)
class Ask:
    """One load to measure."""

    trial: Trial
    image_bytes: int
    """Bytes of a trial's images, of the trial that has the most."""


@dataclass(frozen=True)
class Measured:
    """What one load takes of one kind of GPU."""

    hardware: Hardware | None
    footprint: Footprint | None
    """The GPU, and what a trial takes of it; None where that was not measured."""
    k: int
    """Trials that the GPU holds at once, 0 for none; 1 where it was not measured."""

    @property
    def fit(self) -> tuple[int, float | None]:
        """Return how many trials are best placed on a GPU, 0 for none, and their `speed`."""
        if not self.footprint:
            return self.k, None
        k = worth_sharing(self.footprint, self.k)
        return k, speed(self.footprint, k)


def asks_of(study: Study, inputs: Inputs, trials: Iterable[Trial]) -> dict[Load, Ask]:
    """Return each load that trials put on a GPU, with what there is to measure of it."""
    asks: dict[Load, Ask] = {}
    # What a user's own takes cannot be tried on made-up images.
    for trial in trials if study.trainable == "classifier" else ():
        load = load_of(trial, inputs)
        n_images = trial.n_train + inputs.n_evaluated
        images = resident_bytes(n_images, trial.n_train, 3 * load.side**2)
        if load not in asks or asks[load].image_bytes < images:
            asks[load] = Ask(trial, images)
    return asks


def load_of(trial: Trial, inputs: Inputs) -> Load:
    """Return all that a trial's memory on a GPU depends on, but for the number of its images."""
    from trainables.data.dataset import decode_size

    sides = decode_size(trial.data, trial.recipe.sides) or inputs.sides or (0, 0)
    # Of a rectangle, the side of a square with as many pixels.
    return Load.of(trial, math.isqrt(sides[0] * sides[1]), max(inputs.n_validation, inputs.n_test))


def shares_foreseen(
    study: Study, inputs: Inputs, trials: Iterable[Trial], on_gpu: bool
) -> list[str]:
    """Return what a plan says of `gpu: auto` for the trials left: a sentence per known figure."""
    maker = unused_maker()
    if maker and not on_gpu:
        return [f"gpu: auto: only NVIDIA's GPUs are used, so {maker}'s here is not: CPUs train"]
    most, unknown, sentences = study.resources.max_trials_per_gpu or MOST, 0, []
    for load, ask in asks_of(study, inputs, trials).items():
        known = recorded(load)
        unknown += not known
        for hardware, footprint in known:
            kind = f", {hardware.auto}," if load.precision == "auto" else ""
            where = f"{load}{kind} on {hardware.gpu} ({byte_size(hardware.total_bytes)})"
            k = copies(hardware.total_bytes, footprint, ask.image_bytes, most)
            images = _on_gpu(ask.image_bytes, hardware.total_bytes / max(k, 1))
            taken = footprint.context_bytes + (footprint.peak_bytes or 0) + images
            fits = f"{byte_size(taken)} a trial, so at most {k} at once"
            fits += ", with images read ahead from the node's disk" * (images < ask.image_bytes)
            sentences.append(f"{where}: {fits if k else 'not even one fits'}")
    if unknown and (os.environ.get("RAY_ADDRESS") or on_gpu):
        sentences.append(
            f"gpu: auto: where Ray has GPUs, {count(unknown, 'kind')} of trial (model, batch "
            "size, image size, precision) will be measured first, about half a minute each"
        )
    return sentences


def has_gpu() -> bool:
    """Return whether trials can train on a GPU of this machine."""
    if sys.platform == "linux" and not any(any(Path("/dev").glob(name)) for name in _GPU_FILES):
        # Importing torch to be told so takes two seconds.
        return False
    from trainables.training.device import gpu_problem

    return gpu_problem() is None


def unused_maker() -> str:
    """Return the maker of a GPU of this machine that trials do not use; empty where none is."""
    is_mac = sys.platform == "darwin" and os.uname().machine == "arm64"
    return "Apple" if is_mac else "AMD" if _AMD.exists() else ""
