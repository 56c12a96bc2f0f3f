"""The only place that builds a `Tuner`: a pass, trained by workers of a Ray cluster.

Imported once there is a connection, which sets what Ray reads when it is imported.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune import CheckpointConfig, FailureConfig, RunConfig, TuneConfig, Tuner

from orchestrator.drivers.tracking import Tracking, loggers_of
from orchestrator.drivers.wires import Dispatcher, Relay, Rungs
from orchestrator.ledger.passes import Pass
from orchestrator.ledger.stages import Wanted
from results.store.objects import Location
from trainables.work.actor import Actor
from trainables.work.reports import METRIC


def train(
    work: Pass,
    *,
    limit: Callable[[], int],
    checkpoint_folder: Location,
    tick: Callable[[], None],
    safe: Callable[[list[str]], None],
) -> None:
    """Train what a pass has left, with one `Tuner`.

    Parameters
    ----------
    work
        The pass; it takes every result at once.
    limit
        Returns how many trials may run or wait for their place, now.
    checkpoint_folder
        Shared by the nodes, or in an object store, where it is to outlive one of them.
    tick
        Called several times a second; an exception from it ends the pass.
    safe
        Called with the trials that have ended and whose rows are on disk.
    """
    actors: dict[str, str] = {}
    while not work.is_finished:
        try:
            _tune(work, limit, checkpoint_folder, Relay(work, tick, safe, actors))
            return
        except RuntimeError as error:
            # Tune takes Ray's out-of-memory error for an unknown one and gives up all trials.
            if "low on memory" not in str(error):
                raise
            killed = set(re.findall(r"Actor\((\w+)\)", str(error)))
            work.regroup({trial_id for trial_id, actor in actors.items() if actor in killed})


def _tune(work: Pass, limit: Callable[[], int], checkpoint_folder: Location, relay: Relay) -> None:
    # The limit counts, which may change; Tune's own is read once.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = "100000"

    def task(wanted: Wanted) -> dict[str, Any]:
        share = work.share(wanted.trial)
        return {
            # One string: Tune flattens and copies whatever is nested.
            "task": work.task(wanted, checkpoint_folder).model_dump_json(),
            "trial_id": wanted.trial.trial_id,
            "cpu": share.cpu,
            "gpu": share.gpu,
            "gpu_kind": share.kind,
        }

    scratch = tempfile.mkdtemp(prefix="scalestudy-")
    trackers = work.study.trackers
    loggers = loggers_of(trackers, work.study.name) if trackers else {}
    # Before the relay, which drops what it has recorded.
    callbacks = [Tracking(work, loggers, Path(scratch))] if loggers else []
    try:
        Tuner(
            Actor,
            tune_config=TuneConfig(
                metric=METRIC,
                mode="max",
                search_alg=Dispatcher(work, limit, task),
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
                # The pass itself tries again, with a larger share where that helps.
                failure_config=FailureConfig(max_failures=0),
                # Jobs keep their own checkpoints, with the rows behind them.
                checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
                callbacks=[*callbacks, relay],
            ),
        ).fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
