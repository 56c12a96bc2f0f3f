import inspect
import math

import numpy as np
import pytest

from results.errors import CurveError, ExtrapolationRefused, IllBehavedCurve
from results.statistics.curves import (
    LAST_VALUE,
    LOCAL_LAW,
    POWER_LAW,
    fit_power_law,
    ill_behaved,
    predict_error,
)
from results.statistics.intervals import pooled_variance
from results.statistics.laws import local_law

# CIFAR-100, ResNet-18 fine-tuned from ImageNet: images per class and error in % of each run
# (Hoiem et al., Learning Curves for Analysis of Deep Networks, ICML 2021).
PUBLISHED = {
    25: [42.91, 40.49, 42.38, 47.90, 46.75, 47.40, 44.30, 45.67, 46.62, 42.71],
    50: [32.35, 32.77, 32.17, 31.63, 32.60, 32.73, 32.57, 31.93],
    100: [26.37, 26.43, 26.47, 26.37],
    200: [21.72, 22.48],
    400: [18.88],
}


def published(*sizes, per=1):
    pairs = [(per * size, error) for size in sizes for error in PUBLISHED[size]]
    return np.array([size for size, _ in pairs]), np.array([error for _, error in pairs])


def local(sizes, errors, at):
    return predict_error(sizes, errors, at).forms[LOCAL_LAW]


def test_what_callers_rely_on():
    signature = inspect.signature(fit_power_law)
    defaults = {name: one.default for name, one in signature.parameters.items()}
    empty = inspect.Parameter.empty
    assert list(defaults) == ["sizes", "errors", "gamma_prior_weight", "nonnegative_asymptote"]
    assert list(defaults.values()) == [empty, empty, 5.0, True]
    assert list(inspect.signature(predict_error).parameters) == ["sizes", "errors", "at"]
    law = fit_power_law(*published(25, 100, 200))
    assert law.predict(400) == pytest.approx(law.alpha + law.eta * 400**law.gamma)
    found = predict_error(*published(25, 100, 200), at=400)
    assert {LOCAL_LAW, POWER_LAW, LAST_VALUE} == set(found.forms)
    assert found.interval[0] < found.headline < found.interval[1]


def test_published_curve():
    found = predict_error(*published(25, 100, 200), 400)
    assert found.forms[LOCAL_LAW] == pytest.approx(18.49, abs=0.005)
    assert found.forms[POWER_LAW] == pytest.approx(18.31, abs=0.005)
    assert found.forms[LAST_VALUE] == pytest.approx(22.10, abs=0.005)
    assert found.headline == pytest.approx((18.4934 + 18.3100) / 2, abs=1e-3)
    low, high = found.interval
    assert low < 18.88 < high
    assert found.refusal is None
    assert "0 residual degrees of freedom" in " ".join(found.notes)
    assert found.power_law.residual_degrees_of_freedom == 0


def test_published_curve_from_every_size():
    found = predict_error(*published(25, 50, 100, 200), 400)
    assert found.forms[LOCAL_LAW] == pytest.approx(18.49, abs=0.005)
    assert found.forms[POWER_LAW] == pytest.approx(18.77, abs=0.005)
    assert found.power_law.gamma == -0.56
    assert found.power_law.residual_degrees_of_freedom == 1
    assert not any("residual" in note for note in found.notes)


def test_units_of_size_do_not_matter():
    per_class = predict_error(*published(25, 50, 100, 200), 400)
    examples = predict_error(*published(25, 50, 100, 200, per=100), 40_000)
    assert examples.forms == pytest.approx(per_class.forms)
    assert examples.interval == pytest.approx(per_class.interval)
    assert examples.power_law.gamma == per_class.power_law.gamma


def test_order_of_runs_does_not_matter():
    sizes, errors = published(25, 50, 100, 200)
    order = np.random.default_rng(0).permutation(sizes.size)
    shuffled = predict_error(sizes[order].tolist(), errors[order].tolist(), 400)
    assert shuffled.headline == pytest.approx(predict_error(sizes, errors, 400).headline)
    assert shuffled.interval == pytest.approx(predict_error(sizes, errors, 400).interval)


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
    assert local([400, 100], [10.0, 20.0], 1600) == pytest.approx(5)
    assert "gamma is the prior's" in law.notes[0]


def test_data_reliance_by_hand():
    # β = −2γηN^γ = 200/20 = 10 at 400, and the next doubling gains 0.293 of it.
    law = fit_power_law([100, 400], [20.0, 10.0])
    assert law.data_reliance() == pytest.approx(10)
    assert law.data_reliance(100) == pytest.approx(20)
    assert law.predict(400) - law.predict(800) == pytest.approx(0.293 * 10, abs=0.002)


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
    assert local([100, 200], [10.0, 10.5], 400) == 10.5


def test_local_law_doubling_and_its_noise():
    sizes, errors = [100, 100, 200, 200], [20.0, 22.0, 14.0, 15.0]
    assert local(sizes, errors, 400) == pytest.approx(14.5**2 / 21)
    noise = pooled_variance(sizes, errors)
    r, at_n, at_half = 14.5 / 21, noise.at(200) / 2, noise.at(100) / 2
    _, variance = local_law(np.array(sizes), np.array(errors), 400, noise)
    assert variance == pytest.approx(4 * r**2 * at_n + r**4 * at_half)


