"""A trial's saved states on disk: whole or absent, and with the rows they stand behind.

A state at epoch c comes with the metrics of all epochs up to c, so that rows which a crash kept
from being recorded are replayed, not lost and not trained again.
"""

import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from trainables.errors import CheckpointError, TrainableError
from trainables.learner import Learner


class Checkpoints:
    """The checkpoint folder of one trial.

    Parameters
    ----------
    folder
        Made at the first save.
    keep
        `none` and `last` keep the latest state, `best` also that of the best epoch by validation
        accuracy, `all` every saved one.
    """

    def __init__(self, folder: Path, keep: str = "none") -> None:
        self._folder, self._keep = folder, keep

    def save(self, learner: Learner, rows: Sequence[dict[str, Any]]) -> None:
        """Write the learner's state and its rows, then drop the states no longer kept.

        Raises
        ------
        CheckpointError
            The disk refuses; the states so far are untouched.
        """
        state = self._folder / f"{learner.epoch:06d}.state"
        scrap = state.with_suffix(".writing")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            # The rows come first: a state counts only once its rows are there.
            _write(self._rows(state), json.dumps(list(rows)).encode())
            learner.save(scrap)
            _sync(scrap)
            scrap.replace(state)
            _sync(self._folder)
        except OSError as error:
            with suppress(OSError):
                scrap.unlink(missing_ok=True)
            raise CheckpointError(
                f"{state} cannot be written ({error.strerror or error}); make room and run again"
            ) from error
        kept = self._kept(rows, learner.epoch)
        for old in self.states():
            if old not in kept:
                self._remove(old)

    def restore(self, learner: Learner, budget: int) -> tuple[list[dict[str, Any]], list[str]]:
        """Bring the learner to the latest state within its budget that can be read.

        Parameters
        ----------
        learner
            As it was made; left so where there is no such state.
        budget
            Epochs of the whole trial: a state beyond them would predict for another epoch.

        Returns
        -------
        rows
            Metrics of every epoch up to that state; empty when there is none.
        problems
            A sentence for each state that was damaged; it is set aside by renaming.
        """
        problems = []
        for state in reversed(self.states()):
            if int(state.stem) > budget:
                continue
            try:
                rows = _read_rows(self._rows(state), epochs=int(state.stem))
                learner.load(state)
            except (TrainableError, OSError, ValueError) as error:
                problems.append(f"{state} cannot be used ({error}); an older state or none is")
                with suppress(OSError):
                    state.replace(state.with_suffix(".damaged"))
                continue
            return rows, problems
        return [], problems

    def states(self) -> list[Path]:
        """Return the saved states, oldest first."""
        return sorted(self._folder.glob("[0-9]*.state"))

    def clear(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _kept(self, rows: Sequence[dict[str, Any]], epoch: int) -> set[Path]:
        if self._keep == "all":
            return set(self.states())
        kept = {self._folder / f"{epoch:06d}.state"}
        if self._keep == "best":
            best = max(rows, key=lambda row: (row["val_accuracy"], -row["epoch"]))
            kept.add(self._folder / f"{best['epoch']:06d}.state")
        return kept

    def _rows(self, state: Path) -> Path:
        return state.with_suffix(".json")

    def _remove(self, state: Path) -> None:
        state.unlink(missing_ok=True)
        self._rows(state).unlink(missing_ok=True)


def _read_rows(file: Path, epochs: int) -> list[dict[str, Any]]:
    rows = json.loads(file.read_text())
    found = [row.get("epoch") for row in rows if isinstance(row, dict)] if rows else None
    if not isinstance(rows, list) or found != list(range(1, epochs + 1)):
        raise ValueError(f"{file.name} does not hold the metrics of epochs 1 to {epochs}")
    return rows


def _write(file: Path, content: bytes) -> None:
    with file.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
