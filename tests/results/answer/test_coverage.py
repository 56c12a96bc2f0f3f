"""A reduced run of benchmarks/coverage.py, and the figures that pages print held to its tables."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from results.answer.answer import MEASURED, Interval, coverage_note

ROOT = Path(__file__).parents[3]
COLUMNS = {
    Interval.MEAN: ["t, mean", "t, paired difference", "t, pooled variance"],
    Interval.TEST_SET: ["paired"],
    Interval.EXTRAPOLATION: ["interval"],
    Interval.CROSSOVER: ["location's interval"],
    Interval.WORTH: ["interval"],
}


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("coverage", ROOT / "benchmarks/coverage.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def documented():
    """Return the tables of the page, in order: heading → column → percentages."""
    text = (ROOT / "docs/statistics.md").read_text(encoding="utf-8")
    tables = []
    for block in re.findall(r"### .+\n\n((?:\|.*\n)+)", text):
        head, _, *rows = [
            [part.strip() for part in line.strip("|\n ").split("|")]
            for line in block.strip().splitlines()
        ]
        columns = list(zip(*rows, strict=True))
        tables.append(dict(zip(head, columns, strict=True)))
    return dict(zip(Interval, tables, strict=True))


@pytest.mark.parametrize("kind", list(Interval))
def test_pages_print_what_was_measured(kind):
    table = documented()[kind]
    shares = [int(cell.rstrip(" %")) for name in COLUMNS[kind] for cell in table[name]]
    assert MEASURED[kind] == (min(shares), max(shares))
    assert f"{min(shares)} to {max(shares)} %" in coverage_note(kind)


def test_every_t_interval_covers_nine_in_ten():
    table = documented()[Interval.MEAN]
    assert set(table["seeds"]) == {"3", "5"}
    assert MEASURED[Interval.MEAN][0] >= 90


def test_t_intervals_reduced(benchmark):
    table = benchmark.intervals(repeats=60)
    # 240 studies a row: two standard errors are three points.
    assert (table[COLUMNS[Interval.MEAN]] >= 0.88).all(axis=None)
    assert (table["(percentile bootstrap)"] < 0.9).all()


def test_extrapolation_reduced(benchmark):
    generator = np.random.default_rng(1)
    found = benchmark._extrapolated(generator, (1 / 4, 1 / 2, 1.0), 3, 2, repeats=60)
    assert found["interval"] >= 0.85
    assert found["MAE headline"] < found["MAE last value"] / 2


def test_crossover_and_worth_reduced(benchmark):
    generator = np.random.default_rng(2)
    sizes = benchmark.POOL * np.array([1 / 8, 1 / 4, 1 / 2, 1])
    found = benchmark._crossed(generator, sizes, 5, repeats=30)
    assert found["location's interval"] >= 0.8
    assert found["claimed where there is one"] > 0.5
    assert found["claimed where models tie"] <= 0.1


def test_markdown(benchmark):
    frame = benchmark.pd.DataFrame({"seeds": [3], "share": [0.954], "MAE x": [0.5]})
    assert benchmark.markdown(frame).splitlines() == [
        "| seeds | share | MAE x |",
        "| --- | --- | --- |",
        "| 3 | 95 % | 0.50 |",
    ]
