"""What trials take of each kind of GPU, remembered or measured. Imported once Ray is connected."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util import placement_group, remove_placement_group
from ray.util.scheduling_strategies import (
    NodeAffinitySchedulingStrategy,
    PlacementGroupSchedulingStrategy,
)

from orchestrator.placement.precision import natives_here
from orchestrator.placement.shares import Ask, Measured, copies, speed, worth_sharing
from trainables.errors import OutOfGpuMemory, first_line
from trainables.measure.footprint import Footprint, Hardware, Load, record, recorded
from trainables.measure.probe import Probe
from trainables.recipe import Precision
from trainables.work.actor import countable

PATIENCE_SECONDS = 120.0
"""How long a GPU may be taken by others before trials go on without having been measured."""
RATE_SECONDS = 3.0
"""Seconds of training that tell the images per second."""


@dataclass
class Survey:
    """Measures loads of so many CPUs on the kinds of GPU of a cluster, one after another.

    `most` trials may share a GPU, by Ray's name of its kind; `note` is told what is being measured;
    `precision` is what `auto` comes to; tests give a probe that counts on the CPU.
    """

    cpus: int
    most: Mapping[str, int]
    note: Callable[[str], None]
    probe: type[Probe] = Probe
    precision: Precision | None = None

    def take(self, asks: Mapping[Load, Ask]) -> dict[str, dict[Load, Measured]]:
        """Return what is found by kind that torch sees, and load; a whole GPU where that fails."""
        found: dict[str, dict[Load, Measured]] = {}
        for kind, most in self.most.items():
            try:
                with self._place(kind, most) as place:
                    probe = self._probe(place, *next(iter(asks.items())), 1)
                    hardware: Hardware | None = ray.get(probe.hardware.remote())
                    ray.kill(probe)
                    if hardware:
                        hardware = replace(hardware, auto=self.precision or hardware.auto)
                        found[kind] = {
                            load: self._load(place, most, hardware, load, ask)
                            for load, ask in asks.items()
                        }
            except (RayError, RuntimeError) as error:
                self.note(f"warning: not measured, so trials get whole GPUs: {first_line(error)}")
                found[kind] = dict.fromkeys(asks, Measured(None, None, 1))
        return found

    def _load(self, place: Any, most: int, hardware: Hardware, load: Load, ask: Ask) -> Measured:
        footprint = known = dict(recorded(load)).get(hardware)
        try:
            while k := _untried(hardware, footprint, ask, most):
                if footprint is known:
                    self.note(f"measuring {load} on {hardware.gpu}")
                context = footprint.context_bytes if footprint else None
                found = self._tried(place, load, ask, k, context)
                if footprint is None:
                    peak, taken, rate = found or (None, 0, None)
                    footprint = Footprint(taken, peak, rate)
                else:
                    shared = {**footprint.shared, k: float(found[-1]) if found else 0.0}
                    footprint = replace(footprint, shared=shared)
                record(load, hardware, footprint)
                if (gain := speed(footprint, k)) and k > 1:
                    how = "by MPS" if hardware.has_mps else "in turns; MPS would let them overlap"
                    self.note(f"{k} at once train {k * gain:.2f} times what one does, {how}")
        except (RayError, RuntimeError) as error:
            self.note(f"warning: {load} could not be measured: {first_line(error)}")
            return Measured(hardware, footprint, 1)
        return Measured(hardware, footprint, _fitting(hardware, footprint, ask, most))

    def _tried(
        self, place: Any, load: Load, ask: Ask, k: int, context: int | None
    ) -> tuple[int, int, float] | None:
        """Return bytes of tensors and context, and images per second, of each; None if too many."""
        probes = [self._probe(place, load, ask, k, context) for _ in range(k)]
        try:
            taken = ray.get([probe.measure.remote() for probe in probes])
            rates = ray.get([probe.rate.remote(RATE_SECONDS) for probe in probes])
        except RayTaskError as error:
            if not isinstance(error.cause, OutOfGpuMemory):
                raise
            return None
        finally:
            for probe in probes:
                ray.kill(probe)
        return *taken[0], sum(rates) / k

    def _probe(self, place: Any, load: Load, ask: Ask, k: int, context: int | None = None) -> Any:
        there = PlacementGroupSchedulingStrategy(place, 0)
        amounts = {"num_cpus": self.cpus, "num_gpus": countable(1 / k)}
        probe = ray.remote(self.probe).options(**amounts, scheduling_strategy=there)
        given = (ask.trial, load.side, load.evaluated, self.cpus)
        return probe.remote(*given, 1 / k, context, self.precision)

    @contextmanager
    def _place(self, kind: str, most: int) -> Iterator[Any]:
        """Hold a whole GPU of a kind, and CPUs of so many trials; RuntimeError if none is free."""
        named = {f"accelerator_type:{kind}": 0.001} if kind else {}
        bundle = {"GPU": 1.0, "CPU": float(self.cpus * most), **named}
        place = placement_group([bundle])
        try:
            if not ray.wait([place.ready()], timeout=PATIENCE_SECONDS)[0]:
                # Taken by others is not unseen by torch: trials wait their turn for it.
                free = f"no GPU with {bundle['CPU']:g} CPUs beside it was free to look at"
                raise RuntimeError(free)
            yield place
        finally:
            remove_placement_group(place)


def _fitting(hardware: Hardware, footprint: Footprint | None, ask: Ask, most: int) -> int:
    """Return how many trials a GPU holds, but for numbers that were tried and did not fit."""
    if footprint is None:
        return 1
    k = copies(hardware.total_bytes, footprint, ask.image_bytes, most)
    while k > 1 and footprint.shared.get(k) == 0:
        k = copies(hardware.total_bytes, footprint, ask.image_bytes, k - 1)
    return k


def _untried(hardware: Hardware, footprint: Footprint | None, ask: Ask, most: int) -> int:
    """Return how many trials at once are to be measured next; 0 where all is known."""
    k = _fitting(hardware, footprint, ask, most)
    if footprint is None:
        return 1
    # Where so many do not pay, half as many may.
    while k in footprint.shared and worth_sharing(footprint, k) == 1:
        k //= 2
    return k if k > 1 and k not in footprint.shared else 0


def natives_of_nodes(on_gpu: bool) -> dict[str, bool]:
    """Return by its name whether each device of the nodes that may train computes bf16."""
    alive = [node for node in ray.nodes() if node["Alive"]]
    places = [node["NodeID"] for node in alive if node["Resources"].get("GPU" if on_gpu else "CPU")]
    there = [NodeAffinitySchedulingStrategy(place, soft=False) for place in places]
    look = ray.remote(num_cpus=0, max_calls=1)(_natives_there)
    asked = [look.options(scheduling_strategy=place).remote(on_gpu) for place in there]
    found: dict[str, bool] = {}
    ready = ray.wait(asked, num_returns=len(asked), timeout=PATIENCE_SECONDS)[0] if asked else []
    for answer in ready:
        with suppress(RayError):
            found |= ray.get(answer)
    return found


def _natives_there(on_gpu: bool) -> dict[str, bool]:
    """Look at a node's devices in a process that ends with it: none is taken from a trial."""
    if not os.environ.get("CUDA_VISIBLE_DEVICES", "all"):
        # Ray hides them from whoever asks for none.
        del os.environ["CUDA_VISIBLE_DEVICES"]
    return natives_here(on_gpu)
