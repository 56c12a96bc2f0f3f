import math

import numpy as np
import pytest

from results.statistics.crossover import worth_in_data

SIZES = [100, 200, 400]
HALVING = [40.0, 20.0, 10.0]  # a power law: twice the data halves the error


def worth(size, error, half=np.nan, scratch=HALVING, sizes=SIZES):
    return worth_in_data(sizes, scratch, np.full(len(sizes), half), size, error)


def test_worth_by_hand():
    twice = worth(100, 20.0)
    assert twice.factor == pytest.approx(2, rel=1e-4)
    assert twice.text == "2 times"
    assert not twice.is_tested
    assert worth(200, 10 * math.sqrt(2)).factor == pytest.approx(math.sqrt(2), rel=1e-4)
    off = worth(400, 5.0)
    assert (math.isnan(off.factor), off.more_than) == (True, 1.0)


def test_off_the_chart():
    found = worth(100, 5.0)
    assert (found.more_than, found.text) == (4.0, "more than 4 times")
    assert math.isnan(found.factor)
    found = worth(200, 50.0)
    assert (found.less_than, found.text) == (0.5, "less than 0.5 times")


def test_equal_models_are_worth_once_the_data():
    assert [worth(*own).factor for own in zip(SIZES, HALVING, strict=True)] == pytest.approx(
        [1] * 3
    )


def test_interval_holds_the_factor_and_opens_at_the_chart():
    found = worth(100, 20.0, half=1.0)
    assert 1 < found.low < 2 < found.high < 4
    assert found.text == f"2 times ({found.low:.2g} to {found.high:.2g})"


def test_an_open_end_claims_nothing():
    # Ten points either way: 400 images may not suffice, and 100 are too few.
    found = worth(100, 15.0, half=10.0)
    assert not math.isnan(found.factor)
    assert math.isnan(found.high)
    assert found.text.endswith(f"times (at least {found.low:.2g})")
    assert worth(100, 20.0, half=50.0).text == "undecided"
    # Off the chart by less than its noise: the low end is what is known.
    off = worth(100, 9.0, half=5.0)
    assert off.more_than == 4.0
    assert off.text == f"more than 4 times (at least {off.low:.2g})"
    assert off.low < 4
    assert worth(200, 39.0, half=5.0).text.startswith("undecided, at most ")


def test_smooth_interpolation_follows_a_bent_curve():
    # e = 5 + 400/√n over gaps of eight times: at twice 100 images it is 33.3, which straight lines
    # in log size would reach only at 258.
    sizes = np.array([100, 800, 6400])
    found = worth(100, 5 + 400 / math.sqrt(200), scratch=5 + 400 / np.sqrt(sizes), sizes=sizes)
    assert found.factor == pytest.approx(2, rel=0.05)
