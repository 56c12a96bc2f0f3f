from typing import Any

import pytest
import torch
from digit_trials import IN_TINY_MODELS, make_trial, start

from trainables.models.networks import hash_state
from trainables.training import network


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the models that were built since."""
    names: list[str] = []
    plain = network.fresh_model

    def fresh_model(name: str, *rest: Any) -> torch.nn.Module:
        names.append(name)
        return plain(name, *rest)

    network._kept.cache_clear()
    monkeypatch.setattr(network, "fresh_model", fresh_model)
    return names


def test_trials_that_begin_alike_begin_with_copies_of_one_model(built: list[str]) -> None:
    trial = make_trial("resnet18")
    first = start(trial)
    begun = hash_state(first.model)
    first.step()
    again = start(trial.changed(recipe=trial.recipe.changed(lr=1e-2)))
    assert built == ["resnet18"]
    assert hash_state(again.model) == begun != hash_state(first.model)
    assert again.facts()["init_hash"] == first.facts()["init_hash"]
    other = start(trial.changed(seed=1))
    assert other.facts()["init_hash"] != first.facts()["init_hash"]
    assert hash_state(start(trial).model) == begun
    assert built == ["resnet18", "resnet18"]
    # For a third one goes the one that was asked for longest ago: it is made once more, the same.
    start(trial.changed(seed=2))
    once_more = start(trial.changed(seed=1))
    assert once_more.facts()["init_hash"] == other.facts()["init_hash"]
    assert len(built) == 4


def test_a_large_model_and_one_of_a_users_own_are_built_anew(
    built: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        start(make_trial(IN_TINY_MODELS))
    assert built == [IN_TINY_MODELS] * 2
    monkeypatch.setattr(network, "_KEPT_BYTES", 2**20)
    states = {hash_state(start(make_trial("resnet18")).model) for _ in range(2)}
    assert built[2:] == ["resnet18"] * 2
    assert len(states) == 1
