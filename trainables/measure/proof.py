"""What can be shown of a GPU by running the real trainer on it. Ray-free."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.nn.functional as F

from trainables.data.batches import crop_and_flip, derive_seed, draw_crops
from trainables.measure.probe import Probe, gpu_seen, made_up
from trainables.models.facts import anatomy
from trainables.models.networks import hash_state
from trainables.models.rehearsal import fresh_model
from trainables.models.taps import LiveTaps
from trainables.recipe import Recipe
from trainables.training.classifier import Classifier
from trainables.training.device import computes_bf16, gpu_names, gpu_needs, gpu_problem
from trainables.training.learner import Paused, Row
from trainables.training.parallel import Group, meet
from trainables.trial import Source, Trial, Weights

_CLOSE = 2e-3
"""Relative difference of losses that fp32 may have between GPU and CPU: sums in other orders."""
_SECONDS = 5.0
"""Seconds that each speed is taken over."""
_SPAWN = multiprocessing.get_context("spawn")
_SIDE, _CLASSES, _IMAGES = 32, 10, 256
_TESTED = 32  # images, few: a CPU evaluates a ViT as well
_Found = tuple[bool | None, dict[str, Any]]
"""As `prove` yields it; figures are in bytes, seconds, or as named."""


def prove() -> Iterator[tuple[str, bool | None, dict[str, Any]]]:
    """Try one thing after the other on the first GPU that is seen, else on the CPU.

    Each yields its name, whether it is as promised, None where that cannot be said, and its
    figures; an error is its result. It takes about five minutes on a GPU.
    """
    if gpus := torch.cuda.device_count():
        # A trial owns what it sees. Torch has counted without looking closely.
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.partition(",")[0]
    device = "cpu" if gpu_problem() else "cuda"
    proofs = [_machine, _agrees_with_the_cpu, _repeats, _augments_alike]
    if device == "cuda":
        proofs += [_captures, _waits_for_nothing, _takes_memory, _is_capped, _gains_by_taps]
        proofs += [_shares, _divides] if gpus > 1 else [_shares]
    for proof in proofs:
        started = time.perf_counter()
        try:
            holds, seen = proof(device)
        except Exception as error:  # the rest is of use, whatever it is
            holds, seen = False, {"error": f"{type(error).__name__}: {error}"}
        seconds = time.perf_counter() - started
        yield proof.__name__.strip("_").replace("_", " "), holds, {**seen, "seconds": seconds}


def _trial(model: str = "resnet18", **recipe: Any) -> Trial:
    settings = {"steps": 16, "evaluations": 2, "batch_size": 64, "lr": 0.01, "precision": "fp32"}
    size = {"image_size": 224, "steps": 2, "batch_size": 8} if model.startswith("vit") else {}
    data: dict[str, Any] = {"data": Source(validation="test"), "fingerprint": "made up"}
    data |= {"n_classes": _CLASSES, "n_pool": _IMAGES, "n_train": _IMAGES, "fraction": 1.0}
    made = Recipe(**{**settings, **size, **recipe})
    return Trial(**data, model=model, weights=Weights(), seed=0, recipe=made)


def _learner(device: str, trial: Trial, group: Group | None = None) -> Classifier:
    dataset = made_up(_IMAGES, _TESTED, _SIDE, _CLASSES)
    return Classifier(trial, device=device, dataset=dataset, group=group, cpus=4)


def _apart(ours: float, theirs: float) -> float:
    return abs(ours - theirs) / max(abs(theirs), 1e-12)


def _losses(row: Row) -> dict[str, float]:
    return {name: row[name] for name in ("train_loss", "test_loss")}


def _machine(device: str) -> _Found:
    """Say what there is: GPU, driver, torch, and what it was built for."""
    seen: dict[str, Any] = {
        "torch": torch.__version__,
        "gpus": gpu_names() if device == "cuda" else [],
        "needs": gpu_needs(),
        "problem": gpu_problem(),
        "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }
    if not (hardware := gpu_seen()):
        return None, seen
    seen |= {"driver": hardware.driver, "memory": hardware.total_bytes}
    seen |= {"multi-process service": hardware.has_mps, "built for": torch.cuda.get_arch_list()}
    return True, {**seen, "bf16": computes_bf16(torch.device(device))}


def _agrees_with_the_cpu(device: str) -> _Found:
    """Train and evaluate an interval in fp32 here and on the CPU: losses are close."""
    seen = {}
    for model in ("resnet18", "mobilenet_v3_small", "vit_b_16"):
        trial = _trial(model, steps=2, evaluations=1, optimizer="sgd")
        here, there = (_losses(_learner(each, trial).step()) for each in (device, "cpu"))
        seen[model] = max(_apart(here[name], there[name]) for name in here)
    return max(seen.values()) < _CLOSE, seen


def _repeats(device: str) -> _Found:
    """Train a trial twice, and a third that is saved in an interval and goes on: bit for bit."""
    seen = {}
    for precision in ("fp32", "bf16") if computes_bf16(torch.device(device)) else ("fp32",):
        for model in ("resnet18", "vit_b_16"):
            trial = _trial(model, precision=precision, augmentation="standard")
            first, again, resumed = (_learner(device, trial) for _ in range(3))
            rows = [[_losses(learner.step()) for _ in range(2)] for learner in (first, again)]
            half = _learner(device, trial)
            half.step()
            half.pause.at_once = True
            with suppress(Paused):
                half.step()
            with TemporaryDirectory() as folder:
                half.save(Path(folder) / "state")
                resumed.load(Path(folder) / "state")
            states = {hash_state(learner.model) for learner in (first, again)}
            went_on = _losses(resumed.step()) == rows[0][1]
            states.add(hash_state(resumed.model))
            seen[f"{model}, {precision}"] = rows[0] == rows[1] and went_on and len(states) == 1
    return all(seen.values()), seen


def _augments_alike(device: str) -> _Found:
    """Crop and mirror the same images here and on the CPU: the same bytes."""
    images = torch.tensor(made_up(_IMAGES, 1, _SIDE, _CLASSES).train.images[:])
    crops = draw_crops(_IMAGES, (_SIDE, _SIDE), torch.Generator().manual_seed(0))
    here = crop_and_flip(images.to(device), crops.to(device)).cpu()
    same = torch.equal(here, crop_and_flip(images, crops))
    return same, {"same": same}


def _captures(device: str) -> _Found:
    """Train with updates captured and not: the same numbers, and how much faster."""
    seen: dict[str, Any] = {}
    models = ("resnet18", "mobilenet_v3_small")
    for model in models:
        rows, paces = [], []
        for captured in (True, False):
            learner = _learner(device, _trial(model, precision="auto", augmentation="standard"))
            learner.launches.problem = "" if captured else "not wanted"
            rows.append([_losses(learner.step()) for _ in range(2)])
            paces.append(learner.train()["train_seen"] / _timed(learner.train))
            problem = learner.launches.problem if captured else ""
            seen[f"{model}, problem"] = seen.get(f"{model}, problem", "") or problem
        seen[model] = {"same": rows[0] == rows[1], "times as fast": paces[0] / paces[1]}
    return all(seen[model]["same"] for model in models), seen


def _timed(work: Callable[[], Any]) -> float:
    torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - started


def _waits_for_nothing(device: str) -> _Found:
    """Make updates while torch raises an error at whatever waits for the GPU."""
    learner = _learner(device, _trial(augmentation="standard"))
    learner.step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        learner.update(range(8, 16))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return True, {}


def _takes_memory(device: str) -> _Found:
    """Measure what a process takes before its first tensor, and training and evaluation."""
    seen: dict[str, Any] = {}
    for model in ("resnet18", "resnet50"):
        probe = Probe(_trial(model, batch_size=128, precision="auto"), _SIDE, 10_000, 4)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        peak, context = probe.measure()
        seen[model] = {"peak": peak, "context": context, "images per second": probe.rate(_SECONDS)}
    return None, seen


def _is_capped(device: str) -> _Found:
    """Drive a process with a small part of the memory to its end while a neighbour trains on."""
    neighbour, intervals = _learner(device, _trial()), 0
    with ProcessPoolExecutor(1, _SPAWN) as pool:
        short = pool.submit(_run_short)
        while not short.done():
            neighbour.train()
            intervals += 1
    message = str(short.exception())
    return "has no room for" in message and intervals > 0, {"message": message}


def _run_short() -> None:
    total = torch.cuda.get_device_properties(0).total_memory
    dataset = made_up(4096, 16, 128, _CLASSES)
    trial = _trial(batch_size=4096, steps=1, evaluations=1).changed(n_pool=4096, n_train=4096)
    Classifier(trial, device="cuda", dataset=dataset, gpu=2**30 / total, context_bytes=0).step()


def _gains_by_taps(device: str) -> _Found:
    """Compare convolutions cut to their live taps, as on the CPU, with whole ones."""
    sides, seconds, losses = (_SIDE, _SIDE), [], []
    images = torch.randn(128, 3, *sides, generator=torch.Generator().manual_seed(0)).to(device)
    labels = torch.arange(128, device=device) % _CLASSES
    for inputs in ({}, anatomy("resnet18", _CLASSES, "standard", sides).convolutions):
        model = fresh_model("resnet18", _CLASSES, "standard", sides, derive_seed(0, "taps"))
        LiveTaps(model, inputs)
        model = model.to(device=device).to(memory_format=torch.channels_last)

        def update(n: int, model: torch.nn.Module = model) -> None:
            for _ in range(n):
                loss = F.cross_entropy(model(images), labels)
                losses.append(loss.detach())
                torch.autograd.backward(loss)

        update(5)
        seconds.append(_timed(partial(update, 50)))
    first, second = (losses[place].item() for place in (0, 55))
    return _apart(first, second) < _CLOSE, {"times as fast": seconds[0] / seconds[1]}


def _shares(device: str) -> _Found:
    """Train one, two and four at once on one GPU: images per second of all together."""
    trial = _trial(batch_size=128, precision="auto")
    together = {}
    with _SPAWN.Manager() as manager:
        for count in (1, 2, 4):
            given = (trial, 1 / count, manager.Barrier(count))
            together[count] = sum(_together(count, _sharer, *given))
    gains = {f"{count} at once": rate / together[1] for count, rate in together.items()}
    return None, {"images per second": together, "times one": gains}


def _together(count: int, work: Callable[..., Any], *given: Any) -> list[Any]:
    """Return what so many processes return, told what is given, and their number."""
    with ProcessPoolExecutor(count, _SPAWN) as pool:
        try:
            return list(pool.map(partial(work, *given), range(count), timeout=240))
        except TimeoutError:
            # The pool itself would wait for them.
            for process in multiprocessing.active_children():
                process.kill()
            raise


def _sharer(trial: Trial, gpu: float, barrier: Any, number: int) -> float:
    probe = Probe(trial, _SIDE, 1024, 1, gpu)
    probe.measure()
    barrier.wait(timeout=200)
    return probe.rate(_SECONDS)


def _divides(device: str) -> _Found:
    """Train one trial on two GPUs, its batch norm synchronised, and on one: close losses."""
    alone, store = _losses(_learner(device, _trial()).step()), meet()
    rows = _together(2, _part, store.port)
    seen = {name: max(_apart(row[name], alone[name]) for row in rows) for name in alone}
    return max(seen.values()) < _CLOSE, seen


def _part(port: int, rank: int) -> dict[str, float]:
    os.environ["CUDA_VISIBLE_DEVICES"] = str(rank)
    group = Group(meet(port), rank, 2, torch.device("cuda"))
    return _losses(_learner("cuda", _trial(), group).step())
