"""Readers in loops through merges: a count is never wrong, and ours meets no error at all."""

import threading
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest

from results.store.store import Store
from results.store.tables import table_of

PARTS, TRIALS = 12, 4
GONE = (FileNotFoundError, duckdb.IOException, pl.exceptions.ComputeError)
"""What another reader says of a file that it had listed, and a merge then put elsewhere."""
READERS: dict[str, Any] = {
    "ours": lambda store: store.read("epochs", ["trial_id", "epoch"]).to_pandas(),
    "pandas": lambda store: pd.read_parquet(store.folder("epochs"), columns=["trial_id", "epoch"]),
    "polars": lambda store: (
        pl.read_parquet(store.folder("epochs") / "*.parquet")
        .select("trial_id", "epoch")
        .to_pandas()
    ),
    "duckdb": lambda store: (
        duckdb.sql(f"select trial_id, epoch from '{store.folder('epochs')}/*.parquet'")
        .pl()
        .to_pandas()
    ),
}
LONG = [pytest.mark.long, pytest.mark.timeout(3600)]


def write(store: Store, merges: int, counts: list[int], ended: threading.Event) -> None:
    """Add parts and merge them, so many times; the last of `counts` is that of the rows so far."""
    for merge in range(merges):
        for part in range(PARTS):
            number = merge * PARTS + part
            rows = [
                {"trial_id": f"t{n}", "epoch": number + 1, "sequence": TRIALS * number + n}
                for n in range(TRIALS)
            ]
            store.write_part("epochs", f"p{number:06d}", [table_of("epochs", rows)])
            counts.append(TRIALS * (number + 1))
        store.merge(f"m{merge:05d}")
    ended.set()


@pytest.mark.parametrize(
    ("reader", "merges"),
    [
        *((reader, 5) for reader in ("ours", "polars", "duckdb")),
        *(pytest.param(reader, 250, marks=LONG) for reader in READERS),
    ],
)
def test_readers_never_count_wrongly_through_merges(
    reader: str, merges: int, tmp_path: Path
) -> None:
    store, ended, counts = Store(tmp_path), threading.Event(), [0]
    writer = threading.Thread(target=write, args=(store, merges, counts, ended))
    writer.start()
    looks, gone = 0, 0
    while not ended.is_set():
        least = counts[-1]
        if not least:
            continue
        try:
            rows = READERS[reader](store)
        except GONE:
            assert reader != "ours"
            gone += 1
            continue
        looks += 1
        # One part may be there that is not counted yet.
        assert least <= len(rows) <= counts[-1] + TRIALS
        assert not rows.duplicated().any()
    writer.join()
    assert len(READERS[reader](store)) == merges * PARTS * TRIALS
    print(f"\n{reader}: {looks} looks at {merges} merges, {gone} times a listed file was gone")
