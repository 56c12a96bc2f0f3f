import hashlib
import os
import re
import shutil
import threading
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models import WeightsEnum
from torchvision.transforms._presets import ImageClassification

from trainables.errors import ModelError, WeightsError
from trainables.models import matching, published
from trainables.models.networks import build_model, model_names, skeleton
from trainables.models.published import expected, known_member, weights_names
from trainables.models.weights import check_weights, load_weights, resolve_weights
from trainables.trial import Channels, Weights

SHARED = Path(__file__).parents[3].parent / "shared"
RESNET18 = "resnet18-f37072fd.pth"


def fresh(name: str = "resnet18", n_classes: int = 10, **options: Any) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_model(name, n_classes, **options)


def shifted(name: str = "resnet18", n_classes: int = 10) -> dict[str, Tensor]:
    """Return a state that no fresh model has."""
    return dict(_shifted(name, n_classes))


@cache
def _shifted(name: str, n_classes: int) -> dict[str, Tensor]:
    state = fresh(name, n_classes).state_dict()
    return {key: value + 1 if value.is_floating_point() else value for key, value in state.items()}


def loaded(file: Path, name: str = "resnet18", n_classes: int = 10) -> dict[str, Tensor]:
    model = fresh(name, n_classes)
    weights = resolve_weights(name, "mine", str(file))
    check_weights(weights, name)
    load_weights(model, weights, name, n_classes)
    return model.state_dict()


@pytest.fixture
def torch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torch's, and no way to the network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for variable in ("https_proxy", "http_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # the discard port: nothing listens
    for variable in ("no_proxy", "NO_PROXY", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    # Who opens a URL first settles the proxy for all of the process.
    monkeypatch.setattr(urllib.request, "_opener", None)
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


# What a level means


def test_none() -> None:
    assert resolve_weights("resnet18", "none") == Weights()
    check_weights(Weights(), "resnet18")
    before = fresh().state_dict()
    model = fresh()
    load_weights(model, Weights(), "resnet18", 10)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("label", "name", "digest"),
    [
        ("IMAGENET1K_V1", "IMAGENET1K_V1", "torchvision:0676ba61"),
        ("imagenet1k_v2", "IMAGENET1K_V2", "torchvision:11ad3fa6"),
        ("DEFAULT", "IMAGENET1K_V2", "torchvision:11ad3fa6"),
        ("default", "IMAGENET1K_V2", "torchvision:11ad3fa6"),
    ],
)
def test_torchvision_names(label: str, name: str, digest: str) -> None:
    # The digests are those in resnet50's published file names.
    found = resolve_weights("resnet50", label)
    assert found == Weights(label=label, name=name, digest=digest)


def test_a_location_may_be_a_torchvision_name() -> None:
    found = resolve_weights("resnet18", "imagenet", "IMAGENET1K_V1")
    assert found == Weights(label="imagenet", name="IMAGENET1K_V1", digest="torchvision:f37072fd")


def test_every_model_has_a_published_digest_and_preprocessing() -> None:
    for model in model_names():
        for name in weights_names(model):
            weights = resolve_weights(model, name)
            assert re.fullmatch(r"torchvision:[0-9a-f]{8,10}", weights.digest or ""), (model, name)
            assert expected("auto", weights, model) is not None


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    file, other = tmp_path / "a.pth", tmp_path / "elsewhere.pth"
    torch.save(shifted(), file)
    shutil.copy(file, other)
    found = resolve_weights("resnet18", "mine", str(file))
    assert found.label == "mine"
    assert found.file == str(file)
    assert found.digest == hashlib.sha256(file.read_bytes()).hexdigest()
    assert resolve_weights("resnet18", "mine", str(other)).digest == found.digest


