"""Ctrl-C, SIGTERM and SIGHUP: a run ends in order, and its command within two seconds."""

import os
import select
import signal
import threading
import time
from contextlib import ExitStack, suppress
from types import FrameType
from typing import Self

import psutil

from orchestrator.drivers.connection import drop_private_folders
from orchestrator.errors import OrchestratorError

LEAVE_SECONDS = 1.5
"""Seconds that a command has to end in order, once it was asked to."""
_FLUSH_SECONDS = 30.0
"""Seconds that it has besides where rows are being written, to a store that is slow."""
_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "a hangup"}
SAFE = "all that was recorded is safe. The same command goes on from there."
recording = threading.Lock()
"""Held while what is left is written."""


class Interrupted(OrchestratorError):
    """A signal asked the run to end; everything recorded is safe."""

    exit_code = 130


class Signals(ExitStack):
    """While entered, in the main thread, signals raise `Interrupted`, or wait if deferred."""

    def __init__(self) -> None:
        super().__init__()
        self.deferred = False
        """Whether `check` is called often: an exception out of nowhere would cut a row short."""
        self.asked_by = ""
        """The signal in words, once one has come."""

    def __enter__(self) -> Self:
        self.install()
        return super().__enter__()

    def install(self) -> None:
        """Take the signals; again after a library has taken them for itself."""
        is_main = threading.current_thread() is threading.main_thread()
        for number in _NAMES if is_main else ():
            # What was started by nohup goes on when its terminal closes.
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue
            self.callback(signal.signal, number, signal.signal(number, self._note))

    def check(self) -> None:
        """Raise Interrupted if a signal came."""
        if self.asked_by:
            raise Interrupted(f"interrupted; {SAFE}")

    def _note(self, number: int, frame: FrameType | None) -> None:
        is_again = bool(self.asked_by)
        self.asked_by = self.asked_by or _NAMES[signal.Signals(number)]
        if is_again or not self.deferred:
            self.check()


class Deadline(ExitStack):
    """While entered, a process that is asked to end is gone soon, whatever it waits for.

    Python's own handlers wait for what runs outside of Python, such as a library that tries to
    reach a cluster; a thread does not. It says its sentence, and ends what this process started. A
    second Ctrl-C is not waited for. For commands alone: callers of functions keep their process.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sentence = SAFE
        self._reading = -1

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._reading, writing = os.pipe()
            self.callback(os.close, writing)
            os.set_blocking(writing, False)
            # Written to at once, wherever the main thread is.
            before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
            self.callback(signal.set_wakeup_fd, before)
            threading.Thread(target=self._watch, daemon=True).start()
        return super().__enter__()

    def _watch(self) -> None:
        while (number := self._next(None)) not in _NAMES:
            if not number:
                os.close(self._reading)
                return
        ends = time.monotonic() + LEAVE_SECONDS
        while (left := ends - time.monotonic()) > 0:
            number = self._next(left)
            if number == signal.SIGINT:
                self._leave("left at once")
            elif not number:
                # The command has ended; its process may have more to do than to go.
                time.sleep(max(0.0, ends - time.monotonic()))
        recording.acquire(timeout=_FLUSH_SECONDS)
        self._leave("interrupted")

    def _next(self, seconds: float | None) -> int:
        """Return the next signal; 0 where no more come, -1 where none came in so many seconds."""
        if not select.select([self._reading], [], [], seconds)[0]:
            return -1
        content = os.read(self._reading, 1)
        return content[0] if content else 0

    def _leave(self, how: str) -> None:
        with suppress(OSError):
            # A table that was being drawn has hidden the cursor.
            cursor = "\x1b[?25h" if os.isatty(2) else ""
            os.write(2, f"{cursor}\nscalestudy: {how}; {self.sentence}\n".encode())
        with suppress(psutil.Error):
            # Some of Ray's processes would stay for another minute.
            for child in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    child.kill()
        drop_private_folders()
        os._exit(130)
