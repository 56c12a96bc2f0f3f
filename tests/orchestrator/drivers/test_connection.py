"""A cluster that is dead is said to be so at once; a private one is private."""

import inspect
import os
import re
import socket
import stat
import tempfile
import threading
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from orchestrator.drivers import connection, ray_private
from orchestrator.drivers.connection import cluster, private_folder
from orchestrator.errors import RunError
from trainables.data.cache import FOLDER_VARIABLE


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (f"127.0.0.1:{free_port()}", "nobody answers (Connection refused)"),
        (f"ray://127.0.0.1:{free_port()}", "nobody answers (Connection refused)"),
        ("127.0.0.1:99999", "nobody answers"),
        ("http://head:8265", "is a dashboard, to which `scalestudy submit` sends"),
    ],
    # Ports differ between the processes that tests run in.
    ids=["port", "client", "no port", "dashboard"],
)
def test_a_dead_address_is_one_sentence(
    address: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As long as no cluster of this session is connected.
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    # The port is asked, for seconds; Ray itself would try for minutes.
    assert connection._ANSWER_SECONDS <= 10
    monkeypatch.setattr("ray.init", pytest.fail)
    with pytest.raises(RunError) as refused, cluster(address):
        pass
    assert said in str(refused.value)


def test_a_user_without_a_home_has_a_private_ray_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # As `doctor` has imported it already; then it would write a token to the home.
    import_module("ray")
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "PYTHONPATH", "HOME", FOLDER_VARIABLE):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(ray_private, "init_on_loopback", lambda *_, **__: None)
    connection.start_private()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
    # No folder that another user may have made.
    assert os.environ["HOME"] == str(tmp_path / f"scalestudy-{os.getuid()}")
    assert os.environ[FOLDER_VARIABLE] == os.environ["HOME"]


def test_what_the_system_refuses_ray_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise PermissionError(13, "Permission denied", "/root/.ray")

    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr(connection, "start_private", refuse)
    with pytest.raises(RunError, match=r"a local Ray cannot be used: .*/root/\.ray"), cluster(None):
        pass


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b""]
)
def test_another_service_is_one_sentence(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", pytest.fail)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            other, _ = server.accept()
            other.sendall(answer)
            other.close()

        threading.Thread(target=serve).start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(RunError, match="another service answers there"), cluster(address):
            pass


def test_the_private_folder_is_short_and_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_private", [])
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("long" * 20)))
    folder = private_folder()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len(os.fsencode(folder.parent)) <= connection._SOCKETS
    connection.drop_private_folders()
    assert not folder.exists()
    monkeypatch.setattr(connection, "_SOCKETS", 0)
    with pytest.raises(RunError, match="set RAY_TMPDIR to one of at most"):
        private_folder()


PRIVATE = [
    ("ray._private.services", "get_node_ip_address"),
    ("ray._private.services", "get_node"),
    ("ray._private.services", "_get_gcs_client_options"),
    ("ray._private.state", "GlobalState._initialize_global_state"),
    ("ray._private.state", "GlobalState.node_table"),
    ("ray._private.worker", "print_to_stdstream"),
    ("ray._private.state", "available_resources_per_node"),
    ("ray._private.state", "state.get_draining_nodes"),
    ("ray._private.utils", "get_dashboard_dependency_error"),
    ("ray._private.node", "Node.start_api_server"),
    ("ray._private.node", "Node.start_monitor"),
    ("ray._private.node", "Node.start_log_monitor"),
]


@pytest.mark.parametrize(("module", "name"), PRIVATE)
def test_ray_has_the_private_names_that_are_used(module: str, name: str) -> None:
    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    assert callable(found), (
        f"Ray has no {module}.{name} any more: see orchestrator/drivers/ray_private.py"
    )


def test_a_node_is_asked_for_once_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray._private.services as services
    import ray._private.state as state

    tables = iter([[], [{"NodeID": "other"}], [{"NodeID": "mine"}]])
    there = SimpleNamespace(
        _initialize_global_state=lambda options: None, node_table=lambda: next(tables)
    )
    monkeypatch.setattr(state, "GlobalState", lambda: there)
    monkeypatch.setattr(services, "_get_gcs_client_options", lambda address: address)
    look = ray_private._once_there(lambda address, node: (address, node))
    assert look("head:6379", "mine") == ("head:6379", "mine")
    assert next(tables, None) is None


@pytest.mark.ray
def test_a_private_ray_starts_nothing_that_serves_nobody(no_ray: None) -> None:
    with cluster(None) as nodes:
        assert nodes
        children = psutil.Process().children(recursive=True)
        lines = [" ".join(child.cmdline()) for child in children]
    assert any("raylet" in line for line in lines)
    for name in ("dashboard/dashboard.py", "monitor.py", "ray::IDLE"):
        assert not any(name in line for line in lines)


def test_all_private_names_of_ray_stand_in_one_module() -> None:
    root = Path(ray_private.__file__).parents[2]
    files = [*(root / "orchestrator").rglob("*.py"), *(root / "trainables").rglob("*.py")]
    users = {
        file.stem for file in files if re.search(r"\bray\._|_temp_dir|_node_ip", file.read_text())
    }
    assert users == {"ray_private"}
    taken = inspect.getsource(import_module("ray._private.worker").init)
    assert all(f'"{name}"' in taken for name in ("_temp_dir", "_node_ip_address"))


def test_ray_does_not_put_the_working_folder_first() -> None:
    """It would come before the standard library."""
    taken = inspect.getsource(import_module("ray._private.worker").connect)
    assert "job_config._py_driver_sys_path.extend(" in taken
    config = ray_private.job_config()
    config._py_driver_sys_path.extend(["anything"])
    assert config._py_driver_sys_path == []
