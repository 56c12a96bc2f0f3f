"""What a probe measures, and what becomes of it; memory is counted on the CPU (see gauges)."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gauges import CONTEXT, CountingProbe

from orchestrator.ledger.stages import Stages
from orchestrator.placement.placer import Placer
from orchestrator.placement.shares import Node, asks_of, load_of
from orchestrator.plan.plan import plan_study
from orchestrator.study.study import Study, study_from
from trainables.data.cache import FOLDER_VARIABLE
from trainables.measure.footprint import Footprint, Hardware, Load, record, recorded
from trainables.measure.probe import Probe, gpu_seen
from trainables.recipe import Recipe
from trainables.trial import Source, Trial, Weights

HARDWARE = Hardware("H100", 80 * 2**30, "2.14", "13.0", "580")


def trial(n_classes: int = 10, model: str = "faulty:wide_net", **recipe: Any) -> Trial:
    return Trial(
        data=Source(),
        fingerprint="any",
        n_pool=50_000,
        n_classes=n_classes,
        model=model,
        weights=Weights(label="IMAGENET1K_V1", name="IMAGENET1K_V1"),
        fraction=1.0,
        n_train=50_000,
        seed=0,
        recipe=Recipe(precision="fp32", **recipe),
    )


def measured(declared: Trial, side: int = 16) -> tuple[int, int]:
    probe = CountingProbe(declared, side, 100, 1)
    return probe.measure()


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))


# One probe.


def test_parameters_gradients_and_adams_two_moments_by_hand() -> None:
    # 3·16·16 inputs to 1000 classes: 769,000 parameters of 4 bytes, four times.
    peak, context = measured(trial(1000, batch_size=8))
    # Its batch has 1000 images too, one of each class: inputs 3 MB, scores and their gradients 4 MB
    # each, and 1 MB for each mask that tells which scores are above the true class's.
    assert 16 * 769_000 <= peak <= 16 * 769_000 + 13 * 2**20
    assert context == CONTEXT
    # Plain SGD keeps no moments.
    peak, _ = measured(trial(1000, batch_size=8, optimizer="sgd", momentum=0.0))
    assert 8 * 769_000 <= peak <= 8 * 769_000 + 13 * 2**20


def test_a_larger_batch_takes_at_least_its_inputs_more() -> None:
    small, large = (measured(trial(batch_size=size), side=32)[0] for size in (128, 1024))
    assert large - small >= (1024 - 128) * 3 * 32 * 32 * 4


def test_a_rate_is_of_training() -> None:
    probe = CountingProbe(trial(), 16, 100, 1)
    with pytest.raises(RuntimeError, match="measured before it is timed"):
        probe.rate(0.1)
    probe.measure()
    assert probe.rate(0.2) > 100


def test_without_a_gpu_there_is_no_hardware() -> None:
    import torch

    if torch.cuda.is_available():
        assert gpu_seen() is not None
    else:
        assert gpu_seen() is None


# What is remembered.


def test_a_footprint_is_good_for_the_same_load_and_hardware(own_cache: None) -> None:
    load = Load.of(trial(model="resnet18"), 32, 10_000)
    found = Footprint(2**29, 2**30, 5000.0, {8: 900.0})
    record(load, HARDWARE, found)
    assert recorded(load) == [(HARDWARE, found)]
    other = Hardware("H100", 80 * 2**30, "2.15", "13.0", "580")
    record(load, other, Footprint(2**29, None, None))
    assert dict(recorded(load)) == {HARDWARE: found, other: Footprint(2**29, None, None)}
    # lr, seed and budget have no bearing on memory; the batch size has.
    assert recorded(Load.of(trial(model="resnet18", lr=0.5, epochs=9), 32, 10_000))
    assert recorded(Load.of(trial(model="resnet18", batch_size=64), 32, 10_000)) == []


def test_a_users_own_model_is_measured_anew(own_cache: None) -> None:
    load = Load.of(trial(), 32, 10_000)
    record(load, HARDWARE, Footprint(0, 1, 1.0))
    assert recorded(load) == []


# Shares, from what was found.


def declared(**values: Any) -> Study:
    return study_from(
        {
            "name": "shared",
            "factors": {"model": ["squeezenet1_1"], "fraction": ["1/8", 1]},
            "recipe": {"epochs": 1, "image_size": 32, "batch_size": 8, "precision": "fp32"},
            **values,
        }
    )


def trials_of(study: Study) -> tuple[Any, list[Trial]]:
    from orchestrator.study.inputs import find_inputs

    inputs = find_inputs(study)
    return inputs, [wanted.trial for wanted in Stages(study, inputs).wanted.values()]


def test_each_trial_gets_the_share_of_its_load() -> None:
    from orchestrator.placement.shares import Measured

    study = declared(factors={"model": ["squeezenet1_1"], "batch_size": [8, 64]}, recipe={})
    inputs, trials = trials_of(study)
    small, large = (load_of(each, inputs) for each in trials)
    placer = Placer(study, inputs)
    placer.nodes, placer._has_gpu = [Node("a", 8, 2, "H100")], True
    finding = Measured(HARDWARE, Footprint(2**29, 2**30, 100.0, {4: 40.0}), 4)
    # Eight at once train less than one alone: they do not share.
    crowded = Measured(HARDWARE, Footprint(2**29, 2**30, 100.0, {8: 10.0}), 8)
    assert placer.take({"H100": {small: finding, large: crowded}}) == []
    shares = [placer.share(each) for each in trials]
    assert [(share.gpu, share.speed, share.kind) for share in shares] == [
        (1 / 4, 0.4, ""),
        (1, 1, ""),
    ]
    assert {placer.share(each).context_bytes for each in trials} == {2**29}
    # On two GPUs, beside seven others, four others and one: as much of a GPU as is free then.
    for together, share in {8: (1 / 4, 0.4), 5: (1 / 3, None), 2: (1, 1)}.items():
        placer.spread(trials[0], together)
        assert (placer.share(trials[0]).gpu, placer.share(trials[0]).speed) == share
        placer._enlarged.clear()
    placer.spread(trials[1], 100)
    assert placer.share(trials[1]).gpu == 1
    # After a shortage the trial has all of it.
    assert placer.enlarge(trials[0], "out of GPU memory") is None
    assert (placer.share(trials[0]).gpu, placer.share(trials[0]).speed) == (1, 1)
    # Proposed later: no batch so large was measured, and one of 32 takes less than one of 64.
    bigger, between = (
        type(trials[0])(
            **{**dict(trials[0]), "recipe": trials[0].recipe.model_copy(update={"batch_size": n})}
        )
        for n in (128, 32)
    )
    assert placer.share(bigger).gpu == 1
    assert placer.share(between).gpu == 1
    assert '"k": 4' in (placer.measurements() or "")


def test_where_torch_sees_no_gpu_trials_run_on_the_cpu() -> None:
    study = declared()
    inputs, trials = trials_of(study)
    placer = Placer(study, inputs)
    placer.nodes, placer._has_gpu = [Node("a", 8, 2), Node("b", 8, 2)], True
    (warning,) = placer.take({})
    assert "torch sees none" in warning
    assert {placer.share(each).gpu for each in trials} == {0}


def test_a_plan_says_what_will_be_measured_or_is_known(
    own_cache: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = declared()
    # Without a GPU here, and no cluster named, there is nothing to say.
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert plan_study(study, tmp_path / "run").placement == []
    monkeypatch.setattr("orchestrator.placement.shares._AMD", tmp_path)
    (sentence,) = plan_study(study, tmp_path / "run").placement
    assert "only NVIDIA's GPUs are used, so AMD's here is not" in sentence
    monkeypatch.undo()
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    (sentence,) = plan_study(study, tmp_path / "run").placement
    assert "1 kind of trial" in sentence
    inputs, trials = trials_of(study)
    record(load_of(trials[0], inputs), HARDWARE, Footprint(2**29, 2**30, 100.0))
    (sentence,) = plan_study(study, tmp_path / "run").placement
    # (80 GiB) // (0.5 + 1.1 · 1 GiB, and the images), rounded down.
    assert sentence.startswith("squeezenet1_1, batches of 8, 32 pixels on H100 (80.0 GiB): 1.5 GiB")
    assert sentence.endswith("at most 49 at once")
    assert plan_study(declared(resources={"gpu": 1}), tmp_path / "run").placement == []


# A survey.


@pytest.fixture
def without_ray(monkeypatch: pytest.MonkeyPatch) -> list[Node]:
    """Let a survey's probes be objects of this process; return the nodes that it is made on."""

    class Called:
        def __init__(self, call: Any) -> None:
            self.remote = call

    class Handle:
        def __init__(self, probe: Probe) -> None:
            self.hardware, self.measure, self.rate = map(
                Called, (probe.hardware, probe.measure, probe.rate)
            )

    def remote(kind: type[Probe]) -> Any:
        made = Called(lambda *given: Handle(kind(*given)))
        return SimpleNamespace(options=lambda **options: made)

    place = SimpleNamespace(ready=lambda: None)
    ray = SimpleNamespace(remote=remote, get=lambda found: found, kill=id)
    ray.wait = lambda asked, timeout: (asked, [])
    for name, stand_in in {
        "ray": ray,
        "placement_group": lambda bundles: place,
        "remove_placement_group": id,
        "PlacementGroupSchedulingStrategy": lambda place, bundle: None,
    }.items():
        monkeypatch.setattr(f"orchestrator.placement.survey.{name}", stand_in)
    return [Node("here", 2, 4)]


