"""Shared by all tests: where the sample files are, one Ray, and who runs what."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.nodeid import NodeId

if TYPE_CHECKING:
    from object_stores import Server

TESTS = Path(__file__).parent
SHARED = TESTS.parent.parent / "shared"

# Under nohup a hangup is ignored, by what tests start too, which are to end by one.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# More threads than this only wait for each other; a trial sets the number that it is to have.
os.environ["OMP_NUM_THREADS"] = "1"

# Workers find the tests' own learners as users' workers find users' modules: on PYTHONPATH.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(TESTS), str(TESTS.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
)
sys.path.insert(0, str(TESTS))


@pytest.fixture(scope="session", autouse=True)
def _own_surroundings(tmp_path_factory: pytest.TempPathFactory) -> None:
    # What this machine remembers of earlier studies has no part in a test.
    os.environ["SCALESTUDY_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    # Ray writes a token under the home folder otherwise, which a later start would expect.
    os.environ["RAY_AUTH_MODE"] = "disabled"
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the tests that share a Ray first, and give each process whole files, or all of Ray."""
    items.sort(key=lambda item: _turn(item))
    if getattr(config.option, "loadgroup", False):
        for item in items:
            group = "ray" if item.get_closest_marker("ray") else item.location[0]
            # As xdist's marker would do, which writes to where pytest 9.2 does not look.
            item._id = NodeId.parse(f"{item.nodeid}@{group}")


def _turn(item: pytest.Item) -> int:
    if not item.get_closest_marker("ray"):
        return 2
    return 0 if "ray_cluster" in getattr(item, "fixturenames", ()) else 1


@pytest.fixture(scope="session")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the folder in which faulty learners leave their marks."""
    folder = tmp_path_factory.mktemp("faults")
    os.environ["FAULTY_FOLDER"] = str(folder)
    yield folder
    del os.environ["FAULTY_FOLDER"]


@pytest.fixture
def ray_cluster(faults: Path) -> Iterator[Any]:
    """Return the nodes of the session's Ray: two CPUs, and four GPUs in name only."""
    import ray

    from orchestrator.drivers.connection import cluster, start_local

    if not ray.is_initialized():
        start_local(cpus=2, gpus=4)
    with cluster(None) as nodes:
        yield nodes


@pytest.fixture
def ray_address(ray_cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands use the session's Ray, where they would start one of their own."""
    import ray

    monkeypatch.setenv("RAY_ADDRESS", ray.get_runtime_context().gcs_address)


@pytest.fixture
def no_ray() -> Iterator[None]:
    """Leave no Ray behind, whatever the test starts, and let it find none."""
    import ray

    ray.shutdown()
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def s3_server() -> Iterator["Server"]:
    """Start moto's S3 server."""
    from object_stores import serving

    pytest.importorskip("moto", reason="moto's S3 server is not installed")
    with serving("s3", "-m", "moto.server", "-H127.0.0.1") as server:
        yield server


@pytest.fixture(scope="session")
def gs_server() -> Iterator["Server"]:
    """Start an emulator of Google Cloud Storage."""
    from object_stores import serving

    pytest.importorskip("gcp_storage_emulator", reason="the emulator is not installed")
    words = ("-m", "gcp_storage_emulator", "start", "--host=127.0.0.1", "--in-memory")
    with serving("gs", *words) as server:
        yield server


@pytest.fixture
def store_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put credentials for the servers into the environment."""
    from object_stores import SETTINGS

    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def s3(s3_server: "Server", store_credentials: None) -> "Server":
    """Return an S3 server that may be used."""
    return s3_server


@pytest.fixture(params=["s3", "gs"])
def store_server(request: pytest.FixtureRequest, store_credentials: None) -> "Server":
    """Return each kind of server in turn."""
    server: Server = request.getfixturevalue(f"{request.param}_server")
    return server
