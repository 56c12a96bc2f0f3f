"""Time the same search study with `test: every`, `auto` and `final`, in turn.

python benchmarks/evaluation.py ../shared/data [--test auto final] [--rounds 3]
    the folder holds CIFAR-10 as Parquet: cifar10-train.parquet and cifar10-test.parquet
python benchmarks/evaluation.py --quick
    scikit-learn's digits, one round: shows that it runs and no more

Every round trains all in processes of their own, in an order of its own, and says whether all
cells have the same winners.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import yaml
from processes import compile_packages, measure

import results

SEARCH = {"lr": [1e-2, 1e-3, 1e-4], "batch_size": [64, 32], "optimizer": ["adam", "sgd"]}


def main() -> None:
    """Print the seconds of each run, and their ratio with its spread."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--quick", action="store_true")
    rules = ("auto", "final")
    parser.add_argument("--test", choices=rules, nargs="+", default=rules)
    parser.add_argument("--models", nargs="+", default=["resnet18"])
    parser.add_argument("--fractions", nargs="+", default=["1/64", "1/32"])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    study: dict[str, Any] = {"search": SEARCH, "recipe": {"epochs": asked.epochs}}
    if asked.quick:
        study = {"search": {"lr": [1e-2, 1e-3]}, "recipe": {"epochs": 1}}
        study["factors"] = {"model": ["trainables.demo:small"], "fraction": ["1/32"]}
        asked.rounds = 1
    elif asked.data:
        parts = ("train", "test")
        path = {part: str(asked.data.absolute() / f"cifar10-{part}.parquet") for part in parts}
        study["data"] = {"source": "parquet", "path": path}
        study["factors"] = {"model": asked.models, "fraction": asked.fractions}
    else:
        parser.error("name the folder of the data, or --quick")
    compile_packages()
    rules = ("every", *asked.test)
    ratios: dict[str, list[float]] = {rule: [] for rule in asked.test}
    for number in range(asked.rounds):
        turn = number % len(rules)
        found = {
            rule: _run({"name": "evaluation", **study, "test": rule})
            for rule in rules[turn:] + rules[:turn]
        }
        whole, winners = found["every"]
        print(f"round {number + 1}: every {whole:.1f} s", end="")
        for rule, of_rule in ratios.items():
            less, chosen = found[rule]
            of_rule.append(less / whole)
            alike = "the same" if chosen == winners else "OTHER"
            print(f"; {rule} {less:.1f} s, ratio {of_rule[-1]:.2f}, {alike} winners", end="")
        print(flush=True)
    for rule, of_rule in ratios.items():
        print(f"{rule}: ratio {median(of_rule):.2f} ({min(of_rule):.2f} to {max(of_rule):.2f})")


def _run(study: dict[str, Any]) -> tuple[float, set[str]]:
    """Run a study; return the seconds that its process took, and the trials that it measured."""
    with tempfile.TemporaryDirectory(prefix="evaluation-") as place:
        file, out = Path(place) / "study.yaml", Path(place) / "run"
        file.write_text(yaml.safe_dump(study))
        command = [sys.executable, "-m", "orchestrator", "run", str(file), "--out", str(out)]
        cost = measure(command, Path(place) / "log", {"RAY_USAGE_STATS_ENABLED": "0"})
        trials = results.open(out).trials()
        return cost.seconds, set(trials[trials.measured].trial_id)


if __name__ == "__main__":
    main()
