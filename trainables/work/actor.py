"""The one place where a trial meets Ray: a reusable Tune trainable around a job."""

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import ray
from ray import tune
from ray.exceptions import OutOfMemoryError, RayError, RayTaskError
from ray.tune import PlacementGroupFactory
from ray.util import get_current_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from trainables.errors import CheckpointError, Diverged, OutOfMemory, TrainableError
from trainables.functions import see_modules
from trainables.machine import give_memory_back
from trainables.training.learner import Facts, Learner, Row
from trainables.training.scores import Predictions
from trainables.work.job import Job, make_here
from trainables.work.reports import EpochDone, Task

_LOOK_SECONDS = 2.0
"""Between two questions whether the machine is to be taken away."""
_GRACE_SECONDS = 3.0
"""After one process failed: time for the one that is to blame to say so too."""


class Actor(tune.Trainable):  # type: ignore[misc]
    """Carries out one job after another, in one worker process or in one per GPU."""

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> PlacementGroupFactory:
        """Return one bundle with the CPUs and GPUs that the config asks for.

        Each of several GPUs has its own, with its part of the CPUs, all on one machine.
        """
        cpu, gpu = config["cpu"], config["gpu"]
        kind = {f"accelerator_type:{config['gpu_kind']}": 0.001} if config["gpu_kind"] else {}
        if gpu <= 1:
            gpus = {"GPU": countable(gpu), **kind} if gpu else {}
            return PlacementGroupFactory([{"CPU": cpu, **gpus}])
        bundles = [{"CPU": cpu / gpu, "GPU": 1.0, **kind}] * round(gpu)
        return PlacementGroupFactory([{}, *bundles], strategy="STRICT_PACK")

    _is_busy = _is_asked = False
    _job: Job | None = None
    _place: Callable[[], AbstractContextManager[None]] = nullcontext
    _crew: "Crew | None" = None
    _end: Any = None
    """What SIGTERM did before this took it."""

    def setup(self, config: dict[str, Any]) -> None:
        """Take the first job."""
        if signal.getsignal(signal.SIGTERM) != self._leave:
            self._end = signal.signal(signal.SIGTERM, self._leave)
            if draining := config.get("draining"):
                threading.Thread(target=_watch, args=(draining,), daemon=True).start()
        task = Task.model_validate_json(config["task"])
        if task.folders:
            see_modules(task.folders)
        if not task.gpu:
            # Ray leaves all GPUs to see to whoever asks for none, and a user's own would take one.
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        if task.places:
            from trainables.training.places import places_in

            self._place = places_in(*task.places).held
        self._job = Job(task, self._make)

    def reset_config(self, config: dict[str, Any]) -> bool:
        """Take another job; nothing that the last one trained is carried over."""
        # The last job's memory is given back before the next one takes its own.
        self._job = None
        if self._crew and not self._crew.rest():
            self.cleanup()
        give_memory_back()
        self.setup(config)
        return True

    def step(self) -> dict[str, Any]:
        """Return what the job reports next: in a list under `report`, and its value for Tune."""
        if self._job is None:
            raise RuntimeError("the worker was asked to train after it was cleaned up")
        self._is_busy = True
        try:
            with self._place():
                report = self._job.step()
        finally:
            self._is_busy = False
            if self._is_asked:
                self._leave(signal.SIGTERM, None, unheard=True)
        # Tune keeps statistics of every number in a result for as long as it runs; in a list it
        # looks for none.
        value = report.value if isinstance(report, EpochDone) else math.nan
        return {"report": [report], "val_metric": value}

    def _leave(self, number: int, frame: FrameType | None, unheard: bool = False) -> None:
        """Save and end; what cannot pause ends its interval before, and its row is unheard then."""
        self._is_asked = True
        if self._job and self._is_busy:
            self._job.pause.at_once = True
            return
        # Another signal would cut the save short.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            if self._job:
                self._job.leave(unheard)
        finally:
            self._end(number, frame)

    def cleanup(self) -> None:
        """Give all memory back."""
        self._job = None
        if self._crew:
            self._crew.end()
            self._crew = None

    def _make(self, task: Task) -> Learner:
        if task.gpu <= 1 or task.trial.trainable != "classifier":
            return make_here(task)
        self._crew = self._crew or Crew(task)
        self._crew.take(task)
        return self._crew


