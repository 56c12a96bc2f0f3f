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

import forks
import pandas as pd
import yaml

from orchestrator.study.blocks import EarlyStopping
from results.store.store import Store
from trainables.training.simulated import PACE_VARIABLE

AUDITED = Path(__file__).with_name("audited.py")
VARIES = {
    "epochs": {
        "sequence",
        "seconds",
        "images_per_second",
        "evaluation_images_per_second",
        "peak_memory_bytes",
        "host",
        "recorded_at",
    },
    "trials": {
        "seconds",
        "evaluation_images_per_second",
        "host",
        "slot",
        "attempts",
        "started_at",
        "ended_at",
        "error",
    },
}
"""Columns that an interruption may change."""


def flipped(content: bytes, place: int) -> bytes:
    """Return bytes with one bit the other way."""
    changed = bytearray(content)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


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
    anew
        Whether an interpreter is started for it, instead of a child forked that has imported.
    """

    folder: Path
    study: dict[str, Any]
    flags: tuple[str, ...] = ("--address", "none")
    pace: float = 0.0
    place: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    anew: bool = False

    @property
    def out(self) -> Path:
        return self.folder / "run"

    @property
    def store(self) -> Store:
        return Store(self.place or self.out)

    def start(self, *program: str) -> forks.Process:
        """Start it, as the last words of another program where one is given."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "study.yaml"
        file.write_text(yaml.safe_dump(self.study))
        words = ["run", str(file), "--out", self.place or str(self.out), "--no-report", *self.flags]
        words = [*(program or ("-m", "orchestrator")), *words]
        env = {**os.environ, PACE_VARIABLE: str(self.pace), **self.environment}
        if not self.anew:
            return forks.start(words, env=env, stderr=forks.STDOUT)
        pipe, both = subprocess.PIPE, subprocess.STDOUT
        words = [sys.executable, *words]
        return subprocess.Popen(words, env=env, stdout=pipe, stderr=both, text=True)

    def finish(self, timeout: float = 300) -> str:
        """Run to the end; return what it printed."""
        process = self.start()
        output, _ = process.communicate(timeout=timeout)
        assert process.returncode == 0, output
        return output

    def started(self, process: forks.Process, timeout: float = 120) -> None:
        """Wait until rows are planned: the process is past its imports."""
        ends = time.monotonic() + timeout
        lock = self.store.lock
        while not lock.exists() and process.poll() is None:
            assert time.monotonic() < ends
            time.sleep(0.01)

    def recording(self) -> forks.Process:
        """Start, and wait until the first epochs are on disk."""
        process, store = self.start(), Store(self.out)
        while not (store.root.is_dir() and store.parts("epochs")):
            assert process.poll() is None
            time.sleep(0.2)
        return process

    def kill_before(self, operation: int) -> bool:
        """Kill a run before an operation on the files of its folder; return whether it got there.

        Parameters
        ----------
        operation
            Its number, from 1. A run begins with about thirty.
        """
        process = self.start(str(AUDITED), "kill", str(operation), self.place or str(self.out))
        output, _ = process.communicate(timeout=120)
        assert process.returncode in (0, -signal.SIGKILL), output
        return process.returncode != 0

    def most_checkpoints(self) -> int:
        """Run to the end; return how many checkpoint folders there were at most at a time."""
        file, folder = self.folder / "most", self.store.checkpoints
        process = self.start(str(AUDITED), "most", str(file), str(folder))
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
        return int(file.read_text())

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


def kill_at_random_operations(command: Command, kills: int, last: int, seed: int) -> int:
    """Kill the run before random operations, each time going on; return how often it was hit."""
    generator = random.Random(seed)
    return sum(command.kill_before(generator.randint(1, last)) for _ in range(kills))


def kill_at_random(command: Command, kills: int, longest: float, seed: int) -> int:
    """Kill the run at random moments, each time going on; return how often it was hit."""
    generator = random.Random(seed)
    return sum(command.kill_after(generator.uniform(0, longest)) for _ in range(kills))


def table(out: Path | str, name: str, but: Collection[str] = ()) -> pd.DataFrame:
    """Return a table in a fixed order, without what may vary and without the columns `but`."""
    rows = Store(out).read(name).to_pandas().drop(columns=sorted(VARIES[name]))
    rows = rows.drop(columns=rows.columns.intersection([*but]))
    keys = [key for key in ("trial_id", "epoch") if key in rows]
    return rows.sort_values(keys).reset_index(drop=True)


def assert_same_tables(one: Path | str, other: Path | str, but: Collection[str] = ()) -> None:
    """Compare both tables to the last digit, in all columns that may not vary nor are in `but`."""
    for name in VARIES:
        ours, theirs = table(one, name, but), table(other, name, but)
        assert not ours.duplicated([key for key in ("trial_id", "epoch") if key in ours]).any()
        pd.testing.assert_frame_equal(ours, theirs, check_exact=True)


def end(process: forks.Process, number: signal.Signals, limit: float) -> str:
    """Send a signal; return what was printed until the end, `limit` seconds later at most."""
    process.send_signal(number)
    output, _ = process.communicate(timeout=limit)
    return output


def recorded_stops(out: Path) -> dict[str, tuple[int, float]]:
    """Return the rung and the cut-off of every stop in a run directory, by trial."""
    rows = Store(out).read("trials").to_pandas().query("wanted and status == 'stopped'")
    stops = rows.set_index("trial_id")[["stopped_at_epoch", "stopped_cutoff"]]
    return {name: (int(epoch), cutoff) for name, epoch, cutoff in stops.itertuples()}


def explained_stops(
    out: Path, rule: EarlyStopping | None, factors: list[str]
) -> dict[str, tuple[int, float]]:
    """Return the stops that the recorded epochs of a run that was never extended call for.

    At each rung those that reached it are compared, all together: of more than `reduction_factor`
    one in so many goes on, but so many at least, and whoever is level with the last of them.
    """
    assert rule
    trials = Store(out).read("trials").to_pandas().query("wanted and stage == 'search'")
    epochs = Store(out).read("epochs").to_pandas()
    factor, stops = rule.reduction_factor, {}
    for _, race in trials.groupby([*factors, "seed"]):
        budgets = race.set_index("trial_id").epochs_budget
        for rung in rule.rungs(int(budgets.max())):
            rows = epochs[epochs.trial_id.isin(race.trial_id) & (epochs.epoch == rung)]
            there = rows.set_index("trial_id").val_accuracy.sort_values()
            kept = max(factor, -(-len(there) // factor))
            for name, value in there.items() if len(there) > kept else ():
                if value < there.iloc[-kept] and rung < budgets[name]:
                    stops[str(name)] = (rung, there.iloc[-kept])
    return stops
