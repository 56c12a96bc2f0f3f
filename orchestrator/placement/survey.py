"""What trials take of each kind of GPU, remembered or measured. Imported once Ray is connected."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError
from ray.util import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from orchestrator.placement.shares import Ask, Measured, copies, speed, worth_sharing
from trainables.errors import OutOfGpuMemory, first_line
from trainables.measure.footprint import Footprint, Hardware, Load, record, recorded
from trainables.measure.probe import Probe
from trainables.work.actor import countable

PATIENCE_SECONDS = 120.0
"""How long a GPU may be taken by others before trials go on without having been measured."""
RATE_SECONDS = 3.0
"""Seconds of training that tell the images per second."""


class Survey:
    """Measures loads on the kinds of GPU of a cluster, one after another.

    Each trial has some CPUs; `most` is the most trials that may share a GPU, by Ray's name of the
    kind of GPU; `note` is told what is being measured; tests give a probe that counts on the CPU.
    """

    def __init__(
        self,
        cpus: int,
        most: Mapping[str, int],
        note: Callable[[str], None],
        probe: type[Probe] = Probe,
    ) -> None:
        self._cpus, self._most, self._note, self._kind = cpus, most, note, probe
        self._busy: set[str] = set()

    def take(self, asks: Mapping[Load, Ask]) -> dict[str, dict[Load, Measured]]:
        """Return what is found by kind and load; kinds whose GPUs torch does not see are left out.

        Where no GPU is free within two minutes, or a probe fails in another way than for want of
        memory, a trial gets a whole GPU: nothing waits for ever.
        """
        found: dict[str, dict[Load, Measured]] = {}
        for kind in self._most:
            ask = next(iter(asks.items()))
            try:
                hardware = self._hardware(kind, *ask)
            except (RayError, RuntimeError) as error:
                self._note(f"warning: not measured, so trials get whole GPUs: {first_line(error)}")
                found[kind] = dict.fromkeys(asks, Measured(None, None, 1))
                continue
            if hardware:
                found[kind] = {load: self._load(kind, hardware, load, asks[load]) for load in asks}
        return found

    def _hardware(self, kind: str, load: Load, ask: Ask) -> Hardware | None:
        with self._place(kind, 1) as place:
            if place is None:
                # Taken by others is not unseen by torch: trials wait their turn for it.
                raise RuntimeError("no GPU was free to look at")
            probe = self._probe(place, load, ask, 1)
            hardware: Hardware | None = ray.get(probe.hardware.remote())
            ray.kill(probe)
            return hardware

    def _load(self, kind: str, hardware: Hardware, load: Load, ask: Ask) -> Measured:
        footprint = dict(recorded(load)).get(hardware)
        k = self._k(kind, hardware, footprint, ask)
        if footprint is None or (k > 1 and k not in footprint.shared):
            self._note(f"measuring {load} on {hardware.gpu}")
            try:
                footprint = self._measured(kind, hardware, load, ask, footprint)
            except (RayError, RuntimeError) as error:
                self._note(f"warning: {load} could not be measured: {first_line(error)}")
                return Measured(hardware, footprint, 1)
            if footprint:
                record(load, hardware, footprint)
            k = self._k(kind, hardware, footprint, ask)
        return Measured(hardware, footprint, k)

    def _k(self, kind: str, hardware: Hardware, footprint: Footprint | None, ask: Ask) -> int:
        if footprint is None:
            return 1
        most = self._most[kind]
        # A number of trials that was tried and did not fit is not tried again.
        while (k := copies(hardware.total_bytes, footprint, ask.image_bytes, most)) > 1:
            if footprint.shared.get(k) != 0:
                return k
            most = k - 1
        return k

    def _measured(
        self, kind: str, hardware: Hardware, load: Load, ask: Ask, known: Footprint | None
    ) -> Footprint | None:
        if kind in self._busy:
            # Waited for once already.
            return known
        with self._place(kind, self._most[kind]) as place:
            if place is None:
                self._busy.add(kind)
                self._note(f"warning: no GPU was free to measure {load}; trials get a whole one")
                return known
            footprint = known or self._alone(place, load, ask)
            while (k := self._k(kind, hardware, footprint, ask)) > 1:
                # Where so many do not pay, half as many may.
                while k in footprint.shared and worth_sharing(footprint, k) == 1:
                    k //= 2
                if k == 1 or k in footprint.shared:
                    break
                try:
                    rate = self._together(place, load, ask, k, footprint.context_bytes)
                except (RayError, RuntimeError):
                    # What one takes alone is known, and worth keeping.
                    record(load, hardware, footprint)
                    raise
                footprint = replace(footprint, shared={**footprint.shared, k: rate})
                if gain := speed(footprint, k):
                    how = "by MPS" if hardware.has_mps else "in turns; MPS would let them overlap"
                    self._note(f"{k} at once train {k * gain:.2f} times what one does, {how}")
            return footprint

    def _alone(self, place: Any, load: Load, ask: Ask) -> Footprint:
        probe = self._probe(place, load, ask, 1)
        try:
            peak, context = ray.get(probe.measure.remote())
            return Footprint(context, peak, ray.get(probe.rate.remote(RATE_SECONDS)))
        except RayTaskError as error:
            if not isinstance(error.cause, OutOfGpuMemory):
                raise
            return Footprint(0, None, None)
        finally:
            ray.kill(probe)

    def _together(self, place: Any, load: Load, ask: Ask, k: int, context: int) -> float:
        """Return the images per second of each of k trials at once; 0 where they do not fit."""
        probes = [self._probe(place, load, ask, k, context) for _ in range(k)]
        try:
            ray.get([probe.measure.remote() for probe in probes])
            rates = ray.get([probe.rate.remote(RATE_SECONDS) for probe in probes])
            return float(sum(rates) / k)
        except RayTaskError as error:
            if not isinstance(error.cause, OutOfGpuMemory):
                raise
            return 0.0
        finally:
            for probe in probes:
                ray.kill(probe)

    def _probe(self, place: Any, load: Load, ask: Ask, k: int, context: int | None = None) -> Any:
        return (
            ray.remote(self._kind)
            .options(
                num_cpus=self._cpus,
                num_gpus=countable(1 / k),
                scheduling_strategy=PlacementGroupSchedulingStrategy(place, 0),
            )
            .remote(ask.trial, load.side, load.evaluated, self._cpus, 1 / k, context)
        )

    @contextmanager
    def _place(self, kind: str, most: int) -> Iterator[Any]:
        """Hold one whole GPU of a kind, with CPUs for so many trials; None where none is free."""
        bundle = {"GPU": 1.0, "CPU": float(self._cpus * most)}
        if kind:
            bundle[f"accelerator_type:{kind}"] = 0.001
        place = placement_group([bundle])
        try:
            ray.get(place.ready(), timeout=PATIENCE_SECONDS)
            held = True
        except GetTimeoutError:
            held = False
        try:
            yield place if held else None
        finally:
            remove_placement_group(place)
