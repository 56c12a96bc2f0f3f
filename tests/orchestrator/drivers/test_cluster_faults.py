"""Faults of a cluster: main memory that ends, a full object store."""

from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.drivers.connection import start_local
from orchestrator.run.runner import run_study
from orchestrator.study.study import study_from
from results.store.store import Store

pytestmark = pytest.mark.ray

STUDY: dict[str, Any] = {
    "name": "nodes",
    "trainable": "simulated",
    "factors": {"model": ["a", "b"], "fraction": ["1/4", 1]},
    "recipe": {"epochs": 8},
    "seeds": [0, 1],
    "checkpoint_seconds": 0,
}


@pytest.mark.long
def test_main_memory_that_ends_is_said_and_the_rest_completes(
    no_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = psutil.virtual_memory()
    limit = (memory.total - memory.available + 3 * 2**30) / memory.total
    if limit > 0.95:
        pytest.skip("the machine has less than three GiB of memory to spare")
    monkeypatch.setenv("RAY_memory_usage_threshold", f"{limit:.3f}")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "50")
    start_local(cpus=2)
    faulty = {**STUDY, "trainable": "faulty:Hungry", "factors": {"model": ["a"]}}
    summary = run_study(study_from({**faulty, "seeds": [0, 1, 2]}), tmp_path)
    trials = Store(tmp_path).read("trials").to_pandas().set_index("seed")
    assert trials.status[1] == "failed"
    assert "out of memory" in trials.error[1]
    assert trials.attempts[1] == 2
    assert trials.cpu[1] == 2
    assert list(trials.status[[0, 2]]) == ["completed"] * 2
    assert summary.exit_code == 3


@pytest.mark.long
def test_a_full_object_store_is_no_obstacle(no_ray: None, tmp_path: Path) -> None:
    import numpy as np
    import ray

    from orchestrator.drivers import connection

    before = connection.OBJECT_STORE_BYTES
    connection.OBJECT_STORE_BYTES = 80 * 2**20
    try:
        start_local(cpus=2)
    finally:
        connection.OBJECT_STORE_BYTES = before
    held = [ray.put(np.zeros(2**22, np.float64)) for _ in range(4)]
    assert run_study(study_from({**STUDY, "recipe": {"epochs": 2}}), tmp_path).exit_code == 0
    assert len(held) == 4  # still referenced: the store stays full
