"""The right weights, in the forms that people's files have: read whole, or refused truly."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from field.forms import FORMS, FRESH, HEADLESS, STATE, Form, changed, in_parts, prefixed
from safetensors.torch import save_file
from torch import Tensor

from trainables.errors import WeightsError
from trainables.models import published
from trainables.models.networks import build_model
from trainables.models.published import expected
from trainables.models.weights import check_weights, load_weights, resolve_weights
from trainables.trial import Channels, Trial, Weights

MODEL = "field.nets:resnet"
PAGE = Path(__file__).parents[2] / "docs/extending.md"


def loaded(path: Path, model: str = MODEL, n_classes: int = 10, **said: Any) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = build_model(model, n_classes)
    weights = resolve_weights(model, "mine", str(path), **said)
    found = check_weights(weights, model, n_classes)
    assert found is not None
    assert load_weights(module, weights, model, n_classes) == found.head
    return {**module.state_dict(), "head": found.head}  # type: ignore[dict-item]


def is_right(found: Mapping[str, Any], but: str = "none", atol: float = 0.0) -> bool:
    """Return whether every entry is the file's, but for those that begin so."""
    own = {key: value for key, value in STATE.items() if not key.startswith(but)}
    return all(torch.allclose(found[k].float(), v.float(), atol=atol) for k, v in own.items())


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_each_form(form: Form, tmp_path: Path) -> None:
    path = form.write(tmp_path)
    if form.outcome.startswith("refused: "):
        with pytest.raises(WeightsError, match=re.escape(form.outcome.removeprefix("refused: "))):
            loaded(path)
        return
    found = loaded(path)
    is_fresh = form.outcome == FRESH
    assert found["head"] == ("fresh" if is_fresh else "kept")
    assert is_right(found, "fc." if is_fresh else "none", atol=0.02)


def test_the_page_lists_the_forms() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    stated = [tuple(cell.strip() for cell in line.strip("| ").split(" | ")) for line in rows]
    assert [(form.name, form.outcome) for form in FORMS] == stated[1:]
    assert sum(form.outcome.startswith("read") for form in FORMS) >= 34


def test_a_folder_of_several_files(tmp_path: Path) -> None:
    for name in ("a.pth", "b.pth"):
        torch.save(STATE, tmp_path / name)
    with pytest.raises(
        WeightsError, match=r"several files of weights \(a\.pth, b\.pth\); name one"
    ):
        resolve_weights(MODEL, "mine", str(tmp_path))


@pytest.mark.parametrize("named", ["", "model-00001-of-00002.safetensors"])
def test_every_part_counts(named: str, tmp_path: Path) -> None:
    path, second = in_parts(named)(tmp_path), "model-00002-of-00002.safetensors"
    before = resolve_weights(MODEL, "mine", str(path)).digest
    save_file(changed(torch.zeros_like), tmp_path / second)
    assert resolve_weights(MODEL, "mine", str(path)).digest != before
    (tmp_path / second).unlink()
    with pytest.raises(WeightsError, match=f"{second} cannot be read"):
        resolve_weights(MODEL, "mine", str(path))


def test_a_head_of_another_size_is_fresh_and_may_be_forced_to_be(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "w.pth")
    assert loaded(tmp_path / "w.pth", n_classes=7)["head"] == "fresh"
    forced = loaded(tmp_path / "w.pth", head="fresh")
    assert forced["head"] == "fresh"
    assert is_right(forced, "fc.")
    assert not torch.equal(forced["fc.weight"], STATE["fc.weight"])


def test_a_backbone_inside_an_own_model(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "w.pth")
    found = loaded(tmp_path / "w.pth", "field.nets:wrapped")
    assert found["head"] == "fresh"
    assert all(torch.equal(found[f"backbone.{key}"], value) for key, value in HEADLESS.items())


def test_an_own_function_is_called_with_the_data_s_classes_alone(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "w.pth")
    assert is_right(loaded(tmp_path / "w.pth", "field.nets:for_ten"))


def test_of_two_states_one_is_taken_and_both_are_named(tmp_path: Path) -> None:
    averaged = {key: value + 1 for key, value in STATE.items()}
    torch.save({"state_dict_ema": averaged, "state_dict": STATE}, tmp_path / "w.pth")
    fit = check_weights(resolve_weights(MODEL, "mine", str(tmp_path / "w.pth")), MODEL, 10)
    assert fit is not None
    assert (fit.taken, fit.beside) == ("state_dict", ("state_dict_ema",))
    assert is_right(loaded(tmp_path / "w.pth"))
    ema = loaded(tmp_path / "w.pth", entry="state_dict_ema")
    assert torch.equal(ema["fc.bias"], averaged["fc.bias"])
    with pytest.raises(WeightsError, match="no entry nope; it has state_dict, state_dict_ema"):
        loaded(tmp_path / "w.pth", entry="nope")


@pytest.mark.parametrize("entry", ["module.encoder_k", "state_dict.module.encoder_k", "encoder_k"])
def test_an_entry_may_be_a_prefix(entry: str, tmp_path: Path) -> None:
    other = changed(lambda value: value * 2)
    both = {**prefixed("module.encoder_q."), **prefixed("module.encoder_k.", other)}
    torch.save({"state_dict": both}, tmp_path / "w.pth")
    found = loaded(tmp_path / "w.pth", entry=entry)
    assert torch.equal(found["conv1.weight"], other["conv1.weight"])


# What they expect of images


def test_normalization_is_said_beside_the_path(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "w.pth")
    own = Channels(mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
    for said, mean in {"imagenet": 0.485, "none": 0.0, "data": None, own: 0.5}.items():
        weights = resolve_weights(MODEL, "mine", str(tmp_path / "w.pth"), normalization=said)
        found = expected("auto", weights, MODEL)
        assert (found and found.mean[0]) == mean
        assert expected("data", weights, MODEL) is None


def test_a_file_that_torchvision_publishes_is_that_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(STATE, tmp_path / "copy.bin")
    plain = resolve_weights("inception_v3", "mine", str(tmp_path / "copy.bin"))
    member = published.known_member("inception_v3", "DEFAULT")
    monkeypatch.setattr(published, "_by_hash", lambda: {str(plain.digest)[:8]: member})
    monkeypatch.setattr(published, "_hash_in_name", lambda _: str(plain.digest)[:8])
    same = resolve_weights("inception_v3", "mine", str(tmp_path / "copy.bin"))
    assert (same.name, same.digest) == ("IMAGENET1K_V1", f"torchvision:{str(plain.digest)[:8]}")
    assert expected("auto", same, "inception_v3").mean[0] == 0.485  # type: ignore[union-attr]
    other = resolve_weights(MODEL, "mine", str(tmp_path / "copy.bin"))
    assert (other.name, other.digest) == (None, plain.digest)
    assert expected("auto", other, MODEL).mean[0] == 0.485  # type: ignore[union-attr]


def test_what_is_said_of_weights_names_another_trial_only_where_it_is_said() -> None:
    plain = Weights(label="mine", file="/w.pth", digest="d")
    assert plain.identity == "d"
    assert plain.model_copy(update={"normalization": "data"}).identity == "d"
    said = [{"entry": "ema"}, {"head": "fresh"}, {"normalization": "imagenet"}]
    identities = {str(plain.model_copy(update=one).identity) for one in said}
    assert len(identities | {"d"}) == 4
    assert Trial.model_fields["weights"].annotation is Weights
