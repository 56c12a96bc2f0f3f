"""The only place that builds a `Tuner`: a pass, trained by workers of a Ray cluster.

Tune's searcher, scheduler and callback are thin wires to the one pass that decides; pickled by Tune
for a state that nobody reads, none takes its pass along. Imported once Ray is connected.
"""

import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray.tune import Callback, CheckpointConfig, FailureConfig, RunConfig, TuneConfig, Tuner
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.progress_reporter import CLIReporter
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from orchestrator.drivers.capacity import Capacity
from orchestrator.drivers.ray_private import draining_nodes
from orchestrator.drivers.tracking import Tracking, Wire, loggers_of
from orchestrator.ledger.passes import Pass
from results.store.objects import Location
from trainables.machine import memory_kills
from trainables.work.actor import Actor
from trainables.work.reports import FailureKind

_REMEMBERED = 64
"""Trials that Tune may hold before those that have ended are dropped."""


def train(
    work: Pass, capacity: Capacity, checkpoints: Location, beat: Callable[[], None], lends: bool
) -> None:
    """Train what a pass has left, with one `Tuner`, on as many places as its capacity says.

    `checkpoints` outlives a node if it is shared or in an object store. `beat` is called several
    times a second; an exception from it ends the pass. A machine that is the run's alone `lends`
    the CPUs of free places to trials that evaluate.
    """
    actors: dict[str, Any] = {}
    while not work.is_finished:
        try:
            _tune(work, capacity, checkpoints, Relay(work, capacity, beat, actors), lends)
            return
        except RuntimeError as error:
            # Tune takes Ray's out-of-memory error for an unknown one and gives up all trials.
            if "low on memory" not in str(error):
                raise
            killed = set(re.findall(r"Actor\((\w+)\)", str(error)))
            work.regroup({key for key, actor in actors.items() if actor._actor_id.hex() in killed})


def _tune(
    work: Pass, capacity: Capacity, checkpoints: Location, relay: "Relay", lends: bool
) -> None:
    # The limit counts, which may change; Tune's own is read once.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = "100000"
    study = work.ledger.study
    loggers = loggers_of(study.trackers, study.name) if study.trackers else {}
    with tempfile.TemporaryDirectory(prefix="scalestudy-", ignore_cleanup_errors=True) as scratch:
        places = (scratch, capacity.slots) if lends and capacity.slots > 1 else None
        # Before the relay, which drops what it has recorded.
        callbacks = [Tracking(work, loggers, Path(scratch))] if loggers else []
        Tuner(
            Actor,
            tune_config=TuneConfig(
                metric="val_metric",
                mode=study.metric.goal,
                search_alg=Dispatcher(work, capacity, checkpoints, places),
                scheduler=Rungs(work),
                num_samples=-1,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
                trial_name_creator=lambda trial: trial.trial_id,
            ),
            run_config=RunConfig(
                name="pass",
                storage_path=scratch,
                verbose=0,
                # In notebooks Tune shows a table of its own otherwise.
                progress_reporter=CLIReporter(),
                # The pass itself tries again, with a larger share where that helps.
                failure_config=FailureConfig(max_failures=0),
                # Jobs keep their own checkpoints, with the rows behind them.
                checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
                callbacks=[*callbacks, relay],
            ),
        ).fit()


class Dispatcher(Wire, Searcher):  # type: ignore[misc]
    """Hands out the pass's trials, never many more than there are places."""

    def __init__(
        self, work: Pass, capacity: Capacity, checkpoints: Location, places: tuple[str, int] | None
    ) -> None:
        super().__init__()
        self._work, self._capacity = work, capacity
        self._checkpoints, self._places = checkpoints, places

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the next trial's config, None to be asked again, or that all is done."""
        is_full = len(self._work.running) >= self._capacity.limit
        wanted = None if is_full or self._work.is_finished else self._work.next()
        if wanted is None:
            return str(Searcher.FINISHED) if self._work.is_finished else None
        share = self._work.share(wanted.trial)
        return {
            # One string: Tune flattens and copies whatever is nested.
            "task": self._work.task(wanted, self._checkpoints, self._places).model_dump_json(),
            "trial_id": wanted.trial.trial_id,
            "cpu": share.cpu,
            "gpu": share.gpu,
            "gpu_kind": share.kind,
            "draining": draining_nodes,
        }

    def save(self, *_: Any, **__: Any) -> None:
        """Nothing: the pass knows all already, and the records are the state."""

    on_trial_complete = restore = save


