"""What is run on GPUs in name only: each scenario in a fork of one process that has loaded torch.

`python scenarios.py FOLDER` prints as JSON what each of them found, by its name.
"""

import contextlib
import ctypes
import io
import json
import multiprocessing
import os
import random
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib import format as npy

from orchestrator.commands.app import main as main_command
from orchestrator.commands.doctor import examine
from orchestrator.placement.shares import copies
from results.store.store import Store
from trainables.data import holding
from trainables.data.batches import Examples
from trainables.data.dataset import Dataset, Images
from trainables.data.holding import resident_bytes
from trainables.errors import TrainableError
from trainables.measure import proof
from trainables.measure.footprint import Footprint
from trainables.measure.probe import Probe, _stand_in, made_up
from trainables.recipe import Recipe
from trainables.training.classifier import Classifier
from trainables.training.device import (
    gpu_natives,
    gpu_problem,
    memory_fraction,
    resolve_device,
    resolve_precision,
)
from trainables.training.parallel import Group, meet
from trainables.trial import Source, Trial, Weights
from trainables.work.actor import Actor
from trainables.work.checkpoints import Checkpoints
from trainables.work.reports import Task

COUNTS = ("launches", "synchronisations", "copies back")
MIB, GIB = 2**20, 2**30
CIFAR_BYTES = resident_bytes(60_000, 45_000, 3 * 32 * 32)
Scenario = Callable[[Path], Any]


def trial(model: str = "resnet18", **recipe: Any) -> Trial:
    values = {"batch_size": 128, "optimizer": "sgd", "lr": 0.1, "momentum": 0.9, **recipe}
    return Trial(
        data=Source(),
        fingerprint="any",
        n_pool=512,
        n_classes=10,
        model=model,
        weights=Weights(),
        fraction=1.0,
        n_train=512,
        seed=0,
        recipe=Recipe(**values),
    )


def learner(
    device: str = "cuda", gpu: float = 1.0, group: Group | None = None, **recipe: Any
) -> Classifier:
    return Classifier(
        _stand_in(trial(**recipe), 512),
        device=device,
        gpu=gpu,
        dataset=made_up(512, 2048, 32, 10),
        group=group,
    )


def feed(made: Classifier, step: int) -> None:
    wanted = [made._group.part(made._batches.batch(step))]
    for each in made._train_examples.batches(wanted):
        made._feed(*each)


def refusal(call: Callable[[], Any]) -> list[str]:
    """Return the kind and the message of what a call raises; an empty list where it does not."""
    try:
        call()
    except TrainableError as error:
        return [type(error).__name__, str(error)]
    return []


def an_update(folder: Path) -> dict[str, dict[str, int]]:
    """Count what one update asks of the device, captured and not, by the kind of trial."""
    library = ctypes.CDLL(os.environ["LD_PRELOAD"])
    library.fakecuda_count.restype = ctypes.c_long
    kinds: dict[str, dict[str, Any]] = {
        "plain": {"precision": "bf16"},
        "fp32": {"precision": "fp32"},
        "augmented": {"precision": "bf16", "augmentation": "standard", "optimizer": "adam"},
        "deep": {"precision": "bf16", "model": "resnet50"},
        "dropout": {"precision": "bf16", "model": "mobilenet_v3_small", "clip_norm": 1.0},
    }
    found = {}
    for kind, recipe in kinds.items():
        # Alone, as a trial is.
        torch.cuda.empty_cache()
        made = learner(**recipe)
        made.model.train()
        found[kind] = {}
        with made.launches.stream():
            made._interval.begin(0)
            # The first four: three as they are asked for, and the one that is captured.
            for step in range(4):
                library.fakecuda_reset()
                feed(made, step)
                if step == 2:
                    found[kind]["alone"] = library.fakecuda_count(0)
            library.fakecuda_reset()
            feed(made, 4)
        counted = [library.fakecuda_count(i) for i in range(5)]
        found[kind] |= dict(zip((*COUNTS, "memsets", "copies"), counted, strict=True))
        found[kind]["problem"] = made.launches.problem
    return found


