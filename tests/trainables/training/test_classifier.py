import json
import math
import os
import pickle
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from digit_trials import curve, digits, make_trial, numbers, start
from torch.utils._python_dispatch import TorchDispatchMode

from results.records import EPOCH_SCHEMA, TRIAL_SCHEMA
from trainables.data.cache import FOLDER_VARIABLE
from trainables.data.dataset import inspect
from trainables.data.splits import carve
from trainables.errors import (
    CheckpointError,
    DataError,
    Diverged,
    ForeignCheckpoint,
    ModelError,
    OutOfMemory,
)
from trainables.models.weights import resolve_weights
from trainables.training.classifier import Classifier
from trainables.training.device import evaluation_batch
from trainables.trial import Source, Trial

SHARED = Path(__file__).parents[3].parent / "shared"

OF_THE_DRIVER = {
    "sequence",
    "host",
    "recorded_at",
    "origin",
    "metric",
    "val_metric",
    "test_metric",
}


def test_metrics_and_facts_are_the_tables_columns() -> None:
    trial = make_trial()
    learner = start(trial)
    row = learner.step()
    assert set(row) == set(EPOCH_SCHEMA.names) - set(trial.columns()) - {"stage"} - OF_THE_DRIVER
    assert set(learner.facts()) <= set(TRIAL_SCHEMA.names)
    assert row["seconds"] > 0
    assert row["images_per_second"] > 90 / row["seconds"]
    assert row["peak_memory_bytes"] > 2**20
    assert row["device"] == learner.facts()["device"] == "cpu"


def test_a_model_that_cannot_decide_by_hand() -> None:
    # 90 examples in batches of 32, 32 and 26. Equal scores: the loss is ln 10, the choice class 0.
    learner = start(make_trial("tiny_models:undecided_net"))
    row = learner.step()
    counts = json.loads(learner.facts()["class_counts"])
    assert (row["epoch"], row["step"], row["examples_seen"]) == (1, 3, 90)
    assert row["train_loss"] == pytest.approx(math.log(10))
    assert (row["train_correct"], row["train_seen"]) == (counts[0], 90)
    assert row["train_accuracy"] == counts[0] / 90
    assert row["val_loss"] == pytest.approx(math.log(10))
    assert row["test_accuracy"] == np.mean(digits().test.labels == 0)
    row = learner.step()
    assert (row["epoch"], row["step"], row["examples_seen"]) == (2, 6, 180)
    assert row["train_seen"] == 90


def test_the_loss_counts_examples_not_batches() -> None:
    # Without learning, the training loss is the mean over the subset in evaluation.
    trial = make_trial("tiny_models:linear_net", recipe={"lr": 1e-30, "batch_size": 80})
    learner = start(trial)
    row = learner.step()
    evaluated, _ = learner._evaluate(learner._train_examples)
    assert row["train_loss"] == pytest.approx(evaluated["loss"], rel=1e-6)
    assert row["train_accuracy"] == evaluated["accuracy"]


def test_the_subset_is_stratified_and_named() -> None:
    facts = start(make_trial()).facts()
    counts = json.loads(facts["class_counts"])
    assert sum(counts) == 90
    assert set(counts) <= {8, 9, 10}
    assert facts["subset_hash"] != start(make_trial(seed=1)).facts()["subset_hash"]


def test_facts_by_hand() -> None:
    facts = start(make_trial("tiny_models:linear_net")).facts()
    assert facts["n_parameters"] == 3 * 10 + 10
    assert facts["flops_per_image"] == 2 * 3 * 10
    assert facts["weights_hash"] is None
    assert facts["resolved_precision"] == "fp32"


def test_label_smoothing_is_in_the_training_loss_only() -> None:
    plain, smoothed = (
        start(make_trial("tiny_models:linear_net", recipe={"lr": 1e-30, "label_smoothing": s}))
        for s in (0.0, 0.4)
    )
    one, other = plain.step(), smoothed.step()
    assert one["val_loss"] == other["val_loss"]
    assert one["train_loss"] != other["train_loss"]


def test_the_last_learning_rate_of_each_interval() -> None:
    learner = start(make_trial(recipe={"lr": 0.01, "schedule": "cosine"}))
    lrs = [row["lr_last"] for row in curve(learner)]
    # 9 steps in all, 3 an interval, counted from 0.
    expected = [0.005 * (1 + math.cos(math.pi * step / 9)) for step in (2, 5, 8)]
    assert lrs == pytest.approx(expected)


