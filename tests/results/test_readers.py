"""pandas, Polars and DuckDB read tables while they are written: no row twice, none missing."""

import threading
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest

from results.store import Store
from results.tables import GrowingTable, TrialTable

ROWS = 300


def write(store: Store, ended: threading.Event) -> None:
    epochs, trials = GrowingTable(store, "epochs", "pass"), TrialTable(store, "pass")
    for number in range(ROWS):
        trial_id = f"trial-{number % 10}"
        epochs.append({"trial_id": trial_id, "epoch": number // 10 + 1, "sequence": number + 1})
        trials.update(trial_id, {"epochs_done": number // 10 + 1, "status": "running"})
        epochs.flush()
        trials.flush()
    ended.set()


READERS: dict[str, Any] = {
    "pandas": lambda folder: pd.read_parquet(folder),
    "polars": lambda folder: pl.read_parquet(folder / "*.parquet").to_pandas(),
    "duckdb": lambda folder: duckdb.sql(f"select * from '{folder}/*.parquet'").pl().to_pandas(),
}


@pytest.mark.parametrize("reader", sorted(READERS))
def test_reading_while_writing(reader: str, tmp_path: Path) -> None:
    store, ended = Store(tmp_path), threading.Event()
    GrowingTable(store, "epochs", "zero").flush()
    writer = threading.Thread(target=write, args=(store, ended))
    writer.start()
    while not (store.parts("epochs") and store.parts("trials")):
        pass
    seen, last = 0, 0
    while not ended.is_set() or seen < 3:
        epochs = READERS[reader](store.folder("epochs"))
        assert sorted(epochs.sequence) == list(range(1, len(epochs) + 1))
        assert len(epochs) >= last
        last, seen = len(epochs), seen + 1
        assert pd.read_parquet(store.folder("trials")).trial_id.is_unique
    writer.join()
    assert len(READERS[reader](store.folder("epochs"))) == ROWS
    store.merge("later", above=1)
    assert len(READERS[reader](store.folder("epochs"))) == ROWS
