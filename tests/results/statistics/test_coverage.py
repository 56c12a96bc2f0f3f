"""A reduced run of benchmarks/coverage.py."""

from pathlib import Path

import numpy as np
import pytest
from scripts import script

from results.statistics.inference import holm

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def benchmark():
    return script("benchmarks/coverage.py")


@pytest.mark.parametrize(("seeds", "share"), [(2, 0.0), (2, 0.9), (5, 0.5)])
def test_contrasts_hold_the_truth(benchmark, seeds, share):
    generator = np.random.default_rng(0)
    parts = benchmark.held(generator, seeds, share, 12, 1.0 * (share > 0), studies=400)
    coverage, noisiest, half = np.mean(parts, axis=0)
    assert 0.93 <= coverage <= 0.99
    assert noisiest >= 0.9
    assert half <= 2.5


def test_a_study_without_effects_claims_nothing(benchmark):
    weights, in_cell = benchmark.steps()
    assert weights.shape == (29, 12)
    assert in_cell.sum() == 24
    generator = np.random.default_rng(1)
    claims = 0
    for _ in range(60):
        right = benchmark.correctness(generator, 12, 3, 400, 0.1, 0.05, 0.3)
        claims += np.nanmin(holm(benchmark.infer(benchmark.weighed(right, weights)).p)) < 0.05
    assert claims <= 7


def test_looks_decide_early_what_is_far_apart(benchmark):
    false, decided, used = benchmark.sequential(4, 3, 12, 0.5, 0.0, studies=20)
    assert false == 0
    assert decided > 0.95
    assert used <= 0.6


def test_crossover_and_worth_reduced():
    drawn = script("benchmarks/drawn_curves.py")
    generator = np.random.default_rng(2)
    sizes = drawn.POOL * np.array([1 / 8, 1 / 4, 1 / 2, 1])
    found = drawn.crossed(generator, sizes, 5, 30)
    assert found["place held"] >= 0.8
    assert found["crossover claimed"] > 0.5
    assert found["where models tie"] <= 0.1
    assert drawn.worth(generator, sizes, 5, 40)["worth held"] >= 0.8


def test_markdown(benchmark):
    frame = benchmark.pd.DataFrame({"seeds": [3], "share": [0.954], "width in sd": [0.5]})
    assert benchmark.markdown(frame).splitlines() == [
        "| seeds | share | width in sd |",
        "| --- | --- | --- |",
        "| 3 | 95.4 % | 0.50 |",
    ]
