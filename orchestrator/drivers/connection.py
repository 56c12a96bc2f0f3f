"""A Ray to work with: one that runs already, or a quiet private one on this machine."""

import atexit
import logging
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator.drivers import ray_private
from orchestrator.errors import RunError
from orchestrator.placement.shares import Node
from trainables.data.cache import FOLDER_VARIABLE, cache_folder
from trainables.errors import first_line
from trainables.machine import usable_cpus

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_DEDUP_LOGS": "0",
    # Workers that Ray starts beforehand are none that Tune's trials take.
    "RAY_prestart_worker_first_driver": "0",
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
_FAILURES = (OSError, RuntimeError, ValueError)
"""What Ray raises where a cluster cannot be reached or started."""
_SOCKETS = 24
"""Letters that the name of a folder may have for Ray's sockets in it, whose paths are short."""
_ANSWER_SECONDS = 4.0
"""Seconds in which a cluster opens a connection."""
_private: list[Path] = []
_ADVICE = "Check --address (or RAY_ADDRESS), or leave it out to run on this machine."
_KIND = "accelerator_type:"
"""What precedes the name of a node's GPUs among its resources."""


@contextmanager
def cluster(address: str | None) -> Iterator[list[Node]]:
    """Connect to a Ray cluster, or start a private one that ends on exit; yield its nodes.

    One that this process is connected to already is used, and left. RunError where none can be had.
    """
    if "ray" in sys.modules and _ray().is_initialized():
        yield Connected().nodes()
        return
    try:
        if address:
            _refuse_dead(address)
            _init(address=address)
        else:
            start_private()
    except _FAILURES as error:
        where = f"the Ray cluster at {address}" if address else "a local Ray"
        raise RunError(f"{where} cannot be used: {first_line(error)} {_ADVICE}") from error
    try:
        yield Connected().nodes()
    finally:
        _ray().shutdown()
        drop_private_folders()


def join() -> Path:
    """Connect a job's own process for good; return the session's folder. RunError if it fails."""
    try:
        return Path(_init(address="auto").address_info["session_dir"])
    except _FAILURES as error:
        raise RunError(f"the job's own cluster cannot be reached: {error}") from error


def start_local(
    cpus: int | None = None, gpus: int | None = None, init: Callable[..., Any] | None = None
) -> None:
    """Start a Ray on this machine that others may join, with all it has, or so many devices."""
    (init or _init)(
        # A plain init would join whatever cluster was started here before.
        address="local",
        num_cpus=usable_cpus() if cpus is None else cpus,
        num_gpus=gpus,
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
    )


def start_private() -> None:
    """Start a Ray for this process and its user alone; RunError where its folder cannot be made.

    It listens to this machine only, wants a token, and keeps its files in a folder of mode 0700,
    which goes when the process ends.
    """
    if "RAY_AUTH_MODE" not in os.environ:
        # Ray's processes take them over, and would write one to a home that may not be there.
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        if "ray" not in sys.modules:
            # Ray looks at it once, when it is imported.
            os.environ["RAY_AUTH_MODE"] = "token"
    folder = private_folder()
    # What Ray reads when it is imported is set before.
    _ray()
    # Ray opens its own folder to everybody; the one around it is closed.
    start_local(init=partial(ray_private.init_on_loopback, _init, str(folder / "r")))


def private_folder() -> Path:
    """Return a new folder with a name short enough for sockets; RunError if it fits nowhere."""
    named = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    places = (named, "/tmp", "/var/tmp", "/dev/shm")
    for place in (place for place in places if len(os.fsencode(place)) <= _SOCKETS):
        with suppress(OSError):
            folder = Path(tempfile.mkdtemp(prefix="sst-", dir=place))
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            _private.append(folder)
            return folder
    raise RunError(
        f"Ray's files need a folder with a short name, and none can be made in {named}, /tmp or "
        f"/var/tmp; set RAY_TMPDIR to one of at most {_SOCKETS} letters that can be written."
    )


