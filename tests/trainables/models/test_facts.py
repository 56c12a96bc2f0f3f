"""What is remembered of a model is what building it says, and nothing else is remembered."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import trainables.models.networks as models
import trainables.models.taps as taps
from trainables.data.cache import FOLDER_VARIABLE
from trainables.errors import ModelError
from trainables.models import facts as model_facts
from trainables.models import rehearsal

LOOKED_UP = ("check_model", "n_parameters", "n_layers", "flops_per_image")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    """Forget what this process knows; what is in the folder stays."""
    for known in (
        model_facts.n_parameters,
        model_facts.n_layers,
        model_facts.flops_per_image,
        model_facts.convolution_inputs,
        model_facts._versions,
    ):
        known.cache_clear()


def facts(model: str = "resnet18") -> tuple[Any, ...]:
    model_facts.check_model(model)
    model_facts.check_input(model, 10, "standard", (32, 32))
    return (
        model_facts.n_parameters(model, 10),
        model_facts.n_layers(model, 10),
        model_facts.flops_per_image(model, 10, "standard", (32, 32)),
        model_facts.convolution_inputs(model, 10, "standard", (32, 32)),
    )


def refuse_to_build(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise LookupError("a model was looked at")

    for name in LOOKED_UP:
        monkeypatch.setattr(models, name, refuse)
    monkeypatch.setattr(taps, "convolution_inputs", refuse)
    monkeypatch.setattr(rehearsal, "check_input", refuse)


def test_facts_are_those_of_the_model_and_are_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = (
        models.n_parameters("resnet18", 10),
        models.n_layers("resnet18", 10),
        models.flops_per_image("resnet18", 10, "standard", (32, 32)),
        taps.convolution_inputs("resnet18", 10, "standard", (32, 32)),
    )
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
    model_facts.flops_per_image("resnet18", 10, "standard", (32, 32))
    assert model_facts.flops_per_image(*other) == models.flops_per_image(*other)


def test_other_versions_are_looked_at_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    facts()
    forget()
    refuse_to_build(monkeypatch)
    monkeypatch.setattr(model_facts, "version", lambda package: "0.0")
    with pytest.raises(LookupError):
        model_facts.check_model("resnet18")


def test_what_is_wrong_is_said_every_time() -> None:
    for _ in range(2):
        with pytest.raises(ModelError, match="resnet18"):
            model_facts.check_model("resnet81")
        with pytest.raises(ModelError, match="image_size"):
            model_facts.check_input("alexnet", 10, "standard", (16, 16))


def test_nothing_is_remembered_of_a_users_own_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert model_facts.flops_per_image("tiny_models:linear_net", 10, "standard", (8, 8)) == 60
    assert not list(folder.rglob("model-*"))


def test_damaged_memory_is_found_anew(folder: Path) -> None:
    expected = facts()
    for file in folder.rglob("model-*"):
        file.write_text("{")
    forget()
    assert facts() == expected
