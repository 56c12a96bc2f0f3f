"""Machines that are taken away with notice: no update is trained again."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from counted import BATCH
from faulty import mark

from orchestrator.ledger.history import COMPARED
from orchestrator.run.runner import run_study
from orchestrator.study.study import Study, study_from
from results.store.store import Store

pytestmark = pytest.mark.ray

UPDATES = 100
AFTER = 20


def study() -> Study:
    """Return a study of one trial with one interval, whose states are due long after its end."""
    return study_from(
        {
            "name": "preempted",
            "factors": {"model": ["counted:net"], "fraction": [UPDATES * BATCH]},
            "recipe": {"epochs": 1, "batch_size": BATCH, "augmentation": "standard", "mixup": 0.2},
            "seeds": [0],
            "resources": {"gpu": 0},
            "checkpoint_seconds": 1000,
            # A machine that goes is no failure of its trials.
            "max_failures": 0,
        }
    )


def updates() -> list[tuple[int, str]]:
    """Return process and node of each update so far."""
    file = mark("updates")
    lines = file.read_text().splitlines() if file.exists() else []
    return [(int(pid), node) for pid, node in map(str.split, lines)]


def run_and_tell(tell: Callable[[int, str], None], out: Path, address: str | None = None) -> None:
    """Run the study; tell process and node of the trial to go after some updates."""

    def wait() -> None:
        ends = time.monotonic() + 120
        while len(updates()) < AFTER and time.monotonic() < ends:
            time.sleep(0.02)
        tell(*updates()[-1])

    mark("updates").unlink(missing_ok=True)
    told = threading.Thread(target=wait)
    told.start()
    summary = run_study(study(), out, address=address)
    told.join()
    assert summary.exit_code == 0
    assert set(Store(out).read("trials").to_pandas().attempts) == {2}


def assert_nothing_was_trained_again(out: Path, tmp_path: Path) -> None:
    assert len(updates()) == UPDATES
    assert not list(Store(out).checkpoints.glob("*"))
    run_study(study(), tmp_path / "whole", address="none")
    rows = [
        Store(each).read("epochs").to_pandas()[[*COMPARED]] for each in (out, tmp_path / "whole")
    ]
    pd.testing.assert_frame_equal(*rows, check_exact=True)


def test_a_worker_that_is_asked_to_end_pauses_within_its_interval(
    ray_cluster: Any, tmp_path: Path
) -> None:
    run_and_tell(lambda pid, _: os.kill(pid, signal.SIGTERM), tmp_path / "run")
    assert_nothing_was_trained_again(tmp_path / "run", tmp_path)


def test_a_trial_leaves_a_node_that_is_drained(no_ray: None, faults: Path, tmp_path: Path) -> None:
    import ray
    from ray._private.worker import global_worker
    from ray.cluster_utils import Cluster
    from ray.core.generated.autoscaler_pb2 import DrainNodeReason

    def drain(_: int, node: str) -> None:
        reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
        deadline = time.time_ns() // 10**6 + 60_000
        accepted, why = global_worker.gcs_client.drain_node(node, reason, "spot", deadline)
        assert accepted, why

    cluster = Cluster(initialize_head=False)
    try:
        cluster.add_node(num_cpus=0)
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        run_and_tell(drain, tmp_path / "run")
        nodes = [node for _, node in updates()]
        assert_nothing_was_trained_again(tmp_path / "run", tmp_path)
        # It went elsewhere within the interval.
        assert len(set(nodes)) == 2
    finally:
        ray.shutdown()
        cluster.shutdown()
