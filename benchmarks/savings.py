"""Time one search study without savings, with each of them, and with all, in turn.

python benchmarks/savings.py ../shared/data [--ways "test: auto" together] [--rounds 3]
    the folder holds CIFAR-10 as Parquet: cifar10-train.parquet and cifar10-test.parquet
python benchmarks/savings.py --quick
    scikit-learn's digits, one round: shows that it runs and no more

Without savings every trial of the search is trained to its end, and evaluates the validation set
and the test set after each epoch. What `reuse` takes is trained before, which is not counted: the
smaller of two fractions. Every round trains all in processes of their own, in an order of its own,
and says whether all cells have the same winners.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import yaml
from cifar import cifar10
from processes import compile_packages, measure

import results

WITHOUT = "without"
_LENDER = "lender"
WAYS: dict[str, dict[str, Any]] = {
    WITHOUT: {},
    "test: auto": {"test": "auto"},
    "test: final": {"test": "final"},
    "early stopping": {"early_stopping": None},
    "reuse": {"reuse": [_LENDER]},
    "together": {"test": "final", "early_stopping": None, "reuse": [_LENDER]},
}
"""What each way says in place of the study, beside whose file the lender lies."""


def main() -> None:
    """Print the seconds of each run, and the ratio of each way with its spread."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--ways", choices=[*WAYS][1:], nargs="+", default=[*WAYS][1:])
    parser.add_argument("--models", nargs="+", default=["resnet18"])
    parser.add_argument("--fractions", nargs="+", default=["1/128", "1/64"])
    parser.add_argument("--lrs", type=float, nargs="+", default=[1e-2, 1e-3, 1e-4])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    study: dict[str, Any] = {"test": "every", "early_stopping": "none"}
    if asked.quick:
        asked.rounds, asked.epochs, asked.lrs = 1, 2, asked.lrs[:2]
        asked.models, asked.fractions = ["trainables.demo:small"], ["1/64", "1/32"]
    elif asked.data:
        study["data"] = cifar10(asked.data)
    else:
        parser.error("name the folder of the data, or --quick")
    study["factors"] = {"model": asked.models, "fraction": asked.fractions}
    study |= {"search": {"lr": asked.lrs}, "recipe": {"epochs": asked.epochs}}
    compile_packages()
    ways = (WITHOUT, *asked.ways)
    ratios: dict[str, list[float]] = {way: [] for way in asked.ways}
    with tempfile.TemporaryDirectory(prefix="savings-") as place:
        folder = Path(place)
        few = {**study, "factors": {**study["factors"], "fraction": asked.fractions[:1]}}
        _run(few, folder / _LENDER)
        for number in range(asked.rounds):
            turn = number % len(ways)
            turned = ways[turn:] + ways[:turn]
            found = {way: _run(study | WAYS[way], folder / "run") for way in turned}
            whole, winners = found[WITHOUT]
            print(f"round {number + 1}: without {whole:.1f} s", end="")
            for way, of_way in ratios.items():
                seconds, chosen = found[way]
                of_way.append(seconds / whole)
                alike = "the same" if chosen == winners else "OTHER"
                print(f"; {way} {seconds:.1f} s, {alike} winners", end="")
            print(flush=True)
    for way, of_way in ratios.items():
        print(f"{way}: {median(of_way):.2f} ({min(of_way):.2f} to {max(of_way):.2f})")


def _run(study: dict[str, Any], out: Path) -> tuple[float, set[str]]:
    """Run a study; return its seconds, and the trials that it measured."""
    shutil.rmtree(out, ignore_errors=True)
    file = out.with_suffix(".yaml")
    file.write_text(yaml.safe_dump({"name": "savings", **study}))
    command = [sys.executable, "-m", "orchestrator", "run", str(file), "--out", str(out)]
    cost = measure(command, out.with_suffix(".log"), {"RAY_USAGE_STATS_ENABLED": "0"})
    trials = results.open(out).trials()
    return cost.seconds, set(trials[trials.measured].trial_id)


if __name__ == "__main__":
    main()
