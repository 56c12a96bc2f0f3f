import numpy as np
import pytest
from scipy import special

from results.statistics.inference import holm
from results.statistics.looks import (
    ALPHA,
    Look,
    Looks,
    chance_to_decide,
)


def test_each_look_spends_its_part_of_alpha():
    # Pocock's shape: ln(1 + 1.71828·3/8) = 0.4973 of it by the first look, 0.7294 by the second.
    looks = Looks((3, 5, 8))
    levels = [looks.level(look, 1) for look in range(3)]
    assert levels == pytest.approx([0.02487, 0.01160, 0.01353], abs=1e-5)
    assert sum(levels) == pytest.approx(ALPHA)
    assert Looks((5,)).level(0, 1) == pytest.approx(ALPHA)


@pytest.mark.parametrize("seeds", [(), (1, 3), (3, 3)])
def test_looks_rise_from_two_seeds(seeds):
    with pytest.raises(ValueError, match="rising"):
        Looks(seeds)


def test_more_comparisons_ask_for_more():
    looks = Looks((3, 5, 8))
    p = {n: looks.level(0, n) for n in (1, 2, 4)}
    assert p[1] > p[2] > p[4]
    assert p[1] == pytest.approx(2 * p[2])


def test_holm_on_spent_alpha_is_the_step_down_at_the_levels_of_a_look():
    looks, generator = Looks((3, 5, 8)), np.random.default_rng(3)
    for look in range(3):
        estimate = generator.normal(0, 3, size=(40, 6))
        freedom = generator.uniform(2, 30, size=6)
        for row in estimate:
            p = 2 * special.stdtr(freedom, -np.abs(row))
            levels = [looks.level(look, n) for n in range(6, 0, -1)]
            number = int(np.cumprod(np.sort(p) <= levels).sum())
            decided = p <= np.sort(p)[number - 1] if number else p < 0
            together = holm(looks.overall(p, look))
            sure = np.abs(together - ALPHA) > 1e-3
            assert ((together <= ALPHA) == decided)[sure].all()
    assert np.isnan(looks.overall([np.nan], 0)).all()
    assert looks.overall([0.0, 1e-12, 1.0], 0).tolist() == pytest.approx([0, 0, 1], abs=1e-8)


def test_what_an_earlier_look_has_found_stays():
    looks = Looks((3, 5, 8))
    first = Look(looks, 0, {}).spend({"a": 1e-4, "b": 0.5})
    later = Look(looks, 1, first).spend({"a": 0.5, "b": 1e-4, "c": 0.5})
    assert later["a"] == first["a"] < ALPHA
    assert later["b"] < ALPHA < later["c"]


def test_more_seeds_decide_what_is_far_from_0():
    far, near = chance_to_decide([10.0, 0.0], [0.5, 0.5], [0.2, 0.2], [4.0, 4.0], 3, 2)
    assert far > 0.99
    assert near < 0.1
