"""What evaluates borrows places of the machine that no trial holds, and no number changes."""

import os
from pathlib import Path

import pytest
from harness import assert_same_tables

from orchestrator.run.runner import run_study
from orchestrator.study.study import study_from
from results.store.store import Store

pytestmark = pytest.mark.ray


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU, nothing to lend")
def test_the_last_trial_evaluates_on_the_other_place_too(no_ray: None, tmp_path: Path) -> None:
    declared = study_from(
        {
            "name": "lent",
            # The test images come in several batches.
            "factors": {"model": ["mobilenet_v3_small"], "fraction": ["1/16"]},
            "recipe": {"epochs": 3, "image_size": 96, "precision": "fp32"},
            "test": "every",
        }
    )
    run_study(declared, tmp_path / "ray", max_parallel=2)
    rows = Store(tmp_path / "ray").read("epochs").to_pandas().sort_values("epoch")
    passed = (rows["recorded_at"].iloc[-1] - rows["recorded_at"].iloc[0]).total_seconds()
    # What a helper does counts as well: more is spent than time passes.
    assert rows["seconds"].iloc[1:].sum() > 1.1 * passed
    run_study(declared, tmp_path / "alone", address="none")
    assert_same_tables(tmp_path / "ray", tmp_path / "alone")