def test_a_file_that_changes_is_hashed_anew(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_file({"x": torch.zeros(4)}, file)
    before = resolve_weights("resnet18", "mine", str(file)).digest
    save_file({"x": torch.ones(4)}, file)
    os.utime(file, ns=(1, 1))
    assert resolve_weights("resnet18", "mine", str(file)).digest != before


@pytest.mark.parametrize(
    ("model", "label", "location", "message"),
    [
        (
            "resnet18",
            "IMAGENET1K_V3",
            None,
            "valid are IMAGENET1K_V1, DEFAULT, .*IMAGENET1K_V1$",
        ),
        (
            "resnet50",
            "imagenet",
            None,
            "_V1, IMAGENET1K_V2, DEFAULT.*the nearest is IMAGE",
        ),
        (
            "tiny_models:linear_net",
            "IMAGENET1K_V1",
            None,
            "no weights .*; valid are none",
        ),
        ("resnet18", "mine", "/nowhere/r18.pth", "/nowhere/r18.pth cannot be read .No such file"),
    ],
)
def test_weights_that_cannot_be(model: str, label: str, location: str | None, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        resolve_weights(model, label, location)


def test_weights_of_an_unknown_model() -> None:
    with pytest.raises(ModelError, match="no model resnet19"):
        resolve_weights("resnet19", "IMAGENET1K_V1")


def test_a_folder_without_weights(tmp_path: Path) -> None:
    (tmp_path / "weights.pth").mkdir()
    with pytest.raises(WeightsError, match=r"weights\.pth is a folder that holds no weights"):
        resolve_weights("resnet18", "mine", str(tmp_path / "weights.pth"))


# Files that fit


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_what_training_scripts_save(tmp_path: Path, wrapper: str | None, prefix: str) -> None:
    state = shifted()
    content: Any = {prefix + key: value for key, value in state.items()}
    if wrapper is not None:
        content = {wrapper: content, "epoch": 90, "optimizer": {"lr": [0.1]}}
    torch.save(content, tmp_path / "w.pth")
    found = loaded(tmp_path / "w.pth")
    assert all(torch.equal(state[key], found[key]) for key in state)


def test_safetensors_in_half_precision(tmp_path: Path) -> None:
    state = {key: value.half() for key, value in shifted().items() if value.is_floating_point()}
    save_file(state, tmp_path / "w.safetensors")
    found = loaded(tmp_path / "w.safetensors")
    for key, value in state.items():
        assert found[key].dtype == torch.float32
        assert torch.equal(found[key], value.float())


def test_a_head_of_another_size_keeps_its_fresh_values(tmp_path: Path) -> None:
    state = shifted(n_classes=100)
    torch.save(state, tmp_path / "w.pth")
    found, start = loaded(tmp_path / "w.pth"), fresh().state_dict()
    for key in found:
        assert torch.equal(found[key], start[key] if key.startswith("fc.") else state[key])


def test_a_head_of_the_same_size_is_kept(tmp_path: Path) -> None:
    state = shifted(n_classes=10)
    torch.save(state, tmp_path / "w.pth")
    assert torch.equal(loaded(tmp_path / "w.pth")["fc.weight"], state["fc.weight"])


def test_own_models_take_files_too(tmp_path: Path) -> None:
    name = "tiny_models:dropout_net"
    state = shifted(name, n_classes=3)
    torch.save(state, tmp_path / "w.pt")
    found = loaded(tmp_path / "w.pt", name, n_classes=4)
    assert torch.equal(found["0.weight"], state["0.weight"])
    assert found["9.weight"].shape == (4, 64)


def test_names_of_old_densenet_files(tmp_path: Path) -> None:
    state = shifted("densenet121")
    pattern = re.compile(r"(denselayer\d+\.(?:norm|conv))([12])\.")
    old = {pattern.sub(r"\1.\2.", key): value for key, value in state.items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    save_file(old, tmp_path / "w.safetensors")
    found = loaded(tmp_path / "w.safetensors", "densenet121")
    assert all(torch.equal(state[key], found[key]) for key in state)


def test_auxiliary_heads_in_a_file_are_left_out(tmp_path: Path) -> None:
    state = {key: torch.zeros(v.shape) for key, v in skeleton("googlenet", 2).state_dict().items()}
    save_file({**state, "aux1.fc1.weight": torch.zeros(3)}, tmp_path / "w.safetensors")
    check_weights(resolve_weights("googlenet", "m", str(tmp_path / "w.safetensors")), "googlenet")


def test_position_embeddings_follow_the_image_size(tmp_path: Path) -> None:
    # What depends on the place alone must still do so after interpolation: the first component is
    # the row, from 0 to 13 for 14×14 patches of a 224×224 image.
    rows = torch.arange(14.0).repeat_interleave(14)
    positions = torch.zeros(1, 197, 768)
    positions[0, 0] = 5.0
    positions[0, 1:, 0] = rows
    module = skeleton("vit_b_16", 10, sides=(64, 64))
    shapes = {key: value.shape for key, value in skeleton("vit_b_16", 10).state_dict().items()}
    state = {key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}
    state["encoder.pos_embedding"] = positions
    found = matching.fit(state, module, 10)
    fitted = found.entries["encoder.pos_embedding"]
    assert fitted.shape == (1, 17, 768)
    assert torch.equal(fitted[0, 0], positions[0, 0])
    expected = torch.linspace(0, 13, 4).repeat_interleave(4)
    assert torch.allclose(fitted[0, 1:, 0], expected, atol=0.3)


# Files that do not fit


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("layer1.0.conv1.weight"), r"missing: layer1\.0\.conv1\.weight"),
        (lambda s: s.pop("fc.weight"), r"missing: fc\.weight"),
        (lambda s: s.update({"layer1.own": torch.zeros(1)}), r"not in the model: layer1\.own"),
        (
            lambda s: s.update({"conv1.weight": torch.zeros(64, 3, 3, 3)}),
            r"of another shape: conv1\.weight \(64, 3, 3, 3\) instead of \(64, 3, 7, 7\)",
        ),
    ],
)
def test_entries_that_do_not_fit_are_named(tmp_path: Path, change: Any, message: str) -> None:
    state = shifted()
    change(state)
    torch.save(state, tmp_path / "w.pth")
    weights = resolve_weights("resnet18", "mine", str(tmp_path / "w.pth"))
    model = fresh()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(WeightsError, match=f"weights mine do not fit model resnet18.*{message}"):
        check_weights(weights, "resnet18")
    with pytest.raises(WeightsError, match=message):
        load_weights(model, weights, "resnet18", 10)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_another_models_file_is_summarised(tmp_path: Path) -> None:
    torch.save(shifted(), tmp_path / "w.pth")
    weights = resolve_weights("resnet34", "mine", str(tmp_path / "w.pth"))
    with pytest.raises(WeightsError, match=r"missing: layer1\.2\.conv1\.weight, .* and \d+ more"):
        check_weights(weights, "resnet34")


