"""What a pass ran on, as its environment record holds it: named facts, no variables."""

import os
import platform
import re
import socket
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from itertools import takewhile
from pathlib import Path
from typing import Any

from trainables.machine import memory_limit
from trainables.trial import TRAINING_VERSION

COMMIT_VARIABLE = "SCALESTUDY_COMMIT"
"""Holds the commit that a study was submitted from: the cluster has no checkout."""


def describe(cpus: float, gpus: float) -> dict[str, Any]:
    """Return the environment columns of this machine, with the whole cluster's CPUs and GPUs."""
    # Only where it is loaded already: a simulated study never needs it.
    torch = sys.modules.get("torch")
    words = takewhile(lambda word: not word.startswith("-"), sys.argv[1:])
    cuda = torch.cuda if torch and torch.cuda.is_available() else None
    return {
        "started_at": datetime.now(UTC),
        "host": socket.gethostname(),
        "training_version": TRAINING_VERSION,
        "python": platform.python_version(),
        **{name: _version(name) for name in ("scalestudy", "torch", "torchvision", "ray")},
        "cuda": torch.version.cuda if torch and cuda else None,
        "git_commit": os.environ.get(COMMIT_VARIABLE) or git_commit(),
        "platform": platform.platform(),
        "cpu_model": _cpu_model(),
        "cpus": cpus,
        "gpus": gpus,
        "gpu_model": cuda.get_device_name() if cuda else None,
        "memory_bytes": memory_limit(),
        # Without flags, whose values might be secrets.
        "command": " ".join([Path(sys.argv[0]).name, *words]),
    }


def _version(package: str) -> str | None:
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(package)
    return None


def _cpu_model() -> str | None:
    with suppress(OSError):
        found = re.search(r"^model name[^:\n]*:(.*)", Path("/proc/cpuinfo").read_text(), re.M)
        return found[1].strip() if found else None
    return platform.processor() or None


def git_commit() -> str | None:
    """Return the commit of the working directory, where it is a checkout."""
    return first_word("git", "rev-parse", "HEAD")


def first_word(*command: str) -> str | None:
    """Return the first word that a command prints; None where it fails, or is not there."""
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        return next(iter(done.stdout.split()), None)
    return None
