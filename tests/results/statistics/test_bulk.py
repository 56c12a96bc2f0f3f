import numpy as np
import pytest

from results.statistics.bulk import grouped, mean_intervals, seeds_to_decide
from results.statistics.intervals import mean_interval, paired_difference, seeds_needed


def number(value):
    return np.nan if value is None else value


def test_every_row_is_as_if_it_stood_alone():
    generator = np.random.default_rng(0)
    values = generator.normal(0.5, 1.0, (200, 6))
    values[generator.random(values.shape) < 0.4] = np.nan
    values[0], values[1], values[2], values[3] = np.nan, 1.0, 0.0, -2.0
    found = mean_intervals(values)
    for place, row in enumerate(values):
        own = row[~np.isnan(row)]
        assert found.n[place] == own.size
        if not own.size:
            assert np.isnan([found.mean[place], found.low[place], found.p_less[place]]).all()
            continue
        alone = paired_difference(own, np.zeros_like(own))
        for name in ("mean", "low", "high", "sd", "p_greater", "p_less", "p_two_sided"):
            expected = number(getattr(alone, name))
            assert getattr(found, name)[place] == pytest.approx(expected, nan_ok=True), name
        assert found.is_decided[place] == alone.is_decided


def test_level_and_shape():
    values = np.array([[[1.0, 2.0, 3.0], [4.0, 4.5, np.nan]]])
    found = mean_intervals(values, 0.99)
    assert found.mean.shape == (1, 2)
    assert found.high[0, 0] == pytest.approx(mean_interval([1, 2, 3], 0.99).high)
    assert found.high[0, 1] == pytest.approx(mean_interval([4.0, 4.5], 0.99).high)


def test_seeds_to_decide_each_difference():
    differences = np.array([0.0, 0.05, 0.3, 0.5, -1.0, 2.0, 4.0, 30.0, 1.0, 0.0, 1.0])
    sd = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, np.nan])
    expected = [
        np.nan if np.isnan(s) else number(seeds_needed(d, s))
        for d, s in zip(differences, sd, strict=True)
    ]
    assert seeds_to_decide(differences, sd) == pytest.approx(expected, nan_ok=True)
    # d/sd = 2 needs five seeds, as in test_intervals.
    assert seeds_to_decide(np.array([2.0]), np.array([1.0])).tolist() == [5.0]


def test_values_are_laid_out_by_row():
    table = grouped(np.array([1.0, 2.0, 3.0, 4.0]), np.array([2, 0, 2, 2]), 4)
    expected = [[2, np.nan, np.nan], [np.nan] * 3, [1, 3, 4], [np.nan] * 3]
    assert np.array_equal(table, expected, equal_nan=True)
    assert grouped(np.array([]), np.array([], dtype=int), 2).shape == (2, 0)