def test_predictions_are_those_of_the_last_evaluation(tmp_path: Path) -> None:
    learner = start(make_trial())
    row = learner.step()
    predictions = learner.predictions().classes
    assert predictions.dtype == np.int64
    assert np.mean(predictions == digits().test.labels) == row["test_accuracy"]
    learner.save(tmp_path / "state")
    again = start(make_trial())
    again.load(tmp_path / "state")
    np.testing.assert_array_equal(again.predictions().classes, predictions)


def test_it_learns() -> None:
    recipe = {"lr": 0.01, "epochs": 12, "batch_size": 32}
    learner = start(make_trial(n_train=360, fraction=1, recipe=recipe))
    assert curve(learner, 12)[-1]["val_accuracy"] > 0.8


# Budgets


def test_equal_updates_run_on_across_passes() -> None:
    # 90 examples make 3 updates a pass; 8 updates in 4 intervals of 2 end within the third pass.
    recipe = {"epochs": None, "steps": 8, "evaluations": 4}
    rows = curve(start(make_trial("tiny_models:undecided_net", recipe=recipe)), 4)
    assert [row["step"] for row in rows] == [2, 4, 6, 8]
    assert [row["train_seen"] for row in rows] == [60, 60, 60, 60]
    assert [row["examples_seen"] for row in rows] == [60, 120, 180, 240]


def test_examples_as_a_budget() -> None:
    recipe = {"epochs": None, "examples": 128, "evaluations": 2}
    rows = curve(start(make_trial("tiny_models:undecided_net", recipe=recipe)), 2)
    assert [row["step"] for row in rows] == [2, 4]


def test_a_few_examples_left_over_make_no_batch_of_their_own() -> None:
    row = start(make_trial(recipe={"batch_size": 88})).step()
    assert (row["step"], row["train_seen"]) == (2, 90)


def test_validation_on_the_test_set() -> None:
    trial = make_trial(data=Source(validation="test"), n_pool=400, n_train=100)
    row = start(trial).step()
    assert row["val_accuracy"] == row["test_accuracy"]
    assert row["val_loss"] == row["test_loss"]


# The same numbers, always


RECIPES: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True},
    "adam": {"optimizer": "adam", "lr": 0.01, "schedule": "cosine"},
    "adamw": {"optimizer": "adamw", "lr": 0.01, "weight_decay": 0.1, "schedule": "one-cycle"},
    "augmented": {"augmentation": "standard", "lr": 0.01, "warmup": 1, "label_smoothing": 0.1},
    "bf16": {"precision": "bf16", "augmentation": "standard", "schedule": "cosine"},
}


@pytest.mark.parametrize("fields", RECIPES.values(), ids=RECIPES)
def test_twice_the_same_trial(fields: dict[str, Any]) -> None:
    trial = make_trial(recipe=fields)
    assert curve(start(trial)) == curve(start(trial))


def test_twice_the_same_trial_on_two_threads() -> None:
    trial = make_trial("resnet18", recipe={"epochs": 1, "lr": 0.01, "image_size": 32})
    rows = []
    for _ in range(2):
        learner = Classifier(trial, device="cpu", dataset=digits(), cpus=2)
        rows.append(numbers(learner.step()))
    torch.set_num_threads(1)
    assert rows[0] == rows[1]


