"""The simulation: what its curves depend on, and that it is a learner like any other."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulated_trials import simulated_trial

from results.records import EPOCH_SCHEMA, TRIAL_SCHEMA
from trainables.errors import CheckpointError, Diverged
from trainables.recipe import Recipe
from trainables.training.simulated import PACE_VARIABLE, Simulated, final_error, parameters
from trainables.trial import Trial, Weights


def make(**changes: Any) -> Trial:
    recipe = {"epochs": 5, **changes.pop("recipe", {})}
    return simulated_trial(recipe=Recipe(**recipe), **changes)


def curve(trial: Trial, epochs: int = 5) -> list[float]:
    learner = Simulated(trial)
    return [learner.step()["test_accuracy"] for _ in range(epochs)]


def test_the_same_trial_twice_gives_the_same_numbers() -> None:
    one, other = Simulated(make()), Simulated(make(), cpus=4)
    varying = {"seconds", "images_per_second"}
    for _ in range(5):
        first, second = one.step(), other.step()
        assert {key: first[key] for key in first.keys() - varying} == {
            key: second[key] for key in second.keys() - varying
        }


@pytest.mark.parametrize(
    "change",
    [
        {"model": "b"},
        {"weights": Weights(label="w", digest="d")},
        {"n_train": 2_813, "fraction": 1 / 16},
        {"seed": 1},
        {"recipe": {"lr": 3e-3}},
        {"recipe": {"batch_size": 64}},
        {"recipe": {"optimizer": "sgd"}},
        {"recipe": {"weight_decay": 1e-4}},
        {"recipe": {"augmentation": "standard"}},
        {"recipe": {"schedule": "cosine"}},
        {"recipe": {"label_smoothing": 0.1}},
        {"recipe": {"stem": "cifar"}},
        {"recipe": {"image_size": 64}},
    ],
    ids=str,
)
def test_the_curve_depends_on_every_factor_field_and_seed(change: dict[str, Any]) -> None:
    assert curve(make(**change)) != curve(make())


def test_errors_fall_with_data_pretraining_and_epochs() -> None:
    sizes = [1_000, 4_000, 16_000, 45_000]
    errors = [final_error(make(n_train=size)) for size in sizes]
    assert errors == sorted(errors, reverse=True)
    pretrained = Weights(label="w", digest="d")
    assert all(
        final_error(make(n_train=size, weights=pretrained)) < error
        for size, error in zip(sizes, errors, strict=True)
    )
    accuracies = curve(make(), 9)
    # Noise of 0.4 points, on a curve that closes 70 % of what is left in each epoch.
    assert np.corrcoef(accuracies, 1 - np.exp(-1.2 * np.arange(1, 10)))[0, 1] > 0.99
    assert accuracies[-1] == pytest.approx(1 - final_error(make()), abs=0.02)


def test_the_best_learning_rate_is_the_optimizers() -> None:
    for optimizer, best in (("adam", 1e-3), ("adamw", 1e-3), ("sgd", 1e-1)):
        at = [
            final_error(make(recipe={"optimizer": optimizer, "lr": best * factor}))
            for factor in (0.1, 1, 10)
        ]
        # A decade off costs four points.
        assert at[0] - at[1] == pytest.approx(0.04)
        assert at[2] - at[1] == pytest.approx(0.04)


def test_more_than_a_hundred_times_the_best_rate_diverges() -> None:
    learner = Simulated(make(recipe={"lr": 0.11}))
    assert math.isfinite(learner.step()["train_loss"])
    with pytest.raises(Diverged, match="not finite at epoch 2, step 1"):
        learner.step()
    Simulated(make(recipe={"lr": 0.1})).step()
    assert len(curve(make(recipe={"lr": 0.1}))) == 5
    assert len(curve(make(recipe={"lr": 10.0, "optimizer": "sgd"}))) == 5


def test_rows_are_those_of_the_tables() -> None:
    learner = Simulated(make(recipe={"batch_size": 100}))
    learner.step()
    row = learner.step()
    assert set(row) <= set(EPOCH_SCHEMA.names)
    assert set(learner.facts()) <= set(TRIAL_SCHEMA.names)
    # 450 updates an epoch over all images.
    assert (row["epoch"], row["step"], row["examples_seen"]) == (2, 900, 90_000)
    assert row["train_accuracy"] == row["train_correct"] / row["train_seen"]
    assert len(learner.predictions()) == 0
    assert learner.facts()["n_parameters"] == parameters("a")


def test_intervals_of_updates() -> None:
    learner = Simulated(make(recipe={"epochs": None, "steps": 100, "batch_size": 32}))
    learner.step()
    row = learner.step()
    assert (row["step"], row["examples_seen"], row["train_seen"]) == (40, 1280, 640)


def test_a_position_is_saved_and_gone_on_from(tmp_path: Path) -> None:
    learner = Simulated(make())
    for _ in range(2):
        learner.step()
    learner.save(tmp_path / "state")
    again = Simulated(make())
    again.load(tmp_path / "state")
    assert again.epoch == 2
    assert again.step()["test_accuracy"] == curve(make())[2]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"text"', b'{"trial_id": 1}', b"\xff"])
def test_damaged_positions(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state").write_bytes(content)
    learner = Simulated(make())
    with pytest.raises(CheckpointError, match=r"is damaged|another trial"):
        learner.load(tmp_path / "state")
    assert learner.epoch == 0


def test_anothers_position(tmp_path: Path) -> None:
    Simulated(make()).save(tmp_path / "state")
    with pytest.raises(CheckpointError, match="another trial"):
        Simulated(make(seed=1)).load(tmp_path / "state")


def test_its_pace_may_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PACE_VARIABLE, "0.02")
    assert Simulated(make()).step()["seconds"] >= 0.02
