"""Train on more images than memory may hold, and on such as are stored as JPEG.

Run it: python benchmarks/large_data.py [--gigabytes 2] [--cap 1] [--updates 16] [--rounds 3]
        [--threads 1] [--images 20000] [--jpegs 2000] [--folder /tmp]

ResNet-18 at 64 pixels trains on a made-up data set of the gigabytes, and the demo's small network
on JPEG files of 500×375 pixels brought to 224, by processes whose memory is capped, in a control
group where one can be made (page cache counts then), else by their limit for data: resident memory
is printed after each interval of updates. Then, where there are rounds, ResNet-18 trains in
alternation on images in memory and from the file, and the JPEG files are decoded by a trial's
stream without a model, in alternation with the decoder alone on as many threads.
"""

import argparse
import multiprocessing
import os
import resource
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import mkdtemp

import numpy as np
import psutil
import torch
from PIL import Image

from trainables.data import dataset as datasets
from trainables.data import holding
from trainables.data.batches import Batches, Examples
from trainables.data.cache import FOLDER_VARIABLE
from trainables.data.dataset import Dataset, Images, inspect, open_dataset
from trainables.data.decoding import channel_sums
from trainables.data.holding import Held
from trainables.data.pictures import decode, quiet
from trainables.data.reading import Item
from trainables.data.rows import write_head
from trainables.data.splits import Training
from trainables.recipe import Recipe
from trainables.training.classifier import Classifier
from trainables.trial import Source, Trial, Weights

SIDE, CLASSES, BATCH, TESTED = 64, 10, 128, 512
GROUPS = Path("/sys/fs/cgroup")
MIB = 2**20
GOAL = (224, 224)


def write(folder: Path, n: int) -> None:
    """Write images of noise into files, the same thousand over and over."""
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (1024, SIDE, SIDE, 3), dtype=np.uint8)
    sums = channel_sums(noise)
    for name, count in (("train", n), ("test", TESTED)):
        with (folder / f"{name}.npy").open("wb") as file:
            write_head(file, "|u1", (count, SIDE, SIDE, 3))
            for start in range(0, count, len(noise)):
                file.write(noise[: count - start])
        np.save(folder / f"{name}-sums.npy", np.resize(sums, (count, 6)))


def opened(folder: Path) -> Dataset:
    """Return what `write` wrote, mapped."""
    parts = []
    for name in ("train", "test"):
        images, sums = (np.load(folder / f"{name}{of}.npy", "r") for of in ("", "-sums"))
        parts.append(Images(images, np.arange(len(images)) % CLASSES, sums))
    return Dataset(*parts, Training(parts[0].labels, tuple("0123456789")))


def write_jpegs(folder: Path, n: int) -> Source:
    """Write JPEG files of two classes; return their source."""
    generator = np.random.default_rng(0)
    for number in range(n + 20):
        part, label = ("train", number % 2) if number < n else ("test", number % 2)
        file = folder / part / str(label) / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        coarse = generator.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC).save(file, quality=90)
    return Source(source="imagefolder", path=folder)


def learner(dataset: Dataset, threads: int, steps: int, model: str = "resnet18") -> Classifier:
    """Return a trial with augmentation, in intervals of so many updates."""
    n = len(dataset.train.labels)
    recipe = Recipe(
        steps=1000 * steps, evaluations=1000, batch_size=BATCH, augmentation="standard", lr=1e-3
    )
    trial = Trial(
        data=Source(validation="test"),
        fingerprint="made up",
        n_pool=n,
        n_classes=len(dataset.training.class_names),
        model=model,
        weights=Weights(),
        fraction=1.0,
        n_train=n,
        seed=0,
        recipe=recipe,
    )
    return Classifier(trial, cpus=threads, device="cpu", dataset=dataset)


def capped(n_bytes: int) -> str:
    """Cap this process's memory; return how."""
    own = next(
        (line for line in Path("/proc/self/cgroup").read_text().split() if ":memory:" in line), ""
    )
    for group, limit in (
        (GROUPS / "memory" / own.rpartition(":")[2].lstrip("/"), "memory.limit_in_bytes"),
        (GROUPS, "memory.max"),
    ):
        inner = group / "large_data"
        with suppress(OSError):
            inner.mkdir(exist_ok=True)
            (inner / limit).write_text(str(n_bytes))
            (inner / "cgroup.procs").write_text(str(os.getpid()))
            return f"control group {inner}"
    resource.setrlimit(resource.RLIMIT_DATA, (n_bytes, n_bytes))
    holding.available_memory = lambda: n_bytes
    return "its limit for data"


