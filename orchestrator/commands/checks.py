"""What `doctor` looks at: each check takes plain facts and returns one verdict."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from results.phrases import byte_size

_FREE_BYTES = 5 * 2**30
"""Below that a decoded data set and a few checkpoints may not fit."""
_SLOW_DISK = 50e6
"""Bytes a second; below, decoded images are read more slowly than a GPU trains."""
_CLOCK_SECONDS = 5.0
_PROBE_BYTES = 2**25


class State(StrEnum):
    """What a check came to."""

    OK = "ok"
    WARNING = "warning"
    BROKEN = "broken"


@dataclass(frozen=True)
class Check:
    """One line of the doctor.

    Parameters
    ----------
    name
        What was looked at.
    state
        How it is.
    seen
        What was found.
    advice
        What to do; empty where all is well.
    """

    name: str
    state: State
    seen: str
    advice: str = ""


def python_check(version: tuple[int, int, int]) -> Check:
    """Judge Python's version."""
    seen = ".".join(map(str, version))
    if version < (3, 11, 0):
        return Check("Python", State.BROKEN, seen, "install Python 3.11 or newer")
    return Check("Python", State.OK, seen)


def package_check(name: str, version: str | None, problem: str | None = None) -> Check:
    """Judge a library that trials need.

    Parameters
    ----------
    version
        None where it cannot be imported.
    problem
        Why not.
    """
    if version is None:
        advice = f"install it again: pip install --force-reinstall {name}"
        return Check(name, State.BROKEN, problem or "not installed", advice)
    return Check(name, State.OK, version)


def cuda_check(built_for: str | None, is_available: bool, driver: str | None) -> Check:
    """Judge whether torch and the GPU's driver go together.

    Parameters
    ----------
    built_for
        The CUDA version that torch was built for; None for a CPU build.
    driver
        The driver's version; None where there is no NVIDIA driver.
    """
    seen = f"torch built for {built_for or 'the CPU'}, driver {driver or 'none'}"
    if driver and not is_available:
        advice = (
            "install a torch built for CUDA"
            if not built_for
            else (
                "update the driver (`nvidia-smi` must work), or install a torch for an older CUDA"
            )
        )
        return Check("CUDA", State.BROKEN, f"{seen}; torch sees no GPU", advice)
    if built_for and not driver:
        return Check("CUDA", State.OK, f"{seen}; trials run on the CPU")
    return Check("CUDA", State.OK, seen)


def mps_check(is_available: bool, platform: str) -> Check:
    """Say whether Apple's GPU is there: trials do not use it."""
    if is_available:
        return Check("MPS", State.WARNING, "Apple GPU seen", "trials run on the CPU; expect that")
    return Check("MPS", State.OK, f"none on {platform}")


def ray_check(address: str | None, seconds: float | None, problem: str | None = None) -> Check:
    """Judge whether Ray starts, or the cluster named can be reached."""
    where = f"cluster at {address}" if address else "private Ray on this machine"
    if seconds is None:
        advice = (
            "check --address and RAY_ADDRESS"
            if address
            else ("free memory and disk under the temporary folder; a shorter RAY_TMPDIR may help")
        )
        return Check("Ray", State.BROKEN, f"{where}: {problem}", advice)
    return Check("Ray", State.OK, f"{where}, ready in {seconds:.1f} s")


def devices_check(torch_gpus: int, ray_gpus: float, ray_cpus: float, nodes: int) -> Check:
    """Compare the devices that Ray hands out with those that torch sees on this machine."""
    seen = f"Ray: {ray_cpus:g} CPUs, {ray_gpus:g} GPUs on {nodes} node(s); torch: {torch_gpus} GPUs"
    if ray_cpus < 1:
        return Check("devices", State.BROKEN, seen, "a trial needs a CPU: start Ray with one")
    if nodes == 1 and ray_gpus > torch_gpus:
        advice = "Ray counts GPUs that torch does not see: install a torch built for CUDA"
        return Check("devices", State.WARNING, seen, advice)
    if nodes == 1 and torch_gpus > ray_gpus:
        advice = (
            "Ray hands out fewer GPUs than there are: check CUDA_VISIBLE_DEVICES and --num-gpus"
        )
        return Check("devices", State.WARNING, seen, advice)
    return Check("devices", State.OK, seen)


def disk_check(name: str, free: int, bytes_per_second: float) -> Check:
    """Judge the room and the writing speed of a folder's disk."""
    seen = f"{byte_size(free)} free, {bytes_per_second / 1e6:.0f} MB/s written"
    if free < _FREE_BYTES / 10:
        return Check(name, State.BROKEN, seen, "make room: a run needs half a GiB at least")
    if free < _FREE_BYTES:
        return Check(name, State.WARNING, seen, "make room: decoded images and checkpoints grow")
    if bytes_per_second < _SLOW_DISK:
        return Check(name, State.WARNING, seen, "slow: a local disk trains faster")
    return Check(name, State.OK, seen)


def probe_disk(folder: Path) -> tuple[int, float]:
    """Return the free bytes of a folder's disk and the bytes a second written to it.

    Raises
    ------
    OSError
        Nothing can be written there.
    """
    while not folder.exists():
        folder = folder.parent
    file = folder / f".scalestudy-probe-{time.monotonic_ns()}"
    block = bytes(_PROBE_BYTES)
    started = time.perf_counter()
    try:
        with file.open("wb", buffering=0) as handle:
            handle.write(block)
    finally:
        seconds = time.perf_counter() - started
        file.unlink(missing_ok=True)
    return shutil.disk_usage(folder).free, _PROBE_BYTES / max(seconds, 1e-9)


def clock_check(seconds_off: float) -> Check:
    """Judge how far the clock is from the file system's, by which a lock's age is told."""
    seen = f"{seconds_off:+.1f} s from the disk's clock"
    if abs(seconds_off) > _CLOCK_SECONDS:
        return Check("clock", State.WARNING, seen, "set the clocks by NTP: locks go by them")
    return Check("clock", State.OK, seen)


def study_check(problem: str | None, found: str) -> Check:
    """Judge whether a study's data, weights and models can be had."""
    if problem:
        return Check("study", State.BROKEN, problem, "mend the study, or put the files there")
    return Check("study", State.OK, found)


def cache_check(cached: Sequence[str], is_reachable: bool, host: str) -> Check:
    """Say which pretrained weights are here, and whether others can be downloaded."""
    seen = f"{len(cached)} weights files cached, {host} {'' if is_reachable else 'not '}reachable"
    if not is_reachable:
        advice = "only cached weights, weights from files and none can be used here"
        return Check("weights", State.WARNING, seen, advice)
    return Check("weights", State.OK, seen)
