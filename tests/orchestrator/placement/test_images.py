"""Where a plan says that images will be held, and what it says that this costs."""

from typing import Any

import pytest

from orchestrator.placement import images
from orchestrator.placement.images import ImagesForeseen, images_foreseen
from orchestrator.plan.plan import plan_study
from orchestrator.study.study import study_from
from trainables.data import dataset, holding
from trainables.data.holding import Held
from trainables.measure import probe
from trainables.measure.footprint import Footprint, Hardware


def test_a_plan_says_where_images_are_held_and_what_that_costs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    declared: dict[str, Any] = {
        "name": "held",
        "factors": {"model": ["trainables.demo:small"], "fraction": ["1/4", "1/2"]},
        "recipe": {"epochs": 1, "image_size": 16},
        "resources": {"gpu": 0},
    }
    study = study_from(declared)
    # Heads are trained on features, which are held instead.
    frozen = {**declared, "recipe": {**declared["recipe"], "freeze": "backbone"}}
    assert plan_study(study_from(frozen), "nowhere").images is None

    def foreseen() -> ImagesForeseen:
        found = plan_study(study, "nowhere").images
        assert found is not None
        return found

    # 647 of 1,294 images to draw from, 144 that validate and 359 of the test: 16×16 pixels each.
    n_bytes = (647 + 144 + 359) * (3 * 16 * 16 + 16) + 647 * 64
    assert foreseen() == ImagesForeseen(Held.DEVICE, n_bytes)
    monkeypatch.setattr(holding, "SHARE", 0)
    monkeypatch.setattr(holding, "available_memory", lambda: 2**20)
    assert foreseen().held is Held.FILE
    assert foreseen().line == (
        "920.9 KiB a trial are more than 50 % of the 1.0 MiB free, and are read ahead from the "
        "cache folder, 920.9 KiB to see each once"
    )
    monkeypatch.setattr(dataset, "is_stored", lambda *given: True)
    monkeypatch.setattr(dataset, "decoding_seconds", lambda *given: 0.25)
    assert foreseen().held is Held.STORED
    assert foreseen().line.endswith(
        "are decoded at each use, since the disk has no room for them decoded: about 250 ms of "
        "a CPU each, 4.8 min to see each once"
    )
    # Where they fit, they are decoded all the same.
    monkeypatch.setattr(holding, "SHARE", 2)
    assert foreseen().held is Held.DEVICE
    assert foreseen().line.startswith("920.9 KiB a trial are decoded as it begins, since the disk")


@pytest.mark.parametrize(
    ("gpu", "room"), [(1, "2.0 MiB"), (2, "2.0 MiB"), ("1/4", "512.0 KiB"), ("auto", "682.7 KiB")]
)
def test_a_plan_says_what_a_part_of_a_gpu_holds(
    gpu: Any, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = study_from(
        {
            "name": "held",
            "factors": {"model": ["trainables.demo:small"], "fraction": [1]},
            "recipe": {"epochs": 1, "image_size": 16},
            "resources": {"gpu": gpu},
        }
    )
    planned = plan_study(study, "nowhere")
    trials = [wanted.trial for wanted in planned.ledger.left()]

    def foreseen() -> ImagesForeseen | None:
        return images_foreseen(study, planned.inputs, trials, on_gpu=True)

    # Of a GPU of another machine nothing is known.
    monkeypatch.setattr(images, "has_gpu", lambda: False)
    assert foreseen() is None
    seen = Hardware("H100", 2**21, "2", "13", "580")
    monkeypatch.setattr(images, "has_gpu", lambda: True)
    monkeypatch.setattr(probe, "gpu_seen", lambda: seen)
    # 2 MiB / (128 KiB + 1.1 · 500 KiB) = 3.02
    known = [(seen, Footprint(2**17, 500 * 2**10, 100.0))]
    monkeypatch.setattr(images, "recorded", lambda load: known)
    found = foreseen()
    assert found is not None
    assert found.held is Held.FILE
    assert f"are more than 50 % of the {room} of its part of a GPU, and are read" in found.line
