"""A trial's saved states: whole or absent, and with the rows they stand behind.

A state at epoch c comes with the metrics of all epochs up to c, so that rows which a crash kept
from being recorded are replayed, not lost and not trained again.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from results.ranking import rank
from trainables.errors import CheckpointError, TrainableError
from trainables.training.learner import Learner
from trainables.work.folders import open_folder


class Checkpoints:
    """The checkpoint folder of one trial.

    Parameters
    ----------
    folder
        A path, or an address in an object store; made at the first save.
    keep
        `none` and `last` keep the latest state, `best` also that of the best epoch by validation
        accuracy, `all` every saved one.
    """

    def __init__(self, folder: str | Path, keep: str = "none") -> None:
        self._folder, self._keep = open_folder(folder), keep

    def save(self, learner: Learner, rows: Sequence[dict[str, Any]]) -> None:
        """Write the learner's state and its rows, then drop the states no longer kept.

        Raises
        ------
        CheckpointError
            The disk or the store refuses; the states so far are untouched.
        """
        state = _name(learner.epoch)
        try:
            # The rows come first: a state counts only once its rows are there.
            content = json.dumps(list(rows)).encode()
            self._folder.write(_rows(state), lambda file: file.write_bytes(content))
            self._folder.write(state, learner.save)
            kept = self._kept(rows, learner.epoch)
            for old in self.states():
                if old not in kept:
                    self._folder.remove(old)
                    self._folder.remove(_rows(old))
        except OSError as error:
            # A store's errors have no number.
            hint = "make room" if error.errno else "look at the network and the credentials"
            raise CheckpointError(
                f"{self._folder}/{state} cannot be written ({error.strerror or error}); "
                f"{hint} and run again"
            ) from error

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
            if _epoch(state) > budget:
                continue
            try:
                rows = _read_rows(self._folder.read(_rows(state)), epochs=_epoch(state))
                with self._folder.file(state) as file:
                    learner.load(file)
            except (TrainableError, OSError, ValueError) as error:
                problems.append(
                    f"{self._folder}/{state} cannot be used ({error}); an older state or none is"
                )
                with suppress(OSError):
                    self._folder.rename(state, str(Path(state).with_suffix(".damaged")))
                continue
            return rows, problems
        return [], problems

    def states(self) -> list[str]:
        """Return the names of the saved states, oldest first."""
        return [name for name in self._folder.names() if Path(name).match("[0-9]*.state")]

    def clear(self) -> None:
        """Remove the folder."""
        self._folder.clear()

    def _kept(self, rows: Sequence[dict[str, Any]], epoch: int) -> set[str]:
        if self._keep == "all":
            return set(self.states())
        kept = {_name(epoch)}
        if self._keep == "best":
            best = min(rows, key=lambda row: (rank(row["val_accuracy"]), row["epoch"]))
            kept.add(_name(best["epoch"]))
        return kept


def _name(epoch: int) -> str:
    return f"{epoch:06d}.state"


def _epoch(state: str) -> int:
    return int(Path(state).stem)


def _rows(state: str) -> str:
    return str(Path(state).with_suffix(".json"))


def _read_rows(content: bytes, epochs: int) -> list[dict[str, Any]]:
    rows = json.loads(content)
    found = [row.get("epoch") for row in rows if isinstance(row, dict)] if rows else None
    if not isinstance(rows, list) or found != list(range(1, epochs + 1)):
        raise ValueError(f"its rows are not the metrics of epochs 1 to {epochs}")
    return rows
