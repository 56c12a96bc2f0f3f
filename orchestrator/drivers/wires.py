"""Tune's searcher, scheduler and callback, each a thin wire to the one pass that decides.

Tune pickles these objects for an experiment state that nobody reads: none of them takes its pass
along.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from orchestrator.ledger.passes import Pass
from orchestrator.ledger.stages import Wanted
from trainables.work.reports import FailureKind

_REMEMBERED = 64
"""Tune may hold so many trials before those that have ended are dropped."""


class Dispatcher(Searcher):  # type: ignore[misc]
    """Hands out the pass's trials, never many more than there are places.

    Parameters
    ----------
    work
        The pass.
    limit
        Returns how many may run or wait, now.
    task
        Wanted trial → Tune config.
    """

    def __init__(
        self, work: Pass, limit: Callable[[], int], task: Callable[[Wanted], dict[str, Any]]
    ) -> None:
        super().__init__()
        self._work, self._limit, self._task = work, limit, task

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the next trial's config, None to be asked again, or that all is done."""
        if self._work.is_finished:
            return str(Searcher.FINISHED)
        if len(self._work.running) >= self._limit():
            return None
        wanted = self._work.next()
        return None if wanted is None else self._task(wanted)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing: the pass knows already."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the records are the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the records are the state."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Rungs(FIFOScheduler):  # type: ignore[misc]
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

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Relay(Callback):  # type: ignore[misc]
    """Tells the pass of starts and losses, writes rows in time, and keeps the clock.

    Parameters
    ----------
    work
        The pass.
    tick
        Called several times a second.
    safe
        Called with trials whose rows are on disk.
    actors
        Filled with the Ray actor (32 hex digits) that each trial runs in.
    """

    def __init__(
        self,
        work: Pass,
        tick: Callable[[], None],
        safe: Callable[[list[str]], None],
        actors: dict[str, str],
    ) -> None:
        self._work, self._tick, self._safe, self._actors = work, tick, safe, actors

    def on_trial_start(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        """Note the place of a trial."""
        self._actors[trial.config["trial_id"]] = trial.temporary_state.ray_actor._actor_id.hex()
        self._work.start(trial.config["trial_id"], None)

    def on_trial_result(
        self,
        iteration: int,
        trials: list[TuneTrial],
        trial: TuneTrial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        """Drop what is recorded: Tune would hold every trial's last result to the end."""
        result.pop("report", None)
        result.pop("config", None)

    def on_trial_error(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        """Give a trial up whose worker kept failing."""
        kind, message = explain_loss(trial)
        self._work.lose(trial.config["trial_id"], kind, message)

    def on_step_end(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:
        """Write what is new, forget what has ended, and keep the clock."""
        self._safe(self._work.recorder.flush())
        if len(trials) > _REMEMBERED:
            _forget(trials)
        self._tick()

    def __getstate__(self) -> dict[str, Any]:
        return {}


def _forget(trials: list[TuneTrial]) -> None:
    """Drop ended trials from Tune's own list, and what is large in them: the records have it all.

    Tune keeps every trial to the end, some 50 kB each (ray-project/ray#64231).
    """
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


def explain_loss(trial: TuneTrial) -> tuple[FailureKind, str]:
    """Return the kind of a lost trial's failure, and what happened, in one line."""
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
    if "worker process has died" in text or "died unexpectedly" in text or not text.strip():
        return FailureKind.CRASHED, "the worker process died, each time it was tried"
    return FailureKind.CRASHED, [line.strip() for line in text.splitlines() if line.strip()][-1]
