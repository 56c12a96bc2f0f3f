"""Compare what `plan` says beforehand with what three studies then take.

Run it: python benchmarks/forecast.py ../shared/data
    the folder holds CIFAR-10 as Parquet: cifar10-train.parquet and cifar10-test.parquet
python benchmarks/forecast.py --quick
    two trials of one epoch on the embedded digits: shows that it runs and no more

Each study is planned from FLOPs, planned with a probe, and run; about six minutes on two cores,
which nothing else should keep busy. What was known of the machine before is not used.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from cifar import cifar10

import results
from results.phrases import level_label
from trainables.data.cache import FOLDER_VARIABLE

SCALESTUDY = (sys.executable, "-m", "orchestrator")
QUICK: dict[str, dict[str, Any]] = {
    "digits": {
        "factors": {"model": ["resnet18"], "fraction": ["1/4", "1/2"]},
        "recipe": {"epochs": 1, "batch_size": 32},
        "seeds": [0],
    },
}
STUDIES: dict[str, dict[str, Any]] = {
    "digits": {
        "factors": {"model": ["resnet18", "resnet34"], "fraction": ["1/4", "1/2", 1]},
        "recipe": {"epochs": 3, "batch_size": 32, "optimizer": "adam", "lr": 1e-3},
        "seeds": [0, 1],
    },
    "cifar-short": {
        "factors": {
            "model": ["resnet18", "shufflenet_v2_x1_0"],
            "fraction": ["1/32", "1/16", "1/8"],
        },
        "recipe": {"epochs": 2, "batch_size": 128, "optimizer": "adam", "lr": 1e-3},
        "seeds": [0],
    },
    "cifar-mixed": {
        "factors": {"model": ["mobilenet_v3_small", "resnet50"], "fraction": ["1/64", "1/16"]},
        "recipe": {"epochs": 2, "batch_size": 64, "optimizer": "sgd", "lr": 1e-3},
        "seeds": [0, 1],
    },
}


def main() -> None:
    """Print a row per study."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if not arguments.quick and not arguments.data:
        parser.error("name the folder of the data, or --quick")
    print("| study | FLOPs | a probe | took | took / probe | single cells | whole command |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as place:
        os.environ[FOLDER_VARIABLE] = str(Path(place) / "cache")
        for name, study in (QUICK if arguments.quick else STUDIES).items():
            declared = {"name": name, "data": _data(name, arguments.data), **study}
            file = Path(place) / f"{name}.yaml"
            file.write_text(yaml.safe_dump(declared))
            print(_row(name, file), flush=True)
    print(f"seconds; load at the end {os.getloadavg()[0]:.1f}")


def _data(name: str, folder: Path | None) -> dict[str, Any]:
    if name == "digits" or folder is None:
        return {"source": "digits"}
    return cifar10(folder)


def _row(name: str, file: Path) -> str:
    out = file.with_suffix("")
    plain = _said("plan", file, out, "--json")["price"]
    probed = _said("plan", file, out, "--probe", "--json")["price"]
    started = time.perf_counter()
    _said("run", file, out, "--json")
    whole = time.perf_counter() - started
    trials = results.open(out).trials()
    took = (trials["ended_at"].max() - trials["started_at"].min()).total_seconds()
    fractions = trials["fraction"].map(lambda value: level_label("fraction", value))
    cells = trials.groupby(trials["model"] + " × " + trials["weights"] + " × " + fractions)
    ratios = [
        seconds / probed["cells"][cell]["seconds"]["value"]
        for cell, seconds in cells["seconds"].sum().items()
    ]
    return (
        f"| {name}, {len(trials)} trials | {_band(plain['wall'])} | {_band(probed['wall'])} "
        f"| {took:.0f} | {took / probed['wall']['value']:.2f} "
        f"| {min(ratios):.2f} – {max(ratios):.2f} | {whole:.0f} |"
    )


def _said(command: str, file: Path, out: Path, *options: str) -> dict[str, Any]:
    done = subprocess.run(
        [*SCALESTUDY, command, str(file), "--out", str(out), *options],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def _band(wall: dict[str, float]) -> str:
    return f"{wall['value']:.0f} ({wall['low']:.0f} – {wall['high']:.0f})"


if __name__ == "__main__":
    main()
