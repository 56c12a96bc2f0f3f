"""Run directories for tests, drawn from a known learning-curve formula.

Errors fall as a power law in the number of images and exponentially in the epochs, so that every
number in a report made from them can be told beforehand.
"""

import heapq
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from results.records import EPOCH_SCHEMA, SCHEMAS, TRIAL_SCHEMA, Stage, Status
from results.store.store import Store

POOL = 45_000
START = datetime(2025, 3, 1, 9, 0, tzinfo=UTC)
PARAMETERS = {"resnet18": 11_181_642, "resnet50": 23_528_522}
FLOPS = {"resnet18": 37_000_000, "resnet50": 84_000_000}

Row = dict[str, Any]
Fate = Callable[[Row], str | None]
"""What befalls a trial: a status, `missing` (no row), `nan` (failed at epoch 2), or None."""


@dataclass(frozen=True)
class Plan:
    """The declared study of a sample."""

    name: str = "sample"
    models: Sequence[str] = ("resnet18", "resnet50")
    weights: Sequence[str] = ("none", "IMAGENET1K_V1")
    fractions: Sequence[float] = (1 / 16, 1 / 2, 1.0)
    extra: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    seeds: Sequence[int] = (0, 1, 2)
    search: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    epochs: int = 5
    race: bool = False
    slots: int = 2
    noise: float = 0.004

    def study(self) -> dict[str, Any]:
        """Return it as `study.yaml` holds it."""
        stopping: Any = {"compare": "cell", "grace": 1, "reduction_factor": 3}
        if self.race:
            stopping["compare"] = []
        elif not self.search:
            stopping = None
        return {
            "name": self.name,
            "trainable": "simulated",
            "data": {"source": "digits", "path": None, "validation": 0.1},
            "factors": {
                "model": list(self.models),
                "weights": list(self.weights),
                "fraction": list(self.fractions),
                **{key: list(levels) for key, levels in self.extra.items()},
            },
            "recipe": {"epochs": self.epochs, "batch_size": 256, "optimizer": "adam", "lr": 1e-3},
            "search": {key: list(values) for key, values in self.search.items()} or None,
            "early_stopping": stopping,
            "seeds": list(self.seeds),
            "resources": {"cpu": 1, "gpu": "auto"},
        }


def error(row: Row) -> float:
    """Return the test error (0 to 1) that a trial of `row` comes to without noise."""
    big = "50" in str(row["model"])
    pretrained = row["weights"] != "none"
    floor = 0.06 if big else 0.10
    slope = (2.5 if pretrained else 6.0) * (1.6 if big and not pretrained else 1.0)
    lr_penalty = 0.02 * abs(np.log10(row["lr"] / 1e-3))
    sgd_penalty = 0.03 if row["optimizer"] == "sgd" else 0.0
    size = row["fraction"] * POOL
    return float(min(floor + slope * size**-0.35 + lr_penalty + sgd_penalty, 0.9))


def write(
    root: Path, plan: Plan, generator: np.random.Generator, fate: Fate = lambda row: None
) -> Path:
    """Write a run directory of `plan`.

    Parameters
    ----------
    root
        Where.
    plan
        What was declared.
    generator
        Of seed noise.
    fate
        What befalls each trial.
    """
    store = Store(root)
    store.write_study(plan.study())
    trials, epochs = _rows(plan, generator, fate)
    _place(trials, epochs, plan.slots)
    for table, rows, schema in (("trials", trials, TRIAL_SCHEMA), ("epochs", epochs, EPOCH_SCHEMA)):
        store.write_part(table, "sample", [pa.Table.from_pylist(rows, schema=schema)])
    store.write_part("environments", "sample", [_environment(plan)])
    return root


def _rows(plan: Plan, generator: np.random.Generator, fate: Fate) -> tuple[list[Row], list[Row]]:
    trials: list[Row] = []
    epochs: list[Row] = []
    numbers = itertools.count()

    def train(row: Row) -> Row | None:
        fateful = fate(row)
        if fateful == "missing":
            return None
        trial, curve = _train(row, plan, generator, fateful, next(numbers))
        trials.append(trial)
        epochs.extend(curve)
        return trial

    names = list(plan.extra)
    for model, weights, fraction, *extra in itertools.product(
        plan.models, plan.weights, plan.fractions, *plan.extra.values()
    ):
        cell = {
            "model": model,
            "weights": weights,
            "fraction": fraction,
            "n_train": round(fraction * POOL),
            "batch_size": 256,
            "optimizer": "adam",
            "lr": 1e-3,
            "epochs": plan.epochs,
            "schedule": "constant",
            **dict(zip(names, extra, strict=True)),
        }
        stage = Stage.SEARCH if plan.race else Stage.MEASURE
        winner: Row | None = None
        if plan.search:
            recipes = [
                dict(zip(plan.search, values, strict=True))
                for values in itertools.product(*plan.search.values())
            ]
            searched = [
                train({**cell, **recipe, "stage": Stage.SEARCH, "seed": plan.seeds[0]})
                for recipe in recipes
            ]
            completed = [t for t in searched if t and t["status"] == Status.COMPLETED]
            if not completed:
                continue
            winner = max(completed, key=lambda t: (t["final_val_accuracy"], t["trial_id"]))
            winner["measured"] = True
            cell |= {key: winner[key] for key in plan.search}
        for seed in plan.seeds:
            if winner is None or seed != winner["seed"]:
                train({**cell, "stage": stage, "seed": seed, "measured": not plan.race})
    return trials, epochs


