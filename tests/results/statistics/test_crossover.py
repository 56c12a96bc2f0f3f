import numpy as np
import pytest

from results.statistics.crossover import find_crossover


def look(sizes, small, big, error=0.1, freedom=2.0):
    full = np.ones(len(sizes))
    return find_crossover(sizes, small, big, error * full, freedom * full)


def test_crossing_by_hand():
    # Straight lines in log error: ln 20 − t·ln 2 = ln 40 − t·ln 8 at t = 1/2, so 200 of 100 to 400.
    found = look([100, 400], [20, 10], [40, 5], error=np.nan)
    assert found.location == pytest.approx(200, rel=1e-4)
    assert not found.is_established
    assert np.isnan([found.p_value, found.low, found.high]).all()
    assert found.verdict == "not tested: one seed"


def test_established_and_bracketed():
    found = look([100, 200, 400, 800], [40, 30, 20, 15], [50, 33, 17, 10])
    assert found.is_established
    assert (found.bracket_low, found.bracket_high) == (200, 400)
    assert found.p_value < 0.05
    assert 200 < found.low < found.location < found.high < 400
    assert found.verdict == "bracketed between 200 and 400 images"


def test_noise_of_test_images_widens_the_place():
    sharp, blunt = (look([100, 400], [40, 10], [50, 8], error) for error in (0.1, 0.4))
    assert blunt.low < sharp.low < sharp.high < blunt.high


def test_column_order_does_not_matter():
    ordered = look([100, 200, 400], [40, 30, 20], [50, 31, 10])
    turned = look([400, 100, 200], [20, 40, 30], [10, 50, 31])
    assert turned == ordered


def test_means_that_cross_without_evidence():
    found = look([100, 400], [20, 10], [22, 9], error=2.0)
    assert not found.is_established
    assert not np.isnan(found.location)
    assert (found.low, found.high) == (100, 400)
    assert found.verdict == "not established: the means cross, the tests do not"


def test_inner_sizes_alone_do_not_establish_it():
    # Ahead at 200, but a tie at 100: a claim must hold from the smallest size on.
    found = find_crossover([100, 200, 400], [50, 30, 15], [50, 33, 10], [2, 0.1, 0.1], [2, 2, 2])
    assert not found.is_established


def test_the_other_way_round_is_no_crossover():
    found = look([100, 400], [50, 10], [40, 20])
    assert not found.is_established
    assert np.isnan(found.location)
    assert found.verdict == "none in the measured sizes"
