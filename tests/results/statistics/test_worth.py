import math

import numpy as np
import pytest

from results.statistics.crossover import worth_in_data

SIZES = [100, 200, 400]
HALVING = [40.0, 20.0, 10.0]  # a power law: twice the data halves the error


def test_worth_by_hand():
    pretrained = [20.0, 10 * math.sqrt(2), 5.0]
    twice, more, off = worth_in_data(SIZES, [HALVING], [pretrained])
    assert twice.factor == pytest.approx(2, rel=1e-4)
    assert twice.text == "2 times"
    assert more.factor == pytest.approx(math.sqrt(2), rel=1e-4)
    assert (off.factor, off.more_than) == (None, 1.0)
    assert twice.interval is None
    assert twice.n_seeds == 1


def test_off_the_chart():
    found = worth_in_data(SIZES, [HALVING], [[5.0, 50.0, 10.0]])
    assert (found[0].factor, found[0].more_than) == (None, 4.0)
    assert found[0].text == "more than 4 times"
    assert (found[1].less_than, found[1].text) == (0.5, "less than 0.5 times")
    assert found[2].factor == pytest.approx(1)


def test_equal_models_are_worth_once_the_data():
    found = worth_in_data(SIZES, [HALVING], [HALVING])
    assert [worth.factor for worth in found] == pytest.approx([1, 1, 1])


def test_interval_holds_the_factor_and_opens_at_the_chart():
    scratch = np.array([HALVING]) * [[0.98], [1.0], [1.02]]
    pretrained = np.array([[20.0, 10.2, 9.0]]) * [[1.01], [1.0], [0.99]]
    first, second, third = worth_in_data(SIZES, scratch, pretrained)
    low, high = first.interval
    assert 1 < low < first.factor < high < 4
    assert second.interval[1] is None
    assert third.more_than == 1.0
    assert third.interval[1] is None
    assert first.text == f"2 times ({low:.2g} to {high:.2g})"
    assert second.text == f"2 times (at least {second.interval[0]:.2g})"


def test_an_interval_without_a_low_end_is_undecided():
    # Seeds apart by more than the models: nothing is known, whatever the means say.
    scratch = np.array([[40.0, 30.0, 20.0], [30.0, 22.0, 15.0]])
    pretrained = np.array([[25.0, 20.0, 18.0], [38.0, 30.0, 19.0]])
    found = worth_in_data(SIZES, scratch, pretrained)
    assert found[0].factor is not None
    assert found[0].interval[0] is None
    assert all(worth.text.startswith("undecided") for worth in found if worth.interval[0] is None)


def test_smooth_interpolation_follows_a_bent_curve():
    # e = 5 + 400/√n over gaps of eight times: at twice 100 images it is 33.3, which straight lines
    # in log size would reach only at 258.
    sizes = np.array([100, 800, 6400])
    errors = 5 + 400 / np.sqrt(sizes)
    target = 5 + 400 / math.sqrt(200)
    found = worth_in_data(sizes, [errors], [[target, *errors[1:]]])[0]
    assert found.factor == pytest.approx(2, rel=0.05)


def test_tables_are_checked():
    with pytest.raises(ValueError, match="shape"):
        worth_in_data(SIZES, [HALVING], [[1.0, 2.0]])