def test_another_stem_is_found_before_training(tmp_path: Path) -> None:
    torch.save(shifted(), tmp_path / "w.pth")
    weights = resolve_weights("resnet18", "mine", str(tmp_path / "w.pth"))
    check_weights(weights, "resnet18")
    with pytest.raises(WeightsError, match=r"conv1\.weight .* and of its stem"):
        check_weights(weights, "resnet18", stem="cifar")


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.target),))


def test_torchs_version_and_a_time_with_its_zone_may_stand_beside_weights(tmp_path: Path) -> None:
    beside = {"version": torch.__version__, "when": datetime.now(UTC)}
    torch.save({"model": shifted(), **beside}, tmp_path / "a.pth")
    assert torch.equal(loaded(tmp_path / "a.pth")["conv1.weight"], shifted()["conv1.weight"])


def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"fc.weight": Malicious(tmp_path / "harm")}, tmp_path / "w.pth")
    weights = resolve_weights("resnet18", "mine", str(tmp_path / "w.pth"))
    with pytest.raises(WeightsError, match=r"w\.pth is refused.*could run code"):
        check_weights(weights, "resnet18")
    with pytest.raises(WeightsError, match="refused"):
        load_weights(fresh(), weights, "resnet18", 10)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kept", [0.0, 0.001, 0.5, 0.999])
def test_truncated_files(tmp_path: Path, suffix: str, kept: float) -> None:
    file = tmp_path / f"w{suffix}"
    save = torch.save if suffix == ".pth" else save_file
    save(shifted("squeezenet1_1"), file)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * kept)])
    weights = resolve_weights("squeezenet1_1", "mine", str(file))
    with pytest.raises(WeightsError, match=rf"w{suffix} is (damaged|refused)"):
        check_weights(weights, "squeezenet1_1")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.zeros(3), "holds no tensors by name, hence no state dict"),
        ({}, "holds no tensors by name"),
        (
            {"epoch": 3, "weights": {"a": torch.zeros(1)}},
            r"every name begins with `weights\.`, and the names are not the model's: a in the file,"
            r" conv1\.weight, ",
        ),
    ],
)
def test_files_without_a_state_dict(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=message):
        loaded(tmp_path / "w.pth")


def test_a_file_that_goes_missing(tmp_path: Path) -> None:
    torch.save(shifted(), tmp_path / "w.pth")
    weights = resolve_weights("resnet18", "mine", str(tmp_path / "w.pth"))
    (tmp_path / "w.pth").unlink()
    with pytest.raises(WeightsError, match=r"w\.pth cannot be read"):
        check_weights(weights, "resnet18")
    with pytest.raises(WeightsError, match=r"w\.pth cannot be read"):
        load_weights(fresh(), weights, "resnet18", 10)


def test_a_file_that_changes_between_plan_and_trial(tmp_path: Path) -> None:
    torch.save(shifted(), tmp_path / "w.pth")
    weights = resolve_weights("resnet18", "mine", str(tmp_path / "w.pth"))
    torch.save(fresh().state_dict(), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"w\.pth is not what it was when the study was read"):
        load_weights(fresh(), weights, "resnet18", 10)


# Torchvision's own


def test_from_torchs_cache(torch_home: Path) -> None:
    state = shifted(n_classes=1000)
    torch.save(state, torch_home / RESNET18)
    weights = resolve_weights("resnet18", "IMAGENET1K_V1")
    check_weights(weights, "resnet18")
    model = fresh()
    load_weights(model, weights, "resnet18", 10)
    found = model.state_dict()
    assert all(torch.equal(found[key], state[key]) for key in state if not key.startswith("fc."))
    assert found["fc.weight"].shape == (10, 512)


