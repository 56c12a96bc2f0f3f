"""Time reading, summarising and reporting large studies.

Run it: python benchmarks/large_studies.py [--smaller 100]

It writes studies of simulated curves to a temporary folder and prints seconds and sizes. `--smaller
100` makes all of them about a hundred times as small, which shows that it runs and no more.
"""

import argparse
import json
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa

import results
from results.records import SCHEMAS
from results.store.store import Store

POOL, CLASSES, BATCH = 50_000, 10, 256
METRICS = [
    f"{part}_{measure}" for part in ("train", "val", "test") for measure in ("loss", "accuracy")
]


@dataclass(frozen=True)
class Size:
    """How large a study is.

    Parameters
    ----------
    models, weights, fractions
        Levels of each factor.
    seeds, epochs
        Of every cell.
    """

    models: int
    weights: int
    fractions: int
    seeds: int
    epochs: int

    @property
    def trials(self) -> int:
        """How many trials there are."""
        return self.cells * self.seeds

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return self.models * self.weights * self.fractions


def write_study(root: Path, size: Size, generator: np.random.Generator) -> Path:
    """Write the run directory of a finished study, all trials of which were measured."""
    models = [f"model-{number:03d}" for number in range(size.models)]
    weights = ["none", *(f"weights-{number}" for number in range(1, size.weights))]
    fractions = [2.0**-power for power in range(size.fractions)]
    study = {
        "name": f"{size.trials}-trials",
        "factors": {"model": models, "weights": weights, "fraction": fractions},
        "recipe": {"epochs": size.epochs, "batch_size": BATCH, "lr": 1e-3},
        "seeds": list(range(size.seeds)),
    }
    store = Store(root)
    store.write_study(study)
    shape = (size.models, size.weights, size.fractions, size.seeds)
    model, weight, fraction, seed = (axis.ravel() for axis in np.indices(shape))
    share = np.array(fractions)[fraction]
    final = _errors(model, weight, share, generator)
    identity = {
        "trial_id": np.array([f"{number:016x}" for number in range(size.trials)]),
        "stage": np.full(size.trials, "measure"),
        "model": np.array(models)[model],
        "weights": np.array(weights)[weight],
        "fraction": share,
        "n_train": np.maximum(np.round(share * POOL), 1).astype(int),
        "seed": seed,
        "epochs": np.full(size.trials, size.epochs),
        "batch_size": np.full(size.trials, BATCH),
        "optimizer": np.full(size.trials, "adam"),
        "lr": np.full(size.trials, 1e-3),
        "stem": np.full(size.trials, "cifar"),
        "schedule": np.full(size.trials, "cosine"),
    }
    epochs = _epochs(identity, final, size.epochs, generator)
    trials = _trials(identity, epochs, size)
    for name, columns in (("trials", trials), ("epochs", epochs)):
        store.write_part(name, "bench", [_table(name, columns)])
    return root


