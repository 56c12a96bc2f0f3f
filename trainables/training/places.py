"""Places for trials on a machine, and how one that evaluates borrows those that none holds."""

import fcntl
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from itertools import starmap
from pathlib import Path
from typing import Any, TypeVar

import torch

_REST_SECONDS = 1.0
"""After an interval, how long a trial keeps its place without being asked for the next one."""
_PATIENCE = 2.0
"""Seconds that a trial waits for its place; who borrowed it gives it back after a batch."""
_R = TypeVar("_R")


class Places:
    """The places for trials on this machine, which their processes hold and borrow.

    Each is a lock on a file in the folder; so a process that dies holds none.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self.count = count
        self._files = [folder / f"place-{number}" for number in range(count)]
        self._lock = threading.Lock()
        self._held: int | None = None
        self._rest = threading.Timer(0, self._leave)
        self._turn = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold a place for an interval of this process's trial, and until the next one if it comes.

        A trial that is stopped is told nothing: its place is free soon after.
        """
        self._rest.cancel()
        with self._lock:
            self._turn += 1
            end = time.monotonic() + _PATIENCE
            while self._held is None and self._files and time.monotonic() < end:
                self._held = self._take()
                if self._held is None:
                    time.sleep(0.005)
        try:
            yield
        finally:
            self._rest = threading.Timer(_REST_SECONDS, self._leave, [self._turn])
            self._rest.daemon = True
            self._rest.start()

    def borrow(self) -> Callable[[], None] | None:
        """Take a place that no trial holds; return what gives it back, or None where all are."""
        file = self._take()
        return None if file is None else partial(_free, file)

    def _take(self) -> int | None:
        for path in self._files:
            try:
                # A lock is of the open file: a thread of this process must not share it.
                file = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    os.close(file)
                    raise
            except BlockingIOError:
                continue
            except OSError:
                # The run has ended, or files are not locked there: nothing is lent, or waited for.
                self._files = []
                return None
            return file
        return None

    def _leave(self, turn: int) -> None:
        with self._lock:
            if turn == self._turn and self._held is not None:
                _free(self._held)
                self._held = None


def _free(file: int) -> None:
    # A process that was forked meanwhile has the file open too, and would keep a lock.
    fcntl.flock(file, fcntl.LOCK_UN)
    os.close(file)


@cache
def places_in(folder: str, count: int) -> Places:
    """Return the places whose locks are in a folder, one object for all of this process."""
    return Places(Path(folder), count)


class Helpers:
    """Threads that work beside a trial's own, on the places that it can borrow, a batch at a time.

    Each computes with as many threads of torch's as the trial: a batch comes out the same whoever
    made it. Without places there are none.
    """

    def __init__(self, places: Places | None) -> None:
        self._places = places
        self._seconds: list[float] = []

    def take_seconds(self) -> float:
        """Return how long all of them have worked together since this was asked."""
        seconds, self._seconds = math.fsum(self._seconds), []
        return seconds

    def each(self, work: Callable[..., _R], given: Iterable[tuple[Any, ...]]) -> Iterator[_R]:
        """Yield what `work`, without gradients, makes of each batch that is given, in order."""
        places = self._places
        if places is None:
            yield from starmap(work, given)
            return
        threads = partial(torch.set_num_threads, torch.get_num_threads())
        done = deque[Future[_R]]()
        with ThreadPoolExecutor(places.count, "evaluation", threads) as pool:
            for batch in given:
                if give_back := places.borrow():
                    done.append(pool.submit(self._help, work, batch, give_back))
                else:
                    done.append(Future())
                    done[-1].set_result(work(*batch))
                while done and done[0].done():
                    yield done.popleft().result()
            yield from (future.result() for future in done)

    @torch.inference_mode()
    def _help(
        self, work: Callable[..., _R], batch: tuple[Any, ...], give_back: Callable[[], None]
    ) -> _R:
        began = time.perf_counter()
        try:
            return work(*batch)
        finally:
            give_back()
            self._seconds.append(time.perf_counter() - began)
