"""Measure how long it takes before anything happens: --help, a large plan, the first training step.

Run it: python benchmarks/startup.py [--rounds 5]

Every time is of a process of its own, in turn with what it is compared to; medians over rounds.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from processes import compile_packages

import results

SCALESTUDY = (sys.executable, "-m", "orchestrator")
PLAN = """
name: plan
factors: {model: [resnet18, resnet34, resnet50, resnet101], fraction: [1/16, 1/8, 1/4, 1/2, 1]}
recipe: {batch_size: 32}
seeds: {SEEDS}
"""
RUN = """
name: run
factors: {model: [resnet18], fraction: [1/8]}
recipe: {batch_size: 32, epochs: 1}
"""
BARE = """
import ray
ray.init(address="local", include_dashboard=False, object_store_memory=2**28,
         log_to_driver=False, logging_level="ERROR")

@ray.remote(num_cpus=1)
def look():
    import torch
    return torch.__version__

ray.get(look.remote())
import time
print(time.time())
"""


def main() -> None:
    """Print one row per measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    compile_packages()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "plan.yaml").write_text(PLAN.replace("{SEEDS}", str(list(range(50)))))
        (folder / "run.yaml").write_text(RUN)
        measures: dict[str, Callable[[], float]] = {
            "python, nothing": lambda: _wall(sys.executable, "-c", "pass"),
            "scalestudy --help": lambda: _wall(*SCALESTUDY, "--help"),
            "import torch": lambda: _wall(sys.executable, "-c", "import torch"),
            "import torch, torchvision": lambda: _wall(
                sys.executable, "-c", "import torch, torchvision"
            ),
            "plan of 1,000 trials": lambda: _wall(
                *SCALESTUDY, "plan", str(folder / "plan.yaml"), "--out", str(folder / "planned")
            ),
            "bare Ray, torch imported in a worker": _bare,
            "run, to the first training step": lambda: _first_step(folder),
        }
        for measure in measures.values():
            measure()  # files into the cache of the system
        taken: dict[str, list[float]] = {name: [] for name in measures}
        for _ in range(rounds):
            for name, measure in measures.items():
                taken[name].append(measure())
    middle = {name: median(each) for name, each in taken.items()}
    print(f"load {os.getloadavg()[0]:.1f}\n| what | seconds | lowest to highest |")
    print("| --- | ---: | ---: |")
    for name, each in taken.items():
        print(f"| {name} | {middle[name]:.2f} | {min(each):.2f} to {max(each):.2f} |")
    beyond = middle["plan of 1,000 trials"] - middle["import torch"]
    print(f"--help: {middle['scalestudy --help']:.2f} s, under 0.4 asked for")
    print(f"plan beyond importing torch: {beyond:.2f} s, under 1 asked for")
    ratio = (
        middle["run, to the first training step"] / middle["bare Ray, torch imported in a worker"]
    )
    print(f"first training step: {ratio:.2f} times bare Ray with torch, at most 1.2 asked for")


def _wall(*command: str) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def _bare() -> float:
    """Return the seconds until a worker of a fresh Ray has imported torch; its end not counted."""
    started = time.time()
    done = subprocess.run([sys.executable, "-c", BARE], check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1]) - started


def _first_step(folder: Path) -> float:
    """Return the seconds until the first trial's first interval has begun."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        out, started = Path(place) / "run", time.time()
        _wall(*SCALESTUDY, "run", str(folder / "run.yaml"), "--out", str(out))
        first = results.open(out).epochs().iloc[0]
        return float(first.recorded_at.timestamp() - first.seconds - started)


if __name__ == "__main__":
    main()
