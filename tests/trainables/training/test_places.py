import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from digit_trials import digits, make_trial, numbers

from trainables.training import places as places_module
from trainables.training.classifier import Classifier
from trainables.training.places import Helpers, Places, _free, places_in


def freed(places: Places) -> bool:
    """Wait for a place that nobody holds."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if give_back := places.borrow():
            give_back()
            return True
        time.sleep(0.01)
    return False


def test_what_a_trial_holds_is_not_lent(tmp_path: Path) -> None:
    trial, other = Places(tmp_path, 2), Places(tmp_path, 2)
    with trial.held():
        give_back = other.borrow()
        assert give_back is not None
        assert other.borrow() is None
        assert trial.borrow() is None
        give_back()
        assert freed(other)


def test_a_trial_keeps_its_place_between_intervals_and_gives_it_up_when_it_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, other = Places(tmp_path, 1), Places(tmp_path, 1)
    monkeypatch.setattr(places_module, "_REST_SECONDS", 600.0)
    for _ in range(3):
        with trial.held():
            pass
        assert other.borrow() is None
    monkeypatch.setattr(places_module, "_REST_SECONDS", 0.0)
    with trial.held():
        pass
    assert freed(other)
    with trial.held():
        assert other.borrow() is None


def test_a_trial_waits_for_what_was_borrowed_of_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places_module, "_PATIENCE", 600.0)
    trial, other = Places(tmp_path, 1), Places(tmp_path, 1)
    give_back = other.borrow()
    assert give_back is not None
    is_done = threading.Event()

    def end() -> None:
        is_done.set()
        give_back()

    threading.Timer(0.2, end).start()
    with trial.held():
        assert is_done.is_set()
        assert other.borrow() is None


def test_places_of_a_run_that_has_ended_are_lent_to_nobody_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places_module, "_PATIENCE", 3600.0)  # longer than a test may take
    places = Places(tmp_path / "gone", 2)
    with places.held():
        assert places.borrow() is None


def test_a_process_that_was_forked_meanwhile_keeps_no_place(tmp_path: Path) -> None:
    places = Places(tmp_path, 1)
    file = places._take()
    assert file is not None
    # What a forked process has of an open file.
    forked = os.dup(file)
    _free(file)
    give_back = places.borrow()
    os.close(forked)
    assert give_back is not None
    give_back()


def test_helpers_work_at_the_same_time_and_answer_in_order(tmp_path: Path) -> None:
    places = Places(tmp_path, 2)
    both = threading.Barrier(2, timeout=10)

    def work(number: int) -> tuple[int, bool]:
        if number < 2:
            both.wait()
        return number, torch.is_inference_mode_enabled()

    helpers = Helpers(places)
    with places.held(), torch.inference_mode():
        found = list(helpers.each(work, ((number,) for number in range(9))))
    assert found == [(number, True) for number in range(9)]
    assert helpers.take_seconds() > 0
    assert helpers.take_seconds() == 0


def test_what_a_helper_raises_is_raised(tmp_path: Path) -> None:
    places = Places(tmp_path, 2)

    def work(number: int) -> int:
        return 1 // number

    with places.held(), pytest.raises(ZeroDivisionError):
        list(Helpers(places).each(work, ((number,) for number in (0, 1, 2))))
    assert freed(places)


@pytest.mark.parametrize("cpus", [1, 2])
def test_numbers_are_the_same_whoever_evaluates(cpus: int, tmp_path: Path) -> None:
    # 96 pixels a side: 40 and 90 images are evaluated in batches of 28.
    trial = make_trial("mobilenet_v3_small", recipe={"epochs": 1, "lr": 0.01, "image_size": 96})
    alone = Classifier(trial, device="cpu", dataset=digits(), cpus=cpus)
    shared = str(tmp_path), 3
    helped = Classifier(trial, device="cpu", dataset=digits(), cpus=cpus, places=shared)
    with places_in(*shared).held():
        rows = [numbers(learner.step()) for learner in (alone, helped)]
        assert helped._evaluate(helped._test)[0]["loss"] == rows[0]["test_loss"]
    assert helped._helpers.take_seconds() > 0
    torch.set_num_threads(1)
    assert rows[0] == rows[1]
    of_label = [learner.predictions().of_label for learner in (alone, helped)]
    assert np.array_equal(*of_label)


def test_an_own_model_is_run_by_one_thread_alone(tmp_path: Path) -> None:
    learner = Classifier(make_trial(), device="cpu", dataset=digits(), places=(str(tmp_path), 2))
    learner.step()
    assert learner._helpers.take_seconds() == 0
