"""A Ray to work with: one that runs already, or a quiet private one on this machine."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.errors import RunError
from orchestrator.placement.shares import Node

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_DEDUP_LOGS": "0",
    # Silences a notice; a trial without a share of a GPU is told to keep to the CPU.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_SYNCER": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # Tune's own experiment state is thrown away: the records are the state.
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_FORCE_TRIAL_CLEANUP_S": "2",
}

# Rows and predictions are small; data reaches workers through the node's disk cache.
OBJECT_STORE_BYTES = 2**28


_FAILURES = (ConnectionError, RuntimeError, ValueError, TimeoutError)
"""What Ray raises where a cluster cannot be reached or started."""
_KIND = "accelerator_type:"
"""What precedes the name of a node's GPUs among its resources."""


@contextmanager
def cluster(address: str | None) -> Iterator[list[Node]]:
    """Connect to a Ray cluster, or start a private one; yield its nodes.

    Parameters
    ----------
    address
        Address of a running cluster; None starts one on this machine, ended on exit. A cluster
        that this process is connected to already is used and left.

    Raises
    ------
    RunError
        The cluster cannot be reached.
    """
    ray = _ray()
    if ray.is_initialized():
        yield Connected().nodes()
        return
    try:
        if address:
            _init(address=address)
        else:
            start_local()
    except _FAILURES as error:
        where = f"the Ray cluster at {address}" if address else "a local Ray"
        raise RunError(
            f"{where} cannot be used: {str(error).splitlines()[0]} "
            "Check --address (or RAY_ADDRESS), or leave it out to run on this machine."
        ) from error
    try:
        yield Connected().nodes()
    finally:
        ray.shutdown()


def join() -> Path:
    """Connect this process, a job's own, to its cluster for good; return the session's folder.

    Raises
    ------
    RunError
        The cluster cannot be reached.
    """
    try:
        return Path(_init(address="auto").address_info["session_dir"])
    except _FAILURES as error:
        raise RunError(f"the job's own cluster cannot be reached: {error}") from error


def start_local(cpus: int | None = None, gpus: int | None = None) -> None:
    """Start a private Ray on this machine, for this process alone.

    Parameters
    ----------
    cpus, gpus
        Numbers that Ray hands out; by default what the machine has.
    """
    _init(
        # A plain init would join whatever cluster was started here before.
        address="local",
        num_cpus=cpus,
        num_gpus=gpus,
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
    )


class Connected:
    """The cluster that this process is connected to."""

    def nodes(self) -> list[Node]:
        """Return the nodes that are alive."""
        return [_node(node, node["Resources"]) for node in _alive()]

    def free(self) -> list[Node]:
        """Return the nodes that are alive, each with the CPUs and GPUs that nobody holds."""
        from ray._private.state import available_resources_per_node

        amounts = available_resources_per_node()
        return [_node(node, amounts.get(node["NodeID"], {})) for node in _alive()]


def _init(**options: Any) -> Any:
    return _ray().init(log_to_driver=False, logging_level="ERROR", **options)


def _ray() -> Any:
    """Return Ray's module, once what it reads is set and workers can import what this one can."""
    for key, value in _SETTINGS.items():
        os.environ.setdefault(key, value)
    # What goes wrong in a trial is in its record; Tune would print it on top of the table.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    import ray
    import ray._private.worker as worker

    # So would Ray itself when a worker dies, whatever log_to_driver says.
    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda *_, **__: None
    ours = [str(Path(__file__).parents[2]), str(Path.cwd())]
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([*ours, *filter(None, given)]))
    return ray


def _alive() -> list[dict[str, Any]]:
    """Return Ray's own account of each node that is alive."""
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def _node(node: dict[str, Any], amounts: dict[str, float]) -> Node:
    kinds = [name.removeprefix(_KIND) for name in node["Resources"] if name.startswith(_KIND)]
    cpus, gpus = amounts.get("CPU", 0.0), amounts.get("GPU", 0.0)
    return Node(node["NodeManagerHostname"], cpus, gpus, kinds[0] if kinds else "")
