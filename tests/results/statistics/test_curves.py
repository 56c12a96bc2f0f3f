import inspect

import numpy as np
import pytest
from curves import published

from results.errors import CurveError, ExtrapolationRefused, IllBehavedCurve
from results.statistics.curves import fit_power_law, ill_behaved
from results.statistics.forecast import predict_error


def test_what_callers_rely_on():
    signature = inspect.signature(fit_power_law)
    defaults = {name: one.default for name, one in signature.parameters.items()}
    empty = inspect.Parameter.empty
    assert list(defaults) == ["sizes", "errors", "gamma_prior_weight", "nonnegative_asymptote"]
    assert list(defaults.values()) == [empty, empty, 5.0, True]
    law = fit_power_law(*published(25, 100, 200))
    assert law.predict(400) == pytest.approx(law.alpha + law.eta * 400**law.gamma)
    assert law.residual_degrees_of_freedom == 0
    assert "0 residual degrees of freedom" in law.notes[0]
    every = fit_power_law(*published(25, 50, 100, 200))
    assert (every.gamma, every.residual_degrees_of_freedom) == (-0.56, 1)
    assert every.predict(400) == pytest.approx(18.77, abs=0.005)


def test_every_size_weighs_the_same_however_often_repeated():
    # With γ fixed by the prior and equal spread, the means alone decide.
    once = fit_power_law([100, 400], [20.0, 10.0])
    often = fit_power_law([100] * 4 + [400], [19.9, 20.1, 19.9, 20.1, 10.0])
    assert often.predict(800) == pytest.approx(once.predict(800))


@pytest.mark.parametrize("weight", [0.0, 5.0])
def test_exact_power_law_is_recovered(weight):
    sizes = [100, 200, 400, 800]
    law = fit_power_law(sizes, [5 + 300 * n**-0.43 for n in sizes], gamma_prior_weight=weight)
    assert (law.alpha, law.eta) == pytest.approx((5, 300))
    assert law.gamma == -0.43
    assert law.predict(3200) == pytest.approx(5 + 300 * 3200**-0.43)


def test_two_sizes_by_hand():
    # γ = −0.5 from the prior: α + η/10 = 20 and α + η/20 = 10, so η = 200 and α = 0.
    law = fit_power_law([400, 100], [10.0, 20.0])
    assert law.gamma == -0.5
    assert (law.alpha, law.eta) == pytest.approx((0, 200), abs=1e-9)
    assert law.predict(1600) == pytest.approx(5)
    assert "gamma is the prior's" in law.notes[1]


def test_asymptote_is_bounded_unless_told():
    sizes, errors = [100, 200, 400], [40.0, 25.0, 12.0]
    bounded = fit_power_law(sizes, errors)
    free = fit_power_law(sizes, errors, nonnegative_asymptote=False)
    assert bounded.alpha == 0
    assert any("bound" in note for note in bounded.notes)
    assert free.alpha < 0
    assert bounded.predict(1600) > 0 > free.predict(1600)


def test_prior_pulls_gamma_to_a_half():
    sizes, errors = published(25, 50, 100, 200)
    free = fit_power_law(sizes, errors, gamma_prior_weight=0)
    heavy = fit_power_law(sizes, errors, gamma_prior_weight=1000)
    assert free.gamma == -0.79
    assert heavy.gamma == -0.5


def test_flat_curve_stays_flat():
    law = fit_power_law([100, 200, 400], [10.0, 10.0, 10.0])
    assert law.predict(1600) == pytest.approx(10)
    rising = fit_power_law([100, 200, 400], [10.0, 10.3, 10.5])
    assert rising.eta == 0
    assert rising.predict(800) == pytest.approx(10.2667, abs=1e-4)
    assert any("flat" in note for note in rising.notes)


def test_two_sizes_need_the_prior():
    with pytest.raises(CurveError, match="third size"):
        fit_power_law([100, 200], [20.0, 15.0], gamma_prior_weight=0)


def test_a_power_law_ends_at_four_times():
    law = fit_power_law([100, 200, 400], [20.0, 15.0, 12.0])
    assert law.predict(1600) > 0
    with pytest.raises(ExtrapolationRefused, match=r"beyond 4 times .* at most 1600"):
        law.predict(1601)


def test_one_size_is_not_fitted():
    with pytest.raises(CurveError, match="at least two training sizes"):
        fit_power_law([100, 100], [20.0, 21.0])


def test_rising_curve_is_named_and_not_fitted():
    sizes, errors = [100, 200, 400], [30.0, 20.0, 35.0]
    fault = "rises with more data, from 20.0 points on 200 examples to 35.0 on 400"
    assert fault in ill_behaved(sizes, errors)
    with pytest.raises(IllBehavedCurve, match="rises with more data"):
        fit_power_law(sizes, errors)


def test_a_rise_within_the_noise_is_fitted():
    sizes = np.repeat([100, 200, 400], 3)
    errors = [30, 26, 34, 20, 17, 23, 21, 19, 26]
    assert ill_behaved(sizes, errors) is None
    assert ill_behaved([100, 200, 400], [30.0, 20.0, 20.9]) is None


def test_diverged_run_is_named():
    sizes, errors = [100, 100, 100, 200, 200], [30.0, 31.0, 90.0, 25.0, 24.0]
    assert "runs on 100 examples differ by 60.0 points" in ill_behaved(sizes, errors)


@pytest.mark.parametrize(
    ("sizes", "errors", "words"),
    [
        ([100, 200, 400], [20.0, 15.0], "3 sizes but 2 errors"),
        ([100, 200, 400], [20.0, float("nan"), 12.0], "finite"),
        ([100, float("inf"), 400], [20.0, 15.0, 12.0], "finite"),
        ([100, 200, 400], [20.0, -1.0, 12.0], "not -1"),
        ([100, 200, 400], [20.0, 15.0, 120.0], "not 120"),
        ([-100, 200, 400], [20.0, 15.0, 12.0], "above 0"),
        ([], [], "one value per run"),
        ([[100, 200]], [[20.0, 15.0]], "one value per run"),
    ],
)
def test_wrong_input_is_refused(sizes, errors, words):
    for call in (fit_power_law, lambda n, e: predict_error(n, e, 800)):
        with pytest.raises(ValueError, match=words):
            call(sizes, errors)


@pytest.mark.parametrize("weight", [-1.0, float("nan")])
def test_prior_weight_is_checked(weight):
    with pytest.raises(ValueError, match="gamma_prior_weight"):
        fit_power_law([100, 200], [20.0, 15.0], gamma_prior_weight=weight)
