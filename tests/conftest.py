"""Shared by all tests: where the sample files are, and one Ray per module."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent
SHARED = TESTS.parent.parent / "shared"

# Workers find the tests' own learners as users' workers find users' modules: on PYTHONPATH.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(TESTS), str(TESTS.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
)
sys.path.insert(0, str(TESTS))


@pytest.fixture(scope="session", autouse=True)
def _quiet_ray(tmp_path_factory: pytest.TempPathFactory) -> None:
    # Ray writes a token under the home folder otherwise, which a later start would expect.
    os.environ["RAY_AUTH_MODE"] = "disabled"
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the folder in which faulty learners leave their marks."""
    folder = tmp_path_factory.mktemp("faults")
    os.environ["FAULTY_FOLDER"] = str(folder)
    yield folder
    del os.environ["FAULTY_FOLDER"]


@pytest.fixture(scope="module")
def ray_cluster(faults: Path) -> Iterator[Any]:
    """Start a Ray with two CPUs and four GPUs in name only."""
    from orchestrator.connection import cluster, start_local

    start_local(cpus=2, gpus=4)
    with cluster(None) as nodes:
        yield nodes
    import ray

    ray.shutdown()
