"""timm as a source of models and weights, where it is installed."""

from pathlib import Path

import digit_trials
import pytest
import torch

from trainables.errors import ModelError, WeightsError
from trainables.models import timm_models
from trainables.models.networks import build_model, check_model
from trainables.models.published import expected
from trainables.models.rehearsal import check_input
from trainables.models.weights import check_weights, resolve_weights


def test_without_timm_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(ModelError, match=r"this Python has no timm; pip install 'scalestudy\[timm"):
        check_model("timm:convnext_atto")


def test_a_model_of_timm_trains() -> None:
    pytest.importorskip("timm")
    check_input("timm:test_convnext", 10, sides=(32, 32))
    trial = digit_trials.make_trial("timm:test_convnext", recipe={"epochs": 1, "image_size": 32})
    assert digit_trials.start(trial).step()["val_loss"] > 0
    with pytest.raises(ModelError, match=r"has no convnext_ato; the nearest are convnext_atto"):
        check_model("timm:convnext_ato")


def test_a_transformer_of_timm_is_built_for_the_images() -> None:
    pytest.importorskip("timm")
    check_input("timm:test_vit", 10, sides=(64, 64))


def test_weights_of_timm_come_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("timm")
    hub = pytest.importorskip("huggingface_hub")
    with pytest.raises(WeightsError, match=r"not in Hugging Face's cache; .* `hf download timm/"):
        timm_models.timm_weights("timm:convnext_atto")
    with torch.random.fork_rng(devices=[]):
        torch.save(build_model("timm:test_convnext", 1000).state_dict(), tmp_path / "w.bin")
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_: str(tmp_path / "w.bin"))
    weights = resolve_weights("timm:test_convnext", "timm")
    assert expected("auto", weights, "timm:test_convnext") is not None
    fit = check_weights(weights, "timm:test_convnext", 10)
    assert fit is not None
    assert fit.head == "fresh"
