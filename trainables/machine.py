"""What this process may use of the machine: CPUs, number formats, memory and disk."""

import ctypes
import gc
import os
import resource
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path

import psutil

_GROUPS = (
    ("memory.max", "memory.current", ""),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
)
"""Files of a group's limit and use of memory, and how its statistics begin, by versions 2 and 1."""
_GIVEN = ("SLURM_CPUS_PER_TASK", "PBS_NCPUS", "NSLOTS", "LSB_DJOB_NUMPROC")
"""Variables in which Slurm, PBS, Grid Engine and LSF say how many CPUs a job was given."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's settings (`malloc.h`): most bytes kept, least of a block of the system's."""


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep Python from looking for garbage: that is a quarter of the time that imports take."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def keep_memory() -> None:
    """Have the C library keep what it is given back, where it is glibc, for as long as this runs.

    Otherwise the system clears each page that it hands out anew, in every update (what that costs:
    benchmarks/README.md). Blocks above 32 MiB stay so.
    """
    with suppress(AttributeError):
        adjust = ctypes.CDLL(None).mallopt
        adjust(_MMAP_THRESHOLD, 2**25)  # the most that it takes
        adjust(_TRIM_THRESHOLD, 2**31 - 1)


def give_memory_back() -> None:
    """Give the system all memory that is kept and not in use, where the C library is glibc."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def usable_cpus(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the CPUs that this process may use, by whatever limits them."""
    return max(1, int(min(cpu_limits(groups))[0]))


def cpu_limits(groups: Path) -> Iterator[tuple[float, str]]:
    """Yield how many CPUs this process may use by each thing that limits it, and what that is."""
    yield os.cpu_count() or 1, ""
    if hasattr(os, "sched_getaffinity"):
        yield len(os.sched_getaffinity(0)), "this process is bound to them"
    for name in _GIVEN:
        if os.environ.get(name, "").isdigit() and int(os.environ[name]):
            yield int(os.environ[name]), f"{name} says so"
    for group in control_groups("cpu", groups):
        # The second version of control groups, and the first.
        for files in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
            with suppress(OSError, ValueError):  # no such group, or "max": no quota
                quota, period = " ".join((group / file).read_text() for file in files).split()
                if int(quota) > 0:
                    yield int(quota) / int(period), "the quota of a container or group"


def cpu_computes_bf16() -> bool:
    """Return whether the CPU multiplies bfloat16 in hardware, not by way of float32."""
    with suppress(OSError):
        flags = Path("/proc/cpuinfo").read_text().split()
        return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags)
    return False


def memory_limit(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the bytes of memory that this process may use: the machine's, or a container's."""
    limit: int = psutil.virtual_memory().total
    for group, (name, _, _) in product(control_groups("memory", groups), _GROUPS):
        with suppress(OSError, ValueError):
            limit = min(limit, int((group / name).read_text()))
    return limit


def available_memory(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the bytes of memory to be had without swapping or passing a container's limit."""
    available: int = psutil.virtual_memory().available
    for group, (limit, used, whole) in product(control_groups("memory", groups), _GROUPS):
        with suppress(OSError, ValueError):  # no such group, or "max": no limit
            counted = _table(group / "memory.stat")
            spare = int((group / limit).read_text()) - int((group / used).read_text())
            # What is read from files can be given back.
            files = (counted.get(f"{whole}{kind}active_file", 0) for kind in ("in", ""))
            available = min(available, spare + sum(map(int, files)))
    return max(available, 0)


def memory_kills(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return how many processes of this one's control group the system ended for their memory."""
    for group in sorted(control_groups("memory", groups), key=lambda place: -len(place.parts)):
        for name in ("memory.events", "memory.oom_control"):
            with suppress(OSError, LookupError, ValueError):
                return int(_table(group / name)["oom_kill"])
    return 0


def _table(file: Path) -> dict[str, str]:
    return dict(line.split() for line in file.read_text().splitlines())


def peak_memory() -> int:
    """Return the most bytes of main memory that this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def free_disk(folder: Path) -> int:
    """Return the bytes that this user may still write to the disk of a folder, made or not."""
    while not os.access(folder, os.F_OK):
        folder = folder.parent
    return shutil.disk_usage(folder).free


def control_groups(kind: str, groups: Path = Path("/sys/fs/cgroup")) -> list[Path]:
    """Return the folders of this process's control groups for cpu or memory, outer ones too."""
    found = [groups, groups / kind]
    with suppress(OSError):  # not Linux
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            number, names, way = line.split(":", 2)
            if number == "0" or kind in names.split(","):
                own = (groups if number == "0" else groups / kind) / way.lstrip("/")
                found += [place for place in (own, *own.parents) if place.is_relative_to(groups)]
    return list(dict.fromkeys(found))