def test_a_damaged_file_in_the_cache_is_found_beforehand(torch_home: Path) -> None:
    (torch_home / RESNET18).write_bytes(b"<html>proxy error</html>")
    weights = resolve_weights("resnet18", "IMAGENET1K_V1")
    with pytest.raises(WeightsError, match=rf"{RESNET18} is a web page that was saved instead"):
        check_weights(weights, "resnet18")


def test_unreachable_weights_name_file_address_and_cache(torch_home: Path) -> None:
    weights = resolve_weights("resnet18", "IMAGENET1K_V1")
    for attempt in (
        partial(check_weights, weights, "resnet18"),
        partial(load_weights, fresh(), weights, "resnet18", 10),
    ):
        with pytest.raises(WeightsError) as caught:
            attempt()
        message = str(caught.value)
        assert f"https://download.pytorch.org/models/{RESNET18}" in message
        assert f"{RESNET18} is not in torch's cache folder {torch_home}" in message
        assert "TORCH_HOME" in message


@pytest.fixture
def server(tmp_path: Path, torch_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A server on loopback that offers one file, as members of a torchvision weights enum."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "served"
    folder.mkdir()
    torch.save(shifted(), folder / "scratch.pth")
    digest = hashlib.sha256((folder / "scratch.pth").read_bytes()).hexdigest()[:8]
    (folder / "scratch.pth").rename(folder / f"good-{digest}.pth")
    (folder / "bad-00000000.pth").write_bytes(b"another file")
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{http.server_port}"

        def published(name: str) -> torchvision.models.Weights:
            return torchvision.models.Weights(f"{address}/{name}", ImageClassification, {})

        class Published(WeightsEnum):
            GOOD = published(f"good-{digest}.pth")
            BAD = published("bad-00000000.pth")
            GONE = published("gone-12345678.pth")

        yield Published
        http.shutdown()


def test_a_download_lands_in_the_cache(
    server: Any, torch_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = published.cache_file(server.GOOD)
    published.check_reachable(server.GOOD, "resnet18")
    assert not file.exists()
    state = published.published_tensors(server.GOOD, "resnet18")
    assert torch.equal(state["fc.weight"], shifted()["fc.weight"])
    assert file.parent == torch_home
    assert file.exists()
    assert capsys.readouterr().out == ""


def test_a_download_with_another_hash_is_refused(server: Any) -> None:
    with pytest.raises(WeightsError, match=r"BAD of resnet18 cannot be downloaded.*hash"):
        published.published_tensors(server.BAD, "resnet18")
    assert not published.cache_file(server.BAD).exists()


def test_a_file_that_the_server_lacks(server: Any) -> None:
    with pytest.raises(WeightsError, match=r"/gone-12345678\.pth \(File not found\)"):
        published.check_reachable(server.GONE, "resnet18")


@pytest.mark.parametrize("name", ["inception_v3", "googlenet"])
def test_published_inception_weights_get_their_own_input_scale(name: str, torch_home: Path) -> None:
    weights = resolve_weights(name, "DEFAULT")
    member = known_member(name, "DEFAULT")
    state = {key: torch.zeros(v.shape) for key, v in skeleton(name, 1000).state_dict().items()}
    torch.save(state, torch_home / member.url.rsplit("/", 1)[1])
    module = skeleton(name, 10).to_empty(device="cpu")
    assert not module.transform_input
    load_weights(module, weights, name, 10)
    assert module.transform_input


def test_preprocessing_is_the_weights_own(tmp_path: Path) -> None:
    imagenet = resolve_weights("resnet18", "IMAGENET1K_V1")
    own = Channels(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    assert expected("auto", imagenet, "resnet18") == own
    assert expected("data", imagenet, "resnet18") is None
    assert expected("none", imagenet, "resnet18") == Channels(mean=(0, 0, 0), std=(1, 1, 1))
    assert expected("auto", Weights(), "resnet18") is None
    torch.save(shifted(), tmp_path / "w.pth")
    mine = resolve_weights("resnet18", "m", str(tmp_path / "w.pth"))
    assert expected("auto", mine, "resnet18") is None


# Real ones


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="the shared weights are not here")
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_real_pretrained_weights(name: str) -> None:
    file = SHARED / "weights" / f"{name}-cifar100.safetensors"
    found, state = loaded(file, name), load_file(file)
    assert state["conv1.weight"].dtype == torch.float16
    for key, value in state.items():
        if not key.startswith("fc."):
            assert torch.equal(found[key], value.to(found[key].dtype))
    assert found["fc.weight"].shape[0] == 10
    hundred = loaded(file, name, n_classes=100)
    assert torch.equal(hundred["fc.weight"], state["fc.weight"].float())
