"""What a run directory in an object store costs beside one on disk, as Markdown.

python benchmarks/object_store.py 's3://bucket/try?region=…'
    any address that `--out` takes; what lies under it is left there
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import results
from orchestrator import load_study, run_study
from orchestrator.study.study import Study
from results.store.files import remove
from results.store.objects import Location, located
from trainables.training.simulated import PACE_VARIABLE

STUDY = """
name: object-store
trainable: simulated
factors: {model: [a, b, c], fraction: [1/16, 1/2, 1]}
recipe: {epochs: 10}
seeds: [0, 1, 2, 3, 4]
checkpoint_seconds: CHECKPOINT_SECONDS
"""
PACE = 0.05  # seconds of an epoch: 45 trials × 10 epochs are 23 seconds of training


def main() -> None:
    """Run the same study in both places and print the times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address", help="of the object store, such as s3://bucket/try")
    address = parser.parse_args().address
    os.environ[PACE_VARIABLE] = str(PACE)
    print("| what | on disk | object store |\n| --- | --- | --- |")
    for label, seconds in (("no checkpoint due", 60.0), ("a checkpoint every epoch", 0.0)):
        with tempfile.TemporaryDirectory() as folder:
            study = _study(Path(folder), seconds)
            there = located(address)
            remove(there)
            here = Path(folder) / "run"
            _line(f"run, {label}", here, there, lambda place, study=study: _run(study, place))
            _line("run again, finished", here, there, lambda place, study=study: _run(study, place))
            _line("report", here, there, results.write_report)


def _study(folder: Path, checkpoint_seconds: float) -> Study:
    file = folder / "study.yaml"
    file.write_text(STUDY.replace("CHECKPOINT_SECONDS", str(checkpoint_seconds)))
    return load_study(file)


def _run(study: Study, place: Location) -> None:
    run_study(study, place, address="none")


def _line(what: str, here: Path, there: Location, do: Callable[[Location], object]) -> None:
    taken = []
    for place in (here, there):
        started = time.perf_counter()
        do(place)
        taken.append(time.perf_counter() - started)
    print(f"| {what} | {taken[0]:.1f} s | {taken[1]:.1f} s |", flush=True)


if __name__ == "__main__":
    main()