@pytest.mark.parametrize("fields", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("stopped_after", [1, 2])
def test_a_resumed_trial_goes_on_to_the_last_digit(
    fields: dict[str, Any], stopped_after: int, tmp_path: Path
) -> None:
    trial = make_trial(recipe=fields)
    whole = start(trial)
    expected = curve(whole)
    first = start(trial)
    curve(first, stopped_after)
    first.save(tmp_path / "state")
    second = start(trial)
    second.load(tmp_path / "state")
    assert second.epoch == stopped_after
    assert curve(second, 3 - stopped_after) == expected[stopped_after:]
    np.testing.assert_array_equal(second.predictions().classes, whole.predictions().classes)


@pytest.mark.parametrize("model", ["resnet18", "squeezenet1_1", "mobilenet_v3_small"])
def test_torchvision_models_resume_to_the_last_digit(model: str, tmp_path: Path) -> None:
    recipe = {"epochs": 2, "precision": "auto", "augmentation": "standard", "image_size": 32}
    trial = make_trial(model, n_train=40, recipe=recipe)
    whole = start(trial)
    whole.step()
    whole.save(tmp_path / "state")
    resumed = start(trial)
    resumed.load(tmp_path / "state")
    assert numbers(resumed.step()) == numbers(whole.step())


def test_resume_within_a_pass(tmp_path: Path) -> None:
    budget = {"epochs": None, "steps": 8, "evaluations": 4}
    trial = make_trial(recipe={**budget, "augmentation": "standard", "lr": 0.01})
    whole = start(trial)
    expected = curve(whole, 4)
    first = start(trial)
    curve(first, 1)
    first.save(tmp_path / "state")
    second = start(trial)
    second.load(tmp_path / "state")
    assert curve(second, 3) == expected[1:]


def test_more_epochs_continue_under_a_constant_schedule(tmp_path: Path) -> None:
    short, long = (make_trial(recipe={"epochs": n}) for n in (2, 3))
    assert short.trial_id == long.trial_id
    learner = start(short)
    curve(learner, 2)
    learner.save(tmp_path / "state")
    longer = start(long)
    longer.load(tmp_path / "state")
    assert curve(longer, 1) == curve(start(long))[2:]


FRESH = """
import json, sys
sys.path.insert(0, {tests!r})
from digit_trials import curve, make_trial, start
print(json.dumps(curve(start(make_trial(recipe=json.loads({recipe!r}))))))
"""


def test_a_reused_process_gives_the_numbers_of_a_fresh_one() -> None:
    recipe = {"augmentation": "standard", "precision": "auto"}
    code = FRESH.format(tests=str(Path(__file__).parents[1]), recipe=json.dumps(recipe))
    fresh = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert fresh.returncode == 0, fresh.stderr
    start(make_trial("resnet18", seed=3, recipe={"optimizer": "sgd"}, n_train=40)).step()
    torch.manual_seed(12345)
    assert curve(start(make_trial(recipe=recipe))) == json.loads(fresh.stdout)


def test_global_generators_are_left_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    learner = start(make_trial(recipe={"augmentation": "standard"}))
    learner.step()
    learner.facts()
    assert torch.equal(before, torch.get_rng_state())


def test_a_seed_is_the_same_for_all_models_and_recipes() -> None:
    small, large = start(make_trial()), start(make_trial("resnet18", recipe={"lr": 0.1}))
    assert small.facts()["subset_hash"] == large.facts()["subset_hash"]
    for step in range(7):
        ours, theirs = small._batches.batch(step), large._batches.batch(step)
        assert torch.equal(ours.examples, theirs.examples)


def test_initial_weights_follow_from_the_seed_alone() -> None:
    learner = start(make_trial())
    again, other = start(make_trial(n_train=50)), start(make_trial(seed=1))
    before = learner.facts()["init_hash"]
    assert again.facts()["init_hash"] == before
    assert other.facts()["init_hash"] != before
    learner.step()
    assert learner.facts()["init_hash"] == before


WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "lift_fresh", "_pin_memory")
"""What makes the host wait for a device, or takes something there: `.item()`, `float()` and
`int()`; results whose size depends on values; tensors made of Python's numbers; pinning."""


