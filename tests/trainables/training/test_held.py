"""A trial's rows, predictions and states are the same wherever its images are held."""

import itertools
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from digit_trials import curve, digits, make_trial, numbers
from PIL import Image

from trainables.data import dataset, holding
from trainables.data.dataset import Dataset, inspect, open_dataset
from trainables.data.holding import Held
from trainables.errors import Diverged, PictureError
from trainables.training.classifier import Classifier
from trainables.training.learner import Pause, Paused
from trainables.trial import Source, Trial

RECIPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "augmented": {"augmentation": "standard", "lr": 0.01, "batch_size": 7},
    "trivial, mixed": {"augmentation": "trivial", "mixup": 0.4, "precision": "bf16"},
    "resized": {"augmentation": "resized-crop", "image_size": 24, "batch_size": 31},
    "balanced": {"sampling": "balanced", "epochs": None, "steps": 11 * 3, "evaluations": 3},
}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Dataset]:
    """Return the digits as JPEG files, decoded, and as stored (True)."""
    folder = tmp_path_factory.mktemp("held")
    held = digits()
    for part, own in (("train", held.train), ("test", held.test)):
        for number, (image, label) in enumerate(zip(own.images[:], own.labels, strict=True)):
            file = folder / part / str(label) / f"{number:03}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(file)
    source = Source(source="imagefolder", path=folder)
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        for is_stored in (False, True):
            patch.setenv("SCALESTUDY_CACHE", str(folder / f"cache {is_stored}"))
            if is_stored:
                patch.setattr(dataset, "is_stored", lambda *given: True)
            found[is_stored] = open_dataset(source, inspect(source).fingerprint, None)
    return found


def start(
    trial: Trial, sets: dict[bool, Dataset], held: Held, *, is_stored: bool | None = None
) -> Classifier:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(holding, "SHARE", float("inf") if held is Held.DEVICE else 0)
        stored = held is Held.STORED if is_stored is None else is_stored
        made = Classifier(trial, device="cpu", cpus=2, dataset=sets[stored])
    assert made.held is held
    return made


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_the_same_numbers_to_the_last_digit(
    sets: dict[bool, Dataset], recipe: dict[str, Any]
) -> None:
    trial = make_trial(recipe=recipe)
    whole = start(trial, sets, Held.DEVICE)
    expected = curve(whole)
    others = [start(trial, sets, Held.DEVICE, is_stored=True)]
    others += [start(trial, sets, held) for held in (Held.FILE, Held.STORED)]
    for other in others:
        assert other.facts() == whole.facts()
        assert curve(other) == expected
        for name, ours in vars(other.predictions()).items():
            np.testing.assert_array_equal(ours, getattr(whole.predictions(), name))


def test_a_trial_goes_on_with_its_images_held_elsewhere(
    sets: dict[bool, Dataset], tmp_path: Path
) -> None:
    # Two intervals a pass and a half each: the second begins within a pass.
    budget = {"epochs": None, "steps": 12, "evaluations": 3}
    trial = make_trial(recipe={**budget, "augmentation": "standard", "lr": 0.01})
    expected = curve(start(trial, sets, Held.DEVICE))
    for number, held in enumerate((Held.DEVICE, Held.FILE, Held.STORED)):
        learner = start(trial, sets, held)
        if number:
            learner.load(tmp_path / "state")
        assert curve(learner, 1) == expected[number : number + 1]
        learner.save(tmp_path / "state")


class Often(Pause):
    """Due after every `n`-th update."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n, self.asked = n, 0

    @property
    def is_due(self) -> bool:
        self.asked += 1
        return self.asked % self.n == 0


@pytest.mark.parametrize(
    ("name", "is_other"), [*((name, True) for name in RECIPES), ("trivial, mixed", False)]
)
def test_a_trial_that_pauses_within_intervals_goes_on_to_the_last_digit(
    sets: dict[bool, Dataset], name: str, is_other: bool, tmp_path: Path
) -> None:
    trial = make_trial(recipe={"schedule": "cosine", **RECIPES[name]})
    whole = start(trial, sets, Held.DEVICE)
    expected = curve(whole)
    kinds = itertools.cycle((Held.FILE, Held.STORED, Held.DEVICE))
    learner, pause, rows, places = start(trial, sets, Held.DEVICE), Often(7), [], []
    learner.pause = pause
    while len(rows) < 3:
        try:
            rows.append(numbers(learner.step()))
        except Paused:
            places.append(learner.updates)
            if is_other:
                learner.save(tmp_path / "state")
                learner = start(trial, sets, next(kinds))
                learner.load(tmp_path / "state")
                learner.pause = pause
    n = learner._per_interval
    # Two pauses may be in one interval.
    assert places == [at % n or n for at in range(7, 3 * n + 1, 7)]
    assert rows == expected
    for part, ours in vars(learner.predictions()).items():
        np.testing.assert_array_equal(ours, getattr(whole.predictions(), part))


def test_what_was_trained_is_kept_where_an_evaluation_is_broken_off(
    sets: dict[bool, Dataset], tmp_path: Path
) -> None:
    trial = make_trial()
    expected = curve(start(trial, sets, Held.DEVICE))
    learner = start(trial, sets, Held.FILE)
    judge = learner._judge

    def then_told(*given: Any) -> Any:
        learner.pause.at_once = True
        return judge(*given)

    learner._judge = then_told  # type: ignore[method-assign]
    with pytest.raises(Paused):
        learner.step()
    assert learner.updates == learner._per_interval
    learner.save(tmp_path / "state")
    again = start(trial, sets, Held.DEVICE)
    again.load(tmp_path / "state")
    assert curve(again) == expected
    # A state of a whole interval holds nothing of the one before.
    again.save(tmp_path / "state")
    assert "within" not in torch.load(tmp_path / "state")


def test_what_is_damaged_since_ends_the_trial_with_its_name(sets: dict[bool, Dataset]) -> None:
    learner = start(make_trial(), sets, Held.STORED)
    learner.step()
    rows = learner._train_examples._rows
    kept = rows.file.read_bytes()
    try:
        rows.file.write_bytes(bytes(len(kept)))
        with pytest.raises(PictureError, match=r"train-images.stored, image \d+: is not an image"):
            learner.step()
    finally:
        rows.file.write_bytes(kept)


def test_a_trial_that_diverges_leaves_no_thread(sets: dict[bool, Dataset]) -> None:
    learner = start(make_trial(recipe={"optimizer": "sgd", "lr": 1e30}), sets, Held.FILE)
    with pytest.raises(Diverged):
        curve(learner)
    assert not [each for each in threading.enumerate() if each.name.startswith("images")]
