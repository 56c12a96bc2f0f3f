"""What evaluates borrows places of the machine that no trial holds, and no number changes."""

import os
import tempfile
import threading
from pathlib import Path

import pytest
from harness import assert_same_tables

from orchestrator.run.runner import run_study
from orchestrator.study.study import study_from

pytestmark = pytest.mark.ray


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU, nothing to lend")
def test_the_last_trial_evaluates_on_the_other_place_too(
    no_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = study_from(
        {
            "name": "lent",
            # The test images come in several batches.
            "factors": {"model": ["mobilenet_v3_small"], "fraction": ["1/16"]},
            "recipe": {"epochs": 3, "image_size": 96, "precision": "fp32"},
            "test": "every",
        }
    )
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    borrowed, is_over = threading.Event(), threading.Event()

    def watch() -> None:
        # The one trial holds the first place; the lock of the second is made by who borrows it.
        while not is_over.wait(0.02):
            if any(tmp_path.glob("scalestudy-*/place-1")):
                borrowed.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run_study(declared, tmp_path / "ray", max_parallel=2)
    finally:
        is_over.set()
        watcher.join()
    assert borrowed.is_set()
    run_study(declared, tmp_path / "alone", address="none")
    assert_same_tables(tmp_path / "ray", tmp_path / "alone")