def a_divided_update(folder: Path) -> dict[str, int]:
    """Count what one update asks of the device of one of two processes; the other is a name."""
    library = ctypes.CDLL(os.environ["LD_PRELOAD"])
    library.fakecuda_count.restype = ctypes.c_long
    # What a process that is a name says of its parameters cannot be read; before the second update
    # it would say how gradients are put together.
    torch.distributed._verify_params_across_processes = lambda *_: None  # type: ignore[attr-defined]
    made = learner(group=Group(meet(), 0, 2, resolve_device("cuda")), precision="bf16")
    made.model.train()
    with made.launches.stream():
        made._interval.begin(0)
        library.fakecuda_reset()
        feed(made, 0)
    found = dict(zip(COUNTS, map(library.fakecuda_count, range(3)), strict=True))
    library.fakecuda_dump(str(folder / "names").encode())
    calls = [line.split() for line in (folder / "names").read_text().splitlines()]
    found["collectives"] = sum(int(line[0]) for line in calls if "nccl" in line[-1])
    return found


def streamed(folder: Path) -> dict[str, Any]:
    """Train and evaluate with the images in a file; count an interval, once two have warmed up."""
    library = ctypes.CDLL(os.environ["LD_PRELOAD"])
    library.fakecuda_count.restype = ctypes.c_long
    whole = made_up(512, 2048, 32, 10)
    parts = []
    for name, part in (("train", whole.train), ("test", whole.test)):
        np.save(folder / f"{name}.npy", part.images[:])
        parts.append(Images(npy.open_memmap(folder / f"{name}.npy", mode="r"), part.labels))
    data = Dataset(*parts, whole.training)
    holding.SHARE = 0
    recipe = {"precision": "bf16", "augmentation": "standard"}
    made = Classifier(_stand_in(trial(**recipe), 512), device="cuda", dataset=data)
    resident = torch.cuda.memory_allocated()
    rows = [made.step() for _ in range(2)]
    pinned = library.fakecuda_count(5)
    library.fakecuda_reset()
    made.update(range(16, 24))
    counted = [library.fakecuda_count(i) for i in range(5)]
    made._evaluate(made._test)
    return {
        "held": made.held,
        "resident": resident,
        "seen": [row["train_seen"] for row in rows],
        "problem": made.launches.problem,
        **dict(zip((*COUNTS, "memsets", "copies"), counted, strict=True)),
        "pinned": pinned,
        "pinned since": library.fakecuda_count(5) - pinned,
    }


def many_images(folder: Path) -> dict[str, int]:
    """Bring 192 MiB of images to a GPU; return the bytes there, and those that were pinned."""
    library = ctypes.CDLL(os.environ["LD_PRELOAD"])
    library.fakecuda_count.restype = ctypes.c_long
    whole = made_up(2**16, 16, 32, 10).train
    held = Examples(whole, None, resolve_device("cuda"))
    pinned = library.fakecuda_count(6)
    return {"images": len(held), "there": torch.cuda.memory_allocated(), "pinned": pinned}


class _Draws(torch.nn.Module):
    """A net that leaves its middle out at random, by Python's own generator."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.first, self.last = torch.nn.Conv2d(3, 8, 3), torch.nn.LazyLinear(n_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = self.first(images)
        is_doubled = self.training and random.random() < 0.5
        return self.last((found * 2 if is_doubled else found).flatten(1))


class _Waits(_Draws):
    """A net that looks at its numbers."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = self.first(images)
        is_doubled = found.sum().item() > 0
        return self.last((found * 2 if is_doubled else found).flatten(1))


def draws(n_classes: int) -> torch.nn.Module:
    return _Draws(n_classes)


def waits(n_classes: int) -> torch.nn.Module:
    return _Waits(n_classes)


def own_models(folder: Path) -> dict[str, Any]:
    """Train models that cannot be captured; return the rows of their epochs."""
    return {name: learner(model=f"scenarios:{name}").step() for name in ("draws", "waits")}


def proofs(folder: Path) -> dict[str, Any]:
    """Prove what a GPU whose numbers mean nothing can show; return what came of it by its name."""
    tried = [proof._machine, proof._repeats, proof._captures, proof._waits_for_nothing]
    tried += [proof._takes_memory, proof._is_capped]
    return {each.__name__: each("cuda") for each in tried}


