"""A trial's saved states: whole or absent, and with the rows they stand behind.

With each come the rows of all epochs so far, replayed where a crash kept them from being recorded.
One within an interval has a name that earlier versions pass over, and serves its trial alone.
"""

import re
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path, PurePath
from typing import TypeVar

from results.errors import StoreError
from results.metric import ACCURACY, Metric
from results.store.files import make_folder, move, remove, sync
from results.store.objects import Location, ObjectPath, is_address
from trainables.data.cache import checksum, opened_json, sealed_json
from trainables.errors import CheckpointError, ForeignCheckpoint, OutOfMemory, TrainableError
from trainables.training.learner import Learner, Pausable, Row, updates_of
from trainables.trial import SHARED_STATES

T = TypeVar("T")
_PATIENCE = 60.0
"""Seconds for which a store that refuses is asked again."""
_PAUSE = 2.0
_STATE = re.compile(r"(within-\d+-)?\d+\.state")


@cache
def folder_at(place: str) -> Location:
    """Return the folder at a path or an address, with one connection for all trials of a worker."""
    return ObjectPath.named(place) if is_address(place) else Path(place)


class Checkpoints:
    """The checkpoint folder of one trial, on a disk or in an object store; made at the first save.

    Kept are: with `none` and `last` the latest state, `best` also that of the best epoch by
    the metric on the validation set, `all` every saved one; within an interval, the latest.
    """

    def __init__(self, folder: Location, keep: str = "none", metric: Metric = ACCURACY) -> None:
        self._folder, self._keep, self._metric = folder, keep, metric
        self._shown = folder.shown if isinstance(folder, ObjectPath) else str(folder)

    def save(self, learner: Learner, rows: Sequence[Row]) -> None:
        """Write the learner's state and its rows, then drop older states that are no longer kept.

        Raises CheckpointError where the disk or the store refuses; those so far are untouched.
        """
        state = _name(learner.epoch, updates_of(learner))
        try:
            with _scrap(self._folder / state) as scrap:
                learner.save(scrap)
                # The rows come first: a state counts only once its rows are there.
                with _scrap(self._folder / _rows(state)) as beside:
                    beside.write_bytes(sealed_json({"state": checksum(scrap), "rows": [*rows]}))
            names = self._all()
            kept = self._kept(rows, state, names)
            for old in [old for old in names if _place(old) < _place(state)]:
                for file in (old, _rows(old)) if old not in kept else ():
                    _persistently(partial((self._folder / file).unlink, missing_ok=True))
            if isinstance(self._folder, Path) and not self._folder.name.startswith(SHARED_STATES):
                # By a process that was killed; of shared states another trial may be writing some.
                for left in self._folder.glob("*.writing"):
                    left.unlink(missing_ok=True)
        except OSError as error:
            said = f"{self._shown}/{state} cannot be written ({error.strerror or error})"
            raise CheckpointError(f"{said}: make room") from error
        except StoreError as error:
            raise CheckpointError(f"a checkpoint cannot be written: {error}") from error

    def restore(
        self, learner: Learner, budget: int, tested: bool = False
    ) -> tuple[list[Row], list[str]]:
        """Bring a fresh learner to the latest state within its budget that can be read.

        Where it is to be `tested`, a state at the budget must have been, too. Returns the rows of
        every epoch up to that state, and a sentence for each state that was damaged, which is set
        aside by renaming, and for the latest that is foreign here, which is left as it is. Raises
        OutOfMemory where the learner's device has no room for a state.
        """
        problems: list[str] = []
        is_foreign = False
        # Of a learner of several processes a whole one serves.
        names = self._all() if isinstance(learner, Pausable) else self.states()
        for state in reversed([state for state in names if _place(state) <= [budget]]):
            try:
                return self._load(learner, state, tested and _place(state) == [budget]), problems
            except OutOfMemory:
                raise
            except ForeignCheckpoint as error:
                if not is_foreign:
                    problems.append(f"{error}; it is left there, and the trial starts afresh here")
                is_foreign = True
            except (TrainableError, StoreError, OSError, ValueError) as error:
                said = f"{self._shown}/{state} cannot be used ({error})"
                problems.append(f"{said}; an older state or none is")
                with suppress(StoreError, OSError):
                    aside = self._folder / str(PurePath(state).with_suffix(".damaged"))
                    move(self._folder / state, aside)
        return [], problems

    def states(self) -> list[str]:
        """Return the names of the saved states of whole intervals, oldest first."""
        return [*filter(_is_whole, self._all())]

    def _all(self) -> list[str]:
        names = _persistently(lambda: [file.name for file in self._folder.glob("*.state")])
        return sorted(filter(_STATE.fullmatch, names), key=_place)

    def clear(self) -> None:
        """Remove the folder, as far as that can be done now: what is left harms nobody."""
        with suppress(StoreError, OSError):
            remove(self._folder)

    def _load(self, learner: Learner, state: str, tested: bool) -> list[Row]:
        held = opened_json(_persistently((self._folder / _rows(state)).read_bytes))
        # An earlier version wrote the rows alone.
        held = held if isinstance(held, dict) else {"rows": held}
        rows, written = held.get("rows"), held.get("state")
        rows = rows if isinstance(rows, list) else [None]
        found, done = [row.get("epoch") for row in rows if isinstance(row, dict)], _place(state)[0]
        if found != list(range(1, done + 1)):
            raise ValueError(f"its rows are not the metrics of epochs 1 to {done}")
        if tested and rows[-1].get("test_accuracy") is None:
            raise ForeignCheckpoint(f"{self._shown}/{state} was not evaluated on the test set")
        with readable(self._folder / state) as file:
            if written is not None and checksum(file) != written:
                raise ValueError("it is not as it was written")
            learner.load(file)
        return rows

    def _kept(self, rows: Sequence[Row], state: str, names: Sequence[str]) -> set[str]:
        if self._keep == "all" or not _is_whole(state):
            return {state, *filter(_is_whole, names)}
        if self._keep != "best":
            return {state}
        best = min(rows, key=lambda row: (self._metric.rank(row["val_metric"]), row["epoch"]))
        return {state, _name(best["epoch"])}