def _train(
    row: Row, plan: Plan, generator: np.random.Generator, fate: str | None, number: int
) -> tuple[Row, list[Row]]:
    status = Status.FAILED if fate == "nan" else Status(fate or "completed")
    done = {
        Status.PLANNED: 0,
        Status.STOPPED: 1,
        Status.FAILED: 1,
        Status.RUNNING: 2,
    }.get(status, plan.epochs)
    done = min(done, plan.epochs)
    target = error(row) + plan.noise * generator.standard_normal()
    seconds = row["fraction"] * (60.0 if "50" in str(row["model"]) else 25.0)
    trial: Row = {
        "measured": False,
        **row,
        "trial_id": f"{number:016x}",
        "wanted": True,
        "status": status,
        "epochs_done": done,
        "epochs_budget": plan.epochs,
        "n_parameters": PARAMETERS.get(row["model"], 1_000_000 + sum(map(ord, row["model"]))),
        "flops_per_image": FLOPS.get(row["model"], 10_000_000),
        "attempts": int(done > 0),
        "cpu": 1.0,
        "gpu": 0.0,
        "device": "cpu",
        "host": "local",
        "seconds": seconds * done,
    }
    curve = []
    for epoch in range(1, done + 1):
        remaining = (0.9 - target) * 0.4**epoch
        test = 1 - target - remaining
        curve.append(
            {key: trial[key] for key in trial if key in EPOCH_SCHEMA.names}
            | {
                "epoch": epoch,
                "step": epoch * -(-row["n_train"] // row["batch_size"]),
                "examples_seen": epoch * row["n_train"],
                "train_loss": 2.5 * (1 - test) * 0.8,
                "train_accuracy": 1 - 0.8 * (1 - test),
                "train_correct": round(row["n_train"] * (1 - 0.8 * (1 - test))),
                "train_seen": row["n_train"],
                "val_loss": 2.5 * (1 - test),
                "val_accuracy": test + 0.001 * generator.standard_normal(),
                "test_loss": 2.5 * (1 - test),
                "test_accuracy": test,
                "lr_last": row["lr"],
                "seconds": seconds,
                "images_per_second": row["n_train"] / seconds,
            }
        )
    if curve:
        best = max(curve, key=lambda r: (r["val_accuracy"], -r["epoch"]))
        trial["best_epoch"] = best["epoch"]
        for part, measure in itertools.product(("train", "val", "test"), ("loss", "accuracy")):
            trial[f"final_{part}_{measure}"] = curve[-1][f"{part}_{measure}"]
            trial[f"best_{part}_{measure}"] = best[f"{part}_{measure}"]
    if status is Status.STOPPED:
        trial |= {"stopped_at_epoch": done, "stopped_cutoff": trial["final_val_accuracy"] + 0.01}
    if status is Status.FAILED:
        trial["error"] = "Diverged: train loss became nan at epoch 2, step 31"
    return trial, curve


def _place(trials: list[Row], epochs: list[Row], slots: int) -> None:
    """Give trials a slot, first free first, and epochs their time and sequence."""
    free = [(0.0, slot) for slot in range(slots)]
    times: dict[str, float] = {}
    for trial in trials:
        if not trial["epochs_done"]:
            continue
        begun, slot = heapq.heappop(free)
        times[trial["trial_id"]] = begun
        trial |= {"slot": slot, "started_at": START + timedelta(seconds=begun)}
        end = begun + trial["seconds"]
        if Status(trial["status"]).is_final:
            trial["ended_at"] = START + timedelta(seconds=end)
        heapq.heappush(free, (end + 0.5, slot))
    for row in epochs:
        elapsed = times[row["trial_id"]] + row["seconds"] * row["epoch"]
        row["recorded_at"] = START + timedelta(seconds=elapsed)
    epochs.sort(key=lambda row: row["recorded_at"])
    for sequence, row in enumerate(epochs):
        row["sequence"] = sequence


def _environment(plan: Plan) -> pa.Table:
    row = {
        "pass_id": "0001",
        "started_at": START,
        "host": "local",
        "scalestudy": "0.1.0",
        "training_version": 1,
        "python": "3.11.2",
        "torch": "2.14.1",
        "ray": "2.60.0",
        "platform": "Linux",
        "cpus": float(plan.slots),
        "gpus": 0.0,
        "command": "scalestudy run sample.yaml",
    }
    return pa.Table.from_pylist([row], schema=SCHEMAS["environments"])
