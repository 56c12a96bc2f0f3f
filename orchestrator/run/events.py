"""What a run tells: how far it is, and the events of its trials.

Those are records of Python's logger `scalestudy`; attribute `about` has all (event, trial, cell,
seed, stage, what the event brings).
"""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import RunError
from results.phrases import is_absent

if TYPE_CHECKING:
    from orchestrator.ledger.ledger import Ledger
    from orchestrator.ledger.stages import Wanted
    from results.store.store import Store

LOGGER = logging.getLogger("scalestudy")
# Python prints warnings of loggers without a handler; the progress says what is to be said.
LOGGER.addHandler(logging.NullHandler())


def tell(event: str, wanted: "Wanted", cell: str, **values: Any) -> None:
    """Log an event of a trial; a failure as a warning, all else as information."""
    level = logging.WARNING if event in ("failed", "tried again", "silent") else logging.INFO
    trial = wanted.trial
    about = {"event": event, "trial": trial.trial_id, "cell": cell, "seed": trial.seed}
    about |= {"stage": wanted.stage.value, **values}
    brought = "".join(f", {name} {value}" for name, value in values.items())
    LOGGER.log(level, "%s: %s, seed %s%s", event, cell, trial.seed, brought, extra={"about": about})


class _JsonLines(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        LOGGER.removeHandler(self)
        said = f"--log {self.baseFilename}: given up, it cannot be written ({sys.exc_info()[1]})"
        print(f"{said}; the run goes on without it.", file=sys.stderr)

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        about = getattr(record, "about", {"event": record.getMessage()})
        values = {"time": time, "level": record.levelname.lower(), **about}
        return json.dumps(plain(values), allow_nan=False)


def plain(value: Any) -> Any:
    """Return what JSON knows: nothing absent but null, no infinity, no paths."""
    text = json.dumps(value, default=lambda other: None if is_absent(other) else str(other))
    return json.loads(text, parse_constant=lambda _: None)


@contextmanager
def written_to(file: Path | None) -> Iterator[None]:
    """Append events to a file, if any, one JSON object per line; RunError if it refuses."""
    if file is None:
        yield
        return
    try:
        handler = _JsonLines(file, encoding="utf-8")
    except OSError as error:
        raise RunError(f"--log {file}: cannot be written ({error.strerror}).") from None
    level = LOGGER.level
    LOGGER.setLevel(logging.INFO)
    LOGGER.addHandler(handler)
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)
        with suppress(OSError):  # told already
            handler.close()


class Progress:
    """What a person sees of a run, by its ledger or its run directory; this one shows nothing."""

    def note(self, text: str) -> None:
        """Say what is being done."""

    def decoding(self, done: int, total: int) -> None:
        """Say how many images are decoded."""

    def start(self, source: "Ledger | Store") -> None:
        """Begin to show how far it is."""

    def update(self, source: "Ledger | Store") -> None:
        """Show how far it is now; called several times a second."""

    def stop(self, source: "Ledger | Store") -> None:
        """Show it a last time."""
