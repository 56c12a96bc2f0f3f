import math

import numpy as np
import pytest

from results.statistics.intervals import (
    grouped,
    mean_intervals,
    paired_difference,
    pooled_variance,
    pooled_variance_of_cells,
    seeds_to_decide,
)

T2, T3 = 4.302653, 3.182446  # 97.5 % quantiles of Student's t, from printed tables


def test_mean_of_three():
    found = mean_intervals([1.0, 2.0, 3.0])
    assert (found.mean, found.sd, found.n) == (2.0, 1.0, 3)
    assert found.high - found.mean == pytest.approx(T2 / math.sqrt(3), rel=1e-6)
    assert found.low == pytest.approx(2 - T2 / math.sqrt(3), rel=1e-6)


def test_level_widens():
    # 99 % of t with two degrees of freedom reaches 9.925.
    found = mean_intervals([1, 2, 3], 0.99)
    assert found.high - found.mean == pytest.approx(9.92484 / math.sqrt(3))


def test_one_seed_has_no_interval():
    found = mean_intervals([5.0])
    assert found.mean == 5.0
    assert np.isnan([found.low, found.high, found.sd, found.p_two_sided]).all()
    assert not found.is_decided


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "one value per run"),
        ([[1.0]], "one value per run"),
        ([1.0, float("nan")], "finite"),
    ],
)
def test_bad_values_are_refused(values, words):
    with pytest.raises(ValueError, match=words):
        paired_difference(values, values)


def test_level_outside_0_to_1():
    with pytest.raises(ValueError, match="level"):
        mean_intervals([1, 2], 95)


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
            expected = pytest.approx(getattr(alone, name), nan_ok=True)
            assert getattr(found, name)[place] == expected, name
        assert found.is_decided[place] == alone.is_decided


def test_shape_is_that_of_the_rows():
    found = mean_intervals([[[1.0, 2.0, 3.0], [4.0, 4.5, np.nan]]], 0.99)
    assert found.mean.shape == (1, 2)
    assert found.high[0, 0] == pytest.approx(mean_intervals([1, 2, 3], 0.99).high)
    assert found.high[0, 1] == pytest.approx(mean_intervals([4.0, 4.5], 0.99).high)


def test_values_are_laid_out_by_row():
    table = grouped(np.array([1.0, 2.0, 3.0, 4.0]), np.array([2, 0, 2, 2]), 4)
    expected = [[2, np.nan, np.nan], [np.nan] * 3, [1, 3, 4], [np.nan] * 3]
    assert np.array_equal(table, expected, equal_nan=True)
    assert grouped(np.array([]), np.array([], dtype=int), 2).shape == (2, 0)


def test_paired_difference_by_hand():
    found = paired_difference([3.0, 5.0, 7.0], [2.0, 3.0, 4.0])
    # d = 1, 2, 3: t = 2·√3; with two degrees of freedom the two-sided p is 1 − t/√(t² + 2).
    assert found.mean == 2.0
    assert found.high == pytest.approx(2 + T2 / math.sqrt(3), rel=1e-6)
    p = 1 - 2 * math.sqrt(3) / math.sqrt(14)
    assert found.p_two_sided == pytest.approx(p)
    assert found.p_greater == pytest.approx(p / 2)
    assert found.p_less == pytest.approx(1 - p / 2)
    assert not found.is_decided


def test_pairing_removes_what_seeds_share():
    first, second = [70.0, 80.0, 90.0], [69.0, 78.9, 89.1]
    assert paired_difference(first, second).is_decided
    alone = mean_intervals(first)
    assert alone.high - alone.mean > 20


def test_paired_difference_of_one_seed():
    found = paired_difference([3.0], [2.0])
    assert found.mean == 1.0
    assert math.isnan(found.low)
    assert math.isnan(found.p_greater)
    assert not found.is_decided


def test_pairs_must_match():
    with pytest.raises(ValueError, match="first has 2 seeds, second 3"):
        paired_difference([1, 2], [1, 2, 3])


@pytest.mark.parametrize(
    ("differences", "p"), [([1, 1], (0.0, 1.0)), ([-1, -1], (1.0, 0.0)), ([0, 0], (0.5, 0.5))]
)
def test_differences_without_spread(differences, p):
    found = mean_intervals(differences)
    assert (found.p_greater, found.p_less) == p


def test_pooled_variance_by_hand():
    # s² = 2 from one repeat at 100 and 0.04 from two at 400; the run at 900 says nothing.
    sizes = [400, 100, 400, 900, 100, 400]
    errors = [5.0, 10.0, 5.2, 3.0, 12.0, 5.4]
    found = pooled_variance(sizes, errors)
    v1 = (1.98 / 100 + 2 * 0.02 / 400) / (1 / 100**2 + 2 / 400**2)
    assert (found.v0, found.repeats) == (0.02, 3)
    assert found.v1 == pytest.approx(v1)
    assert found.at(200) == pytest.approx(0.02 + v1 / 200)


def test_pooled_variance_never_falls_below_v0():
    found = pooled_variance([100, 100], [5.0, 5.0])
    assert found.v1 == 0.0
    assert found.at(100) == 0.02


def test_pooled_variance_without_repeats():
    found = pooled_variance([100, 200], [5.0, 4.0])
    assert (found.v1, found.repeats) == (0.0, 0)
    assert np.isnan(found.half_width(100, 1))


def test_degrees_of_freedom_of_one_size_are_its_repeats():
    # With v0 = 0 all weight lies on one size, and Satterthwaite gives back k − 1.
    found = pooled_variance([100, 100, 100], [1.0, 2.0, 3.0], v0=0.0)
    assert found.degrees_of_freedom(100) == pytest.approx(2)
    assert found.half_width(100, 3) == pytest.approx(T2 / math.sqrt(3), rel=1e-6)


def test_small_cells_dominate_the_pool():
    # Equal k: the cell with 1/16 of the data has 256 times the weight.
    errors = np.array([[1.0, 3.0, 5.0], [1.0, 1.5, 2.0]])
    found = pooled_variance_of_cells(np.array([100.0, 1600.0]), errors)
    assert found.repeats == 4
    assert 2 <= found.degrees_of_freedom(100) < 2.2


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


@pytest.mark.parametrize(("effect", "n"), [(1.0, 10), (0.8, 15), (0.5, 34), (2.0, 5)])
def test_seeds_needed_as_in_power_tables(effect, n):
    found = seeds_to_decide(np.array([effect, -effect]), np.array([1.0, 1.0]))
    assert found.tolist() == [n, n]


def test_seeds_needed_gives_up():
    found = seeds_to_decide(np.array([0.01, 0.0, 1.0, 1.0]), np.array([1.0, 0.0, 0.0, np.nan]))
    assert found == pytest.approx([np.nan, np.nan, 2, np.nan], nan_ok=True)
