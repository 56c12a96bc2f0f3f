"""Time the head alone on kept features (`freeze: backbone`) beside training the whole model.

python benchmarks/frozen.py ../shared/data [--weights FILE] [--fractions 1/64 1/16 1/4]
    the folder holds CIFAR-10 as Parquet: cifar10-train.parquet and cifar10-test.parquet
python benchmarks/frozen.py --quick
    scikit-learn's digits, one fraction: shows that it runs and no more

Of each fraction one trial is trained either way, in this process, on all its CPUs, with all
evaluations; making the model and opening the data is counted apart. So is the one pass that
computes the features, in a cache folder of its own unless `--cache` names one, where they may be.
`--full-epochs` below `--epochs` trains the whole model for so many only: its figures are then
multiplied, which the table says.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from cifar import cifar10
from processes import compile_packages

from orchestrator.study.inputs import Inputs, find_inputs
from orchestrator.study.study import Study, study_from
from trainables.data.cache import FOLDER_VARIABLE
from trainables.training.classifier import Classifier


def main() -> None:
    """Print a row per fraction."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--fractions", nargs="+", default=["1/64", "1/16", "1/4"])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--full-epochs", type=int)
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--cache", type=Path)
    asked = parser.parse_args()
    recipe: dict[str, Any] = {"epochs": asked.epochs, "augmentation": "none"}
    study: dict[str, Any] = {"name": "frozen", "seeds": [0]}
    if asked.quick:
        asked.fractions, recipe["epochs"] = ["1/16"], 1
    elif asked.data:
        study["data"] = cifar10(asked.data)
    else:
        parser.error("name the folder of the data, or --quick")
    if asked.image_size:
        recipe["image_size"] = asked.image_size
    weights = str(asked.weights.absolute()) if asked.weights else "none"
    study["factors"] = {"model": [asked.model], "weights": [weights], "fraction": asked.fractions}
    study["factors"]["freeze"] = ["backbone", "none"]
    full_epochs = min(asked.full_epochs or recipe["epochs"], recipe["epochs"])
    compile_packages()
    with tempfile.TemporaryDirectory(prefix="frozen-") as scratch:
        os.environ[FOLDER_VARIABLE] = str(asked.cache or scratch)
        declared = study_from({**study, "recipe": recipe})
        _table(declared, find_inputs(declared), full_epochs)


def _table(study: Study, inputs: Inputs, full_epochs: int) -> None:
    cpus, epochs = len(os.sched_getaffinity(0)), study.recipe["epochs"]
    times = epochs / full_epochs
    more = "" if times == 1 else f", of the whole model {full_epochs}, multiplied by {times:g}"
    print(f"{epochs} epochs{more}, with all evaluations")
    print(f"{cpus} CPUs, load {os.getloadavg()[0]:.1f}; seconds, and of the CPU in brackets")
    print("| fraction | images | features | made | head | whole model | ratio | with it made |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for size in dict.fromkeys(cell["fraction"] for cell in study.cells()):
        trials = {}
        for cell in study.cells():
            if cell["fraction"] == size:
                recipe = study.recipe_of(cell)
                trials[recipe.freeze] = inputs.trial(study, cell, recipe, 0)
        first, _ = _spent(partial(Classifier, trials["backbone"], cpus=cpus, device="cpu"))
        made, learner = _spent(partial(Classifier, trials["backbone"], cpus=cpus, device="cpu"))
        head, _ = _spent(partial(_train, learner, epochs))
        learner = Classifier(trials["none"], cpus=cpus, device="cpu")
        whole, _ = _spent(partial(_train, learner, full_epochs))
        whole = times * whole
        shown = [f"{wall:.2f} ({cpu:.2f})" for wall, cpu in (first - made, made, head, whole)]
        ratio, with_made = whole / head, (whole + made) / (head + made)
        shown += [f"{wall:.0f} ({cpu:.0f})" for wall, cpu in (ratio, with_made)]
        print(f"| {size} | {trials['none'].n_train} | {' | '.join(shown)} |", flush=True)


def _train(learner: Classifier, intervals: int) -> None:
    for _ in range(intervals):
        learner.step()


def _spent(work: Callable[[], Any]) -> tuple[np.ndarray, Any]:
    """Return seconds and CPU seconds of this process, shape (2,), and what was made."""
    started, cpu = time.perf_counter(), time.process_time()
    made = work()
    return np.array([time.perf_counter() - started, time.process_time() - cpu]), made


if __name__ == "__main__":
    main()
