"""Runs of the command in processes of their own, to be killed, and tables to be compared."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from results.store.store import Store
from trainables.training.simulated import PACE_VARIABLE

VARIES = {
    "epochs": {
        "sequence",
        "seconds",
        "images_per_second",
        "peak_memory_bytes",
        "host",
        "recorded_at",
    },
    "trials": {"seconds", "host", "slot", "attempts", "started_at", "ended_at", "error"},
}
"""Columns that an interruption may change."""


@dataclass
class Command:
    """The command `scalestudy run` on one study and one run directory.

    Parameters
    ----------
    folder
        Of the study file and the run directory.
    study
        The study's values.
    flags
        Of the command; without Ray by default.
    pace
        Seconds of a simulated epoch.
    place
        Address of the run directory, where it is not the folder `run`.
    """

    folder: Path
    study: dict[str, Any]
    flags: tuple[str, ...] = ("--address", "none")
    pace: float = 0.0
    place: str | None = None
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        return self.folder / "run"

    @property
    def store(self) -> Store:
        return Store.at(self.place or self.out)

    def start(self) -> subprocess.Popen[str]:
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "study.yaml"
        file.write_text(yaml.safe_dump(self.study))
        words = ["run", str(file), "--out", self.place or str(self.out), "--no-report", *self.flags]
        return subprocess.Popen(
            [sys.executable, "-m", "orchestrator", *words],
            env={**os.environ, PACE_VARIABLE: str(self.pace), **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self, timeout: float = 300) -> str:
        """Run to the end; return what it printed."""
        process = self.start()
        output, _ = process.communicate(timeout=timeout)
        assert process.returncode == 0, output
        return output

    def started(self, process: subprocess.Popen[str], timeout: float = 120) -> None:
        """Wait until rows are planned: the process is past its imports."""
        ends = time.monotonic() + timeout
        lock = self.store.lock
        while not lock.exists() and process.poll() is None:
            assert time.monotonic() < ends
            time.sleep(0.01)

    def recording(self) -> subprocess.Popen[str]:
        """Start, and wait until the first epochs are on disk."""
        process, store = self.start(), Store(self.out)
        while not (store.root.is_dir() and store.parts("epochs")):
            assert process.poll() is None
            time.sleep(0.2)
        return process

    def kill_after(self, seconds: float) -> bool:
        """Kill a run so long after it took its lock; return whether it was still under way."""
        process = self.start()
        self.started(process)
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return True
        output, _ = process.communicate()
        assert process.returncode == 0, output
        return False


def kill_at_random(command: Command, kills: int, longest: float, seed: int) -> int:
    """Kill the run at random moments, each time going on; return how often it was hit."""
    generator = random.Random(seed)
    return sum(command.kill_after(generator.uniform(0, longest)) for _ in range(kills))


def table(out: Path | str, name: str, but: Collection[str] = ()) -> pd.DataFrame:
    """Return a table in a fixed order, without what may vary and without the columns `but`."""
    rows = Store.at(out).read(name).to_pandas().drop(columns=sorted(VARIES[name]))
    rows = rows.drop(columns=rows.columns.intersection([*but]))
    keys = [key for key in ("trial_id", "epoch") if key in rows]
    return rows.sort_values(keys).reset_index(drop=True)


def assert_same_tables(one: Path | str, other: Path | str, but: Collection[str] = ()) -> None:
    """Compare both tables to the last digit, in all columns that may not vary nor are in `but`."""
    for name in VARIES:
        ours, theirs = table(one, name, but), table(other, name, but)
        assert not ours.duplicated([key for key in ("trial_id", "epoch") if key in ours]).any()
        pd.testing.assert_frame_equal(ours, theirs, check_exact=True)


def end(process: subprocess.Popen[str], number: signal.Signals) -> tuple[float, str]:
    """Send a signal; return how long the process took to end, and what it printed."""
    sent = time.monotonic()
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    return time.monotonic() - sent, output
