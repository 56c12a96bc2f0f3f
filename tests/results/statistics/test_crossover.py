import numpy as np
import pytest

from results.statistics.crossover import find_crossover


def look(sizes, small, big, seed=0):
    return find_crossover(sizes, small, big, np.random.default_rng(seed), draws=200)


JITTER = np.array([[0.0], [0.1], [-0.1]])


def test_crossing_by_hand():
    # Straight lines in log error: ln 20 − t·ln 2 = ln 40 − t·ln 8 at t = 1/2, so 200 of 100 to 400.
    found = look([100, 400], [[20, 10]], [[40, 5]])
    assert found.location == pytest.approx(200, rel=1e-4)
    assert found.n_seeds == 1
    assert not found.is_established
    assert found.p_value is None
    assert found.interval is None
    assert found.share_without_root is None
    assert found.verdict == "not tested: one seed"


def test_established_and_bracketed():
    small = np.array([[40.0, 30.0, 20.0, 15.0]]) + JITTER
    big = np.array([[50.0, 33.0, 17.0, 10.0]]) + JITTER[::-1]
    found = look([100, 200, 400, 800], small, big)
    assert found.is_established
    assert found.bracket == (200, 400)
    assert found.p_value < 0.05
    assert 200 < found.interval[0] < found.location < found.interval[1] < 400
    assert found.share_without_root == 0
    assert found.verdict == "bracketed between 200 and 400 images"
    assert found.hypothetical is None


def test_column_order_does_not_matter():
    small = np.array([[40.0, 30.0, 20.0]]) + JITTER
    big = np.array([[50.0, 31.0, 10.0]]) - JITTER
    ordered = look([100, 200, 400], small, big)
    turned = look([400, 100, 200], small[:, [2, 0, 1]], big[:, [2, 0, 1]])
    assert turned == ordered


def test_means_that_cross_without_evidence():
    small = [[20.0, 10.0], [24.0, 10.5], [22.0, 9.0]]
    big = [[22.0, 9.6], [21.5, 10.3], [23.5, 9.2]]
    found = look([100, 400], small, big)
    assert not found.is_established
    assert found.bracket is None
    assert found.location is not None
    assert found.interval == (100, 400)
    assert 0 < found.share_without_root < 1
    assert found.verdict == "not established: the means cross, the tests do not"


def test_inner_sizes_alone_do_not_establish_it():
    # Ahead at 200, but a tie at 100: a claim must hold from the smallest size on.
    small = np.array([[50.0, 30.0, 15.0]]) + JITTER * [20, 1, 1]
    big = np.array([[50.0, 33.0, 10.0]]) - JITTER
    assert not look([100, 200, 400], small, big).is_established


def test_the_other_way_round_is_no_crossover():
    small = np.array([[50.0, 10.0]]) + JITTER
    big = np.array([[40.0, 20.0]]) - JITTER
    found = look([100, 400], small, big)
    assert not found.is_established
    assert found.location is None
    assert found.share_without_root == 1
    assert found.verdict == "none in the measured sizes"


def test_extrapolated_crossing_is_hypothetical():
    # The gap is −4 at 100 and −2 at 400: two more points after one more step of four times.
    small = np.array([[30.0, 20.0]]) + JITTER
    big = np.array([[34.0, 22.0]]) - JITTER
    found = look([100, 400], small, big)
    assert found.location is None
    assert found.hypothetical == pytest.approx(1600)
    assert "hypothetical" in found.verdict
    wider = look([100, 400], small, big + np.array([[0.0, 1.0]]))
    assert wider.hypothetical is None


def test_bootstrap_is_reproducible():
    small = np.array([[40.0, 30.0, 20.0]]) + 10 * JITTER
    big = np.array([[50.0, 31.0, 10.0]]) - 10 * JITTER
    assert look([1, 2, 4], small, big, seed=3) == look([1, 2, 4], small, big, seed=3)


@pytest.mark.parametrize(
    ("sizes", "small", "big", "words"),
    [
        ([100], [[1]], [[1]], "at least two"),
        ([100, 100], [[1, 2]], [[1, 2]], "stands once"),
        ([100, 200], [[1, 2, 3]], [[1, 2]], "shape"),
        ([100, 200], [[1, 2]], [[1, 2], [1, 2]], "same seeds"),
        ([100, 200], [[1, np.nan]], [[1, 2]], "0 to 100"),
    ],
)
def test_wrong_tables_are_refused(sizes, small, big, words):
    with pytest.raises(ValueError, match=words):
        look(sizes, small, big)
