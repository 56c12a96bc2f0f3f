import math

import numpy as np
import pytest

from results.statistics.inference import (
    IMAGES,
    NOTHING,
    SEEDS,
    TASK,
    Contrasts,
    benjamini_hochberg,
    contrasts_of,
    holm,
    infer,
    moderate,
    variance_trend,
)

T1, T2 = 12.706205, 4.302653


def test_mean_squares_by_hand():
    # d = [[1, 0], [0, −1]] in hundreds: all of it between seeds and between images.
    found = contrasts_of([[50.0, -50.0]], 2, [2 * 100.0**2], [2 * 100.0**2])
    parts = (found.estimate, found.seed, found.image, found.rest)
    assert [part.item() for part in parts] == pytest.approx([0, 5000, 5000, 0])


def test_seeds_alone_are_students_t():
    found = infer(contrasts_of([[1.0, 2.0, 3.0]]))
    assert found.estimate == 2
    assert found.high - 2 == pytest.approx(T2 / math.sqrt(3), rel=1e-4)
    assert found.p == pytest.approx(1 - 2 * math.sqrt(3) / math.sqrt(14), rel=1e-4)
    assert found.speaks_of == SEEDS


def test_what_an_interval_speaks_of():
    squares = [100.0**2] * 4
    table = contrasts_of(
        [[1.0, 2.0], [1.0, 2.0], [1.0, np.nan], [1.0, np.nan]], [100, 0, 100, 0], squares, squares
    )
    found = infer(table)
    assert found.speaks_of.tolist() == [TASK, SEEDS, IMAGES, NOTHING]
    assert np.isnan(found.p).tolist() == [False, False, True, True]
    assert np.isnan(found.low).tolist() == [False, False, False, True]


def test_images_widen_what_seeds_say():
    by_seed = [[4.0, 5.0]]
    alone, both = infer(contrasts_of(by_seed)), infer(contrasts_of(by_seed, 400, [4e6], [3e6]))
    a, b = both.seed_error**2, both.image_error**2
    assert both.error**2 == pytest.approx(a + b)
    half = math.sqrt((T1**2 * a + 1.965927**2 * b).item())
    assert both.high - both.estimate == pytest.approx(half, rel=1e-4)
    assert both.image_error > 0
    assert alone.image_error == 0


def test_seeds_that_gain_alike_decide_nothing():
    alone = infer(contrasts_of([[1.0, 1.0]]))
    assert np.isnan([alone.low, alone.p]).all()
    assert alone.speaks_of == NOTHING
    beside = infer(contrasts_of([[1.0, 1.0], [0.0, 3.0], [2.0, 0.0]]))
    assert (beside.high > beside.low).all()
    assert beside.p[0] > 0.05


def test_an_end_of_exactly_0_is_an_end():
    found = infer(contrasts_of([[0.0, 0.0], [1.0, 3.0]]))
    assert found.estimate[0] == 0
    assert found.low[0] == -found.high[0] < 0


def test_no_mistake_on_few_images_has_width():
    # 40 of 40 right with each of three seeds: the exact binomial interval begins at 91.2 %.
    found = infer(contrasts_of([[100.0] * 3], 40, [40 * 300.0**2], [3 * 40 * 100.0**2]))
    assert 88 < found.low.item() < 91.3


def test_like_variances_gain_from_each_other():
    (_, alone), (variance, many) = moderate([1.0], 1), moderate(np.ones(40), 1)
    assert alone == 1
    assert (many > 3).all()
    assert variance == pytest.approx(np.ones(40), rel=0.5)
    _, unlike = moderate(np.geomspace(0.01, 100, 40), 1)
    assert (unlike < many).all()


def test_noise_that_falls_with_data_is_found():
    generator = np.random.default_rng(0)
    size = np.repeat(np.log([100.0, 1600.0]), 40)
    variance = np.exp(-size) * generator.chisquare(2, 80) / 2
    trend = variance_trend(variance, 2, size[:, None])
    assert 5 < trend[0] / trend[-1] < 30
    assert variance_trend(np.zeros(80), 2, size[:, None]) == pytest.approx(np.ones(80))


def test_adjusted_p_by_hand():
    p = [0.03, np.nan, 0.01, 0.04, 0.02]
    assert holm(p) == pytest.approx([0.06, np.nan, 0.04, 0.06, 0.06], nan_ok=True)
    assert benjamini_hochberg(p) == pytest.approx([0.04, np.nan, 0.04, 0.04, 0.04], nan_ok=True)


def test_studies_are_inferred_side_by_side():
    by_seed = np.random.default_rng(0).normal(size=(2, 5, 3))
    table = contrasts_of(by_seed)
    both = infer(table)
    first = infer(Contrasts(*(getattr(table, name)[0] for name in table.__dataclass_fields__)))
    assert both.low[0] == pytest.approx(first.low)
