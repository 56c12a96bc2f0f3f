"""What large studies may cost: megabytes of the page, seconds and objects of reading."""

import time
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from scripts import script

import results
from results.report.page import render

ROOT = Path(__file__).parents[3]
CELLS = ["model", "weights", "fraction", "epoch"]


@pytest.fixture(scope="module")
def benchmark():
    return script("benchmarks/large_studies.py")


def test_the_page_of_a_thousand_trials_is_under_five_megabytes(benchmark, tmp_path):
    size = benchmark.Size(models=20, weights=2, fractions=5, seeds=5, epochs=5)
    assert size.trials == 1000
    run = results.open(benchmark.write_study(tmp_path / "run", size, np.random.default_rng(0)))
    page = results.write_report(run)
    assert page.stat().st_size < 5_000_000
    # Most of it is the charting library, whatever the study.
    assert len(render(run, {}, datetime.now(UTC))) < page.stat().st_size


def test_epoch_rows_are_read_without_an_object_for_each(benchmark, tmp_path):
    size = benchmark.Size(models=5, weights=2, fractions=5, seeds=20, epochs=100)
    root = benchmark.write_study(tmp_path / "run", size, np.random.default_rng(0))
    results.open(root).epochs()  # imports
    run = results.open(root)
    tracemalloc.start()
    rows = run.epochs()
    objects = sum(part.count for part in tracemalloc.take_snapshot().statistics("filename"))
    tracemalloc.stop()
    assert len(rows) == 100_000
    assert objects < 10_000


@pytest.mark.long
def test_a_million_epoch_rows_are_read_and_summarised_in_seconds(benchmark, tmp_path):
    size = benchmark.Size(models=5, weights=2, fractions=5, seeds=200, epochs=100)
    root = benchmark.write_study(tmp_path / "run", size, np.random.default_rng(0))
    seconds = []
    for _ in range(3):
        # Processor time of all threads: other work on the machine counts little.
        started = time.process_time()
        run = results.open(root)
        rows = run.epochs()
        means = rows.groupby(CELLS)["test_accuracy"].mean()
        run.summary()
        seconds.append(time.process_time() - started)
    assert (len(rows), len(means)) == (1_000_000, 5_000)
    assert min(seconds) < 3, seconds
