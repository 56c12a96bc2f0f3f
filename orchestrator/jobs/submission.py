"""A study as a job of a Ray cluster: sent, followed, asked for, brought home."""

import asyncio
import os
import shlex
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from orchestrator.errors import RunError, StudyError
from orchestrator.jobs.dashboard import Dashboard, dashboard_address
from orchestrator.jobs.parcel import Parcel, pack
from orchestrator.run.environment import COMMIT_VARIABLE, git_commit
from orchestrator.study.study import Study
from results.phrases import byte_size
from results.store.objects import check_address, is_address

REFERENCE = "job:"
"""What a job's name begins with where a run directory could be named too."""
_STOP_SECONDS = "30"
"""How long Ray waits for a job that is asked to stop before it is killed."""
_PATIENCE = 60.0
"""Seconds for which a dashboard that was lost sight of is looked for."""
_EXIT_CODES = {"succeeded": 0, "stopped": 130}
_ENDED = {"succeeded", "stopped", "failed"}


@dataclass(frozen=True)
class Standing:
    """How a job stands, as its cluster said at one moment.

    Parameters
    ----------
    state
        pending, running, succeeded, failed or stopped.
    exit_code
        Of the run; None while it goes on, and where it never began.
    reason
        What the cluster says of it last.
    """

    state: str
    exit_code: int | None
    reason: str

    @classmethod
    def of(cls, details: Any) -> Self:
        """Return what a cluster's details of a job come to."""
        state, code = str(details.status.value).lower(), details.driver_exit_code
        lines = str(details.message or "").strip().splitlines() or ["no reason is given"]
        return cls(state, _EXIT_CODES.get(state, None if code is None else int(code)), lines[-1])

    def __str__(self) -> str:
        """Return it in words; of a job that failed, with which exit code or why."""
        if self.state != "failed":
            return self.state
        if self.exit_code is not None:
            return f"failed with exit code {self.exit_code}"
        return f"failed before the run began: {self.reason}"

    @property
    def has_ended(self) -> bool:
        """Whether the job will do no more."""
        return self.state in _ENDED


@dataclass(frozen=True)
class Submission:
    """A job on a cluster.

    Parameters
    ----------
    dashboard
        Of the cluster.
    job
        Its name there.
    """

    dashboard: Dashboard
    job: str

    @property
    def words(self) -> str:
        """How the commands call it."""
        return shlex.join([f"{REFERENCE}{self.job}", "--address", self.dashboard.address])

    def details(self) -> Any:
        """Return what the cluster knows of it."""
        return self.dashboard.job(self.job)

    def standing(self) -> Standing:
        """Return how it stands."""
        return Standing.of(self.details())

    def is_ended(self) -> bool:
        """Return whether it will do no more."""
        return self.standing().has_ended

    def exit_code(self) -> int:
        """Wait until it has ended; return the exit code of the run.

        Raises
        ------
        RunError
            It failed before the run could begin.
        """
        while not (standing := self.standing()).has_ended:
            time.sleep(0.5)
        if standing.exit_code is None:
            raise RunError(f"{REFERENCE}{self.job}: {standing}")
        return standing.exit_code

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        self.dashboard.stop(self.job)
        while not self.is_ended():
            time.sleep(0.5)