class Counting(TorchDispatchMode):
    """Counts what torch does, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.waits = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self.counts[name] += 1
        if name in WAITING or (name == "_to_copy" and (kwargs or {}).get("device") is not None):
            self.waits += 1
        return func(*args, **(kwargs or {}))


def test_nothing_is_read_from_the_device_or_taken_there_within_an_interval() -> None:
    waits = []
    for n_train in (64, 256):
        trial = make_trial(n_train=n_train, recipe={"augmentation": "standard"})
        learner = start(trial)
        with Counting() as counting:
            learner.train()
        assert counting.counts["convolution"] == 2 * n_train // 32
        waits.append(counting.waits)
    assert waits[0] == waits[1]


def test_images_are_not_copied() -> None:
    learner = start(make_trial())
    held = learner._train_examples._images
    assert held.data_ptr() == digits().train.images.ctypes.data


# Input


@pytest.mark.parametrize(
    ("normalization", "mean", "std"),
    [("none", [0.0] * 3, [1.0] * 3), ("data", None, None), ("auto", None, None)],
)
def test_normalisation(normalization: str, mean: Any, std: Any) -> None:
    trial = make_trial(recipe={"normalization": normalization})
    learner = start(trial)
    facts = learner.facts()
    train = digits().train
    if mean is None:
        # All examples of the trial are weighed alike, and no other ones.
        pool, _ = carve(train.labels, 40)
        subset = pool[learner_subset(trial, train.labels[pool])]
        pixels = train.images[subset].astype(np.float64) / 255
        mean, std = pixels.mean((0, 1, 2)), pixels.std((0, 1, 2))
    assert json.loads(facts["normalization_mean"]) == pytest.approx(mean)
    assert json.loads(facts["normalization_std"]) == pytest.approx(std)


def learner_subset(trial: Trial, labels: Any) -> Any:
    from trainables.data.splits import draw

    return draw(labels, trial.n_train, trial.seed)


def test_image_size_resizes() -> None:
    small, large = (
        start(make_trial("resnet18", n_train=20, recipe={"image_size": side})) for side in (16, 32)
    )
    assert large.facts()["flops_per_image"] > 2 * small.facts()["flops_per_image"]
    assert math.isfinite(large.step()["val_loss"])


def test_a_model_that_needs_larger_images() -> None:
    with pytest.raises(ModelError, match=r"alexnet does not take images of 16×16.*image_size: 64"):
        start(make_trial("alexnet"))


def test_data_of_another_size_than_declared() -> None:
    with pytest.raises(DataError, match=r"'images to draw from': 360.*'images to draw from': 350"):
        start(make_trial(n_pool=350))
    with pytest.raises(DataError, match=r"'classes': 10\} found.*'classes': 5"):
        start(make_trial(n_classes=5))


def test_the_data_of_the_trial_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    info = inspect(Source())
    pool, _ = carve(info.train_labels, 0.1)
    trial = make_trial(data=Source(), fingerprint=info.fingerprint, n_pool=len(pool))
    learner = Classifier(trial, device="cpu")
    assert learner.step()["train_seen"] == 90
    assert learner._sides == (32, 32)


# Pretrained


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="the shared weights are not here")
def test_pretrained_weights_are_loaded_afresh_for_every_trial() -> None:
    file = SHARED / "weights" / "resnet18-cifar100.safetensors"
    weights = resolve_weights("resnet18", "cifar100", str(file))
    trial = make_trial("resnet18", weights=weights, n_train=40, recipe={"epochs": 1})
    first = start(trial)
    expected = curve(first, 1)
    second = start(trial)
    assert second.facts()["init_hash"] == first.facts()["init_hash"]
    assert second.facts()["weights_hash"] == weights.digest
    assert second.facts()["init_hash"] != start(make_trial("resnet18")).facts()["init_hash"]
    assert curve(second, 1) == expected


def test_published_weights_bring_their_own_normalisation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    from trainables.models.networks import build_model

    torch.save(build_model("resnet18", 1000).state_dict(), folder / "resnet18-f37072fd.pth")
    weights = resolve_weights("resnet18", "IMAGENET1K_V1")
    facts = start(make_trial("resnet18", weights=weights)).facts()
    assert json.loads(facts["normalization_mean"]) == [0.485, 0.456, 0.406]
    assert json.loads(facts["normalization_std"]) == [0.229, 0.224, 0.225]
    assert facts["weights_hash"] == "torchvision:f37072fd"
    own = make_trial("resnet18", weights=weights, recipe={"normalization": "data"})
    assert json.loads(start(own).facts()["normalization_mean"])[0] < 0.4


# What goes wrong


def test_a_loss_that_explodes_names_epoch_and_step() -> None:
    recipe = {"optimizer": "sgd", "lr": 1e38, "momentum": 0.0}
    learner = start(make_trial("tiny_models:linear_net", recipe=recipe))
    with pytest.raises(Diverged, match=r"training loss became \w+ at epoch 1, step [23];"):
        learner.step()


def test_a_later_explosion_counts_on() -> None:
    recipe = {"optimizer": "sgd", "lr": 1e-6, "momentum": 0.0}
    learner = start(make_trial("tiny_models:linear_net", recipe=recipe))
    learner.step()
    with torch.no_grad():
        next(learner.model.parameters()).fill_(float("inf"))
    with pytest.raises(Diverged, match="NaN at epoch 2, step 4; a lower lr than 1e-06"):
        learner.step()


def test_a_loss_that_is_nan_in_evaluation_only() -> None:
    learner = start(make_trial("tiny_models:blind_net"))
    with pytest.raises(Diverged, match="the validation loss became NaN at epoch 1, step 3"):
        learner.step()


def test_out_of_memory() -> None:
    learner = start(make_trial("tiny_models:hungry_net"))
    with pytest.raises(OutOfMemory, match=r"cpu has no room for .*hungry_net, batches of 32: "):
        learner.step()


def test_other_errors_of_a_model_are_its_own() -> None:
    learner = start(make_trial("tiny_models:broken_net"))
    with pytest.raises(RuntimeError, match="shapes of a user's own do not match"):
        learner.step()


# Saved states


@pytest.fixture
def state(tmp_path: Path) -> Path:
    learner = start(make_trial())
    learner.step()
    learner.save(tmp_path / "state")
    return tmp_path / "state"


def refused(file: Path, trial: Trial, message: str) -> None:
    """Check that a state is refused, and that the learner starts from the beginning after it."""
    learner = start(trial)
    with pytest.raises(CheckpointError, match=message):
        learner.load(file)
    assert learner.epoch == 0
    assert numbers(learner.step()) == numbers(start(trial).step())


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_state(state: Path, kept: float) -> None:
    content = state.read_bytes()
    state.write_bytes(content[: int(len(content) * kept)])
    refused(state, make_trial(), "cannot be read")


def test_a_state_with_one_flipped_bit(state: Path) -> None:
    content = bytearray(state.read_bytes())
    stored = torch.load(state, weights_only=True)["model"]["0.bias"].numpy().tobytes()
    content[content.index(stored) + 5] ^= 1
    state.write_bytes(content)
    refused(state, make_trial(), r"damaged: the checksum of .*data/\d+ does not match")


def test_garbage_as_a_state(state: Path) -> None:
    state.write_bytes(np.random.default_rng(0).bytes(5000))
    refused(state, make_trial(), "cannot be read")


def test_no_state(tmp_path: Path) -> None:
    refused(tmp_path / "absent", make_trial(), "absent cannot be read: .*No such file")


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("harm",))


def test_code_in_a_state_is_not_run(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(state.parent)
    torch.save({"trial_id": Malicious()}, state)
    refused(state, make_trial(), "damaged")
    state.write_bytes(pickle.dumps(Malicious()))
    refused(state, make_trial(), "cannot be read")
    assert not (state.parent / "harm").exists()


def test_a_state_of_another_program(state: Path) -> None:
    torch.save([1, 2], state)
    refused(state, make_trial(), "not a checkpoint of this program")
    torch.save({"model": {}}, state)
    refused(state, make_trial(), "its version is None")


def test_a_state_of_another_trial(state: Path) -> None:
    refused(state, make_trial(seed=1), "its trial id is .*, this trial's is")


def test_a_state_of_another_precision(tmp_path: Path) -> None:
    trial = make_trial(recipe={"precision": "bf16"})
    learner = start(trial)
    learner.save(tmp_path / "state")
    content = torch.load(tmp_path / "state", weights_only=True)
    torch.save({**content, "precision": "fp32"}, tmp_path / "state")
    refused(tmp_path / "state", trial, "its precision is fp32, this trial's is bf16")
    torch.save({**content, "device_kind": "cuda"}, tmp_path / "state")
    refused(tmp_path / "state", trial, "its device kind is cuda, this trial's is cpu")
    with pytest.raises(ForeignCheckpoint):
        start(trial).load(tmp_path / "state")


def test_an_evaluation_batch_has_a_number_of_pixels() -> None:
    assert evaluation_batch("cuda", (32, 32)) == 1024
    assert evaluation_batch("cuda", (224, 224)) == 20
    assert evaluation_batch("cuda", (2000, 2000)) == 1
    assert evaluation_batch("cpu", (32, 32)) == 256


def test_a_state_of_another_version_of_the_model(state: Path) -> None:
    content = torch.load(state, weights_only=True)
    content["model"]["0.bias"] = torch.zeros(9)
    torch.save(content, state)
    refused(state, make_trial(), "holds another model than this version builds")


def test_a_state_of_another_version_of_the_optimizer(state: Path) -> None:
    content = torch.load(state, weights_only=True)
    content["optimizer"]["param_groups"][0]["params"].pop()
    torch.save(content, state)
    refused(state, make_trial(), "holds another optimizer than this version builds")


def test_a_full_disk_is_named() -> None:
    with pytest.raises(OSError, match="No space left on device"):
        start(make_trial()).save(Path("/dev/full"))
