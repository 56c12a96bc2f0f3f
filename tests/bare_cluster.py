"""A Ray cluster of its own, with a dashboard and a token, whose Python lacks these packages."""

import os
import socket
import subprocess
import sys
import time
import venv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy
import psutil

TOKEN = "not-to-be-seen-" + "0123456789abcdef" * 4


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def bare_python(folder: Path) -> tuple[Path, dict[str, str]]:
    """Make a Python with this one's libraries but no .pth file, so no editable install.

    Returns
    -------
    tuple[Path, dict[str, str]]
        The interpreter, and the variables that it and its children need.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    return python, {"PATH": path, "PYTHONPATH": str(Path(numpy.__file__).parents[1])}


@dataclass
class BareCluster:
    """Started with `start`; ended, by the ids of its processes, with `end`.

    Parameters
    ----------
    folder
        For its Python, its home and its files. Short: sockets lie in it.
    cpus
        To be handed out.
    variables
        More of its environment; workers see it.
    host
        Its address.
    options
        More for `ray start`.
    """

    folder: Path
    cpus: int = 2
    variables: dict[str, str] = field(default_factory=dict)
    host: str = "127.0.0.1"
    options: dict[str, Any] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    gcs_port: int = field(default_factory=free_port)
    python: Path = Path()
    _bare: dict[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def gcs(self) -> str:
        return f"{self.host}:{self.gcs_port}"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def environment(self) -> dict[str, str]:
        """Of its processes."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        return {
            **kept,
            "HOME": str(self.home),
            **self._bare,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": TOKEN,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
            **self.variables,
        }

    def start(self) -> None:
        self.home.mkdir(parents=True)
        self.python, self._bare = bare_python(self.folder / "python")
        words = "-m ray.scripts.scripts start --head --block --include-dashboard=true"
        options = {
            "port": self.gcs_port,
            "dashboard-host": "127.0.0.1",
            "dashboard-port": self.port,
            "node-ip-address": self.host,
            "ray-client-server-port": free_port(),
            "dashboard-agent-listen-port": free_port(),
            "min-worker-port": 0,
            "max-worker-port": 0,
            "num-cpus": self.cpus,
            "num-gpus": 0,
            "object-store-memory": 2**28,
            "temp-dir": self.folder / "ray",
            **self.options,
        }
        flags = [f"--{key}={value}" for key, value in options.items()]
        with (self.folder / "start.log").open("wb") as log:
            self._process = subprocess.Popen(
                [str(self.python), *words.split(), *flags],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
            )
        ends = time.monotonic() + 120
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "start.log").read_text()
            assert time.monotonic() < ends, (self.folder / "start.log").read_text()
            time.sleep(0.2)

    def end(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        head = psutil.Process(self._process.pid)
        all_of_it = [*head.children(recursive=True), head]
        head.terminate()
        _, alive = psutil.wait_procs(all_of_it, timeout=20)
        for process in alive:
            if process.is_running():
                process.kill()
        self._process.wait()

    def modules(self, *asked: str) -> list[str]:
        """Return which of these modules its Python finds."""
        code = f"from importlib.util import find_spec; print(*filter(find_spec, {asked}))"
        words = [str(self.python), "-c", code]
        return subprocess.check_output(
            words, env=self.environment, cwd=self.folder, text=True
        ).split()

    def client(self, **variables: str) -> dict[str, str]:
        """Return the environment of a client elsewhere: the token, and nothing else of it."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        return {**kept, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, **variables}

    def _answers(self) -> bool:
        # A job needs the agent too, which is up a little after the dashboard.
        import urllib.request

        request = urllib.request.Request(
            f"{self.address}/api/jobs/", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=2) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False


def scalestudy(*words: str) -> list[str]:
    return [sys.executable, "-m", "orchestrator", *words]
