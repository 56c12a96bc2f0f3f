"""Several hosts on this machine: network namespaces on a bridge, each with processes of its own.

A host has its own address, processes, host name, shared memory and scratch folder (also its home
folder), as machines have; the rest of the file system is the machine's, as on a cluster with a
shared one, but for folders that are made each host's own. Everything hangs on one process per host:
when that ends, by whatever end of the test, the kernel removes its processes and its network.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

PORT = 6379
_SUBNET = "10.77.0"
_TIED = ("setpriv", "--pdeathsig", "KILL")
"""Ends what it starts when the test's process ends, even by SIGKILL."""

_BOOT = """
hostname "$1"; shift
mount -t tmpfs -o size=1g shm /dev/shm
for folder in "$@"; do mount -t tmpfs -o size=1g host "$folder"; done
ip link set lo up
echo up
while :; do sleep 3600 & wait; done
"""


def missing() -> str | None:
    """Return what this machine lacks for hosts, or None."""
    if os.geteuid():
        return "namespaces take root"
    tools = ("ip", "unshare", "nsenter", "setpriv", "mount", "hostname")
    absent = [tool for tool in tools if shutil.which(tool) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    probe = ["unshare", "--net", "ip", "link", "add", "probe", "type", "bridge"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    return f"no bridge can be made: {done.stderr.strip()}" if done.returncode else None


@dataclass
class Host:
    """One host.

    Parameters
    ----------
    name
        Its host name.
    address
        Its IPv4 address.
    scratch
        A folder that every host has, each its own: home, temporary files, Ray's sessions.
    keeper
        The process that everything of the host hangs on, as seen from outside.
    """

    name: str
    address: str
    scratch: Path
    keeper: "subprocess.Popen[str]"
    init: int

    def start(
        self, words: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[str]":
        """Start a command on the host, in its root; standard output and errors go to one pipe."""
        return subprocess.Popen(
            [*_TIED, "nsenter", "--target", str(self.init), "--all", "--", *words],
            env={
                **{key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"},
                "HOME": str(self.scratch),
                "TMPDIR": str(self.scratch),
                "RAY_TMPDIR": str(self.scratch),
                "RAY_AUTH_MODE": "disabled",
                "RAY_USAGE_STATS_ENABLED": "0",
                **(environment or {}),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(
        self,
        words: Sequence[str],
        environment: Mapping[str, str] | None = None,
        timeout: float = 120,
    ) -> str:
        """Run a command on the host to its end, which must be a good one; return its output."""
        process = self.start(words, environment)
        output, _ = process.communicate(timeout=timeout)
        assert process.returncode == 0, output
        return output

    def kill(self) -> None:
        """End every process of the host at once, as a power cut does."""
        psutil.Process(self.init).kill()
        self.keeper.wait(timeout=30)


@dataclass
class Network:
    """A switch, and the hosts on it."""

    scratch: Path
    switch: "subprocess.Popen[str]"
    hosts: dict[str, Host] = field(default_factory=dict)

    def add(self, name: str, own: Sequence[Path] = ()) -> Host:
        """Start a host and plug it in.

        Parameters
        ----------
        own
            Folders that are the host's own, empty at first, instead of the machine's.
        """
        apart = ["--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"]
        boot = ["sh", "-e", "-c", _BOOT, "boot", name, str(self.scratch), *map(str, own)]
        keeper = _keep([*apart, "--propagation", "private", *boot])
        (child,) = psutil.Process(keeper.pid).children()
        address = f"{_SUBNET}.{len(self.hosts) + 1}"
        host = self.hosts[name] = Host(name, address, self.scratch, keeper, child.pid)
        self._ip(f"link add {name} type veth peer name eth0 netns {child.pid}")
        self._ip(f"link set {name} master bridge up")
        host.run(["ip", "addr", "add", f"{address}/24", "dev", "eth0"])
        host.run(["ip", "link", "set", "eth0", "up"])
        return host

    def cut(self, name: str) -> None:
        """Take a host's link down; the host itself goes on."""
        self._ip(f"link set {name} down")

    def mend(self, name: str) -> None:
        """Take a host's link up again."""
        self._ip(f"link set {name} up")

    def _ip(self, words: str) -> None:
        nsenter = ["nsenter", "--target", str(self.switch.pid), "--net", "ip"]
        subprocess.run([*nsenter, *words.split()], check=True)

    def close(self) -> None:
        """End all hosts and the switch."""
        for keeper in [*(host.keeper for host in self.hosts.values()), self.switch]:
            keeper.kill()
            keeper.wait(timeout=30)
            if keeper.stdout:
                keeper.stdout.close()


@contextmanager
def network() -> Iterator[Network]:
    """Yield a network without hosts; end it with all that runs on it."""
    # Short: the paths of Ray's sockets are limited to 107 characters.
    scratch = Path(tempfile.mkdtemp(prefix="h-", dir="/tmp"))
    net = Network(scratch, _keep(["sh", "-e", "-c", "echo up; exec sleep infinity"]))
    try:
        net._ip("link add bridge type bridge")
        net._ip("link set bridge up")
        yield net
    finally:
        net.close()
        shutil.rmtree(scratch)


def _keep(words: Sequence[str]) -> "subprocess.Popen[str]":
    keeper = subprocess.Popen(
        [*_TIED, "unshare", "--net", *words], stdout=subprocess.PIPE, text=True
    )
    assert keeper.stdout is not None
    assert keeper.stdout.readline() == "up\n"
    return keeper


def start_ray(
    host: Host,
    head: Host | None = None,
    *,
    cpus: int = 0,
    gpus: int = 0,
    environment: Mapping[str, str] | None = None,
    python: str = sys.executable,
    dashboard: bool = False,
) -> "subprocess.Popen[str]":
    """Start Ray on a host, in the foreground, as `ray start` does there.

    Parameters
    ----------
    head
        To join; None makes the host the head.
    cpus, gpus
        What Ray hands out there, in name only.
    environment
        Of the workers there; what a driver has in its own stays with it.
    python
        Whose Ray it is.
    dashboard
        Of a head, for the whole network.
    """
    place = ["--head", f"--port={PORT}", f"--include-dashboard={str(dashboard).lower()}"]
    place += [f"--dashboard-host={host.address}"] if dashboard else []
    join = [f"--address={head.address}:{PORT}"] if head else place
    shares = [f"--num-cpus={cpus}", f"--num-gpus={gpus}", f"--object-store-memory={80 * 2**20}"]
    options = [f"--node-ip-address={host.address}", "--disable-usage-stats", "--block"]
    return host.start(
        [python, "-m", "ray.scripts.scripts", "start", *join, *shares, *options],
        environment,
    )


_WATCH = """
import json, sys, time
from ray._raylet import GcsClient
address, ends, seen = sys.argv[1], time.monotonic() + float(sys.argv[2]), None
while time.monotonic() < ends:
    try:
        client = GcsClient(address=address)
        while time.monotonic() < ends:
            nodes = client.get_all_node_info().values()
            alive = sorted(node.node_manager_address for node in nodes if node.state == 0)
            if alive != seen:
                print("alive", json.dumps([time.monotonic(), alive]), flush=True)
                seen = alive
            time.sleep(0.2)
    except Exception as error:
        print(error, file=sys.stderr)
        time.sleep(0.5)
"""


class Watch:
    """What Ray knows of its nodes, seen from the head.

    Parameters
    ----------
    head
        The head's host.
    seconds
        How long to watch at most.
    """

    def __init__(self, head: Host, seconds: float = 300) -> None:
        words = [sys.executable, "-c", _WATCH, f"{head.address}:{PORT}", str(seconds)]
        self._process = head.start(words)

    def wait(self, alive: Sequence[Host], dead: Sequence[Host] = ()) -> float:
        """Wait until Ray holds the first for alive and the others not; return when it did.

        Returns
        -------
        float
            In seconds of `time.monotonic`.
        """
        up, down = ({host.address for host in hosts} for hosts in (alive, dead))
        printed = []
        assert self._process.stdout is not None
        for line in self._process.stdout:
            printed.append(line)
            if line.startswith("alive "):
                moment, addresses = json.loads(line.removeprefix("alive "))
                if up <= set(addresses) and not down & set(addresses):
                    return float(moment)
        raise AssertionError("".join(printed))