def an_epoch(folder: Path) -> dict[str, Any]:
    """Train and evaluate; save, and try to go on from there on the CPU and in another precision."""
    made = learner(precision="fp32")
    made.train()
    trained = torch.cuda.max_memory_allocated()
    row = made.step()
    checkpoints = Checkpoints(folder / "states")
    checkpoints.save(made, [row])
    again = {
        "gpu": learner(precision="fp32"),
        "cpu": learner(device="cpu", precision="fp32"),
    }
    restored = {name: checkpoints.restore(each, 9) for name, each in again.items()}
    return {
        "device": row["device"],
        "trained": trained,
        "peak": row["peak_memory_bytes"],
        "epochs": {name: len(rows) for name, (rows, _) in restored.items()},
        "problems": {name: problems for name, (_, problems) in restored.items()},
        "states": checkpoints.states(),
    }


def attention(folder: Path) -> list[str]:
    """Train a ViT; return what torch warns of."""
    found = []
    for precision in ("fp32", "bf16"):
        vit = trial("vit_b_16", batch_size=2, image_size=224, precision=precision)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            Probe(vit, 32, 10, 1).measure()
        found += [str(each.message) for each in caught]
    return found


def a_part_that_is_too_small(folder: Path) -> list[str]:
    return refusal(lambda: learner(gpu=1 / 64, precision="fp32", batch_size=512).step())


def a_part_that_is_too_small_to_evaluate(folder: Path) -> list[str]:
    return refusal(lambda: learner(gpu=1 / 16, precision="fp32", batch_size=2, stem="cifar").step())


def room(gpu: float) -> dict[str, Any]:
    """Measure trials in a part of a GPU; return bytes of each, and how many the whole GPU holds."""
    found: dict[str, Any] = {}
    for precision in ("fp32", "bf16"):
        probe = Probe(trial(precision=precision), 32, 10_000, 1, gpu)
        peak, context = probe.measure()
        total = torch.cuda.get_device_properties(0).total_memory
        k = copies(total, Footprint(context, peak, None), CIFAR_BYTES, 10_000)
        found[precision] = [peak, context, k]
        del probe
    return found


def of_8_gib(folder: Path) -> dict[str, Any]:
    return room(1.0)


def a_quarter_of_16_gib(folder: Path) -> dict[str, Any]:
    return room(1 / 4)


def of_80_gib(folder: Path) -> dict[str, Any]:
    return room(1.0)


def neighbours(folder: Path) -> list[dict[str, int]]:
    """Train four trials at once on one GPU of four GiB; return what each holds and may hold."""
    barrier = multiprocessing.get_context("fork").Barrier(4)
    children = []
    for number in range(4):
        children.append(os.fork())
        if not children[-1]:
            try:
                made = learner(gpu=1 / 4, precision="bf16", batch_size=64)
                made.step()
                barrier.wait(60)
                library = ctypes.CDLL(os.environ["LD_PRELOAD"])
                library.fakecuda_used.restype = ctypes.c_long
                held, used = torch.cuda.max_memory_reserved(), library.fakecuda_used(0)
                total = torch.cuda.get_device_properties(0).total_memory
                may = int(memory_fraction(1 / 4, total) * total)
                said = {"holds": held, "may": may, "together": used, "total": total}
                (folder / f"{number}").write_text(json.dumps(said))
                barrier.wait(60)
            finally:
                os._exit(0)
    for child in children:
        os.waitpid(child, 0)
    return [json.loads((folder / f"{number}").read_text()) for number in range(4)]


def a_gpu_that_disappears(folder: Path) -> list[str]:
    """Lose the GPU between two intervals; return the kind and the message of what is raised."""
    made = learner(precision="bf16")
    made.step()
    os.environ["FAKECUDA_LOST"] = "1"
    try:
        made.step()
    except RuntimeError as error:
        return [type(error).__name__, str(error)]
    return []


def a_gpu_that_is_gone(folder: Path) -> dict[str, Any]:
    return a_driver_too_old(folder)


def a_study(folder: Path) -> dict[str, Any]:
    """Run a study through the command: one model fits a GPU of two GiB, the other does not."""
    study = {
        "name": "gpus",
        "data": {"source": "digits"},
        "factors": {"model": ["resnet18", "resnet50"], "fraction": [1]},
        "recipe": {"epochs": 1, "batch_size": 512, "image_size": 64, "precision": "fp32"},
        "resources": {"gpu": 1},
    }
    (folder / "s.yaml").write_text(json.dumps(study))
    os.environ["SCALESTUDY_CACHE"] = str(folder / "cache")
    os.chdir(folder)
    words = ["run", "s.yaml", "--no-report", "--address=none", "--out=run", "--json"]
    sys.argv = ["scalestudy", *words]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main_command()
    trials = Store(folder / "run").read("trials").to_pylist()
    names = ("status", "gpu", "device", "resolved_precision", "error")
    return {row["model"]: {name: row[name] for name in names} for row in trials}


