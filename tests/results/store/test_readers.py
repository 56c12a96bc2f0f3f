"""pandas, Polars and DuckDB read tables while they are written: no row twice, none missing."""

import threading
import time
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest

from results.store.store import Store
from results.store.tables import GrowingTable, TrialTable, table_of

ROWS, TRIALS = 120, 10


def write(store: Store, ended: threading.Event) -> None:
    epochs, trials = GrowingTable(store, "epochs", "pass"), TrialTable(store, "pass")
    rows: dict[str, dict[str, Any]] = {}
    for number in range(ROWS):
        trial_id, epoch = f"trial-{number % TRIALS}", number // TRIALS + 1
        row = {"trial_id": trial_id, "epoch": epoch, "sequence": number + 1}
        epochs.append(table_of("epochs", [row]))
        epochs.flush()
        rows[trial_id] = {"trial_id": trial_id, "epochs_done": epoch, "status": "running"}
        if number % TRIALS == TRIALS - 1:
            trials.write(rows, rows)
            # A run flushes once a second; a reader opens a file twice within a few milliseconds.
            time.sleep(0.05)
    ended.set()


READERS: dict[str, Any] = {
    "pandas": lambda folder: pd.read_parquet(folder),
    "polars": lambda folder: pl.read_parquet(folder / "*.parquet").to_pandas(),
    # By way of Polars: DuckDB's own way to pandas warns of itself.
    "duckdb": lambda folder: duckdb.sql(f"select * from '{folder}/*.parquet'").pl().to_pandas(),
}


@pytest.mark.parametrize("reader", sorted(READERS))
def test_reading_while_writing(reader: str, tmp_path: Path) -> None:
    store, ended, read = Store(tmp_path), threading.Event(), READERS[reader]
    writer = threading.Thread(target=write, args=(store, ended))
    writer.start()
    while not (store.parts("epochs") and store.parts("trials")):
        time.sleep(0.001)
    last, rounds, seen = 0, 0, 0
    while not ended.is_set() or seen < 3:
        epochs, trials = read(store.folder("epochs")), read(store.folder("trials"))
        assert sorted(epochs.sequence) == list(range(1, len(epochs) + 1))
        assert len(epochs) >= last
        # The table of trials is of one moment: all of them at the same epoch.
        assert sorted(trials.trial_id) == [f"trial-{number}" for number in range(TRIALS)]
        assert trials.epochs_done.nunique() == 1
        assert trials.epochs_done[0] >= rounds
        last, rounds, seen = len(epochs), trials.epochs_done[0], seen + 1
    writer.join()
    assert len(read(store.folder("epochs"))) == ROWS
    store.merge("later", above=1)
    assert len(store.parts("epochs")) == 1
    assert len(read(store.folder("epochs"))) == ROWS
    assert (read(store.folder("trials")).epochs_done == ROWS // TRIALS).all()
