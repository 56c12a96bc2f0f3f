import math

import numpy as np
import pytest

from results.statistics.correctness import paired_test_set


def test_one_seed_by_hand():
    found = paired_test_set([[1, 1, 1, 0]], [[1, 0, 0, 0]])
    # d = 0, 1, 1, 0: variance 1/3, standard error √(1/12), t(3) = 3.182446.
    error = 100 * math.sqrt(1 / 12)
    assert found.difference == 50.0
    assert found.high == pytest.approx(50 + 3.182446 * error, rel=1e-6)
    assert not found.covers_seeds


def test_seeds_and_examples_by_hand():
    # d = [[1, 0], [0, −1]]: mean squares 1 (seeds), 1 (examples), 0 (rest); variance (1 + 1)/4 with
    # 4/(1 + 1) = 2 degrees of freedom.
    found = paired_test_set([[1, 0], [0, 0]], [[0, 0], [0, 1]])
    assert found.difference == 0.0
    assert found.high == pytest.approx(100 * 4.302653 * math.sqrt(0.5), rel=1e-6)
    assert found.covers_seeds


def test_crossed_variance_is_at_least_the_larger_part():
    # d = [[1, 0], [1, 1]]: all three mean squares are 1/4; 1/4 with one degree of freedom remains.
    found = paired_test_set([[1, 0], [1, 1]], [[0, 0], [0, 0]])
    assert found.high == pytest.approx(75 + 100 * 12.7062 * 0.25, rel=1e-5)


def test_identical_models():
    same = np.eye(3, 10)
    found = paired_test_set(same, same)
    assert (found.difference, found.low, found.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ([[1, 0]], [[1, 0, 1]], "same seeds and examples"),
        ([1, 0], [1, 0], "shape"),
        ([[1, 2]], [[1, 0]], "0 or 1"),
        ([[1]], [[1]], "shape"),
    ],
)
def test_bad_tables_are_refused(first, second, words):
    with pytest.raises(ValueError, match=words):
        paired_test_set(first, second)
