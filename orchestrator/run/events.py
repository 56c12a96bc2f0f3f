"""What happens to trials, as records of Python's logging: the logger `scalestudy`.

Each record bears what it is about in its attribute `about` (event, trial, cell, seed, stage and
what the event brings), so that handlers of one's own need not read text. `--log FILE` writes them
as JSON lines.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.commands.usage import plain
from orchestrator.errors import RunError
from orchestrator.ledger.stages import Wanted

LOGGER = logging.getLogger("scalestudy")
# Python prints warnings of loggers without a handler; the progress says what is to be said.
LOGGER.addHandler(logging.NullHandler())


def tell(event: str, wanted: Wanted, cell: str, **values: Any) -> None:
    """Log an event of a trial; a failure as a warning, all else as information."""
    level = logging.WARNING if event in ("failed", "tried again") else logging.INFO
    if not LOGGER.isEnabledFor(level):
        return
    trial = wanted.trial
    about = {
        "event": event,
        "trial": trial.trial_id,
        "cell": cell,
        "seed": trial.seed,
        "stage": wanted.stage.value,
        **values,
    }
    brought = "".join(f", {name} {value}" for name, value in values.items())
    LOGGER.log(level, "%s: %s, seed %s%s", event, cell, trial.seed, brought, extra={"about": about})


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        about = getattr(record, "about", {"event": record.getMessage()})
        values = {"time": time, "level": record.levelname.lower(), **about}
        return json.dumps(plain(values), allow_nan=False)


@contextmanager
def written_to(file: Path | None) -> Iterator[None]:
    """Append events to a file, one JSON object per line; nowhere where it is None.

    Raises
    ------
    RunError
        The file cannot be written.
    """
    if file is None:
        yield
        return
    try:
        handler = logging.FileHandler(file, encoding="utf-8")
    except OSError as error:
        raise RunError(f"--log {file}: cannot be written ({error.strerror}).") from None
    handler.setFormatter(_JsonLines())
    level = LOGGER.level
    LOGGER.setLevel(logging.INFO)
    LOGGER.addHandler(handler)
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)
        handler.close()
