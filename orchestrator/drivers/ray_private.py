"""What of Ray's private names is used here: all of it, so that one test says which has gone."""

import time
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

LOOPBACK = "127.0.0.1"
_WAIT_SECONDS = 5.0
"""For a node to be there; after that it is left to Ray, which looks once a second."""
_LOOK_SECONDS = 0.02


class _Fixed(list[str]):
    """A list that stays as it is."""

    def extend(self, places: Any) -> None:
        pass


def job_config() -> Any:
    """Return what keeps Ray from putting the working folder first on its workers' search path."""
    from ray.job_config import JobConfig

    config = JobConfig()
    config._py_driver_sys_path = _Fixed()
    return config


def free_resources() -> dict[str, dict[str, float]]:
    """Return the amounts that nobody holds, by node id."""
    from ray._private.state import available_resources_per_node

    amounts: dict[str, dict[str, float]] = available_resources_per_node()
    return amounts


def draining_nodes() -> dict[str, int]:
    """Return the nodes that are to be taken away, by id, with the deadline in milliseconds."""
    from ray._private.state import state

    nodes: dict[str, int] = state.get_draining_nodes() if state.gcs_options else {}
    return nodes


def silence_workers() -> None:
    """Keep what dying workers say out of the terminal, whatever `log_to_driver` says."""
    import ray._private.worker as worker

    worker.print_to_stdstream = lambda *_, **__: None


def init_on_loopback(init: Any, folder: str, **options: Any) -> None:
    """Call `ray.init` so that all that it starts listens to this machine alone, and writes here."""
    from ray._private import node, services, utils

    # Dashboard, autoscaler, and who carries logs about serve nobody here.
    unwanted = ("start_api_server", "start_monitor", "start_log_monitor")
    nothing: dict[str, Any] = dict.fromkeys(unwanted, _nothing)
    with (
        # Ray takes a loopback address that is asked for as the wish for one that others reach.
        patch.object(services, "get_node_ip_address", lambda *_, **__: LOOPBACK),
        # To look for them it imports the dashboard's libraries.
        patch.object(utils, "get_dashboard_dependency_error", _nothing),
        patch.multiple(node.Node, **nothing),
        patch.object(services, "get_node", _once_there(services.get_node)),
    ):
        init(_node_ip_address=LOOPBACK, _temp_dir=folder, **options)


def _once_there(get_node: Callable[[str, str], Any]) -> Callable[[str, str], Any]:
    """Have a node asked for as soon as it is there."""
    from ray._private import services
    from ray._private.state import GlobalState

    def look(address: str, node_id: str) -> Any:
        state = GlobalState()
        state._initialize_global_state(services._get_gcs_client_options(address))
        until = time.monotonic() + _WAIT_SECONDS
        while time.monotonic() < until:
            if any(node["NodeID"] == node_id for node in state.node_table()):
                break
            time.sleep(_LOOK_SECONDS)
        return get_node(address, node_id)

    return look


def _nothing(*_: Any, **__: Any) -> None:
    """Do nothing."""