def _name(epoch: int, updates: int = 0) -> str:
    return f"within-{epoch:06d}-{updates:09d}.state" if updates else f"{epoch:06d}.state"


def _is_whole(state: str) -> bool:
    return len(_place(state)) == 1


def _place(state: str) -> list[int]:
    """Return the epochs that are done and, within an interval, the updates."""
    return [int(number) for number in re.findall(r"\d+", state)]


def _rows(state: str) -> str:
    return str(PurePath(state).with_suffix(".json"))


@contextmanager
def _scrap(place: Location) -> Iterator[Path]:
    """Give a path whose file takes a place, whole, at the end: synced and renamed, or put."""
    if isinstance(place, ObjectPath):
        with tempfile.TemporaryDirectory(prefix="scalestudy-") as scratch:
            file = Path(scratch) / place.name
            yield file
            _persistently(lambda: place.upload(file))
        return
    # Another worker may still be at work on the same state, behind a network that was cut.
    scrap = place.with_name(f"{place.name}.{uuid.uuid4().hex[:8]}.writing")
    make_folder(place.parent)
    try:
        yield scrap
        sync(scrap)
        scrap.replace(place)
    finally:
        with suppress(OSError):
            scrap.unlink(missing_ok=True)
    sync(place.parent)


@contextmanager
def readable(place: Location) -> Iterator[Path]:
    """Give a path at which a file can be read until the block ends."""
    if isinstance(place, Path):
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="scalestudy-") as scratch:
        file = Path(scratch) / place.name
        _persistently(lambda: place.download(file))
        yield file


def _persistently(ask: Callable[[], T]) -> T:
    """Return what a store answers, asked again for a while: training must not end for a hiccup."""
    ends = time.monotonic() + _PATIENCE
    while True:
        try:
            return ask()
        except StoreError:
            if time.monotonic() > ends:
                raise
        time.sleep(_PAUSE)