def _errors(
    model: np.ndarray, weight: np.ndarray, share: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Return each trial's final test error: a power law per model, less of it with weights."""
    floor, slope = 0.05 + 0.05 / (1 + model), np.where(weight > 0, 2.0, 5.0) * (1 + 0.02 * model)
    error = floor + slope * (share * POOL) ** -0.35 + 0.004 * generator.standard_normal(model.size)
    return np.clip(error, 0.01, 0.9)


def _epochs(
    identity: dict[str, np.ndarray], final: np.ndarray, epochs: int, generator: np.random.Generator
) -> dict[str, np.ndarray]:
    rows = {name: np.repeat(values, epochs) for name, values in identity.items()}
    epoch = np.tile(np.arange(1, epochs + 1), final.size)
    error = np.repeat(final, epochs)
    error = error + (0.9 - error) * 0.5**epoch + 0.001 * generator.standard_normal(error.size)
    seen = rows["n_train"]
    correct = np.round(seen * (1 - 0.8 * error)).astype(int)
    return {
        **rows,
        "sequence": np.arange(error.size),
        "epoch": epoch,
        "step": epoch * -(-seen // BATCH),
        "examples_seen": epoch * seen,
        "train_loss": 2 * error,
        "train_accuracy": correct / seen,
        "train_correct": correct,
        "train_seen": seen,
        "val_loss": 2.5 * error,
        "val_accuracy": 1 - error + 0.001 * generator.standard_normal(error.size),
        "test_loss": 2.5 * error,
        "test_accuracy": 1 - error,
        "seconds": 1e-3 * seen,
        "images_per_second": np.full(error.size, 1e3),
    }


def _trials(
    identity: dict[str, np.ndarray], epochs: dict[str, np.ndarray], size: Size
) -> dict[str, np.ndarray]:
    last = {name: epochs[name].reshape(-1, size.epochs)[:, -1] for name in METRICS}
    number = np.arange(size.trials)
    seconds = 1e-3 * identity["n_train"] * size.epochs
    end = np.cumsum(seconds)
    start = np.datetime64("2025-03-01T09:00", "us")
    return {
        **identity,
        "wanted": np.full(size.trials, True),
        "measured": np.full(size.trials, True),
        "status": np.full(size.trials, "completed"),
        "epochs_done": np.full(size.trials, size.epochs),
        "epochs_budget": np.full(size.trials, size.epochs),
        "best_epoch": np.full(size.trials, size.epochs),
        **{f"final_{name}": values for name, values in last.items()},
        **{f"best_{name}": values for name, values in last.items()},
        "n_parameters": 1_000_000 * (1 + np.unique(identity["model"], return_inverse=True)[1]),
        "class_counts": np.array(
            [json.dumps([int(images) // CLASSES] * CLASSES) for images in identity["n_train"]]
        ),
        "device": np.full(size.trials, "cpu"),
        "host": np.full(size.trials, "local"),
        "slot": number % 4,
        "attempts": np.ones(size.trials, dtype=int),
        "seconds": seconds,
        "cpu": np.ones(size.trials),
        "gpu": np.zeros(size.trials),
        "started_at": start + ((end - seconds) * 1e6 / 4).astype("timedelta64[us]"),
        "ended_at": start + (end * 1e6 / 4).astype("timedelta64[us]"),
    }


def _table(name: str, columns: dict[str, np.ndarray]) -> pa.Table:
    schema = SCHEMAS[name]
    rows = len(next(iter(columns.values())))
    arrays = [
        pa.array(columns[field.name]).cast(field.type)
        if field.name in columns
        else pa.nulls(rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def read(root: Path) -> tuple[float, int]:
    """Read all epoch rows, average every cell's curves, summarise; return seconds and peak MiB."""
    # What the summary imports is not counted, as what this module imports is not.
    import_module("scipy.special")
    started = time.perf_counter()
    run = results.open(root)
    curves = run.epochs().groupby(["model", "weights", "fraction", "epoch"])["test_accuracy"].mean()
    summary = run.summary()
    seconds = time.perf_counter() - started
    if summary["test_accuracy"].isna().any() or curves.isna().any():
        raise ValueError(f"{root}: not every cell has a value")
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    """Print a line per measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smaller", type=int, default=1, help="divide the seeds and models by it")
    parser.add_argument("--rounds", type=int, default=7, help="of reading the rows")
    arguments = parser.parse_args()
    smaller, rounds = arguments.smaller, arguments.rounds

    def less(number: int) -> int:
        return max(number // smaller, 1)

    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        size = Size(5, 2, 5, less(200), 100)
        root = write_study(Path(folder) / "rows", size, generator)
        # Each time in a process of its own, all of whose memory is new.
        with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as processes:
            costs = list(processes.map(read, [root] * rounds))
        taken = sorted(seconds for seconds, _ in costs)
        print(
            f"{size.trials * size.epochs:,} epoch rows read and summarised in {size.cells} cells: "
            f"{median(taken):.2f} s, {taken[0]:.2f} to {taken[-1]:.2f} in {rounds} processes "
            f"of at most {max(memory for _, memory in costs)} MiB"
        )
        for name, size in (
            ("few cells", Size(5, 2, 5, less(200), 5)),
            ("many cells", Size(less(100), 4, 5, 5, 5)),
            ("fewer trials", Size(less(20), 2, 5, 5, 5)),
        ):
            root = write_study(Path(folder) / name, size, generator)
            started = time.perf_counter()
            page = results.write_report(root)
            seconds = time.perf_counter() - started
            megabytes = page.stat().st_size / 1e6
            print(
                f"report of {size.trials:,} trials in {size.cells:,} cells: {seconds:.1f} s, "
                f"page of {megabytes:.1f} MB"
            )


if __name__ == "__main__":
    main()
