"""The forms in which people's files hold one network's weights, as docs/extending.md lists them."""

import argparse
import datetime
import gzip
import json
import pickle
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from field import nets
from safetensors.torch import save_file
from torch import Tensor

STATE = nets.state()
HEADLESS = {key: value for key, value in STATE.items() if not key.startswith("fc.")}
HEAD = {key: value for key, value in STATE.items() if key.startswith("fc.")}
FLOATS = [key for key, value in STATE.items() if value.is_floating_point()]
PROJECTOR = {"0.weight": torch.zeros(8, 8), "2.weight": torch.zeros(4, 8)}
FRESH, READ = "read, head fresh", "read"


class Config:
    """What training scripts keep beside tensors."""


@dataclass(frozen=True)
class Form:
    """A form, what becomes of it, and what writes it."""

    name: str
    outcome: str
    """`read`, `read, head fresh`, or `refused:` and what the message says."""
    write: Callable[[Path], Path]
    """Writes it into a folder; returns the path that a study would name."""


def prefixed(prefix: str, of: Mapping[str, Tensor] = STATE) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in of.items()}


def changed(change: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    return {k: change(v) if k in FLOATS else v for k, v in STATE.items()}


def by_place(block: str) -> dict[str, Tensor]:
    places = {"conv1": "0", "bn1": "1", "layer1": block}
    split = {key: key.partition(".") for key in HEADLESS}
    return {f"{places[top]}.{rest}": HEADLESS[key] for key, (top, _, rest) in split.items()}


def inside(word: str) -> dict[str, Tensor]:
    return {key.replace("layer1.", f"layer1.{word}"): value for key, value in STATE.items()}


def saved(content: Any, name: str = "w.pth", **how: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        torch.save(content, folder / name, **how)
        return folder / name

    return write


def plain(content: bytes, name: str = "w.pth") -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def tensors_alone(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        save_file(STATE, folder / name)
        return folder / name

    return write


def hugging_face(folder: Path) -> Path:
    (folder / "config.json").write_text("{}")
    save_file(STATE, folder / "model.safetensors")
    return folder


def in_parts(named: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        entries = list(STATE.items())
        index = {}
        for number, half in enumerate((dict(entries[:9]), dict(entries[9:])), 1):
            name = f"model-0000{number}-of-00002.safetensors"
            save_file(half, folder / name)
            index |= dict.fromkeys(half, name)
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
        return folder / named

    return write


def script(folder: Path) -> Path:
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(folder / "script.pt"))
    return folder / "script.pt"


def arrays(folder: Path) -> Path:
    np.savez(folder / "w.npz", **{key: value.numpy() for key, value in STATE.items()})
    return folder / "w.npz"


def cut_short(folder: Path) -> Path:
    torch.save(STATE, folder / "whole")
    (folder / "w.pth").write_bytes((folder / "whole").read_bytes()[:3000])
    return folder / "w.pth"


def prefixes() -> Iterator[Form]:
    for prefix in ("module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "backbone."):
        yield Form(f"every name behind `{prefix}`", READ, saved(prefixed(prefix)))
    for prefix in ("encoder.", "resnet.", "model.backbone."):
        yield Form(f"every name behind `{prefix}`", READ, saved({"state_dict": prefixed(prefix)}))


LIGHTNING = {
    "state_dict": {**prefixed("model."), "loss_fn.weight": torch.ones(10)},
    "hyper_parameters": {"lr": 0.1, "root": Path("/data")},
    "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.9)}},
}
DINO = {
    "student": {**prefixed("module.backbone.", HEADLESS), **prefixed("module.head.", PROJECTOR)},
    "teacher": {**prefixed("backbone.", HEADLESS), **prefixed("head.", PROJECTOR)},
    "args": argparse.Namespace(lr=0.1, betas=(0.9, 0.95)),
}
MOCO = {
    **prefixed("module.encoder_q.", HEADLESS),
    **prefixed("module.encoder_q.fc.", PROJECTOR),
    **prefixed("module.encoder_k.", HEADLESS),
    "module.queue": torch.zeros(8, 9),
    "module.queue_ptr": torch.zeros(1).long(),
}
MMPRETRAIN = {
    "meta": {"epoch": 3},
    "state_dict": {**prefixed("backbone.", HEADLESS), **prefixed("head.", HEAD)},
}
SWAV = {
    **HEADLESS,
    **prefixed("projection_head.", PROJECTOR),
    "prototypes.weight": torch.ones(9, 4),
}
NUMBERS = {"state_dict": STATE, "best": np.float64(71.3), "kind": np.float32}
NUMBERS["random"] = [torch.get_rng_state(), random.getstate(), np.random.get_state()]  # noqa: NPY002
VALUES = {"model": STATE, "args": argparse.Namespace(root=Path("/data")), "names": {1, 2}}
VALUES["when"] = datetime.datetime(2026, 1, 1)
OPTIMIZER = {"optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}}, "epoch": 3}
OLD = {"_use_new_zipfile_serialization": False}
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 46830571\n"
KEPT = {"version": 2, "trial_id": "a", "model": STATE, "optimizer": {"state": {}}, "epoch": 1}

FORMS = [
    Form("`model.pth`, a `state_dict()` alone", READ, saved(STATE)),
    Form("the same of torch before 1.6", READ, saved(STATE, **OLD)),
    Form("`model.safetensors`", READ, tensors_alone("model.safetensors")),
    Form("safetensors under the name `model.pth`", READ, tensors_alone("model.pth")),
    Form("`model_best.pth.tar`", READ, saved({"state_dict": STATE}, "model_best.pth.tar")),
    Form("`model_best.pth.tar` of torch before 1.6", READ, saved(STATE, "best.pth.tar", **OLD)),
    Form("`pytorch_model.bin`", READ, saved(STATE, "pytorch_model.bin")),
    Form("`model.th`", READ, saved(STATE, "model.th")),
    Form("`MODEL.PTH`", READ, saved(STATE, "MODEL.PTH")),
    Form("a file without a suffix", READ, saved(STATE, "weights")),
    Form("`epoch-1.state`, kept by this program", READ, saved(KEPT, "epoch-1.state")),
    Form("a folder of Hugging Face", READ, hugging_face),
    Form("a folder of parts with their index", READ, in_parts("")),
    Form("the index of parts", READ, in_parts("model.safetensors.index.json")),
    Form("one of the parts", READ, in_parts("model-00001-of-00002.safetensors")),
    Form("`state_dict` beside an optimizer's", READ, saved({"state_dict": STATE, **OPTIMIZER})),
    Form("`model` beside them", READ, saved({**OPTIMIZER, "model": STATE})),
    Form("`model_state_dict`", READ, saved({"model_state_dict": STATE, **OPTIMIZER})),
    Form("`net`", READ, saved({"net": STATE, "acc": 93.2})),
    Form("`ema` alone", READ, saved({"ema": STATE, "updates": 9})),
    Form("`state_dict_ema` beside `state_dict`", READ,
        saved({"state_dict_ema": changed(torch.zeros_like), "state_dict": STATE})),
    Form("`checkpoint` with `model` in it", READ, saved({"checkpoint": {"model": STATE}})),
    Form("a list of the model's and the optimizer's states", READ, saved([STATE, OPTIMIZER])),
    *prefixes(),
    Form("`last.ckpt` of Lightning: `model.`, beside a loss's weights", READ,
        saved(LIGHTNING, "last.ckpt")),
    Form("`net.` beside a loss's weights", READ,
        saved({"state_dict": {**prefixed("net."), "loss_fn.weight": torch.ones(10)}})),
    Form("`module.` inside names", READ, saved(inside("module."))),
    Form("`_fsdp_wrapped_module.` inside names", READ, saved(inside("_fsdp_wrapped_module."))),
    Form("torch's `AveragedModel`", READ,
        saved({**prefixed("module."), "n_averaged": torch.tensor(9)})),
    Form("`argparse.Namespace`, paths and dates beside it", READ, saved(VALUES)),
    Form("NumPy's numbers and random states beside it", READ, saved(NUMBERS)),
    Form("arrays of NumPy by name", READ, saved({k: v.numpy() for k, v in STATE.items()})),
    Form("a profiler's `total_ops` in it", READ, saved({**STATE, "total_ops": torch.zeros(1)})),
    Form("no `num_batches_tracked`", READ,
        saved({k: v for k, v in STATE.items() if "tracked" not in k})),
    Form("half precision", READ, saved(changed(Tensor.half))),
    Form("bfloat16", READ, saved(changed(Tensor.bfloat16))),
    Form("double precision", READ, saved(changed(Tensor.double))),
    Form("no head", FRESH, saved(HEADLESS)),
    Form("a head of another size", FRESH,
        saved({**HEADLESS, "fc.weight": torch.ones(1000, 8), "fc.bias": torch.ones(1000)})),
    Form("a head of another form", FRESH, saved({**HEADLESS, **prefixed("fc.", PROJECTOR)})),
    Form("dino: `teacher` and `student`, with heads", FRESH, saved(DINO)),
    Form("MoCo: `encoder_q`, `encoder_k` and a queue", FRESH, saved({"state_dict": MOCO})),
    Form("SimCLR: layers by place, `f.0`, and `g`", FRESH,
        saved({**prefixed("f.", by_place("2")), **prefixed("g.", PROJECTOR)})),
    Form("SwAV: a projection head and prototypes", FRESH, saved(SWAV)),
    Form("mmpretrain: `backbone.` and `head.fc.`", FRESH, saved(MMPRETRAIN)),
    Form("int8", "refused: holds int8 where floats belong",
        saved(changed(lambda values: (values * 10).to(torch.int8)))),
    Form("NaN or infinity", "refused: holds NaN or infinity",
        saved({**STATE, "fc.bias": STATE["fc.bias"] / 0})),
    Form("`torch.save(model)`", "refused: could run code", saved(nets.resnet(10))),
    Form("objects of other classes beside it", "refused: could run code",
        saved({"model": STATE, "config": Config()})),
    Form("TorchScript", "refused: is TorchScript, a program and not only weights", script),
    Form("a plain pickle", "refused: is a plain pickle, which could run code",
        plain(pickle.dumps({"a": 1}))),
    Form("a git-LFS pointer", "refused: is a git-LFS pointer, not the weights; run `git lfs pull`",
        plain(POINTER)),
    Form("a web page", "refused: is a web page that was saved instead of the weights",
        plain(b"\n<!DOCTYPE html><title>Quota exceeded</title>")),
    Form("an error of a server", "refused: is text", plain(b'{"error": 404}')),
    Form("`model.h5` of Keras", "refused: is an HDF5 file as Keras writes it",
        plain(b"\x89HDF\r\n\x1a\n")),
    Form("`.npz` of NumPy", "refused: holds arrays of NumPy", arrays),
    Form("compressed with gzip", "refused: is compressed with gzip; unpack it",
        plain(gzip.compress(b"x" * 99))),
    Form("a download that ended early", "refused: is damaged", cut_short),
    Form("an empty file", "refused: is damaged: it is empty", plain(b"")),
    Form("a part of the model", "refused: missing: fc.bias",
        saved({k: v for k, v in STATE.items() if k != "fc.bias"})),
    Form("a deeper model", "refused: not in the model: layer1.2.conv1.weight",
        saved({**STATE, "layer1.2.conv1.weight": torch.ones(8, 8, 3, 3)})),
    Form("another model", "refused: every name begins with `backbone.body.`",
        saved({"backbone.body.w": torch.ones(1), "backbone.body.b": torch.ones(1)})),
]  # fmt: skip
