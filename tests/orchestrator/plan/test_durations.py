"""Expected times, worked out by hand."""

from pathlib import Path

import pytest
from studies import run, study

from orchestrator.ledger.stages import Stages
from orchestrator.plan.durations import (
    CPU_LAYER,
    CPU_SPEED,
    UNKNOWN_FLOPS,
    Basis,
    Durations,
    Kind,
    Work,
    kind_of,
    recorded_paces,
    work_of,
)
from orchestrator.study.inputs import find_inputs
from results.store.store import Store
from trainables.measure.footprint import Pace, probe_trial
from trainables.models.networks import anatomy
from trainables.recipe import Recipe
from trainables.trial import Trial

PACE = Pace(train=0.01, evaluate=0.001, setup=2.0, start=5.0)


def trials() -> list[Trial]:
    declared = study()
    return [w.trial for w in Stages(declared, find_inputs(declared)).wanted.values()]


def work(trial: Trial) -> Work:
    return Work(trial.n_train, 1000, 1e6 if trial.model == "a" else 2e6)


def kind(trial: Trial) -> Kind:
    return kind_of(trial, 1, False)


def first(model: str) -> Trial:
    return next(trial for trial in trials() if trial.model == model and trial.n_train == 2813)


def test_flops_alone() -> None:
    durations = Durations(work, kind)
    expected = durations.expect(first("a"))
    assert expected.basis is Basis.FLOPS
    assert expected.interval == pytest.approx((3 * 2813 + 1000) * 1e6 / CPU_SPEED)
    assert expected.seconds == pytest.approx(0.5 + 3 * expected.interval)


def test_a_head_on_features_is_another_kind_and_costs_little() -> None:
    whole = first("a")
    head = whole.changed(recipe=whole.recipe.changed(freeze="backbone"))
    assert kind(whole) != kind(head)
    real = [trial.changed(trainable="classifier", model="resnet18") for trial in (whole, head)]
    durations = Durations(work_of(find_inputs(study())), kind)
    whole_seconds, head_seconds = (durations.expect(trial).interval for trial in real)
    assert head_seconds < whole_seconds / 50


def test_layers_cost_something_in_every_update() -> None:
    # 22 updates of 170 layers beside 2,813 images of a million operations, thrice.
    layered = Work(2813, 1000, 1e6, updates=22, layers=170)
    expected = Durations(lambda trial: layered, kind).expect(first("a"))
    by_flops = (3 * 2813 + 1000) * 1e6 / CPU_SPEED
    assert expected.interval == pytest.approx(by_flops + 22 * 170 * CPU_LAYER)


def test_the_layers_of_a_real_model() -> None:
    # A ResNet-18: 20 convolutions and as many norms, 9 ReLUs, two pools, the last layer.
    assert anatomy("resnet18", 10).n_layers == 20 + 20 + 9 + 2 + 1


def test_what_is_measured_goes_before_flops_and_records_before_a_probe() -> None:
    a, b = first("a"), first("b")
    fast = Pace(0.001, 0.001, 1.0, 5.0)
    durations = Durations(work, kind, {kind(a): PACE}, {kind(a): fast, kind(b): fast}, trials())
    assert durations.expect(a).basis is Basis.RECORDED
    assert durations.expect(a).interval == pytest.approx(28.13 + 1.0)
    assert durations.expect(b).basis is Basis.PROBE
    assert durations.expect(b).seconds == pytest.approx(1.0 + 3 * (2.813 + 1.0))


def test_another_model_is_scaled_by_flops() -> None:
    durations = Durations(work, kind, {kind(first("a")): PACE}, {}, trials())
    expected = durations.expect(first("b"))
    assert expected.basis is Basis.SCALED
    # Twice the operations of each image.
    assert expected.interval == pytest.approx(2 * 29.13)
    assert expected.setup == 2.0
    assert durations.start == 5.0


def test_where_nobody_knows_it_is_a_guess() -> None:
    durations = Durations(lambda trial: Work(1000, 0, None), kind)
    expected = durations.expect(first("a"))
    assert expected.basis is Basis.GUESS
    assert expected.interval == pytest.approx(3000 * UNKNOWN_FLOPS / CPU_SPEED)


def test_recorded_paces_are_those_of_the_rows(tmp_path: Path) -> None:
    assert recorded_paces(Store(tmp_path / "none"), 5000) == {}
    run(study(), tmp_path / "run")
    paces = recorded_paces(Store(tmp_path / "run"), 5000)
    assert set(paces) == {kind(trial) for trial in trials()}
    rows = Store(tmp_path / "run").read("epochs").to_pandas()
    rows = rows[rows.model == "a"]
    found = paces[kind(first("a"))]
    assert found.train == pytest.approx((1 / rows.images_per_second).median())
    assert 0 <= found.setup < 1


def test_a_probe_is_the_same_kind_of_trial_but_short() -> None:
    trial = first("a")
    short = probe_trial(trial)
    assert kind(short) == kind(trial)
    assert (short.recipe.intervals, short.recipe.steps_per_interval) == (1, 4)
    assert short.n_train == trial.n_train
    # 45,000/16 images make 21 whole batches of 128.
    assert probe_trial(trial, 100).recipe.steps == 21


def test_a_probe_is_short_of_a_trial_that_warms_up_for_longer_too() -> None:
    recipe = Recipe(epochs=10, schedule="wsd", warmup=2, decay=0.2, lr=100)
    short = probe_trial(first("a").changed(recipe=recipe)).recipe
    assert (short.intervals, short.warmup, short.lr) == (1, 0.0, 1e-12)
