"""Whether a study that saves answers as one that saves nothing: their levers, side by side.

python benchmarks/bias.py ../shared/data [--fractions 1/64 1/16] [--epochs 4]
    the folder holds CIFAR-10 as Parquet: cifar10-train.parquet and cifar10-test.parquet
python benchmarks/bias.py
    scikit-learn's digits
python benchmarks/bias.py --quick
    digits, one epoch: shows that it runs and no more

The one stops recipes of its search early and evaluates the test set as `test: auto` says; the other
trains all of them to the end and evaluates it after every epoch.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from cifar import cifar10

import results

UNCUT = {"early_stopping": "none", "test": "every"}
STUDY: dict[str, Any] = {
    "name": "bias",
    "search": {"lr": [1e-2, 3e-3, 1e-3, 3e-4], "batch_size": [64, 32]},
    "seeds": [0, 1, 2],
}


def main() -> None:
    """Print each lever of both studies, and whether each gain lies in the other's interval."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--models", nargs="+", default=["resnet18", "shufflenet_v2_x0_5"])
    parser.add_argument("--fractions", nargs="+", default=["1/64", "1/16"])
    parser.add_argument("--epochs", type=int, default=4)
    asked = parser.parse_args()
    factors = {"model": asked.models, "fraction": asked.fractions}
    study: dict[str, Any] = {**STUDY, "recipe": {"epochs": asked.epochs}}
    if asked.data:
        study["data"] = cifar10(asked.data)
    else:
        models = [f"trainables.demo:{size}" for size in ("small", "large")]
        factors = {"model": models, "fraction": ["1/32", "1/8"]}
    if asked.quick:
        study = {**study, "search": {"lr": [1e-2, 1e-3]}, "recipe": {"epochs": 1}, "seeds": [0, 1]}
    study["factors"] = factors
    saves, whole = (_levers({**study, **more}) for more in ({}, UNCUT))
    both = saves.merge(whole, on=["lever", "step"], how="outer", suffixes=("", " uncut"))
    within = both["gain"].between(both["low uncut"], both["high uncut"])
    both["agree"] = within & both["gain uncut"].between(both["low"], both["high"])
    print(both.to_string(index=False, float_format="{:.1f}".format))


def _levers(study: dict[str, Any]) -> pd.DataFrame:
    with tempfile.TemporaryDirectory(prefix="bias-") as place:
        file, out = Path(place) / "study.yaml", Path(place) / "run"
        file.write_text(yaml.safe_dump(study))
        command = [sys.executable, "-m", "orchestrator", "run", str(file), "--out", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        run = results.open(out)
        trained = len(run.epochs())
        print(f"{study.get('test', 'auto')}: {trained:,} epochs trained", flush=True)
        levers = run.levers()[["lever", "step", "gain", "low", "high"]]
        return levers.dropna()  # what one seed tells has no interval


if __name__ == "__main__":
    main()
