import os
import random
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import digit_trials
import forks
import pytest
import torch
from digit_trials import curve, digits, make_trial, start
from harness import flipped

from trainables.data import cache
from trainables.models.facts import head_layer
from trainables.training import features
from trainables.training.classifier import Classifier
from trainables.training.network import Network
from trainables.trial import Trial

IN_CACHE = replace(digits(), key="digits-16")
ALL = 400 + 90


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path))
    return tmp_path / "features"


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of images of each forward pass of a frozen backbone."""
    found, real = [], Network.scores_of_images

    def counted(network: Network, inputs: torch.Tensor) -> torch.Tensor:
        found.append(len(inputs))
        return real(network, inputs)

    monkeypatch.setattr(Network, "scores_of_images", counted)
    return found


def frozen(**recipe: Any) -> Trial:
    return make_trial(recipe={"freeze": "backbone", "normalization": "none", **recipe})


def on_features(trial: Trial) -> Classifier:
    return Classifier(trial, device="cpu", dataset=IN_CACHE)


def test_the_head_on_features_is_the_head_in_place() -> None:
    trial = frozen(
        normalization="data", lr=0.01, clip_norm=1.0, label_smoothing=0.1, sampling="balanced"
    )
    kept, placed = on_features(trial), start(trial)
    before = {name: values.clone() for name, values in kept.model.state_dict().items()}
    for one, other in zip(curve(kept), curve(placed), strict=True):
        assert one["train_correct"] == other["train_correct"]
        for name in ("train_loss", "val_loss", "test_loss", "test_accuracy", "lr_last"):
            assert one[name] == pytest.approx(other[name], rel=1e-5)
    assert kept.facts() == placed.facts()
    assert kept.facts()["n_trainable"] == 64 * 10 + 10
    assert kept.facts()["n_parameters"] > 1000
    for learner in (kept, placed):
        # Batch norm's statistics are of the backbone too.
        moved = {
            name
            for name, values in learner.model.state_dict().items()
            if (values != before[name]).any()
        }
        assert moved == {"9.weight", "9.bias"}


def test_features_are_computed_once_for_all_trials_of_a_backbone(seen: list[int]) -> None:
    on_features(frozen())
    assert sum(seen) == 2 + ALL
    for trial in (
        frozen(lr=0.1),
        frozen(batch_size=16),
        frozen().changed(n_train=50),
    ):
        del seen[:]
        on_features(trial).step()
        # Two images tell that it is the same backbone.
        assert seen == [2]
    del seen[:]
    on_features(frozen().changed(seed=1))  # from scratch: another backbone
    on_features(frozen(precision="bf16"))
    Classifier(frozen(), device="cpu", dataset=replace(IN_CACHE, key="digits-8"))
    # The last digits of a batch may be others.
    Classifier(frozen(), device="cpu", dataset=IN_CACHE, cpus=2)
    assert sum(seen) == 4 * (2 + ALL)


def test_images_scaled_by_a_subsets_own_statistics_are_looked_at_alone(seen: list[int]) -> None:
    on_features(frozen(normalization="data"))
    assert seen == [2, 90 + 40, 90]


def test_augmented_images_are_trained_on_in_place(seen: list[int], folder: Path) -> None:
    for varied in ({"augmentation": "standard"}, {"mixup": 0.2}, {"cutmix": 1.0}):
        learner = on_features(frozen(**varied))
        learner.step()
        assert learner.facts()["n_trainable"] == 650
    assert seen == []
    assert not folder.exists()


def test_it_goes_on_to_the_last_digit(tmp_path: Path) -> None:
    whole = curve(on_features(frozen()))
    half = on_features(frozen())
    half.step()
    half.save(tmp_path / "state")
    again = on_features(frozen())
    again.load(tmp_path / "state")
    assert curve(again, 2) == whole[1:]


def test_damaged_features_are_computed_anew(
    seen: list[int], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = curve(on_features(frozen()))
    (entry,) = folder.iterdir()
    for file in sorted(entry.iterdir()):
        content = file.read_bytes()
        file.write_bytes(flipped(content, random.Random(0).randrange(8 * len(content))))
        monkeypatch.setattr(cache, "_checked", set())
        del seen[:]
        assert curve(on_features(frozen())) == whole
        assert sum(seen) == 2 + ALL
        assert file.read_bytes() == content


def test_trials_that_start_together_compute_them_once(tmp_path: Path) -> None:
    code = textwrap.dedent("""
        import sys
        from dataclasses import replace
        from digit_trials import digits, make_trial
        from trainables.training.classifier import Classifier
        from trainables.training.network import Network

        seen, real = [], Network.scores_of_images
        def counted(network, inputs):
            seen.append(len(inputs))
            return real(network, inputs)
        Network.scores_of_images = counted
        dataset = replace(digits(), key="digits-16")
        trial = make_trial(recipe={"freeze": "backbone", "normalization": "none"})
        Classifier(trial, device="cpu", dataset=dataset)
        print(sum(seen))
    """)
    places = [str(Path(digit_trials.__file__).parent), os.environ["PYTHONPATH"]]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    children = [forks.start(["-c", code], env=env, stdout=forks.PIPE) for _ in range(3)]
    said = [int(child.communicate(timeout=60)[0]) for child in children]
    assert sorted(said) == [2, 2, 2 + ALL]


def test_what_was_used_longest_ago_makes_room(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_features(frozen())
    (first,) = folder.iterdir()
    size = sum(file.stat().st_size for file in first.iterdir())
    monkeypatch.setattr(features, "free_disk", lambda _: 2 * size)
    on_features(frozen().changed(seed=1))
    assert first not in folder.iterdir()
    assert len([*folder.iterdir()]) == 1


@pytest.mark.parametrize(
    ("model", "head"),
    [
        ("resnet18", "fc"),
        ("mobilenet_v3_small", "classifier.3"),
        ("vit_b_16", "heads.head"),
        ("swin_t", "head"),
        ("densenet121", "classifier"),
        ("regnet_y_400mf", "fc"),
        ("tiny_models:dropout_net", "9"),
        ("tiny_models:linear_net", "head"),
    ],
)
def test_the_head_is_what_the_scores_come_from(model: str, head: str) -> None:
    assert head_layer(model, 10, "standard", (64, 64) if model != "vit_b_16" else (32, 32)) == head


@pytest.mark.parametrize("model", ["squeezenet1_0", "tiny_models:undecided_net"])
def test_a_head_of_which_more_is_made_is_refused(model: str) -> None:
    with pytest.raises(Exception, match=f"model {model}: freeze: backbone trains the one layer"):
        head_layer(model, 10, "standard", (64, 64))
