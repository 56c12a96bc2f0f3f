"""A command in a process of its own: its wall time, and the memory of all that it starts."""

import compileall
import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

import orchestrator
import results
import trainables

_SAMPLE_SECONDS = 1.0
_TAIL = 3000
_PATIENCE = 120.0
_WORKED = 1.0
"""CPU seconds that are more than waiting takes."""


@dataclass(frozen=True)
class Cost:
    """What a command took."""

    seconds: float
    """Wall time."""
    cpu_seconds: float
    """Of all processes, as far as samples once a second saw them."""
    memory: int
    """Peak resident bytes of all processes together; pages that several share count once."""
    memory_driver: int
    """Peak resident bytes of the first process."""
    memory_worker: int
    """Peak resident bytes of the largest of the others."""
    load: float
    """The machine's load of the last minute when the command was started."""


def compile_packages() -> None:
    """Compile scalestudy's modules as pip does when it installs a package.

    A checkout that is installed in place, where Python may not write bytecode
    (`PYTHONDONTWRITEBYTECODE`), is compiled anew by every process.
    """
    for package in (orchestrator, results, trainables):
        folder = Path(str(package.__file__)).parent
        if not compileall.compile_dir(folder, quiet=1):
            print(f"{folder} could not be compiled: starts are slower than installed", flush=True)


def measure(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    patience: float = _PATIENCE,
    folder: Path | None = None,
) -> Cost:
    """Run a command to its end.

    Parameters
    ----------
    command, environment
        What to run, and what to add to this process's environment.
    log
        File for its output.
    patience
        Seconds for which it may compute nothing before it is ended.
    folder
        Where it runs; here by default.

    Raises
    ------
    RuntimeError
        It failed, or hangs; the end of its output is in the message.
    """
    load = os.getloadavg()[0]
    with log.open("w") as handle:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdout=handle,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            cwd=folder,
        )
        sampler = _Sampler(process.pid, patience)
        sampler.start()
        try:
            code = process.wait()
        except BaseException:
            sampler.end_processes()
            raise
        finally:
            seconds = time.perf_counter() - started
            sampler.stop()
    if code:
        fate = f"hung for {patience:.0f} s" if sampler.hung else f"ended with {code}"
        raise RuntimeError(f"{' '.join(command)} {fate}:\n{log.read_text()[-_TAIL:]}")
    return Cost(
        seconds,
        sum(sampler.cpu.values()),
        sampler.memory,
        sampler.memory_driver,
        sampler.memory_worker,
        load,
    )


class _Sampler(threading.Thread):
    """Looks at a process and all its descendants once a second."""

    def __init__(self, pid: int, patience: float) -> None:
        super().__init__(daemon=True)
        self._root, self._patience = psutil.Process(pid), patience
        self._ended = threading.Event()
        self.hung = False
        self.memory = self.memory_driver = self.memory_worker = 0
        self.cpu: dict[int, float] = {}

    def run(self) -> None:
        """Sample until stopped; end the command where it hangs."""
        worked, since = 0.0, time.monotonic()
        while not self._ended.wait(_SAMPLE_SECONDS):
            with suppress(psutil.Error):
                self._sample([self._root, *self._root.children(recursive=True)])
            spent = sum(self.cpu.values())
            if spent > worked + _WORKED:
                worked, since = spent, time.monotonic()
            elif time.monotonic() - since > self._patience:
                self.hung = True
                self.end_processes()
                return

    def stop(self) -> None:
        """End the sampling."""
        self._ended.set()
        self.join()

    def end_processes(self) -> None:
        """End the command and all that it started."""
        with suppress(psutil.Error):
            for process in [*self._root.children(recursive=True), self._root]:
                with suppress(psutil.Error):
                    process.kill()

    def _sample(self, processes: Sequence[psutil.Process]) -> None:
        together = 0
        for process in processes:
            try:
                info = process.memory_full_info()
                times = process.cpu_times()
            except psutil.Error:
                continue
            together += info.pss
            self.cpu[process.pid] = times.user + times.system
            if process.pid == self._root.pid:
                self.memory_driver = max(self.memory_driver, info.rss)
            else:
                self.memory_worker = max(self.memory_worker, info.rss)
        self.memory = max(self.memory, together)