def submit(
    study: Study,
    base: Path,
    address: str | None,
    *,
    out: str | None = None,
    max_parallel: int | None = None,
    autoscale: bool = False,
    note: Callable[[str], None] = lambda text: None,
) -> Submission:
    """Ship a study to a cluster and start it there.

    Parameters
    ----------
    study
        As its file declares it, paths not rooted.
    base
        The folder that relative paths start from.
    address
        Of the cluster's dashboard.
    out
        The run directory, as the cluster's nodes see it: absolute, or in a store; by default
        `~/scalestudy/<name>` of whoever runs the head. The same one goes on from what it holds.
    max_parallel, autoscale
        As of `run_study`.
    note
        Told what is being done.

    Raises
    ------
    StudyError
        Something the study names is not there or too large, or `out` is relative.
    RunError
        The cluster cannot be used, or another job is at work on the same run directory.
    """
    where = out or f"~/scalestudy/{study.name}"
    if "://" not in where and not where.startswith(("/", "~")):
        raise StudyError(
            f"--out {where}: without --fetch this is a path on the cluster, which is absolute; "
            "with --fetch it is a folder here."
        )
    # An address that holds a secret is refused here: what a job is told, its dashboard shows.
    if is_address(where):
        check_address(where)
    parcel = pack(study, base)
    parcel.check_size()
    dashboard = Dashboard(dashboard_address(address))
    _check_free(dashboard, where)
    for text in _said(parcel, dashboard.address):
        note(text)
    job = f"{study.name}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.urandom(2).hex()}"
    flags = ["--max-parallel", str(max_parallel)] if max_parallel else []
    flags += ["--autoscale"] if autoscale else []
    command = shlex.join(["python", "-m", "orchestrator.commands.submitted", job, where, *flags])
    variables = {"RAY_JOB_STOP_WAIT_TIME_S": _STOP_SECONDS}
    commit = git_commit()
    if commit:
        variables[COMMIT_VARIABLE] = commit
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "parcel.zip"
        parcel.write(archive)
        about = {"scalestudy": "run", "study": study.name, "out": where}
        dashboard.submit(job, f"exec {command}", archive, variables, about)
    return Submission(dashboard, job)


def _check_free(dashboard: Dashboard, out: str) -> None:
    for job in dashboard.jobs():
        if job.metadata.get("out") == out and not Standing.of(job).has_ended:
            words = Submission(dashboard, job.submission_id).words
            raise RunError(
                f"{REFERENCE}{job.submission_id} is at work on {out} already. Look at it "
                f"(scalestudy status {words}), wait for it, or end it (scalestudy stop {words}); "
                "submitted again after that, the study goes on from what is recorded."
            )


def _said(parcel: Parcel, address: str) -> Iterator[str]:
    count = len(parcel.files)
    files = f", {count:,} file{'s' * (count > 1)} that it names among it" if count else ""
    yield f"shipping the study to {address}: {byte_size(parcel.size)}{files}"
    if parcel.elsewhere:
        yield f"read on the cluster, not shipped: {', '.join(parcel.elsewhere)}"
    if parcel.needed:
        yield f"needed on the cluster, not shipped: {', '.join(parcel.needed)}"


def follow(submission: Submission, show: Callable[[str], None], already: int = 0) -> int:
    """Show what a job prints until it ends; go on after a lost connection.

    Parameters
    ----------
    submission
        The job.
    show
        Told each piece of text.
    already
        Characters that were shown before.

    Returns
    -------
    The exit code of the run.

    Raises
    ------
    RunError
        The dashboard was lost sight of; the job may well go on.
    """
    shown = already
    lost: float | None = None

    async def tail() -> None:
        nonlocal shown, lost
        seen = 0
        async for text in submission.dashboard.log(submission.job):
            lost = None
            new = text[max(0, shown - seen) :]
            seen += len(text)
            if new:
                shown += len(new)
                show(new)

    while True:
        try:
            asyncio.run(tail())
            is_ended = submission.is_ended()
        except RunError as error:
            lost = lost or time.monotonic()
            if time.monotonic() - lost > _PATIENCE:
                raise RunError(
                    f"{error} The job may be going on: scalestudy status {submission.words}"
                ) from None
        else:
            if is_ended:
                return submission.exit_code()
        time.sleep(1.0)


def referred(reference: str, address: str | None) -> Submission | None:
    """Return the job that `job:ID` names; None where a folder is named.

    Raises
    ------
    StudyError
        There is no such job.
    """
    if not reference.startswith(REFERENCE):
        return None
    submission = Submission(Dashboard(dashboard_address(address)), reference[len(REFERENCE) :])
    submission.details()
    return submission
