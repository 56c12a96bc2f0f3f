"""What a person sees while a study runs: a live table, or a line now and then in a log."""

import sys
import time
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from orchestrator.passes import Pass
from orchestrator.view import CellsTable, StudyView, overall, summary, view_of

_LIVE_SECONDS = 0.5
_DRAWING_SHARE = 20
"""Drawing may take one part in so many of the driver's time."""
_LOG_SECONDS = (2.0, 5.0, 10.0, 30.0, 60.0)
"""Pauses between log lines: the first soon, then ever rarer."""


class Progress(Protocol):
    """Shown while a study runs."""

    def note(self, text: str) -> None:
        """Say what is being done before training."""

    def decoding(self, done: int, total: int) -> None:
        """Say how many images are decoded."""

    def start(self, work: Pass) -> None:
        """Begin to show a pass."""

    def update(self, work: Pass) -> None:
        """Show how far the pass is; called several times a second."""

    def stop(self, work: Pass) -> None:
        """Show the pass a last time."""


class Silent:
    """Shows nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def decoding(self, done: int, total: int) -> None:
        """Show nothing."""

    def start(self, work: Pass) -> None:
        """Show nothing."""

    def update(self, work: Pass) -> None:
        """Show nothing."""

    def stop(self, work: Pass) -> None:
        """Show nothing."""


class _Clock:
    """Estimates the time left from the work done since the pass began, costs weighted in."""

    def __init__(self, work: Pass) -> None:
        self._started = time.monotonic()
        self._before = work.work_done()

    def left(self, work: Pass) -> float | None:
        """Return the seconds left, None before anything is trained."""
        done, total = work.work_done(), work.work_total()
        gained, elapsed = done - self._before, time.monotonic() - self._started
        if gained <= 0 or elapsed < 1:
            return None
        return elapsed * max(0.0, total - done) / gained


class Lines:
    """A plain line now and then, for logs and pipes.

    Parameters
    ----------
    console
        Where to write; standard error by default, since standard output may be a document.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._started = time.monotonic()
        self._last = self._started
        self._shown = 0
        self._clock: _Clock | None = None

    def note(self, text: str) -> None:
        """Write a line."""
        self._write(text)

    def decoding(self, done: int, total: int) -> None:
        """Write a line when it takes long, and at the end."""
        if time.monotonic() - self._last > 2.0:
            self._write(f"decoding images: {done} of {total}")

    def start(self, work: Pass) -> None:
        """Write how much there is to do."""
        self._clock = _Clock(work)
        self._write(summary(_view(work)))

    def update(self, work: Pass) -> None:
        """Write a line if the last one is old."""
        pause = _LOG_SECONDS[min(self._shown, len(_LOG_SECONDS) - 1)]
        if time.monotonic() - self._last >= pause:
            self._shown += 1
            left = self._clock.left(work) if self._clock else None
            self._write(summary(_view(work), left))

    def stop(self, work: Pass) -> None:
        """Write the last line."""
        self._write(summary(_view(work)))

    def _write(self, text: str) -> None:
        self._last = time.monotonic()
        self._console.print(f"[{self._last - self._started:6.0f} s] {text}", markup=False)


class Table:
    """A table of cells that is redrawn in place, for terminals."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._status = self._console.status("starting")
        self._live: Live | None = None
        self._clock: _Clock | None = None
        self._due = 0.0
        self._note = ""

    def note(self, text: str) -> None:
        """Show what is being done, with a spinner before the table is there."""
        self._note = text
        if self._live is None:
            self._status.update(text)
            self._status.start()

    def decoding(self, done: int, total: int) -> None:
        """Show how many images are decoded."""
        if self._live is None:
            self._status.update(f"decoding images, once for all trials: {done} of {total}")
            self._status.start()

    def start(self, work: Pass) -> None:
        """Draw the table."""
        self._status.stop()
        self._note = ""
        self._clock = _Clock(work)
        self._live = Live(self._picture(work), console=self._console, auto_refresh=False)
        self._live.start(refresh=True)

    def update(self, work: Pass) -> None:
        """Redraw, twice a second at most, and less often where drawing takes long."""
        started = time.monotonic()
        if self._live and started >= self._due:
            self._live.update(self._picture(work), refresh=True)
            ended = time.monotonic()
            self._due = ended + max(_LIVE_SECONDS, _DRAWING_SHARE * (ended - started))

    def stop(self, work: Pass) -> None:
        """Leave the last state on the screen."""
        self._status.stop()
        if self._live:
            self._note = ""
            self._live.update(self._picture(work), refresh=True)
            self._live.stop()
            self._live = None

    def _picture(self, work: Pass) -> Group:
        view = _view(work)
        left = self._clock.left(work) if self._clock else None
        table = CellsTable(view, work.study.name)
        notes = [self._note] if self._note else []
        legend = Text("validation accuracy, (best so far) · trials done/known", style="dim")
        return Group(table, legend, overall(view, left, notes))


def make_progress() -> Progress:
    """Return what suits the place that standard error goes to."""
    console = Console(stderr=True)
    return Table(console) if console.is_terminal and sys.stderr.isatty() else Lines()


def _view(work: Pass) -> StudyView:
    return view_of(work.recorder.rows(), list(work.study.factors))