class Rungs(Wire, FIFOScheduler):  # type: ignore[misc]
    """Stops a trial where the pass says so, and records every row before the next is trained."""

    def __init__(self, work: Pass) -> None:
        super().__init__()
        self._work = work
        self._waiting: list[TuneTrial] = []

    def on_trial_add(self, tune_controller: Any, trial: TuneTrial) -> None:
        """Line a trial up."""
        self._waiting.append(trial)

    def choose_trial_to_run(self, tune_controller: Any) -> TuneTrial | None:
        """Return the trial that has waited longest, without a look at those that have ended."""
        self._waiting = [trial for trial in self._waiting if trial.status == TuneTrial.PENDING]
        return self._waiting[0] if self._waiting else None

    def on_trial_result(
        self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]
    ) -> str:
        """Let the pass take the row and decide."""
        # A result that Tune knows as `done` would never get here: jobs say `finished`.
        go_on = self._work.result(trial.config["trial_id"], result["report"][0])
        return str(TrialScheduler.CONTINUE if go_on else TrialScheduler.STOP)


class Relay(Wire, Callback):  # type: ignore[misc]
    """Tells the pass of starts and losses, beats, and fills `actors` with trials' Ray actors."""

    def __init__(
        self, work: Pass, capacity: Capacity, beat: Callable[[], None], actors: dict[str, Any]
    ) -> None:
        self._work, self._capacity, self._beat, self._actors = work, capacity, beat, actors
        self._overdue: set[str] = set()
        self._kills = memory_kills()

    def on_trial_start(self, trial: TuneTrial, **info: Any) -> None:
        """Note the place of a trial."""
        trial_id = trial.config["trial_id"]
        self._actors[trial_id] = trial.temporary_state.ray_actor
        self._work.start(trial_id)

    def on_trial_result(self, result: dict[str, Any], **info: Any) -> None:
        """Drop what is recorded: Tune would hold every trial's last result to the end."""
        result.pop("report", None)
        result.pop("config", None)

    def on_trial_error(self, trial: TuneTrial, **info: Any) -> None:
        """Give a trial up whose worker kept failing."""
        kills = memory_kills()
        kind, message = explain_loss(trial, kills > self._kills)
        if kind is FailureKind.OUT_OF_MEMORY:
            # One for each trial; what Ray ended by itself is none of the system's.
            self._kills = min(kills, self._kills + 1)
        if trial.config["trial_id"] in self._overdue:
            self._overdue.discard(trial.config["trial_id"])
            message = "it gave no row for longer than trial_timeout, and its worker was ended"
        self._work.lose(trial.config["trial_id"], kind, message)

    def on_step_end(self, trials: list[TuneTrial], **info: Any) -> None:
        """Forget what has ended, have what is new written, and look at the cluster."""
        if len(trials) > _REMEMBERED:
            _forget(trials)
        self._beat()
        for trial_id in {*self._work.silent(time.monotonic())} - self._overdue:
            # Tune learns of it as of any worker that dies, and the pass tries the trial again.
            self._overdue.add(trial_id)
            ray.kill(self._actors[trial_id])
        self._capacity.tick()


def _forget(trials: list[TuneTrial]) -> None:
    """Drop ended trials, and what is large in them: Tune keeps them (ray-project/ray#64231)."""
    ended = [trial for trial in trials if trial.is_finished()]
    for trial in ended:
        trial.config = trial.evaluated_params = {}
        trial.experiment_tag = ""
        trial._Trial__unresolved_config = {}
        # A reference to a value in the object store.
        trial._default_result_or_future = None
        known = trial.run_metadata
        known.last_result, known.metric_analysis, known.metric_n_steps = {}, {}, {}
    trials[:] = [trial for trial in trials if not trial.is_finished()]


def explain_loss(trial: TuneTrial, is_short: bool = False) -> tuple[FailureKind, str]:
    """Return the kind of a lost trial's failure, where memory ran out too, and a line about it."""
    try:
        text = Path(trial.error_file or "").read_text(errors="replace")
    except OSError:
        text = ""
    if re.search(r"low on memory|memory monitor|memory pressure|OutOfMemoryError", text):
        return FailureKind.OUT_OF_MEMORY, "the machine ran short of memory and Ray ended the worker"
    # Of a worker that dies alone Ray learns within the second it waits for that; a machine that is
    # gone first leaves an actor that cannot be reached.
    if "its node has died" in text or "actor is temporarily unavailable" in text:
        return FailureKind.NODE_LOST, "the machine that it ran on was lost, or the connection to it"
    if "receives a SIGTERM" in text:
        return FailureKind.NODE_LOST, "its worker was asked to end, as a machine is taken away"
    died = "worker process has died" in text or "died unexpectedly" in text
    if died and is_short:
        return FailureKind.OUT_OF_MEMORY, "memory ran out, and the system ended the worker"
    if died or not text.strip():
        return FailureKind.CRASHED, "the worker process died, each time it was tried"
    # An error may be told in several lines; its first follows the indented ones of a traceback.
    first = re.findall(r"^ .*\n(\S.*)", text, re.MULTILINE)
    return FailureKind.CRASHED, (first or text.strip().splitlines())[-1]
