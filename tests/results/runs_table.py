"""Tables of trials and epochs with numbers given one by one, in the full schema."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import pyarrow as pa

from results.analysis.analysis import Analysis
from results.analysis.runs import Design
from results.records import (
    EPOCH_SCHEMA,
    PREDICTION_SCHEMA,
    SCHEMAS,
    TRIAL_SCHEMA,
)

POOL = 1600
SMALL, BIG = "resnet18", "resnet50"
PARAMETERS = {SMALL: 11_000_000, BIG: 24_000_000}
FLOPS = {SMALL: 600_000_000, BIG: 1_300_000_000}

DEFAULTS: dict[str, Any] = {
    "stage": "measure",
    "model": SMALL,
    "weights": "none",
    "fraction": 1.0,
    "seed": 0,
    "epochs": 4,
    "epochs_budget": 4,
    "batch_size": 32,
    "optimizer": "adam",
    "lr": 1e-3,
    "schedule": "constant",
    "stem": "standard",
    "wanted": True,
    "measured": True,
    "status": "completed",
    "final_train_accuracy": 0.95,
    "final_train_loss": 0.2,
    "final_val_loss": 0.5,
    "final_test_loss": 0.6,
    "final_val_accuracy": 0.7,
    "device": "cuda:0",
    "resolved_precision": "fp32",
    "seconds": 100.0,
    "cpu": 2.0,
    "gpu": 0.0,
}


def trial(accuracy: float | None = 0.8, **fields: Any) -> dict[str, Any]:
    """Return one row of the table of trials; accuracy is that of the final test, 0 to 1."""
    row = {**DEFAULTS, "final_test_accuracy": accuracy, **fields}
    row.setdefault("n_train", round(POOL * row["fraction"]))
    row.setdefault("n_parameters", PARAMETERS.get(row["model"]))
    row.setdefault("flops_per_image", FLOPS.get(row["model"]))
    names = ("model", "weights", "fraction", "seed", "lr", "optimizer", "freeze")
    row.setdefault("trial_id", "-".join(str(row.get(name)) for name in names))
    if row["status"] != "completed":
        row |= {name: None for name in row if name.startswith("final_")}
    return row


def cell(accuracies: Iterable[float], **fields: Any) -> list[dict[str, Any]]:
    """Return one row per seed, seeds counted from 0."""
    return [trial(accuracy, seed=seed, **fields) for seed, accuracy in enumerate(accuracies)]


def trials_frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows as the store gives them."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=TRIAL_SCHEMA).to_pandas()


def curve(row: Mapping[str, Any], **columns: list[float]) -> list[dict[str, Any]]:
    """Return a trial's epoch rows, one per value of each column; a settled run by default."""
    length = max([len(values) for values in columns.values()], default=4)
    steps = -(-row["n_train"] // row["batch_size"])
    settled = {
        "train_loss": [0.20] * length,
        "val_loss": [0.50] * length,
        "train_accuracy": [0.95] * length,
        "val_accuracy": [0.70] * length,
        "test_accuracy": [0.70] * length,
    }
    identity = {name: row.get(name) for name in EPOCH_SCHEMA.names if name in row}
    return [
        {
            **identity,
            "epoch": place + 1,
            "step": steps * (place + 1),
            "train_seen": row["n_train"],
            **{name: values[place] for name, values in {**settled, **columns}.items()},
        }
        for place in range(length)
    ]


def epochs_frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return epoch rows as the store gives them."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=EPOCH_SCHEMA).to_pandas()


def analysis_of(
    rows: Iterable[Mapping[str, Any]],
    epochs: pd.DataFrame | None = None,
    predictions: pd.DataFrame | None = None,
    examples: pd.DataFrame | None = None,
    data: Mapping[str, Any] | None = None,
    **design: Any,
) -> Analysis:
    """Return the analysis of rows of the table of trials; what is not given is empty.

    `data` is what was read, as a pass records it.
    """
    tables = {name: schema.empty_table().to_pandas() for name, schema in SCHEMAS.items()}
    tables["trials"] = trials_frame(rows)
    if examples is not None:
        tables["examples"] = examples
    if data is not None:
        row = {"pass_id": "0001", "data": json.dumps(data)}
        environments = pa.Table.from_pylist([row], schema=SCHEMAS["environments"])
        tables["environments"] = environments.to_pandas()
    for name, table in (("epochs", epochs), ("predictions", predictions)):
        if table is not None:
            tables[name] = table
    return Analysis(tables.__getitem__, Design(**design))


def predictions_frame(correct):
    rows = [
        {"trial_id": trial_id, "epoch": 4, "example": place, "correct": bool(hit)}
        for trial_id, hits in correct.items()
        for place, hit in enumerate(hits)
    ]
    return pa.Table.from_pylist(rows, schema=PREDICTION_SCHEMA).to_pandas()


def noisy(generator, cells, seeds, images, sd, skill=1.0):
    """Return rows of equal cells and their predictions, seeds and images both at random."""
    rows, hits = [], {}
    hard = generator.normal(size=images)
    for fields in cells:
        for seed in range(seeds):
            ability = skill + sd * generator.normal() + 0.4 * generator.normal(size=images)
            right = ability + hard > 0
            row = trial(float(right.mean()), seed=seed, **fields)
            rows.append(row)
            hits[row["trial_id"]] = right
    return rows, predictions_frame(hits)
