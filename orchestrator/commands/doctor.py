"""The command `doctor`: whether this machine can run studies, and what to do where it cannot."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from orchestrator.commands.usage import Json, one_document, see_own_modules
from orchestrator.errors import RunError, StudyError
from results.phrases import byte_size, count

_FREE_BYTES = 5 * 2**30
"""Below that a decoded data set and a few checkpoints may not fit."""


class State(StrEnum):
    """What a check came to."""

    OK = "ok"
    WARNING = "warning"
    BROKEN = "broken"


@dataclass(frozen=True)
class Check:
    """One line of the doctor."""

    name: str
    state: State
    seen: str
    advice: str = ""


_COLOURS = {State.OK: "green", State.WARNING: "yellow", State.BROKEN: "red"}


def doctor(
    study: Annotated[
        Path | None, typer.Argument(help="A study file: its data and weights are looked at too.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="A Ray cluster's address.", show_default="RAY_ADDRESS")
    ] = None,
    gpu: Annotated[
        bool,
        typer.Option("--gpu", help="Prove what holds on a GPU here: about 5 minutes, without Ray."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Say whether this machine can run studies; each line ok, warning or broken."""
    with one_document(as_json) as document:
        see_own_modules(study)
        found = []
        address = address or os.environ.get("RAY_ADDRESS") or None
        for check in _proven() if gpu else examine(study, address):
            found.append(check)
            if not as_json:
                line = f"{check.state:<8}{check.name}: {check.seen}; {check.advice}"
                typer.secho(line.removesuffix("; "), fg=_COLOURS[check.state])
        document["checks"] = [asdict(check) for check in found]
        broken = document["broken"] = sum(check.state is State.BROKEN for check in found)
    raise typer.Exit(1 if broken else 0)


def _proven() -> Iterator[Check]:
    """Yield what the trainer is shown to do on a GPU, or on the CPU where torch can use none."""
    from trainables.measure.proof import prove
    from trainables.training.device import gpu_problem

    if problem := gpu_problem():
        advice = "what follows is tried on the CPU, for a minute or two, and proves no GPU"
        yield Check("gpu", State.WARNING, f"none that torch can use: {problem}", advice)
    for name, holds, seen in prove():
        yield Check(name, State.BROKEN if holds is False else State.OK, json.dumps(seen))


def examine(study: Path | None, address: str | None) -> Iterator[Check]:
    """Yield one verdict after the other, each as soon as it is known."""
    modules: dict[str, ModuleType] = {}
    for name in ("torch", "torchvision", "ray"):
        yield package_check(name, modules)
    if "torch" in modules:
        from orchestrator.placement.environment import first_word
        from orchestrator.placement.shares import unused_maker
        from trainables.training.device import gpu_names, gpu_needs, gpu_problem

        problem = gpu_problem()
        driver = first_word("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
        yield cuda_check([] if problem else gpu_names(), driver, problem, gpu_needs())
        if maker := unused_maker():
            advice = "trials use NVIDIA's alone, and run on the CPU here"
            yield Check("other GPUs", State.WARNING, f"of {maker}", advice)
    if "ray" in modules:
        yield _ray(address)
    yield disk_check("disk of runs", Path.cwd())
    temporary = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    yield disk_check("disk of temporary files", Path(temporary))
    if study:
        yield study_check(study)


def package_check(name: str, modules: dict[str, ModuleType]) -> Check:
    """Import a library that trials need, and add it to those that can be."""
    try:
        modules[name] = import_module(name)
    except Exception as error:  # a broken library raises anything when it is imported
        advice = f"install it again: pip install --force-reinstall {name}"
        return Check(name, State.BROKEN, f"{type(error).__name__}: {error}", advice)
    return Check(name, State.OK, str(modules[name].__version__))


def cuda_check(gpus: list[str], driver: str | None, problem: str | None, needs: str) -> Check:
    """Judge whether torch, which has its needs, can use a GPU; `problem` says why it cannot."""
    is_there = driver or any(words in str(problem) for words in ("too old", "the GPU has"))
    seen = problem or f"{', '.join(gpus)}; torch needs {needs}"
    seen += f"; driver {driver}" if driver else ""
    seen += "" if is_there or gpus else "; trials run on the CPU"
    mend = "update the driver, or install a torch that is built for it"
    slices = "Ray counts a MIG slice as a GPU where CUDA_VISIBLE_DEVICES lists all: list them"
    if problem and is_there:
        return Check("CUDA", State.BROKEN, seen, mend)
    if any("MIG " in name for name in gpus):
        return Check("CUDA", State.WARNING, seen, slices)
    return Check("CUDA", State.OK, seen)


def _ray(address: str | None) -> Check:
    from orchestrator.drivers.connection import cluster
    from orchestrator.placement.shares import described

    where = f"cluster at {address}" if address else "private Ray on this machine"
    started = time.monotonic()
    try:
        with cluster(address) as nodes:
            seen = f"{where}, ready in {time.monotonic() - started:.1f} s; {described(nodes)}"
            if not any(node.cpu >= 1 for node in nodes):
                return Check("Ray", State.BROKEN, seen, "a trial needs a CPU: start Ray with one")
            return Check("Ray", State.OK, seen)
    except RunError as error:
        room = "free memory and disk under the temporary folder; a shorter RAY_TMPDIR may help"
        advice = "check --address and RAY_ADDRESS" if address else room
        return Check("Ray", State.BROKEN, f"{where}: {error}", advice)


def study_check(file: Path) -> Check:
    """Judge whether a study's data, weights and models can be had."""
    from orchestrator.study.file import load_study
    from orchestrator.study.inputs import find_inputs

    try:
        inputs = find_inputs(load_study(file))
    except StudyError as error:
        return Check("study", State.BROKEN, str(error), "mend the study, or put the files there")
    read = inputs.inventory
    found = [*map(str, (read, *read.notes))] if read else []
    if pretrained := sum(label != "none" for _, label in inputs.weights):
        found.append(count(pretrained, "pretrained model"))
    return Check("study", State.OK, f"{file}: {', '.join(found)}")


def disk_check(name: str, folder: Path) -> Check:
    """Judge the free bytes of the disk that a folder is on, or would be."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(there).free
    seen = f"{there}: {byte_size(free)} free"
    if not os.access(there, os.W_OK):
        return Check(name, State.BROKEN, seen, "work in a folder that can be written to")
    if free < _FREE_BYTES / 10:
        return Check(name, State.BROKEN, seen, "make room: a run needs half a GiB at least")
    if free < _FREE_BYTES:
        return Check(name, State.WARNING, seen, "make room: decoded images and checkpoints grow")
    return Check(name, State.OK, seen)