def _watch(draining: Callable[[], Collection[str]]) -> None:
    node = ray.get_runtime_context().get_node_id()
    while node not in draining():
        time.sleep(_LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def countable(gpu: float) -> float:
    """Return a share of a GPU in Ray's ten-thousandths, rounded down: six sixths fit on one."""
    return math.floor(gpu * 10_000 + 1e-6) / 10_000


class Crew:
    """A learner of several processes, one in each bundle of the actor's placement group.

    They meet once, and train one trial after another. A process that fails, or dies, ends all. What
    is saved is the state of process 0. Raises RuntimeError where a process died.
    """

    def __init__(self, task: Task) -> None:
        self._is_over = False
        placement = get_current_placement_group()
        bundles = list(enumerate(placement.bundle_specs))[-round(task.gpu) :]
        self._ranks: list[Any] = []
        for rank, (index, bundle) in enumerate(bundles):
            there = PlacementGroupSchedulingStrategy(placement, index)
            given = {"num_cpus": bundle["CPU"], "num_gpus": 1, "scheduling_strategy": there}
            self._ranks.append(ray.remote(Rank).options(**given).remote(rank, len(bundles)))
        port = self._results([self._ranks[0].open.remote()])[0]
        self._results([rank.join.remote(port, task.device) for rank in self._ranks])

    def take(self, task: Task) -> None:
        """Take a trial; raises TrainableError where its learner cannot be made."""
        self._results([rank.take.remote(task) for rank in self._ranks])
        self.epoch = 0

    def rest(self) -> bool:
        """Give the trial's memory back; return whether all processes are there for the next one."""
        return not self._is_over and not _failures([rank.take.remote() for rank in self._ranks])

    def facts(self) -> Facts:
        """Return what is known once per trial."""
        return dict(self._call("facts", ranks=1)[0])

    def step(self) -> Row:
        """Train one interval in all processes; return its row, with the fullest one's memory."""
        rows = self._call("step")
        return {**rows[0], "peak_memory_bytes": max(row["peak_memory_bytes"] for row in rows)}

    def predictions(self) -> Predictions:
        """Return what the model as it stands says of every test example."""
        return self._call("predictions")[0]  # type: ignore[no-any-return]

    def save(self, file: Path) -> None:
        """Write what any number of processes can go on from."""
        self._call("save", file, ranks=1)

    def load(self, file: Path) -> None:
        """Go on from a saved state in all processes."""
        self._call("load", file)

    def end(self) -> None:
        """End the processes, whatever they wait for."""
        for rank in self._ranks:
            with suppress(RayError):
                ray.kill(rank)
        self._is_over = True

    def _call(self, method: str, *arguments: Any, ranks: int | None = None) -> list[Any]:
        calls = [rank.call.remote(method, *arguments) for rank in self._ranks[:ranks]]
        answers = self._results(calls)
        self.epoch = answers[0][0]
        return [answer for _, answer in answers]

    def _results(self, calls: list[Any]) -> list[Any]:
        if not (failures := _failures(calls)):
            return list(ray.get(calls))
        named = [error for error in failures.values() if isinstance(error, TrainableError)]
        # Where none of them can wait for another, they go on together.
        alike = [error for error in named if isinstance(error, CheckpointError | Diverged)]
        if len(alike) < len(calls):
            self.end()
        if named:
            raise named[0]
        # One that died leaves the others with a broken connection.
        lost = (rank for rank, error in failures.items() if isinstance(error, RayError))
        died = [rank for rank in lost if not isinstance(failures[rank], RayTaskError)]
        rank = min(died or failures)
        process = f"process {rank + 1} of {len(self._ranks)} of the trial"
        if any(isinstance(error, OutOfMemoryError) for error in failures.values()):
            raise OutOfMemory(f"the machine ran short of memory and Ray ended {process}")
        what = "died" if died else f"failed: {type(failures[rank]).__name__}: {failures[rank]}"
        raise RuntimeError(f"{process} {what}")


class Rank:
    """One of the processes that train a trial together, from 0: it does what all are told to do."""

    def __init__(self, rank: int, size: int) -> None:
        self._rank, self._size = rank, size
        self._learner: Any = None
        self._store: Any = None

    def open(self) -> int:
        """Open the place where the processes meet; return its port."""
        from trainables.training.parallel import meet

        self._store = meet()
        return int(self._store.port)

    def join(self, port: int, device: str | None) -> None:
        """Meet the others, which stay together; every process must."""
        from trainables.training.device import resolve_device
        from trainables.training.parallel import Group, meet

        store = self._store or meet(port)
        self._group = Group(store, self._rank, self._size, resolve_device(device))

    def take(self, task: Task | None = None) -> None:
        """Forget the last trial's learner; make that of a task, which every process must."""
        self._learner = None
        if task and task.folders:
            see_modules(task.folders)
        if task:
            cpus = max(1, task.cpus // self._size)
            self._learner = make_here(task.model_copy(update={"cpus": cpus}), group=self._group)

    def call(self, method: str, *arguments: Any) -> tuple[int, Any]:
        """Call a method of the learner; return the epoch that it is at then, and what it says."""
        try:
            answer = getattr(self._learner, method)(*arguments)
        except OSError as error:
            if method != "save":
                raise
            # Training is possible without a state, as in one process.
            said = f"{arguments[0]} cannot be written ({error.strerror or error}): make room"
            raise CheckpointError(said) from error
        return self._learner.epoch, answer


def _failures(calls: list[Any]) -> dict[int, Exception]:
    """Wait for all calls, but not long after one has failed; return the errors by their place."""
    failures: dict[int, Exception] = {}
    waiting, patience = list(calls), None
    while waiting:
        ready, waiting = ray.wait(waiting, timeout=patience)
        if not ready:
            break
        try:
            ray.get(ready)
        except RayError as error:
            cause = error.cause if isinstance(error, RayTaskError) else None
            failures[calls.index(ready[0])] = cause or error
            patience = _GRACE_SECONDS
    return failures
