"""The right weights, in the forms that people's files have: read whole, or refused truly."""

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from field import nets
from safetensors.torch import save_file
from torch import Tensor

from trainables.errors import WeightsError
from trainables.models import published
from trainables.models.networks import build_model
from trainables.models.normalization import expected
from trainables.models.weights import check_weights, load_weights, resolve_weights
from trainables.trial import Channels, Trial, Weights

STATE = nets.state()
MODEL = "field.nets:resnet"
FLOATS = [key for key, value in STATE.items() if value.is_floating_point()]


def prefixed(prefix: str, of: Mapping[str, Tensor] = STATE) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in of.items()}


def changed(change: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    return {k: change(v) if k in FLOATS else v for k, v in STATE.items()}


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


HEADLESS = {key: value for key, value in STATE.items() if not key.startswith("fc.")}
NAMES = ["model_best.pth.tar", "pytorch_model.bin", "last.ckpt", "m.th", "m.PTH", "weights"]
SEQUENTIAL = {
    key.replace("conv1", "0", 1).replace("bn1", "1", 1)
    if key.startswith(("conv1", "bn1"))
    else key.replace("layer1.", "2."): value
    for key, value in HEADLESS.items()
}
WRAPPERS = [
    *("state_dict", "model", "model_state_dict", "net", "ema", "model_ema", "state_dict_ema"),
    *("teacher", "student", "module", "any"),
]
PREFIXES = [
    *("module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.", "backbone."),
    *("encoder.", "resnet.", "model.backbone.", "net.module.encoder.", "anything.at.all."),
]
FORMS: dict[str, Any] = {
    # wrappers
    **{
        key: {key: STATE, "epoch": 3, "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}}}
        for key in WRAPPERS
    },
    "two wrappers": {"checkpoint": {"model": STATE}},
    "beside numbers": {**STATE, "epoch": 3, "acc": 93.2},
    "parts": {"backbone": HEADLESS, "projector": {"0.weight": torch.zeros(3, 8)}},
    # prefixes
    **{prefix: {"state_dict": prefixed(prefix)} for prefix in PREFIXES},
    "inner module": {
        **prefixed("", {k: v for k, v in STATE.items() if not k.startswith("layer1")}),
        **{
            key.replace("layer1.", "layer1.module."): value
            for key, value in STATE.items()
            if key.startswith("layer1")
        },
    },
    "moco": {"state_dict": {**prefixed("module.encoder_q."), **prefixed("module.encoder_k.")}},
    "lightning": {
        "state_dict": {**prefixed("model."), "criterion.weight": torch.ones(10)},
        "hyper_parameters": {"lr": 0.1},
    },
    "averaged": {**prefixed("module."), "n_averaged": torch.tensor(9)},
    # heads, beside tensors, and values
    "args": {"model": STATE, "args": argparse.Namespace(lr=0.1, betas=(0.9, 0.95))},
    "numpy": {"state_dict": STATE, "best": np.float64(71.3), "curve": np.arange(3.0)},
    "arrays": {key: value.numpy() for key, value in STATE.items()},
    "profiled": {**STATE, "total_ops": torch.zeros(1), "layer1.0.total_params": torch.zeros(1)},
    "uncounted": {k: v for k, v in STATE.items() if not k.endswith("num_batches_tracked")},
    "half": changed(Tensor.half),
    "bfloat16": changed(Tensor.bfloat16),
    "double": changed(Tensor.double),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_that_are_read(form: str, tmp_path: Path) -> None:
    torch.save(FORMS[form], tmp_path / "w.pth")
    found = loaded(tmp_path / "w.pth")
    headless = form == "parts"
    assert found["head"] == ("fresh" if headless else "kept")
    assert is_right(
        found, "fc." if headless else "none", 0.01 if form in ("half", "bfloat16") else 0
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("legacy", [False, True])
def test_whatever_its_name(name: str, legacy: bool, tmp_path: Path) -> None:
    torch.save({"state_dict": STATE}, tmp_path / name, _use_new_zipfile_serialization=not legacy)
    assert is_right(loaded(tmp_path / name))


def test_safetensors_by_another_name(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "weights.pth")
    assert is_right(loaded(tmp_path / "weights.pth"))


def test_the_state_that_this_program_keeps(tmp_path: Path) -> None:
    kept = {"version": 2, "trial_id": "a", "model": STATE, "optimizer": {"state": {}}, "epoch": 1}
    torch.save(kept, tmp_path / "epoch-1.state")
    assert is_right(loaded(tmp_path / "epoch-1.state"))


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "my_own.pt"])
def test_a_folder_with_one_file(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (save_file if name.endswith("safetensors") else torch.save)(STATE, tmp_path / name)
    assert is_right(loaded(tmp_path))


def test_a_folder_of_several_files(tmp_path: Path) -> None:
    for name in ("a.pth", "b.pth"):
        torch.save(STATE, tmp_path / name)
    with pytest.raises(
        WeightsError, match=r"several files of weights \(a\.pth, b\.pth\); name one"
    ):
        resolve_weights(MODEL, "mine", str(tmp_path))


@pytest.mark.parametrize(
    "named", ["", "model.safetensors.index.json", "model-00001-of-00002.safetensors"]
)
def test_parts_with_their_index(named: str, tmp_path: Path) -> None:
    halves = dict(list(STATE.items())[:9]), dict(list(STATE.items())[9:])
    files = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    for half, file in zip(halves, files, strict=True):
        save_file(half, tmp_path / file)
    index = {key: file for half, file in zip(halves, files, strict=True) for key in half}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    assert is_right(loaded(tmp_path / named))
    before = resolve_weights(MODEL, "mine", str(tmp_path / named)).digest
    save_file(prefixed("", changed(torch.zeros_like)), tmp_path / files[1])
    assert resolve_weights(MODEL, "mine", str(tmp_path / named)).digest != before
    (tmp_path / files[1]).unlink()
    with pytest.raises(WeightsError, match=f"{files[1]} cannot be read"):
        resolve_weights(MODEL, "mine", str(tmp_path / named))


@pytest.mark.parametrize(
    "head", [{}, {"fc.0.weight": torch.zeros(8, 8), "fc.2.weight": torch.zeros(4, 8)}]
)
def test_without_the_head_it_is_fresh(head: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({**HEADLESS, **head}, tmp_path / "w.pth")
    found = loaded(tmp_path / "w.pth")
    assert found["head"] == "fresh"
    assert is_right(found, "fc.")
    assert torch.equal(found["fc.weight"], loaded(tmp_path / "w.pth")["fc.weight"])


def test_layers_named_by_their_place(tmp_path: Path) -> None:
    torch.save(prefixed("features.", SEQUENTIAL), tmp_path / "w.pth")
    assert is_right(loaded(tmp_path / "w.pth"), "fc.")


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


class Config:
    pass


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 46830571\n"
STRANGE: dict[str, tuple[Any, str]] = {
    "integers": (changed(lambda v: (v * 10).to(torch.int8)), r"holds int8 where floats belong"),
    "nan": ({**STATE, "fc.bias": STATE["fc.bias"] * float("nan")}, r"fc\.bias holds NaN or infi"),
    "infinite": ({**STATE, "fc.bias": STATE["fc.bias"] / 0}, r"fc\.bias holds NaN or infinity"),
    "object": ({"model": STATE, "config": Config()}, r"holds a \S*Config beside tensors, which"),
    "whole model": (nets.resnet(10), r"holds a field\.nets\.ResNet beside tensors"),
    "other model": ({"net": {"backbone.body.w": torch.ones(1), "backbone.body.b": torch.ones(1)}},
        r"every name begins with `net\.backbone\.body\.`, and the names are not the model's: w, b"),
    "incomplete": (prefixed("model.", dict(list(STATE.items())[1:])),
        r"missing: conv1\.weight; `model\.` was taken off every name"),
    "half a head": ({k: v for k, v in STATE.items() if k != "fc.bias"}, r"missing: fc\.bias"),
    "more": ({**STATE, "layer2.0.conv1.weight": torch.ones(8, 8, 3, 3)},
        r"not in the model: layer2\.0\.conv1\.weight"),
    "pointer": (POINTER, r"is a git-LFS pointer, not the weights; run `git lfs pull`"),
    "page": ("\n<!DOCTYPE html><title>Quota</title>", r"is a web page that was saved instead"),
    "text": ('{"error": 404}', r"is text"),
    "empty": ("", r"is damaged: it is empty"),
    "unknown": ("hello", r"is no weights file: torch\.save's and safetensors are read"),
}  # fmt: skip


@pytest.mark.parametrize("name", STRANGE)
def test_what_is_refused_and_why(name: str, tmp_path: Path) -> None:
    content, message = STRANGE[name]
    file = tmp_path / "w.pth"
    file.write_text(content) if isinstance(content, str) else torch.save(content, file)
    with pytest.raises(WeightsError, match=f"^weights mine.*{message}"):
        loaded(file)


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_programs_and_plain_pickles(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "script.pt"))
    np.save(tmp_path / "a.npy", np.zeros(3))
    np.savez(tmp_path / "a.npz", np.zeros(3))
    (tmp_path / "plain.pkl").write_bytes(__import__("pickle").dumps({"a": 1}))
    for name, message in {
        "script.pt": "is TorchScript, a program and not only weights",
        "a.npy": "is an array of NumPy",
        "a.npz": "is a zip archive that torch.save did not write",
        "plain.pkl": "is a plain pickle, which could run code",
    }.items():
        with pytest.raises(WeightsError, match=rf"{name} {message}"):
            loaded(tmp_path / name)


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
