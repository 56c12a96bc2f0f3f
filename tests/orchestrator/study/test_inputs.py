"""What is looked at for long is named: it may be what hangs."""

import threading
from typing import Any

import pytest

from orchestrator.study import inputs
from orchestrator.study.inputs import find_inputs
from orchestrator.study.study import study_from
from trainables.data import dataset
from trainables.models import facts, weights
from trainables.trial import Weights

STUDY: dict[str, Any] = {
    "name": "named",
    "data": {"source": "digits"},
    "factors": {"model": ["resnet18"], "weights": [{"mine": "{model}.pth"}], "fraction": [1]},
    "recipe": {"epochs": 1, "image_size": 32},
}


def test_data_models_and_weights_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    heard = {kind: threading.Event() for kind in ("data", "model", "weights")}

    def say(text: str) -> None:
        said.append(text)
        heard[text.split()[2]].set()

    def slowly(kind: str, function: Any) -> Any:
        def waiting(*given: Any, **named: Any) -> Any:
            assert heard[kind].wait(30)
            return function(*given, **named)

        return waiting

    monkeypatch.setattr(inputs, "SLOW_SECONDS", 0)
    monkeypatch.setattr(dataset, "inspect", slowly("data", dataset.inspect))
    monkeypatch.setattr(facts, "check_input", slowly("model", lambda *_: None))
    monkeypatch.setattr(weights, "resolve_weights", slowly("weights", lambda *_, **__: Weights()))
    monkeypatch.setattr(weights, "check_weights", lambda *_: None)
    find_inputs(study_from(STUDY), say)
    assert said == [
        "looking at data digits",
        "looking at model resnet18",
        "looking at weights resnet18.pth of resnet18",
    ]
    monkeypatch.setattr(inputs, "SLOW_SECONDS", 3600)
    find_inputs(study_from(STUDY), said.append)
    assert len(said) == 3
