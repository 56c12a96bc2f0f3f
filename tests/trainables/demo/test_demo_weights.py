"""The demo's weights fit its nets, and the script that made them repeats itself."""

from pathlib import Path
from types import ModuleType

import pytest
import torch
from scripts import script

from trainables import demo
from trainables.models.networks import build_model, count_parameters
from trainables.models.weights import check_weights, load_weights, resolve_weights

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    return script("examples/demo_weights.py")


@pytest.mark.parametrize("name", demo.__all__)
def test_they_fit(name: str) -> None:
    model = f"trainables.demo:{name}"
    weights = resolve_weights(model, "characters")
    found = check_weights(weights, model, n_classes=10)
    assert found is not None
    assert (weights.label, weights.normalization, found.head) == ("characters", "data", "fresh")
    module = build_model(model, 10)
    assert 50_000 <= count_parameters(module) <= 500_000
    assert load_weights(module, weights, model, 10) == "fresh"
    for key, value in found.entries.items():
        assert torch.equal(module.state_dict()[key], value.float())
    assert "0.weight" in found.entries


def test_the_script_writes_the_same_again(maker: ModuleType, tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        for folder in ("once", "again"):
            maker.write(tmp_path / folder, epochs=1, most=64)
    names = [f"{name}-characters.safetensors" for name in demo.__all__]
    for name in names:
        once, again = ((tmp_path / part / name).read_bytes() for part in ("once", "again"))
        assert once == again
        assert len(once) == len((ROOT / "trainables/demo" / name).read_bytes())


def test_characters_fill_their_boxes(maker: ModuleType) -> None:
    glyphs, labels = maker.glyphs()
    assert len(glyphs) == len(labels) == len(maker.FONTS) * len(maker.PENS) * 62
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        images = maker.distorted(glyphs[::61])
    assert images.shape[1:] == (1, 16, 16)
    # Every one touches two sides that lie opposite.
    rows, columns = images.amax((1, 3)) > 0, images.amax((1, 2)) > 0
    spans = [sides[:, :2].any(1) & sides[:, -2:].any(1) for sides in (rows, columns)]
    assert (spans[0] | spans[1]).float().mean() > 0.95