def drop_private_folders() -> None:
    """Remove the folders of private Rays that have ended."""
    while _private:
        shutil.rmtree(_private.pop(), ignore_errors=True)


def _refuse_dead(address: str) -> None:
    """Refuse an address where no cluster answers, within seconds: Ray itself tries for minutes."""
    scheme, _, rest = address.rpartition("://")
    if scheme.startswith("http"):
        raise RunError(
            f"{address} is a dashboard, to which `scalestudy submit` sends studies; `run` needs "
            "the cluster itself, such as head:6379."
        )
    host, _, port = rest.rpartition(":")
    if not port.isdigit():
        # Such as auto: Ray looks for a cluster of this machine.
        return
    problem = "another service answers there, no Ray"
    try:
        place = host.strip("[]"), int(port)
        with socket.create_connection(place, timeout=_ANSWER_SECONDS) as connection:
            if _speaks_grpc(connection):
                return
    except (OSError, OverflowError) as error:
        problem = f"nobody answers ({getattr(error, 'strerror', None) or error})"
    raise RunError(f"the Ray cluster at {address}: {problem}. {_ADVICE}")


def _speaks_grpc(connection: socket.socket) -> bool:
    """Return whether the other side begins as gRPC does: HTTP/2 (RFC 9113), settings first."""
    if os.environ.get("RAY_USE_TLS", "0") != "0":
        return True
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
    head = b""
    with suppress(TimeoutError, ConnectionError):
        while len(head) < 4 and (more := connection.recv(9)):
            head += more
    return head[3:4] == b"\x04"


class Connected:
    """The cluster that this process is connected to, without nodes that are to be taken away."""

    def nodes(self) -> list[Node]:
        """Return the nodes that are alive."""
        return [_node(node, node["Resources"]) for node in _alive()]

    def free(self) -> list[Node]:
        """Return the nodes that are alive, each with the CPUs and GPUs that nobody holds."""
        amounts = ray_private.free_resources()
        return [_node(node, amounts.get(node["NodeID"], {})) for node in _alive()]


def _init(**options: Any) -> Any:
    ray = _ray()
    if not options["address"].startswith("ray://"):
        options["job_config"] = ray_private.job_config()
    return ray.init(log_to_driver=False, logging_level="ERROR", **options)


def _ray() -> Any:
    """Return Ray's module, once what it reads is set and workers can import what this one can."""
    for key, value in _SETTINGS.items():
        os.environ.setdefault(key, value)
    if not Path(os.path.expanduser("~")).is_absolute():  # noqa: PTH111
        # Ray cannot be imported by a user without a home. In the folder of temporary ones itself
        # another user may have made what is looked for in homes.
        own = cache_folder()
        os.environ.setdefault(FOLDER_VARIABLE, str(own))
        os.environ["HOME"] = str(own) if own.is_absolute() else tempfile.gettempdir()
    # What goes wrong in a trial is in its record; Tune would print it on top of the table.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    import ray

    # So would Ray itself when a worker dies.
    ray_private.silence_workers()
    # Ray's own processes read it too: a study's folder, which may hold anything, is no part of it.
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    places = [str(Path(__file__).parents[2]), *filter(None, given)]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(places))
    return ray


def _alive() -> list[dict[str, Any]]:
    import ray

    going = ray_private.draining_nodes()
    return [node for node in ray.nodes() if node["Alive"] and node["NodeID"] not in going]


def _node(node: dict[str, Any], amounts: dict[str, float]) -> Node:
    kinds = [name.removeprefix(_KIND) for name in node["Resources"] if name.startswith(_KIND)]
    cpus, gpus = amounts.get("CPU", 0.0), amounts.get("GPU", 0.0)
    return Node(node["NodeManagerHostname"], cpus, gpus, kinds[0] if kinds else "")
