"""What trials report, handed on to experiment trackers by Tune's own loggers.

One that fails is named, and left alone for the rest of the pass; the study goes on.
"""

import math
import os
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.logger import LoggerCallback, TBXLoggerCallback

from orchestrator.ledger.passes import Pass
from orchestrator.ledger.stages import Wanted
from orchestrator.study.blocks import Trackers
from results.records import Status
from trainables.errors import first_line
from trainables.work.reports import EpochDone


class Tracked:
    """A trial as Tune's loggers look at it; `group`, the study's name, is that of all trials."""

    def __init__(self, wanted: Wanted, cell: str, folder: Path, group: str) -> None:
        trial = wanted.trial
        values = {"cell": cell, "stage": wanted.stage.value, **trial.columns()}
        self.config = self.evaluated_params = {
            name: value for name, value in values.items() if value is not None
        }
        self.trial_id = trial.trial_id
        self.experiment_dir_name = group
        self._folder = folder / str(self)

    def __str__(self) -> str:
        cell = str(self.config["cell"]).replace(" × ", "-").replace("/", "_")
        return f"{cell}-seed{self.config['seed']}-{self.trial_id[:6]}"

    @property
    def local_path(self) -> str:
        """The trial's folder, which loggers expect to be there."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return str(self._folder)

    def init_local_path(self) -> None:
        """Nothing: `local_path` makes the folder."""


class Wire:
    """Leaves all behind where Tune pickles it."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Tracking(Wire, Callback):  # type: ignore[misc]
    """Hands starts, rows and ends on to loggers, by tracker; files not to keep go to `scratch`."""

    def __init__(self, work: Pass, loggers: dict[str, LoggerCallback], scratch: Path) -> None:
        super().__init__()
        self._work, self._loggers = work, loggers
        trackers = work.ledger.study.trackers
        keep = trackers.tensorboard if trackers else None
        self._folders = {
            name: Path(keep.folder).absolute() if keep and name == "tensorboard" else scratch / name
            for name in loggers
        }
        self._tracked: dict[str, dict[str, Tracked]] = {}
        """By trial and logger."""

    def setup(self, **info: Any) -> None:
        """Let every tracker find its server."""
        for name in [*self._loggers]:
            self._call(name, "setup")

    def on_trial_start(self, trial: TuneTrial, **info: Any) -> None:
        """Begin a trial's run."""
        ledger, trial_id = self._work.ledger, trial.config["trial_id"]
        wanted = ledger.stages.wanted[trial_id]
        cell, known = ledger.cell_name(wanted.cell), self._tracked.setdefault(trial_id, {})
        for name in [*self._loggers]:
            tracked = Tracked(wanted, cell, self._folders[name], ledger.study.name)
            self._call(name, "log_trial_start", known.setdefault(name, tracked))

    def on_trial_result(
        self, iteration: int, trial: TuneTrial, result: dict[str, Any], **info: Any
    ) -> None:
        """Log an epoch's numbers, with the epoch as step."""
        (report,) = result.get("report", [None])
        if not isinstance(report, EpochDone):
            return
        numbers = {
            name: float(value)
            for name, value in report.row.items()
            if isinstance(value, int | float) and math.isfinite(value)
        }
        numbers["training_iteration"] = report.epoch
        for name, tracked in self._of(trial.config["trial_id"]):
            self._call(name, "log_trial_result", iteration, tracked, dict(numbers))

    def on_trial_complete(self, trial: TuneTrial, **info: Any) -> None:
        """End the runs of this trial and of those that it leaves behind; one that waits goes on."""
        for trial_id in [*self._tracked]:
            status = self._work.ledger.rows[trial_id]["status"]
            if status not in (Status.PLANNED, Status.RUNNING):
                self._end(trial_id, status == Status.FAILED)

    def on_trial_error(self, trial: TuneTrial, **info: Any) -> None:
        """End the run of a trial whose worker was lost."""
        self._end(trial.config["trial_id"], True)

    def _end(self, trial_id: str, failed: bool) -> None:
        for name, tracked in self._of(trial_id):
            self._call(name, "log_trial_end", tracked, failed)
        self._tracked.pop(trial_id, None)

    def on_experiment_end(self, **info: Any) -> None:
        """Wait for what is still on its way."""
        for name in [*self._loggers]:
            self._call(name, "on_experiment_end", [])

    def _of(self, trial_id: str) -> list[tuple[str, Tracked]]:
        known = self._tracked.get(trial_id, {})
        return [(name, known[name]) for name in self._loggers if name in known]

    def _call(self, name: str, method: str, *values: object) -> None:
        try:
            getattr(self._loggers[name], method)(*values)
        except Exception as error:
            # Whatever a tracker and its server may raise: it is no part of the study.
            del self._loggers[name]
            problem = f"given up for this run: {type(error).__name__}: {first_line(error)}"
            self._work.ledger.rows.problems.append(f"trackers.{name}: {problem}")


def loggers_of(trackers: Trackers, study_name: str) -> dict[str, LoggerCallback]:
    """Return Tune's logger of each tracker; the study's name is its group and experiment."""
    loggers: dict[str, LoggerCallback] = {}
    if trackers.tensorboard:
        loggers["tensorboard"] = TBXLoggerCallback()
    if trackers.mlflow:
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        loggers["mlflow"] = MLflowLoggerCallback(
            tracking_uri=trackers.mlflow.uri,
            experiment_name=trackers.mlflow.experiment or study_name,
            tags={"study": study_name},
        )
    if trackers.wandb:
        from ray.air.integrations.wandb import WandbLoggerCallback

        if trackers.wandb.mode == "offline":
            # Tune's logger asks for a key unless it is said here.
            os.environ["WANDB_MODE"] = "offline"
        loggers["wandb"] = WandbLoggerCallback(
            project=trackers.wandb.project,
            entity=trackers.wandb.entity,
            mode=trackers.wandb.mode,
            dir=str(Path.cwd()),
            group=study_name,
            # A trial that goes on in another pass goes on here too.
            resume="allow",
        )
    return loggers
