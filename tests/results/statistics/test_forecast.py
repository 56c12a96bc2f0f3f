import inspect

import numpy as np
import pytest
from curves import PUBLISHED, published

from results.errors import ExtrapolationRefused
from results.statistics.forecast import (
    FILTERS,
    LAST_VALUE,
    LOCAL_LAW,
    Curve,
    filtered,
    predict_error,
)

SIZES, ERRORS = np.repeat([100, 200, 400], 2), np.array([20.1, 19.9, 15.1, 14.9, 12.1, 11.9])


def test_what_callers_rely_on():
    assert list(inspect.signature(predict_error).parameters) == ["sizes", "errors", "at"]
    found = predict_error(SIZES, ERRORS, 800)
    assert {LOCAL_LAW, FILTERS, LAST_VALUE} == set(found.forms)
    assert found.headline == pytest.approx((found.forms[LOCAL_LAW] + found.forms[FILTERS]) / 2)
    assert found.interval[0] < found.headline < found.interval[1]
    assert found.forms[LAST_VALUE] == pytest.approx(12)
    assert found.refusal is None


def test_local_law_by_hand():
    # From 15 to 12 over the last doubling; the next keeps ∫ 0.9^t dt = 0.94912 of that slope.
    local = predict_error(SIZES, ERRORS, 800).forms[LOCAL_LAW]
    assert local == pytest.approx(12 * (12 / 15) ** 0.9491222)
    # A rise is read as level.
    assert predict_error([100, 200], [10.0, 10.5], 400).forms[LOCAL_LAW] == 10.5


def test_variance_of_means_by_hand():
    # Squares 0.02 at each of three sizes; pooled 0.02 a run, drawn in with 4 and 2 · 0.02.
    assert Curve(SIZES, ERRORS).variances == pytest.approx((0.02 + 4 * 0.02 + 0.04) / 5 / 2)
    assert (Curve([100, 200], [20.0, 15.0]).variances == 0.5).all()


def test_one_size_leaves_the_filters_at_their_start():
    # Each filter's own slope over one doubling: between keeping the last value and a third off.
    value, spread = filtered(np.array([5.0]), np.array([10.0]), np.array([0.1]), 1.0)
    assert 7 < value < 9.5
    assert spread > 0


def test_filters_follow_a_power_law():
    sizes = 2.0 ** np.arange(6)
    errors = 50 * sizes**-0.4
    value, _ = filtered(np.log2(sizes), errors, np.full(6, 1e-4), 1.0)
    assert value == pytest.approx(50 * 64**-0.4, rel=0.03)


def test_units_and_order_of_sizes_do_not_matter():
    sizes, errors = published(25, 50, 100, 200)
    found = predict_error(sizes, errors, 400)
    order = np.random.default_rng(0).permutation(sizes.size)
    again = predict_error((100 * sizes[order]).tolist(), errors[order].tolist(), 40_000)
    assert again.headline == pytest.approx(found.headline)
    assert again.interval == pytest.approx(found.interval)


@pytest.mark.parametrize(
    ("sizes", "at"),
    [((25, 50), 100), ((25, 50, 100), 200), ((25, 50, 100), 400), ((25, 50, 100, 200), 400)],
)
def test_every_forecast_on_the_published_curve_holds(sizes, at):
    found = predict_error(*published(*sizes), at)
    measured = np.mean(PUBLISHED[at])
    assert found.interval[0] <= measured <= found.interval[1]
    assert abs(found.headline - measured) < abs(found.forms[LAST_VALUE] - measured)


def test_further_is_wider_and_far_is_marked():
    found = [predict_error(SIZES, ERRORS, times * 400) for times in (1, 1.5, 2, 3, 4, 5, 64)]
    assert [each.is_far for each in found] == [False] * 5 + [True] * 2
    widths = [each.interval[1] - each.interval[0] for each in found]
    assert widths == sorted(widths)
    # At the largest size itself, two standard errors of its mean to either side.
    assert widths[0] == pytest.approx(4 * np.sqrt(0.014))


def test_beyond_64_times_nothing_is_known():
    with pytest.raises(ExtrapolationRefused, match=r"beyond 64 times .* at most 25600"):
        predict_error(SIZES, ERRORS, 25_601)


@pytest.mark.parametrize("at", [399, 0, -5, float("nan")])
def test_within_the_measured_sizes_nothing_is_forecast(at):
    with pytest.raises(ValueError, match="at: "):
        predict_error(SIZES, ERRORS, at)


def test_an_uneven_curve_is_refused():
    found = predict_error([100, 200, 400], [30.0, 20.0, 35.0], 800)
    assert "too uneven" in found.refusal
    assert (found.headline, found.interval, found.forms) == (None, None, {LAST_VALUE: 35.0})


def test_one_size_says_nothing():
    found = predict_error([100, 100], [20.0, 21.0], 200)
    assert "one training size" in found.refusal
    assert (found.headline, found.forms) == (None, {LAST_VALUE: 20.5})


def test_error_of_zero():
    for errors in ([1.0, 0.0, 0.0], [0.0, 0.0, 0.0]):
        found = predict_error([100, 200, 400], errors, 800)
        assert 0 <= found.interval[0] <= found.headline <= found.interval[1]
