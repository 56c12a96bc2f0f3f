"""The command `doctor`: whether this machine can run studies, and what to do where it cannot."""

import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.commands import checks
from orchestrator.commands.checks import Check, State
from orchestrator.commands.usage import Json, one_document, see_own_modules

_WEIGHTS_HOST = "download.pytorch.org"
_STYLES = {State.OK: "green", State.WARNING: "yellow", State.BROKEN: "red"}


def doctor(
    study: Annotated[
        Path | None, typer.Argument(help="A study file: its data and weights are looked at too.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="A Ray cluster's address.", show_default="RAY_ADDRESS")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say whether this machine can run studies; each line ok, warning or broken."""
    with one_document(as_json) as document:
        see_own_modules()
        found = []
        for check in examine(study, address or os.environ.get("RAY_ADDRESS") or None):
            found.append(check)
            if not as_json:
                _print(check)
        document["checks"] = [
            {"name": c.name, "state": c.state.value, "seen": c.seen, "advice": c.advice}
            for c in found
        ]
        broken = sum(check.state is State.BROKEN for check in found)
        document["broken"] = broken
    raise typer.Exit(1 if broken else 0)


def examine(study: Path | None, address: str | None) -> Iterator[Check]:
    """Yield one verdict after the other, each as soon as it is known."""
    yield checks.python_check((sys.version_info[0], sys.version_info[1], sys.version_info[2]))
    modules: dict[str, Any] = {}
    for name in ("torch", "torchvision", "ray"):
        yield _package(name, modules)
    torch = modules.get("torch")
    if torch:
        driver = _driver()
        yield checks.cuda_check(torch.version.cuda, torch.cuda.is_available(), driver)
        yield checks.mps_check(torch.backends.mps.is_available(), platform.system())
    if modules.get("ray"):
        yield from _ray(address, torch.cuda.device_count() if torch else 0)
    for name, folder in (("disk of runs", Path.cwd()), ("disk of temporary files", _temporary())):
        yield _disk(name, folder)
    yield _clock()
    if torch:
        yield checks.cache_check(
            _cached_weights(torch), _is_reachable(_WEIGHTS_HOST, 443), _WEIGHTS_HOST
        )
    if study:
        yield _study(study)


def _package(name: str, modules: dict[str, Any]) -> Check:
    try:
        modules[name] = import_module(name)
    except Exception as error:  # a broken library raises anything when it is imported
        return checks.package_check(name, None, f"{type(error).__name__}: {error}")
    return checks.package_check(name, str(modules[name].__version__))


def _driver() -> str | None:
    if not shutil.which("nvidia-smi"):
        return None
    words = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.split()
    return lines[0] if lines and done.returncode == 0 else None


def _ray(address: str | None, torch_gpus: int) -> Iterator[Check]:
    from orchestrator.drivers.connection import cluster
    from orchestrator.errors import RunError

    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    # Ray itself tries for minutes where nobody listens.
    if port.isdigit() and not _is_reachable(host, int(port)):
        yield checks.ray_check(address, None, "nobody listens there")
        return
    started = time.monotonic()
    try:
        with cluster(address) as nodes:
            yield checks.ray_check(address, time.monotonic() - started)
            cpus, gpus = sum(node.cpu for node in nodes), sum(node.gpu for node in nodes)
            yield checks.devices_check(torch_gpus, gpus, cpus, len(nodes))
    except RunError as error:
        yield checks.ray_check(address, None, str(error))


def _temporary() -> Path:
    return Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir())


def _disk(name: str, folder: Path) -> Check:
    try:
        return checks.disk_check(name, *checks.probe_disk(folder))
    except OSError as error:
        seen = f"{folder}: {error.strerror}"
        return Check(name, State.BROKEN, seen, "work in a folder that can be written to")


def _clock() -> Check:
    with tempfile.NamedTemporaryFile() as file:
        return checks.clock_check(time.time() - os.fstat(file.fileno()).st_mtime)


def _cached_weights(torch: Any) -> list[str]:
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    return sorted(file.name for file in folder.glob("*.pth"))


def _is_reachable(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=3).close()
    except OSError:
        return False
    return True


def _study(file: Path) -> Check:
    from orchestrator.errors import StudyError
    from orchestrator.study.file import load_study
    from orchestrator.study.inputs import find_inputs
    from results.phrases import count, listed

    try:
        study = load_study(file)
        inputs = find_inputs(study)
    except StudyError as error:
        return checks.study_check(str(error), "")
    found = [f"{inputs.n_train} training images", f"{inputs.n_classes} classes"]
    pretrained = sum(label != "none" for _, label in inputs.weights)
    if pretrained:
        found.append(count(pretrained, "pretrained model"))
    return checks.study_check(None, f"{file}: {listed(found)}")


def _print(check: Check) -> None:
    from rich.console import Console
    from rich.text import Text

    line = Text(f"{check.state.value:<8}", style=_STYLES[check.state])
    line.append(f"{check.name}: {check.seen}", style="default")
    if check.advice:
        line.append(f"; {check.advice}", style="bold default")
    Console(highlight=False, soft_wrap=True).print(line)
