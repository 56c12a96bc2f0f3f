"""Run a study with this version and with another, in turn, and compare the time that it takes.

Run it: python benchmarks/versions.py OTHER_CHECKOUT [STUDY ...] [--rounds 3]

The other is a folder that holds another version, such as `git worktree add ../older COMMIT` makes
one. A study is a file that both versions take; by default two trials of digits, ResNet-18 for one
epoch, most of which is start and report. Times are of whole commands, reports included, after each
version has run each study once, from its own folder and with a cache of its own. CPU seconds are
sampled once a second, so that they lack each process's last one. Keep the machine quiet.
"""

import argparse
import compileall
import sys
import tempfile
from pathlib import Path
from statistics import median

from processes import Cost, measure

from trainables.data.cache import FOLDER_VARIABLE

TWO = """
name: two
factors: {model: [resnet18], fraction: [1/8]}
recipe: {batch_size: 32, epochs: 1}
seeds: [0, 1]
"""


def main() -> None:
    """Print each round's seconds, and the ratio of each study with its spread."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("other", type=Path, help="a folder with the other version")
    parser.add_argument("studies", type=Path, nargs="*", metavar="STUDY")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    versions = Path(__file__).parents[1], asked.other.resolve()
    for folder in versions:
        for package in ("orchestrator", "results", "trainables"):
            compileall.compile_dir(folder / package, quiet=1)
    with tempfile.TemporaryDirectory(prefix="versions-") as place:
        two = Path(place) / "two.yaml"
        two.write_text(TWO)
        caches = {folder: Path(place) / f"cache-{each}" for each, folder in enumerate(versions)}
        for study in asked.studies or [two]:
            for folder in versions:
                _run(folder, study, caches[folder])
            ratios, by_cpu = [], []
            for number in range(asked.rounds):
                turned = versions[::-1] if number % 2 else versions
                costs = {folder: _run(folder, study, caches[folder]) for folder in turned}
                ours, theirs = (costs[folder] for folder in versions)
                ratios.append(ours.seconds / theirs.seconds)
                by_cpu.append(ours.cpu_seconds / theirs.cpu_seconds)
                print(
                    f"{study.stem}, round {number + 1}: {ours.seconds:.1f} s beside "
                    f"{theirs.seconds:.1f} s; CPU {ours.cpu_seconds:.1f} beside "
                    f"{theirs.cpu_seconds:.1f} s; largest worker {ours.memory_worker >> 20} beside "
                    f"{theirs.memory_worker >> 20} MiB; load {ours.load:.1f}",
                    flush=True,
                )
            print(
                f"{study.stem}: {median(ratios):.2f} of its time ({min(ratios):.2f} to "
                f"{max(ratios):.2f}), {median(by_cpu):.2f} of its CPU seconds"
            )


def _run(folder: Path, study: Path, cache: Path) -> Cost:
    with tempfile.TemporaryDirectory(prefix="run-") as place:
        command = [sys.executable, "-m", "orchestrator", "run", str(study.resolve())]
        command += ["--out", str(Path(place) / "run")]
        variables = {"PYTHONPATH": str(folder), "RAY_USAGE_STATS_ENABLED": "0"}
        variables[FOLDER_VARIABLE] = str(cache)
        return measure(command, Path(place) / "log", variables, folder=folder)


if __name__ == "__main__":
    main()