def test_local_law_rescales_to_other_ratios():
    # From 1/4 to all the data the error halves; over one more doubling it falls by √2.
    assert local([100, 400], [20.0, 10.0], 800) == pytest.approx(10 / math.sqrt(2))


def test_error_of_zero():
    assert local([100, 200], [1.0, 0.0], 400) == 0
    assert local([100, 200], [0.0, 0.0], 400) == 0
    assert predict_error([100, 200, 400], [1.0, 0.0, 0.0], 800).headline >= 0


def test_back_test_by_hand():
    # From 100 and 200: local law 15²/20 = 11.25, power law with γ = −0.5: η = 5/(0.1 − 0.0707),
    # 11.4645 at 400. Measured 12.
    sizes, errors = np.repeat([100, 200, 400], 2), [20, 20, 15, 15, 12, 12]
    found = predict_error(sizes, errors, 800)
    assert found.back_test == pytest.approx((11.25 + 11.464466) / 2 - 12, abs=1e-6)
    twice = predict_error(sizes, errors, 1600)
    values = [found.forms[LOCAL_LAW], found.forms[POWER_LAW]]
    assert found.interval[0] < min(values) - abs(found.back_test)
    assert found.interval[1] > max(values) + abs(found.back_test)
    wide = [high - low for low, high in (found.interval, twice.interval)]
    assert wide[1] > wide[0]


def test_two_sizes_are_not_back_tested():
    found = predict_error([100, 100, 200, 200], [20.1, 19.9, 15.1, 14.9], 400)
    assert found.back_test is None
    assert any("not back-tested" in note for note in found.notes)
    gain = found.forms[LAST_VALUE] - found.headline
    assert found.interval[1] - found.interval[0] > gain


def test_single_runs_have_no_interval():
    found = predict_error([100, 200, 400], [20.0, 15.0, 12.0], 800)
    assert found.interval is None
    assert found.headline < 12
    assert any("no ±" in note for note in found.notes)


def test_one_size_predicts_nothing():
    found = predict_error([100, 100], [20.0, 21.0], 200)
    assert found.headline is None
    assert found.interval is None
    assert found.forms == {LAST_VALUE: 20.5}
    assert "one training size" in found.refusal
    with pytest.raises(CurveError, match="at least two training sizes"):
        fit_power_law([100, 100], [20.0, 21.0])


def test_two_sizes_need_the_prior():
    with pytest.raises(CurveError, match="third size"):
        fit_power_law([100, 200], [20.0, 15.0], gamma_prior_weight=0)


def test_extrapolation_ends_at_four_times():
    sizes, errors = [100, 200, 400], [20.0, 15.0, 12.0]
    assert predict_error(sizes, errors, 1600).headline > 0
    law = fit_power_law(sizes, errors)
    for ask in (lambda: predict_error(sizes, errors, 1601), lambda: law.predict(1601)):
        with pytest.raises(ExtrapolationRefused, match=r"beyond 4 times .* at most 1600"):
            ask()


@pytest.mark.parametrize("at", [399, 0, -5, float("nan")])
def test_within_the_measured_sizes_nothing_is_predicted(at):
    with pytest.raises(ValueError, match="at: "):
        predict_error([100, 200, 400], [20.0, 15.0, 12.0], at)


def test_rising_curve_is_named_and_not_fitted():
    sizes, errors = [100, 200, 400], [30.0, 20.0, 35.0]
    fault = "rises with more data, from 20.0 points on 200 examples to 35.0 on 400"
    assert fault in ill_behaved(sizes, errors)
    found = predict_error(sizes, errors, 800)
    assert fault in found.refusal
    assert (found.headline, found.interval, found.forms) == (None, None, {LAST_VALUE: 35.0})
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
@pytest.mark.parametrize("call", [fit_power_law, lambda n, e: predict_error(n, e, 800)])
def test_wrong_input_is_refused(sizes, errors, words, call):
    with pytest.raises(ValueError, match=words):
        call(sizes, errors)


@pytest.mark.parametrize("weight", [-1.0, float("nan")])
def test_prior_weight_is_checked(weight):
    with pytest.raises(ValueError, match="gamma_prior_weight"):
        fit_power_law([100, 200], [20.0, 15.0], gamma_prior_weight=weight)


def test_close_sizes_are_noted():
    found = predict_error([100, 900, 1000], [20.0, 12.0, 11.5], 2000)
    assert any("close" in note for note in found.notes)


@pytest.mark.parametrize(
    ("sizes", "at"),
    [
        ((25, 50), 100),
        ((25, 50, 100), 200),
        ((25, 50, 100), 400),
        ((50, 100, 200), 400),
        ((100, 200), 400),
        ((25, 50, 100, 200), 400),
    ],
)
def test_every_prediction_on_the_published_curve_holds(sizes, at):
    found = predict_error(*published(*sizes), at)
    measured = np.mean(PUBLISHED[at])
    assert found.interval[0] <= measured <= found.interval[1]
    assert abs(found.headline - measured) < abs(found.forms[LAST_VALUE] - measured)
