"""Commands as forked children of one process that has imported already.

A child is a process of its own, killed and interrupted as any other, but begins where a fresh
interpreter comes after seconds of imports. `start` and `run` take what `subprocess.Popen` and
`subprocess.run` take after `sys.executable`.

    python forks.py DESCRIPTOR

is the process that forks; it ends with the one that asks.
"""

import atexit
import contextlib
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any

PIPE, STDOUT, DEVNULL = subprocess.PIPE, subprocess.STDOUT, subprocess.DEVNULL
_PACKAGES = ("orchestrator", "results", "trainables")


class Forked:
    """A child, as `subprocess.Popen` would show it, with text streams."""

    def __init__(
        self,
        words: Sequence[str],
        cwd: Path | str | None,
        env: Mapping[str, str] | None,
        streams: Sequence[Any],
    ) -> None:
        self.args = list(words)
        self.returncode: int | None = None
        pipes, theirs = _ends(streams)
        self.stdout, self.stderr = pipes[1:]
        status, report = os.pipe()
        # A line for the process number, one for the exit code; neither is read before its time.
        self._status = os.fdopen(status, "rb", buffering=0)
        request: dict[str, Any] = {
            "words": self.args,
            "cwd": str(cwd or Path.cwd()),
            "env": dict(os.environ if env is None else env),
        }
        # Ray looks at it once, when it is imported.
        server = _server(request["env"].get("RAY_AUTH_MODE", ""))
        content = json.dumps(request).encode()
        socket.send_fds(server, [len(content).to_bytes(4, "big")], [*theirs, report])
        server.sendall(content)
        for end in (*theirs, report):
            os.close(end)
        self.pid = int(self._status.readline())

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(timeout=0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = int(self._status.readline())
            self._status.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        ends = None if timeout is None else time.monotonic() + timeout
        said = ["", ""]

        def read(number: int, pipe: IO[str]) -> None:
            said[number] = pipe.read()
            pipe.close()

        pipes = [(n, pipe) for n, pipe in enumerate((self.stdout, self.stderr)) if pipe]
        readers = [threading.Thread(target=read, args=each, daemon=True) for each in pipes]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(None if ends is None else max(0, ends - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
        self.wait(None if ends is None else max(0, ends - time.monotonic()))
        return said[0], said[1]

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _ends(streams: Sequence[Any]) -> tuple[list[IO[str] | None], list[int]]:
    """Return our ends of the three streams where they are pipes, and the child's descriptors."""
    pipes: list[IO[str] | None] = [None] * len(streams)
    theirs: list[int] = []
    for number, stream in enumerate(streams):
        if stream == PIPE:
            ours, end = os.pipe()
            pipes[number] = os.fdopen(ours)
        elif stream == DEVNULL:
            end = os.open(os.devnull, os.O_RDWR)
        elif stream == STDOUT:
            end = os.dup(theirs[1])
        else:
            # This process's own, where none is given.
            end = os.dup(number if stream is None else stream)
        theirs.append(end)
    return pipes, theirs


Process = Forked | subprocess.Popen[str]


def start(
    words: Sequence[str],
    *,
    cwd: Path | str | None = None,
    env: Mapping[str, str] | None = None,
    stdin: Any = DEVNULL,
    stdout: Any = PIPE,
    stderr: Any = PIPE,
) -> Forked:
    """Fork a child that does what Python does with these words."""
    return Forked(words, cwd, env, (stdin, stdout, stderr))


def run(
    words: Sequence[str],
    *,
    cwd: Path | str | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = False,
    timeout: float | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Fork a child and wait for its end; return what it said."""
    process = start(words, cwd=cwd, env=env)
    try:
        out, err = process.communicate(timeout=timeout)
    except BaseException:
        process.kill()
        raise
    if check:
        assert process.returncode == 0, out + err
    return subprocess.CompletedProcess([*words], process.returncode or 0, out, err)


@cache
def _server(ray_auth_mode: str) -> socket.socket:
    here, there = socket.socketpair()
    words = [sys.executable, __file__, str(there.fileno())]
    environment = {**os.environ, "RAY_AUTH_MODE": ray_auth_mode}
    server = subprocess.Popen(words, pass_fds=[there.fileno()], env=environment)
    there.close()

    @atexit.register
    def end() -> None:
        here.close()
        server.wait()

    return here


# The process that forks.


def _import_all() -> None:
    import importlib
    import pkgutil

    # Slow to import, and imported by functions.
    for name in ("ray.tune", "torchvision", "matplotlib.pyplot", "sklearn.datasets", "pandas"):
        importlib.import_module(name)
    for package in _PACKAGES:
        path = importlib.import_module(package).__path__
        for module in pkgutil.walk_packages(path, f"{package}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)


def _serve(requests: socket.socket) -> list[str] | None:
    """Fork for every request; return words in a child, None where nobody asks any more."""
    woken, waking = socket.socketpair()
    waking.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
    reports: dict[int, int] = {}
    while True:
        if woken in select.select([requests, woken], [], [])[0]:
            woken.recv(4096)
            for pid in list(reports):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    report = reports.pop(pid)
                    with contextlib.suppress(BrokenPipeError):
                        os.write(report, b"%d\n" % os.waitstatus_to_exitcode(status))
                    os.close(report)
            continue
        size, descriptors, *_ = socket.recv_fds(requests, 4, 4)
        if not size:
            return None
        content = requests.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)
        pid = os.fork()
        if not pid:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for each in (requests, woken, waking):
                each.close()
            return _become(json.loads(content), descriptors, reports.values())
        os.write(descriptors[3], b"%d\n" % pid)
        for descriptor in descriptors[:3]:
            os.close(descriptor)
        reports[pid] = descriptors[3]


def _become(request: dict[str, Any], descriptors: list[int], others: Any) -> list[str]:
    """Take the streams, the folder and the environment asked for; return the words."""
    for number, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, number)
    for descriptor in (*descriptors, *others):
        os.close(descriptor)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    sys.stdin, sys.stdout = open(0), open(1, "w")  # noqa: SIM115
    sys.stdout.reconfigure(write_through=unbuffered)
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace")  # noqa: SIM115
    words: list[str] = request["words"]
    first = "" if words[0] == "-c" else request["cwd"]
    if words[0] not in ("-m", "-c"):
        first = str(Path(words[0]).resolve().parent)
    given = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    sys.path[:] = [first, *given, *(part for part in sys.path[1:] if part not in given)]
    return words


def _follow(words: list[str]) -> int:
    """Do what Python does with the words of its command line; return the exit code."""
    kind, *rest = words
    try:
        if kind == "-m":
            sys.argv = rest
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        elif kind == "-c":
            sys.argv = ["-c", *rest[1:]]
            exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
        else:
            sys.argv = words
            runpy.run_path(kind, run_name="__main__")
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        print(ended.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _end(code: int) -> None:
    """End as an interpreter does, but for tearing down what was imported: that takes a second."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    asking = socket.socket(fileno=int(sys.argv[1]))
    # Tests that wait for a child wait for the imports before the first.
    _import_all()
    gc.freeze()
    followed = _serve(asking)
    if followed is not None:
        _end(_follow(followed))