def a_huge_workspace(folder: Path) -> list[str]:
    return refusal(lambda: learner(precision="fp32").step())


def doctors_word() -> list[str]:
    """Return the state of CUDA by the doctor, what it saw and its advice."""
    check = next(check for check in examine(None, None) if check.name == "CUDA")
    return [check.state, check.seen, check.advice]


def a_gpu(folder: Path) -> list[str]:
    return doctors_word()


def a_driver_too_old(folder: Path) -> dict[str, Any]:
    return {
        "cuda": refusal(lambda: resolve_device("cuda")),
        "auto": resolve_device().type,
        "doctor": doctors_word(),
    }


def an_old_gpu(folder: Path) -> dict[str, Any]:
    return {
        "problem": gpu_problem(),
        "auto": learner()._precision,
        "bf16": refusal(lambda: learner(precision="bf16")),
        "natives": gpu_natives(),
        "settled": refusal(lambda: resolve_precision("auto", torch.device("cuda"), "bf16")),
    }


def a_gpu_that_is_too_old(folder: Path) -> dict[str, Any]:
    return a_driver_too_old(folder)


def two_gpus(folder: Path) -> dict[str, Any]:
    """Look at two GPUs as a trial that would own both, and as one that has a share of none."""
    word = doctors_word()
    both = refusal(lambda: resolve_device("cuda"))
    task = Task(
        trial=trial(),
        recorded=0,
        cpus=1,
        device="cpu",
        gpu=0,
        checkpoint_folder=str(folder),
        checkpoint_seconds=30,
        keep_checkpoints="none",
    )
    Actor.__new__(Actor).setup({"task": task.model_dump_json()})
    return {"doctor": word, "both": both, "visible": os.environ["CUDA_VISIBLE_DEVICES"]}


SCENARIOS: list[tuple[Scenario, dict[str, Any]]] = [
    (a_gpu, {}),
    (an_update, {}),
    (a_divided_update, {}),
    (streamed, {}),
    (many_images, {}),
    (own_models, {}),
    (proofs, {}),
    (an_epoch, {}),
    (attention, {}),
    (a_part_that_is_too_small, {"FAKECUDA_TOTAL": 16 * GIB}),
    (a_part_that_is_too_small_to_evaluate, {}),
    (of_8_gib, {"FAKECUDA_TOTAL": 8 * GIB}),
    (a_quarter_of_16_gib, {"FAKECUDA_TOTAL": 16 * GIB}),
    (of_80_gib, {"FAKECUDA_TOTAL": 80 * GIB}),
    (neighbours, {"FAKECUDA_TOTAL": 4 * GIB}),
    (a_gpu_that_disappears, {}),
    (a_gpu_that_is_gone, {"FAKECUDA_DEVICES": 0}),
    (a_study, {"FAKECUDA_TOTAL": 2 * GIB}),
    (a_huge_workspace, {"FAKECUDNN_WORKSPACE": 64 * GIB}),
    (a_driver_too_old, {"FAKECUDA_DRIVER": 12080}),
    (an_old_gpu, {"FAKECUDA_MAJOR": 7, "FAKECUDA_MINOR": 5}),
    (a_gpu_that_is_too_old, {"FAKECUDA_MAJOR": 7, "FAKECUDA_MINOR": 0}),
    (two_gpus, {"FAKECUDA_DEVICES": 2, "FAKECUDA_NAME": "NVIDIA A100 MIG 1g.5gb"}),
]


def main(folder: Path) -> None:
    """Run all scenarios, each in a fork; print what they found."""
    found: dict[str, Any] = {}
    for scenario, variables in SCENARIOS:
        name = scenario.__name__
        own = folder / name
        own.mkdir()
        child = os.fork()
        if not child:
            os.environ.update({key: str(value) for key, value in variables.items()})
            try:
                (own / "found").write_text(json.dumps(scenario(own)))
            finally:
                sys.stderr.flush()
                os._exit(0)
        os.waitpid(child, 0)
        file = own / "found"
        found[name] = json.loads(file.read_text()) if file.exists() else None
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
