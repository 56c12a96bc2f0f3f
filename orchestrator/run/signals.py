"""Ctrl-C, SIGTERM and SIGHUP: asked once, a run ends in order; asked twice, at once."""

import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import Any, Self

import psutil

from orchestrator.drivers.connection import drop_private_folders
from orchestrator.errors import OrchestratorError


class Interrupted(OrchestratorError):
    """A signal asked the run to end; everything recorded is safe."""

    exit_code = 130


class Signals:
    """While entered, the three signals raise `Interrupted`, or wait where they are deferred.

    Only the main thread receives signals; elsewhere nothing is changed.
    """

    def __init__(self) -> None:
        self.deferred = False
        """Whether `check` is called often: an exception out of nowhere would cut a row short."""
        self._asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self.install()
        return self

    def __exit__(self, *reason: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def install(self) -> None:
        """Take the signals; again after a library has taken them for itself."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # What was started by nohup goes on when its terminal closes.
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue
            before = signal.signal(number, self._note)
            self._before.setdefault(number, before)

    def check(self) -> None:
        """Raise Interrupted if a signal came."""
        if self._asked:
            raise Interrupted("interrupted; all that was recorded is safe")

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._asked and number == signal.SIGINT:
            sys.stderr.write(
                "\nscalestudy: left at once; all that was recorded is safe. "
                "The same command goes on from there.\n"
            )
            sys.stderr.flush()
            _end_children()
            drop_private_folders()
            os._exit(130)
        self._asked = True
        if not self.deferred:
            self.check()


def _end_children() -> None:
    """Kill what this process started: some of Ray's processes would stay for another minute."""
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            child.kill()
