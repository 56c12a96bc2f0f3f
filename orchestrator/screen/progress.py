"""What a person sees while a study runs: a live table, or a line now and then in a log."""

import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live

from orchestrator.run.events import Progress
from orchestrator.screen.picture import Picture, summary
from orchestrator.screen.snapshot import snapshot
from results.store.store import Store

if TYPE_CHECKING:
    from orchestrator.ledger.ledger import Ledger

_LIVE_SECONDS = 0.5
_DRAWING_SHARE = 20
"""Drawing may take one part in so many of the driver's time."""
_LOG_SECONDS = (2.0, 5.0, 10.0, 30.0, 60.0)
"""Pauses between log lines: the first soon, then ever rarer."""


class Lines(Progress):
    """A plain line now and then, for logs and pipes."""

    def __init__(self, console: Console | None = None) -> None:
        # Standard output may be a document.
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._started = self._last = time.monotonic()
        self._shown = 0

    def note(self, text: str) -> None:
        """Write a line."""
        self._last = time.monotonic()
        self._console.print(f"[{self._last - self._started:6.0f} s] {text}", markup=False)

    def decoding(self, done: int, total: int) -> None:
        """Write a line where the last one is two seconds old."""
        if time.monotonic() - self._last > 2.0:
            self.note(f"decoding images: {done} of {total}")

    def start(self, source: "Ledger | Store") -> None:
        """Write how far the study is."""
        self.note(summary(snapshot(source)))

    stop = start

    def update(self, source: "Ledger | Store") -> None:
        """Write how far the study is, if the last line is old."""
        pause = _LOG_SECONDS[min(self._shown, len(_LOG_SECONDS) - 1)]
        if time.monotonic() - self._last >= pause:
            self._shown += 1
            self.note(summary(snapshot(source)))


class Table(Lines):
    """A table of cells that is redrawn in place, for terminals; lines until there is one."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(console)
        self._live: Live | None = None
        self._note, self._due = "", 0.0

    def note(self, text: str) -> None:
        """Show what is being done: on a line before the table is there, below it after."""
        self._note = text
        if self._live is None:
            super().note(text)

    def start(self, source: "Ledger | Store") -> None:
        """Draw the table."""
        self._note = ""
        self._live = Live(console=self._console, auto_refresh=False)
        self._live.start()
        self._draw(source)

    def update(self, source: "Ledger | Store") -> None:
        """Draw the state anew after a pause, which is longer where drawing takes long."""
        started = time.monotonic()
        if started >= self._due:
            self._draw(source)
            ended = time.monotonic()
            self._due = ended + max(_LIVE_SECONDS, _DRAWING_SHARE * (ended - started))

    def stop(self, source: "Ledger | Store") -> None:
        """Leave the last state on the screen."""
        self._note = ""
        self._draw(source)
        if self._live:
            self._live.stop()
            self._live = None

    def _draw(self, source: "Ledger | Store") -> None:
        if self._live:
            notes = [self._note] if self._note else []
            self._live.update(Picture(snapshot(source), notes, live=True), refresh=True)


def make_progress() -> Progress:
    """Return what suits the place: a live table in terminals, else plain lines."""
    console = Console(stderr=True)
    is_terminal = console.is_terminal and not console.is_jupyter and sys.stderr.isatty()
    return Table(console) if is_terminal else Lines()
