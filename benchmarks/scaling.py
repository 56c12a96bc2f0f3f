"""A cluster of 1,000 GPUs on paper, and what one driver has to do for it.

Run it: python benchmarks/scaling.py [--smaller 20] [--only paper|driver] [--trials 10000]

`paper` plays a mixed study of ten thousand trials in virtual time, in the real order, and compares
the makespan with what no order could beat. `driver` runs simulated studies
with a local Ray and prints the driver's processor time per trial and per result, and its memory.
`--smaller 20` makes both about twenty times as small, which shows that they run and no more.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from orchestrator.ledger.history import History
from orchestrator.ledger.ledger import Ledger
from orchestrator.placement.shares import Share
from orchestrator.plan.durations import Durations, kind_of, work_of
from orchestrator.plan.schedule import Forecast, Schedule
from orchestrator.run.events import Progress
from orchestrator.run.runner import run_study
from orchestrator.study.inputs import find_inputs
from orchestrator.study.study import Study, study_from
from results.store.store import Store

MODELS = (
    "mobilenet_v3_small",
    "squeezenet1_1",
    "resnet18",
    "efficientnet_b0",
    "resnet34",
    "resnet50",
    "densenet121",
    "convnext_tiny",
    "resnet101",
    "vit_b_16",
)
FRACTIONS = ["1/32", "1/16", "1/8", "1/4", "3/8", "1/2", "5/8", "3/4", "7/8", 1]
SLOTS = (64, 256, 1000)


def mixed(seeds: int) -> Study:
    """Return a study of ten models and ten fractions, at ImageNet's image size."""
    return study_from(
        {
            "name": "mixed",
            "factors": {"model": list(MODELS), "fraction": FRACTIONS},
            "recipe": {"epochs": 90, "image_size": 224},
            "seeds": list(range(seeds)),
        }
    )


def on_paper(study: Study, gpus: int) -> tuple[Schedule, float]:
    """Return a study's course on so many GPUs, and the seconds that working it out took.

    A trial has a whole GPU, and takes as long as FLOPs make expect.
    """
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(study, find_inputs(study), History(Store(Path(folder) / "run")))
        durations = Durations(
            work_of(ledger.inputs), lambda trial: kind_of(trial, 1, True), on_gpu=True
        )
        schedule = Forecast(ledger, durations, Share(1.0, 1.0)).on(gpus)
    return schedule, time.perf_counter() - began


def paper(seeds: int, slots: tuple[int, ...] = SLOTS) -> None:
    """Print the makespan on clusters of several sizes, beside what no order could beat."""
    study = mixed(seeds)
    print("| trials | GPUs | makespan, h | bound, h | ratio | worked out in, s |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for gpus in slots:
        schedule, seconds = on_paper(study, gpus)
        bound = schedule.bound(gpus)
        print(
            f"| {len(schedule.stays):,} | {gpus:,} | {schedule.makespan / 3600:.2f} | "
            f"{bound / 3600:.2f} | {schedule.makespan / bound:.4f} | {seconds:.0f} |",
            flush=True,
        )


@dataclass(frozen=True)
class Load:
    """What a run cost its driver.

    Parameters
    ----------
    trials, results
        Of the run.
    seconds
        Of processor time, of all threads of the driver's process.
    wall
        Seconds.
    grown
        MiB of resident memory, from a tenth of the trials on.
    """

    trials: int
    results: int
    seconds: float
    wall: float
    grown: float


class Scale(Progress):
    """Weighs this process while a study runs."""

    def __init__(self) -> None:
        self.samples: list[tuple[int, float]] = []
        self._due = 0.0

    def update(self, source: Any) -> None:
        """Note how many trials have ended, and the memory, once a second."""
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + 1.0
            ended = sum(row["status"] == "completed" for row in source.rows.values())
            self.samples.append((ended, psutil.Process().memory_info().rss / 2**20))


def drive(trials: int, epochs: int, folder: Path) -> Load:
    """Run a simulated study whose epochs take no time; return what it cost this process."""
    study = study_from(
        {
            "name": "driver",
            "trainable": "simulated",
            "factors": {"model": [f"model-{number:03d}" for number in range(10)]},
            "recipe": {"epochs": epochs},
            "seeds": list(range(trials // 10)),
        }
    )
    scale, driver = Scale(), psutil.Process()
    before, began = driver.cpu_times(), time.perf_counter()
    assert run_study(study, folder, progress=scale).exit_code == 0
    after, wall = driver.cpu_times(), time.perf_counter() - began
    seconds = after.user + after.system - before.user - before.system
    later = [memory for ended, memory in scale.samples if ended >= trials / 10]
    grown = later[-1] - later[0] if later else 0.0
    return Load(trials, trials * epochs, seconds, wall, grown)


def drives(trials: int, epochs: int) -> None:
    """Print what trials and results cost the driver, and the most results that one handles."""
    import ray

    from orchestrator.drivers.connection import start_local

    start_local(cpus=2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        drive(20, 2, folder / "warm")
        many = drive(trials, 1, folder / "many")
        long = drive(20, epochs, folder / "long")
    ray.shutdown()
    # Two runs, two unknowns: seconds = trials × a + results × b.
    equations = np.array([[many.trials, many.results], [long.trials, long.results]], float)
    a, b = np.linalg.solve(equations, [many.seconds, long.seconds])
    for load in (many, long):
        print(
            f"{load.trials:,} trials, {load.results:,} results: {load.seconds:.1f} s of the "
            f"driver's processor time in {load.wall:.1f} s; memory grew by {load.grown:.0f} MiB"
        )
    print(f"a trial {a * 1000:.1f} ms, a result {b * 1000:.2f} ms: {1 / b:,.0f} results/s at most")


def main() -> None:
    """Print both parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smaller", type=int, default=1, help="so many times as small")
    parser.add_argument("--only", choices=["paper", "driver"])
    parser.add_argument("--trials", type=int, default=1000, help="of the driver's longer run")
    chosen = parser.parse_args()
    if chosen.only != "driver":
        paper(max(1, 100 // chosen.smaller))
    if chosen.only != "paper":
        drives(max(20, chosen.trials // chosen.smaller // 10 * 10), max(20, 500 // chosen.smaller))


if __name__ == "__main__":
    main()
