import numpy as np
import pytest

from results.statistics.best import (
    best_value,
    expected_best,
    probability_of_best,
)


def test_the_best_of_equals_is_worth_less_than_it_looks():
    mean = np.array([80.0, 80.5, 81.0, 80.2])
    low, high = best_value(mean, np.full(4, 0.5), np.full(4, 10.0))
    # t(10) at 97.5 % is 2.228; at 1 − 0.05/8 it is 3.038.
    assert high - 81 == pytest.approx(1.114, abs=1e-3)
    assert 81 - low == pytest.approx(1.519, abs=1e-3)
    # Of the error 0.3 is its own, the highest of four in the middle at t = 1.059, which is at
    # 0.5^(1/4); the rest, 0.4, is all cells' alike.
    low, _ = best_value(mean, np.full(4, 0.5), np.full(4, 10.0), np.full(4, 0.3 * np.sqrt(2)))
    down = 1.059 * 0.3 + np.hypot((3.038 - 1.059) * 0.3, 2.228 * 0.4)
    assert 81 - low == pytest.approx(down, abs=2e-3)


def test_a_best_cell_far_ahead_is_a_cell_like_any():
    low, high = best_value([60.0, 90.0, 50.0], np.full(3, 0.5), np.full(3, 10.0))
    assert 90 - low == pytest.approx(high - 90)


def test_equal_cells_are_equally_likely_the_best():
    generator = np.random.default_rng(0)
    chance = probability_of_best(np.full(4, 80.0), np.full(4, 0.5), np.full(4, 6.0), generator)
    assert chance.sum() == pytest.approx(1)
    assert chance == pytest.approx(np.full(4, 0.25), abs=0.04)
    ahead = probability_of_best([80.0, 90.0], [0.5, 0.5], [6.0, 6.0], generator)
    assert ahead[1] > 0.99
    assert probability_of_best([80.0], [0.5], [6.0], generator) == 1


def test_the_best_of_fewer_by_hand():
    # Of 1, 2 and 4: their mean; the better of each pair, 2, 4 and 4; the best.
    found = [expected_best([2.0, 4.0, 1.0], drawn) for drawn in (1, 2, 3)]
    assert found == pytest.approx([7 / 3, 10 / 3, 4])
    found = [expected_best([2.0, np.nan, 4.0, 2.0], drawn) for drawn in (1, 2)]
    assert found == pytest.approx([10 / 4, 3])
    many = np.random.default_rng(0).normal(size=2000)
    found = [expected_best(many, drawn) for drawn in (1, 2, 10, 400, 1000, 1999, 2000)]
    assert found[::6] == pytest.approx([many.mean(), many.max()])
    assert (np.diff(found) > -1e-9).all()
