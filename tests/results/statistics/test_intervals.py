import numpy as np
import pytest

from results.statistics.intervals import (
    grouped,
    pooled_variance,
    quantile,
)

T2, T3 = 4.302653, 3.182446  # 97.5 % quantiles of Student's t, from printed tables


def test_quantiles_keep_the_shape():
    found = quantile([[2.0, 3.0], [np.nan, 2.0]])
    assert found == pytest.approx(np.array([[T2, T3], [np.nan, T2]]), rel=1e-6, nan_ok=True)


def test_values_are_laid_out_by_row():
    table = grouped(np.array([1.0, 2.0, 3.0, 4.0]), np.array([2, 0, 2, 2]), 4)
    expected = [[2, np.nan, np.nan], [np.nan] * 3, [1, 3, 4], [np.nan] * 3]
    assert np.array_equal(table, expected, equal_nan=True)
    assert grouped(np.array([]), np.array([], dtype=int), 2).shape == (2, 0)


def test_pooled_variance_by_hand():
    # s² = 2 from one repeat at 100 and 0.04 from two at 400; the run at 900 says nothing.
    sizes = [400, 100, 400, 900, 100, 400]
    errors = [5.0, 10.0, 5.2, 3.0, 12.0, 5.4]
    variance, _ = pooled_variance(sizes, errors)
    v1 = (1.98 / 100 + 2 * 0.02 / 400) / (1 / 100**2 + 2 / 400**2)
    assert variance == pytest.approx([0.02 + v1 / size for size in (100, 400, 900)])


def test_pooled_variance_never_falls_below_v0():
    variance, freedom = pooled_variance([100, 100], [5.0, 5.0])
    assert (variance.tolist(), freedom.tolist()) == ([0.02], [1])


def test_pooled_variance_without_repeats():
    variance, freedom = pooled_variance([100, 200], [5.0, 4.0])
    assert variance.tolist() == [0.02, 0.02]
    assert freedom.tolist() == [0, 0]


def test_degrees_of_freedom_of_one_size_are_its_repeats():
    # All weight lies on one size, and Satterthwaite gives back k − 1; the other adds nothing.
    _, freedom = pooled_variance([100, 100, 100], [1.0, 2.0, 3.0])
    assert freedom == pytest.approx(2)


def test_degrees_of_freedom_are_at_most_all_repeats():
    # At 100 as worked out above; s² = 2 and 0.04 leave the large size less than one of its own.
    _, freedom = pooled_variance([100, 100, 400, 400, 400], [10.0, 12.0, 5.0, 5.2, 5.4])
    spread = (2 * 4 / 100**2 + 4 * 0.04**2 / 400**2) / (1 / 100**2 + 2 / 400**2) ** 2
    v1 = (1.98 / 100 + 2 * 0.02 / 400) / (1 / 100**2 + 2 / 400**2)
    worth = [2 * (0.02 + v1 / n) ** 2 / (spread / n**2) for n in (100, 400)]
    assert freedom == pytest.approx([min(max(each, 1), 3) for each in worth])


@pytest.mark.parametrize(
    ("sizes", "errors", "words"),
    [
        ([1, 2], [1.0], "2 sizes but 1 errors"),
        ([0, 1], [1.0, 1.0], "above 0"),
        ([1, 2], [1.0, 101.0], "between 0 and 100, not 101|points between 0 and 100"),
        ([1, float("nan")], [1.0, 1.0], "finite"),
    ],
)
def test_runs_are_checked(sizes, errors, words):
    with pytest.raises(ValueError, match=words):
        pooled_variance(sizes, errors)
