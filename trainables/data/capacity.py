"""How much disk and memory this node has left."""

import os
import shutil
from pathlib import Path

_GROUPS = (
    ("memory.max", "memory.current", "memory.stat", ("inactive_file", "active_file")),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        ("total_inactive_file", "total_active_file"),
    ),
)
"""Limit, use, and the part of the use that can be given back: control groups version 2 and 1."""


def free_disk(folder: Path) -> int:
    """Return the bytes that this user may still write where a folder is or would be made."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def available_memory(
    meminfo: Path = Path("/proc/meminfo"), groups: Path = Path("/sys/fs/cgroup")
) -> int:
    """Return the bytes that can be filled without swapping or passing a container's limit."""
    try:
        fields = dict(line.split(":") for line in meminfo.read_text().splitlines())
        available = int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):  # not Linux
        available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for limit, used, statistics, reclaimable in _GROUPS:
        try:
            counted = dict(line.split() for line in (groups / statistics).read_text().splitlines())
            spare = int((groups / limit).read_text()) - int((groups / used).read_text())
        except (OSError, ValueError):  # no such group, or "max": no limit
            continue
        available = min(available, spare + sum(int(counted.get(name, 0)) for name in reclaimable))
    return max(available, 0)


def in_words(n_bytes: int) -> str:
    """Return a size such as "1.5 GiB"."""
    size, units = float(n_bytes), iter(("KiB", "MiB", "GiB", "TiB", "PiB"))
    unit = "bytes"
    while size >= 1024 and (larger := next(units, None)) is not None:
        size, unit = size / 1024, larger
    return f"{size:.1f} {unit}" if unit != "bytes" else f"{n_bytes} bytes"