def train_capped(
    open_data: Callable[[], Dataset],
    model: str,
    cap: int,
    threads: int,
    intervals: int,
    updates: int,
) -> None:
    """Train and print the resident memory after each interval, and how much it grew."""
    print(f"\n{model}, capped at {cap / MIB:.0f} MiB by {capped(cap)}")
    data = open_data()
    n, n_bytes = len(data.train.labels), data.train.images[:1].nbytes
    made, process = learner(data, threads, updates, model), psutil.Process()
    print(f"{n * n_bytes / MIB:.0f} MiB of images, held {made.held.value}")
    resident, began = [], time.perf_counter()
    for _ in range(intervals):
        made.step()
        resident.append(process.memory_info().rss / MIB)
        print(f"{time.perf_counter() - began:6.0f} s  {resident[-1]:6.0f} MiB resident", flush=True)
    print(f"grown by {max(resident) - resident[0]:.0f} MiB over {intervals - 1} intervals")


def compared(names: tuple[str, str], works: tuple[Callable[[], float], ...], rounds: int) -> None:
    """Print the median images a second of two works in alternation, and their ratio."""
    rates: tuple[list[float], ...] = ([], [])
    for _ in range(rounds):
        for own, work in zip(rates, works, strict=True):
            own.append(work())
    for name, own in zip(names, rates, strict=True):
        print(f"| {name} | {median(own):.0f} | {min(own):.0f} to {max(own):.0f} |")
    ratios = [second / first for first, second in zip(*rates, strict=True)]
    print(f"{median(ratios):.3f} of it ({min(ratios):.3f} to {max(ratios):.3f})")


def from_file(data: Dataset, threads: int, rounds: int, updates: int) -> None:
    """Compare the trainer on images in memory with that on a file."""

    learners = []
    for share in (float("inf"), 0.0):
        holding.SHARE = share
        learners.append(learner(data, threads, updates))
        learners[-1].train()

    def timed(made: Classifier) -> float:
        began = time.perf_counter()
        return made.train()["train_seen"] / (time.perf_counter() - began)

    compared(
        ("in memory", "in the node's file"), tuple(partial(timed, m) for m in learners), rounds
    )


def from_jpegs(source: Source, data: Dataset, threads: int, rounds: int) -> None:
    """Compare a trial's stream of stored JPEG files with the decoder alone."""
    n = len(data.train.labels)
    examples = Examples(data.train, None, torch.device("cpu"), Held.STORED, threads)
    files = sorted((Path(source.path or "") / "train").rglob("*.jpg"))
    items = [Item(str(file), file.read_bytes()) for file in files]

    def alone() -> float:
        began = time.perf_counter()
        with ThreadPoolExecutor(threads) as pool, quiet():
            for _ in pool.map(lambda item: decode(item, GOAL, source, is_known=True), items):
                pass
        return n / (time.perf_counter() - began)

    def streamed() -> float:
        batches = Batches(n, 64, 0, None, torch.device("cpu"))
        began = time.perf_counter()
        for _ in examples.batches(map(batches.batch, range(batches.per_pass))):
            pass
        return n / (time.perf_counter() - began)

    compared(("the decoder alone", "a trial's stream"), (alone, streamed), rounds)


def main() -> None:
    """Run all parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--cap", type=float, default=1.0, help="gigabytes of memory")
    parser.add_argument("--intervals", type=int, default=8)
    parser.add_argument("--updates", type=int, default=16, help="of an interval")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--jpegs", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=None)
    given = parser.parse_args()
    folder = Path(mkdtemp(dir=given.folder))
    os.environ[FOLDER_VARIABLE] = str(folder / "cache")
    try:
        write(folder / "large", int(given.gigabytes * 1e9) // (SIDE * SIDE * 3))
        source = write_jpegs(folder / "images", given.jpegs)
        datasets.is_stored = lambda *_: True
        open_jpegs = partial(open_dataset, source, inspect(source).fingerprint, GOAL)
        jpegs = open_jpegs()
        cap, how = int(given.cap * 1e9), (given.threads, given.intervals, given.updates)
        for work in (
            (partial(opened, folder / "large"), "resnet18", cap, *how),
            (open_jpegs, "trainables.demo:small", cap, *how),
        ):
            process = multiprocessing.get_context("spawn").Process(target=train_capped, args=work)
            process.start()
            process.join()
        shutil.rmtree(folder / "large")
        if given.rounds:
            print("\n| images | a second | lowest to highest |\n| --- | ---: | ---: |")
            write(folder / "small", given.images)
            from_file(opened(folder / "small"), given.threads, given.rounds, given.updates)
            from_jpegs(source, jpegs, given.threads, given.rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
