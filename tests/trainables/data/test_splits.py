import hashlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.data.splits import carve, draw, share_to_count
from trainables.errors import DataError


def smallest_draw(labels, seed):
    _, first = np.unique(labels[draw(labels, labels.size, seed)], return_index=True)
    return int(first.max()) + 1


@st.composite
def label_arrays(draw_from):
    """Shuffled labels of 2 to 9 classes, balanced or not."""
    counts = draw_from(st.lists(st.integers(1, 60), min_size=2, max_size=9))
    labels = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(draw_from(st.integers(0, 99))).permutation(labels)


def within_one(labels, chosen):
    counts = np.bincount(labels)
    share = counts * len(chosen) / len(labels)
    return bool((abs(np.bincount(labels[chosen], minlength=len(counts)) - share) < 1).all())


@pytest.mark.parametrize(
    ("share", "pool", "count"),
    [
        (1 / 16, 45_000, 2813),  # 2812.5
        (1 / 3, 300, 100),
        (0.29, 50, 15),  # 14.5, though 0.29 * 50 is 14.499999999999998 in floats
        (0.1, 1437, 144),
        (1.0, 1437, 1437),
        (0.001, 100, 0),
    ],
)
def test_a_share_is_rounded_half_up_as_the_fraction_it_stands_for(share, pool, count):
    assert share_to_count(share, pool) == count


@given(st.integers(1, 10**7), st.integers(1, 64))
def test_a_share_of_one_kth_is_the_exact_kth_rounded(pool, k):
    assert share_to_count(1 / k, pool) == int(Fraction(pool, k) + Fraction(1, 2))


class TestDraw:
    @settings(max_examples=60, deadline=None)
    @given(label_arrays(), st.integers(0, 5), st.data())
    def test_is_stratified_and_nested(self, labels, seed, data):
        everything = draw(labels, labels.size, seed)
        assert sorted(everything) == list(range(labels.size))
        n = data.draw(st.integers(smallest_draw(labels, seed), labels.size))
        chosen = draw(labels, n, seed)
        assert np.array_equal(chosen, everything[:n])
        assert within_one(labels, chosen)

    @settings(max_examples=60, deadline=None)
    @given(label_arrays(), st.integers(0, 5))
    def test_every_prefix_is_stratified(self, labels, seed):
        everything = draw(labels, labels.size, seed)
        assert all(within_one(labels, everything[:n]) for n in range(1, labels.size))

    @settings(max_examples=60, deadline=None)
    @given(label_arrays(), st.integers(0, 5))
    def test_the_smallest_draw_is_the_smallest(self, labels, seed):
        n = smallest_draw(labels, seed)
        assert np.unique(labels[draw(labels, n, seed)]).size == np.unique(labels).size
        with pytest.raises(DataError, match=rf"; {n} is the smallest number"):
            draw(labels, n - 1, seed)

    def test_balanced_classes_get_equal_numbers(self):
        labels = np.tile(np.arange(10), 100)
        assert np.bincount(labels[draw(labels, 250, 3)]).tolist() == [25] * 10

    def test_seeds_draw_different_images(self):
        labels = np.tile(np.arange(10), 100)
        first, second = draw(labels, 100, 0), draw(labels, 100, 1)
        assert np.intersect1d(first, second).size < 30  # 10 expected by chance
        assert np.array_equal(first, draw(labels, 100, 0))

    def test_seeds_settle_leftover_images_differently(self):
        labels = np.tile(np.arange(3), 10)
        extra = {int(np.bincount(labels[draw(labels, 4, seed)]).argmax()) for seed in range(20)}
        assert extra == {0, 1, 2}

    def test_is_frozen(self):
        """Recorded studies are only continued if a seed draws tomorrow what it drew today."""
        labels = np.repeat(np.arange(5), [10, 20, 30, 40, 50])
        digest = hashlib.sha256(draw(labels, 150, 7).tobytes()).hexdigest()
        assert digest[:16] == "50eca721c56c9a14"

    def test_leaves_global_random_state_alone(self):
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        draw(np.tile(np.arange(3), 10), 10, 0)
        assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002

    def test_an_empty_class_is_refused_with_its_name(self):
        labels = np.tile(np.arange(4), 25)
        names = ("cat", "dog", "eel", "fox")
        with pytest.raises(DataError, match=r"3 training images of 100 leave class \d \(\w{3}\)"):
            draw(labels, 3, 0, names)
        with pytest.raises(DataError, match="4 is the smallest number that has every class"):
            draw(labels, 3, 0, names)

    def test_more_than_one_empty_class_is_counted(self):
        with pytest.raises(DataError, match=r"leave class \d and 7 more empty \(seed 2\); 10 is"):
            draw(np.tile(np.arange(10), 5), 2, 2)

    @pytest.mark.parametrize("n", [0, -1, 51])
    def test_what_the_pool_does_not_hold_is_refused(self, n):
        with pytest.raises(DataError, match=f"{n} training images cannot be drawn .* draw 1 to 50"):
            draw(np.tile(np.arange(10), 5), n, 0)

    def test_a_thousand_classes(self):
        labels = np.repeat(np.arange(1000), 20)
        assert np.bincount(labels[draw(labels, 5000, 0)]).tolist() == [5] * 1000


class TestCarve:
    @settings(max_examples=60, deadline=None)
    @given(label_arrays(), st.floats(0.02, 0.5))
    def test_parts_all_images_by_class(self, labels, share):
        labels = np.tile(labels, 3)
        if not share_to_count(share, labels.size):
            return
        pool, validation = carve(labels, share)
        assert validation.size == share_to_count(share, labels.size)
        assert np.array_equal(np.sort(np.concatenate([pool, validation])), np.arange(labels.size))
        assert (np.diff(pool) > 0).all()
        assert (np.diff(validation) > 0).all()
        assert within_one(labels, validation)

    def test_a_count_and_the_share_it_is_agree(self):
        labels = np.tile(np.arange(10), 50)
        assert np.array_equal(carve(labels, 50)[1], carve(labels, 0.1)[1])
        assert np.bincount(labels[carve(labels, 50)[1]]).tolist() == [5] * 10

    def test_is_frozen(self):
        labels = np.repeat(np.arange(5), [10, 20, 30, 40, 50])
        digest = hashlib.sha256(carve(labels, 0.2)[1].tobytes()).hexdigest()
        assert digest[:16] == "6f58de590bef4ced"

    def test_differs_from_what_a_seed_draws(self):
        labels = np.tile(np.arange(10), 50)
        for seed in (0, 1):
            assert not np.array_equal(carve(labels, 50)[1], np.sort(draw(labels, 50, seed)))

    def test_selection_on_test_keeps_all_of_train(self):
        pool, validation = carve(np.tile(np.arange(3), 4), "test")
        assert pool.tolist() == list(range(12))
        assert validation.size == 0

    @pytest.mark.parametrize("validation", [12, 13, 0.99, 0.01])
    def test_all_or_nothing_is_refused(self, validation):
        message = rf"data.validation: {validation} comes to \d+ of 12 training images; between 1"
        with pytest.raises(DataError, match=message):
            carve(np.tile(np.arange(3), 4), validation)

    def test_taking_a_class_whole_is_refused(self):
        labels = np.array([0] * 9 + [1])
        message = r"0.9 takes every training image of class 1 \(dog\), which has 1; make validation"
        with pytest.raises(DataError, match=message):
            carve(labels, 0.9, ("cat", "dog"))
