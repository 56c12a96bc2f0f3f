"""The hash that names a trial: it covers what changes numbers, and nothing else."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from results.records import IDENTITY_COLUMNS
from trainables import trial as trial_module
from trainables.recipe import Recipe
from trainables.trial import Source, Trial, Weights

BASE: dict[str, Any] = {
    "trainable": "classifier",
    "data": Source(),
    "fingerprint": "f",
    "n_pool": 45_000,
    "n_classes": 10,
    "model": "resnet18",
    "weights": Weights(),
    "fraction": 0.5,
    "n_train": 22_500,
    "seed": 0,
    "recipe": Recipe(),
}


def make(**changes: Any) -> Trial:
    return Trial(**{**BASE, **changes})


def test_the_hash_is_stable() -> None:
    # Records of earlier versions are found by it: it changes with TRAINING_VERSION alone.
    covered = (
        '{"data": "f", "model": "resnet18", "n_train": 22500, "recipe": {"interval": "epoch"}, '
        '"seed": 0, "trainable": "classifier", "validation": 45000, "version": 3, "weights": null}'
    )
    assert make().trial_id == hashlib.sha256(covered.encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    "change",
    [
        {"trainable": "simulated"},
        {"fingerprint": "g"},
        {"n_pool": 44_000},
        {"data": Source(validation="test")},
        {"model": "resnet50"},
        {"weights": Weights(label="w", digest="d")},
        {"n_train": 22_501},
        {"seed": 1},
        {"recipe": Recipe(lr=2e-3)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_changes_numbers_changes_the_hash(change: dict[str, Any]) -> None:
    assert make(**change).trial_id != make().trial_id


@pytest.mark.parametrize(
    "change",
    [
        # Where the data lie, and how the split was written.
        {"data": Source(path=Path("/elsewhere"))},
        {"data": Source(source="parquet", path=Path("/data"))},
        {"data": Source(validation=5000)},
        # A share and the number of images that it comes to.
        {"fraction": 0.50001},
        {"recipe": Recipe(epochs=9)},
        {"recipe": Recipe(momentum=0.5)},
    ],
    ids=str,
)
def test_what_does_not_does_not(change: dict[str, Any]) -> None:
    assert make(**change).trial_id == make().trial_id


def test_of_weights_only_the_content_counts() -> None:
    one = Weights(label="mine", file="/a/b.pth", digest="d")
    other = Weights(label="yours", name="IMAGENET1K_V1", digest="d")
    assert make(weights=one).trial_id == make(weights=other).trial_id
    changed = make(weights=one.model_copy(update={"digest": "e"}))
    assert changed.trial_id != make(weights=one).trial_id


def test_a_new_training_version_is_new_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    before = make().trial_id
    monkeypatch.setattr(trial_module, "TRAINING_VERSION", trial_module.TRAINING_VERSION + 1)
    assert make().trial_id != before


def test_another_seed_is_another_trial_of_the_same_kind() -> None:
    other = make().changed(seed=3)
    assert other.trial_id == make(seed=3).trial_id != make().trial_id
    assert other.recipe == make().recipe


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "lr": st.floats(1e-6, 1.0),
    "batch_size": st.integers(1, 4096),
    "optimizer": st.sampled_from(["adam", "adamw", "sgd"]),
    "momentum": st.sampled_from([0.5, 0.9]),
    "weight_decay": st.sampled_from([0.0, 1e-4]),
    "schedule": st.sampled_from(["constant", "cosine"]),
    "warmup": st.sampled_from([0.0, 1.0]),
    "epochs": st.integers(1, 9),
    "precision": st.sampled_from(["auto", "fp32", "bf16"]),
}


def spelt(value: Any, style: int) -> Any:
    """Write a number in another way."""
    if not isinstance(value, int | float):
        return value
    return [value, str(value), repr(value), f"{value!r}", float(value)][style]


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.fixed_dictionaries({}, optional=FIELDS), st.data())
def test_spelling_order_and_defaults_are_nothing(fields: dict[str, Any], data: Any) -> None:
    defaults = Recipe().model_dump(exclude={"steps", "examples", "evaluations", "image_size"})
    order = data.draw(st.permutations(sorted(fields)))
    styles = data.draw(st.lists(st.integers(0, 4), min_size=len(order), max_size=len(order)))
    named = data.draw(st.sets(st.sampled_from(sorted(defaults))))
    other = {key: spelt(fields[key], style) for key, style in zip(order, styles, strict=True)}
    other |= {key: defaults[key] for key in named if key not in fields}
    assert make(recipe=Recipe(**fields)).trial_id == make(recipe=Recipe(**other)).trial_id


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.fixed_dictionaries({}, optional=FIELDS), st.fixed_dictionaries({}, optional=FIELDS))
def test_two_recipes_share_a_hash_if_and_only_if_they_share_their_numbers(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    def bearing(recipe: Recipe) -> dict[str, Any]:
        fields = recipe.model_dump()
        if recipe.optimizer != "sgd":
            fields |= {"momentum": None, "nesterov": None}
        if recipe.schedule == "constant":
            fields["epochs"] = None
        return fields

    ours, theirs = Recipe(**one), Recipe(**other)
    same = make(recipe=ours).trial_id == make(recipe=theirs).trial_id
    assert same == (bearing(ours) == bearing(theirs))


def test_the_columns_are_the_identity_but_for_the_stage() -> None:
    columns = make(weights=Weights(label="mine", digest="d")).columns()
    assert set(columns) == set(IDENTITY_COLUMNS) - {"stage"}
    assert (columns["weights"], columns["fraction"], columns["n_train"]) == ("mine", 0.5, 22_500)
    assert (columns["epochs"], columns["momentum"]) == (5, None)