@pytest.mark.parametrize(
    "surroundings",
    [
        "without_ray",
        # Four processes, each of which imports torch.
        pytest.param("ray_cluster", marks=[pytest.mark.ray, pytest.mark.long]),
    ],
)
def test_a_survey_measures_alone_and_together_once(
    surroundings: str, request: pytest.FixtureRequest, own_cache: None
) -> None:
    from orchestrator.placement import survey as surveys

    nodes = request.getfixturevalue(surroundings)
    request.getfixturevalue("monkeypatch").setattr(surveys, "RATE_SECONDS", 0.1)
    study = declared()
    inputs, trials = trials_of(study)
    asks = asks_of(study, inputs, trials)
    assert len(asks) == 1
    notes: list[str] = []
    survey = surveys.Survey(1, {"": 2}, notes.append, CountingProbe)
    found = survey.take(asks)
    ((_, finding),) = found[""].items()
    assert finding.k == 2
    assert finding.footprint is not None
    # 1.2 million parameters, four times, and what squeezenet computes of 8 images of 32×32.
    assert 16 * 700_000 < (finding.footprint.peak_bytes or 0) < 2**28
    assert finding.footprint.images_per_second
    assert finding.footprint.shared[2] > 0
    measuring, gain = notes
    assert measuring == "measuring squeezenet1_1, batches of 8, 32 pixels on counted"
    assert re.fullmatch(r"2 at once train \d\.\d\d times what one does, in turns; MPS .*", gain)
    assert survey.take(asks) == found
    assert len(notes) == 2
    placer = Placer(study, inputs)
    placer.nodes, placer._has_gpu = nodes, True
    placer.take(found)
    assert placer.share(trials[0]).gpu in (1 / 2, 1)


