"""A cluster that is dead is said to be so at once; a private one is private."""

import os
import socket
import stat
from pathlib import Path

import pytest

from orchestrator.drivers import connection, ray_private
from orchestrator.drivers.connection import cluster, private_folder
from orchestrator.errors import RunError


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


def test_ray_has_the_private_names_that_are_used() -> None:
    from ray._private import services, worker
    from ray._private.state import available_resources_per_node

    assert callable(services.get_node_ip_address)
    assert callable(worker.print_to_stdstream)
    assert callable(available_resources_per_node)
    assert ray_private.LOOPBACK == "127.0.0.1"
