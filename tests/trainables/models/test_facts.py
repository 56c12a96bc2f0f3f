"""What is remembered of a model is what building it says, and nothing else is remembered."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import trainables.models.networks as models
from trainables.data.cache import FOLDER_VARIABLE
from trainables.errors import ModelError
from trainables.models import facts as model_facts
from trainables.models import rehearsal

LOOKED_UP = ("anatomy",)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    """Forget what this process knows; what is in the folder stays."""
    for known in (
        model_facts.anatomy,
        model_facts._versions,
    ):
        known.cache_clear()


def facts(model: str = "resnet18") -> model_facts.Anatomy:
    model_facts.check_input(model, 10, "standard", (32, 32))
    return model_facts.anatomy(model, 10, "standard", (32, 32))


def refuse_to_build(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise LookupError("a model was looked at")

    for name in LOOKED_UP:
        monkeypatch.setattr(models, name, refuse)
    monkeypatch.setattr(rehearsal, "check_input", refuse)


def test_facts_are_those_of_the_model_and_are_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = models.anatomy("resnet18", 10, "standard", (32, 32))
    assert facts() == expected
    forget()
    refuse_to_build(monkeypatch)
    assert facts() == expected


@pytest.mark.parametrize(
    "other",
    [
        ("resnet18", 11, "standard", (32, 32)),
        ("resnet18", 10, "cifar", (32, 32)),
        ("resnet18", 10, "standard", (32, 64)),
        ("resnet34", 10, "standard", (32, 32)),
    ],
)
def test_other_arguments_are_other_facts(other: Any) -> None:
    model_facts.anatomy("resnet18", 10, "standard", (32, 32))
    assert model_facts.anatomy(*other) == models.anatomy(*other)


def test_other_versions_are_looked_at_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    facts()
    forget()
    refuse_to_build(monkeypatch)
    monkeypatch.setattr(model_facts, "version", lambda package: "0.0")
    with pytest.raises(LookupError):
        model_facts.check_input("resnet18", 10, "standard", (224, 224))


def test_what_is_wrong_is_said_every_time() -> None:
    for _ in range(2):
        with pytest.raises(ModelError, match="resnet18"):
            model_facts.check_input("resnet81", 10, "standard", (224, 224))
        with pytest.raises(ModelError, match="image_size"):
            model_facts.check_input("alexnet", 10, "standard", (16, 16))


def test_nothing_is_remembered_of_a_users_own_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = model_facts.anatomy("tiny_models:linear_net", 10, "standard", (8, 8))
    assert found.flops_per_image == 60
    assert not list(folder.rglob("model-*"))


def test_damaged_memory_is_found_anew(folder: Path) -> None:
    expected = facts()
    for file in folder.rglob("model-*"):
        file.write_text("{")
    forget()
    assert facts() == expected