def test_where_many_at_once_do_not_pay_half_as_many_are_tried() -> None:
    from orchestrator.placement.shares import Ask
    from orchestrator.placement.survey import _untried

    def next_tried(found: Footprint | None) -> int:
        return _untried(HARDWARE, found, Ask(trial(), 0), 8)

    assert next_tried(None) == 1
    for shared, k in (({}, 8), ({8: 10.0}, 4), ({8: 10.0, 4: 30.0}, 0), ({8: 0.0}, 7)):
        assert next_tried(Footprint(2**29, 2**30, 100.0, shared)) == k
    # Nothing is where not even one fits.
    assert next_tried(Footprint(0, None, None)) == 0


@pytest.mark.ray
def test_where_others_hold_all_gpus_trials_wait_for_whole_ones(
    ray_cluster: Any, own_cache: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray
    from ray.util import placement_group, remove_placement_group

    from orchestrator.placement.survey import Survey

    monkeypatch.setattr("orchestrator.placement.survey.PATIENCE_SECONDS", 0.5)
    study = declared()
    inputs, trials = trials_of(study)
    notes: list[str] = []
    others = placement_group([{"GPU": 4.0}])
    ray.get(others.ready(), timeout=60)
    try:
        found = Survey(1, {"": 2}, notes.append, CountingProbe).take(asks_of(study, inputs, trials))
    finally:
        remove_placement_group(others)
    (note,) = notes
    assert note.startswith("warning: not measured, so trials get whole GPUs: no GPU with 2 CPUs")
    placer = Placer(study, inputs)
    placer.nodes, placer._has_gpu = ray_cluster, True
    assert placer.take(found) == []
    assert {placer.share(each).gpu for each in trials} == {1}
    assert '"k": 1' in (placer.measurements() or "")
