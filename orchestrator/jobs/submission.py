"""A study as a job of a Ray cluster: how it is sent, followed, asked for and stopped."""

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
from orchestrator.placement.environment import COMMIT_VARIABLE, git_commit
from orchestrator.study.study import Study
from results.phrases import byte_size
from results.store.objects import check_address, is_address

REFERENCE = "job:"
"""Prefix of a job's name where a run directory could be named too."""
_STOP_SECONDS = "30"
"""Seconds that Ray gives a job that is asked to stop, before it is killed."""
_PATIENCE = 60.0
"""Seconds for which a dashboard that no longer answers is asked again."""
_EXIT_CODES = {"succeeded": 0, "stopped": 130}
_ENDED = {"succeeded", "stopped", "failed"}


@dataclass(frozen=True)
class Standing:
    """How a job stands, as its cluster said at one moment."""

    state: str
    exit_code: int | None
    """Exit code of the run; None while it goes on, and where it never began."""
    reason: str
    """The last line of what the cluster says of the job."""

    @classmethod
    def of(cls, details: Any) -> Self:
        """Return the standing that the cluster's details of a job (Ray's `JobDetails`) tell."""
        state, code = str(details.status.value).lower(), details.driver_exit_code
        lines = str(details.message or "").strip().splitlines() or ["no reason is given"]
        return cls(state, _EXIT_CODES.get(state, None if code is None else int(code)), lines[-1])

    def __str__(self) -> str:
        """Return the state in words; of a job that failed, also its exit code, or why it failed."""
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
    """A job on a cluster."""

    dashboard: Dashboard
    job: str
    """The job's name there (Ray's submission id)."""

    @property
    def words(self) -> str:
        """The words that name the job on a command line."""
        return shlex.join([f"{REFERENCE}{self.job}", "--address", self.dashboard.address])

    def details(self) -> Any:
        """Return the cluster's details of the job (Ray's `JobDetails`)."""
        return self.dashboard.job(self.job)

    def standing(self) -> Standing:
        """Return how the job stands now."""
        return Standing.of(self.details())

    def stop(self) -> None:
        """Ask the job to end, and wait until it has."""
        self.dashboard.stop(self.job)
        while not self.standing().has_ended:
            time.sleep(0.5)


def submit(
    study: Study,
    base: Path,
    address: str | None,
    *,
    out: str | None = None,
    max_parallel: int | None = None,
    autoscale: bool = False,
    note: Callable[[str], None],
) -> Submission:
    """Ship a study to a cluster and start it there; `note` is told what is being done.

    Relative paths of the study are taken from `base`; the address is a dashboard's. `out` is the
    run directory as the cluster's nodes see it: absolute, or in a store; by default
    `~/scalestudy/<name>` of whoever runs the head. The rest is as in `run_study`.
    """
    where = out or f"~/scalestudy/{study.name}"
    if "://" not in where and not where.startswith(("/", "~")):
        raise StudyError(
            f"--out {where}: this is a path on the cluster, which is absolute; --fetch brings the "
            "results to a folder here, --to."
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
    commit = git_commit()
    variables = {"RAY_JOB_STOP_WAIT_TIME_S": _STOP_SECONDS}
    variables |= {COMMIT_VARIABLE: commit} if commit else {}
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "parcel.zip"
        parcel.write(archive)
        dashboard.submit(
            submission_id=job,
            entrypoint=f"exec {command}",
            runtime_env={"working_dir": str(archive), "env_vars": variables},
            metadata={"scalestudy": "run", "study": study.name, "out": where},
        )
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


def follow(submission: Submission, show: Callable[[str], None]) -> int:
    """Show what a job prints until it ends, also after a lost connection; return its exit code.

    Raises RunError where the job failed before the run could begin, or the dashboard no longer
    answers; then the job may well go on.
    """
    shown = 0
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
            standing = submission.standing()
        except RunError as error:
            lost = lost or time.monotonic()
            if time.monotonic() - lost > _PATIENCE:
                raise RunError(
                    f"{error} The job may be going on: scalestudy status {submission.words}"
                ) from None
        else:
            if standing.has_ended and standing.exit_code is None:
                raise RunError(f"{REFERENCE}{submission.job}: {standing}")
            if standing.exit_code is not None:
                return standing.exit_code
        time.sleep(1.0)


def referred(reference: str, address: str | None) -> Submission | None:
    """Return the job that `job:ID` names, which is there; None where a run directory is named."""
    if not reference.startswith(REFERENCE):
        return None
    submission = Submission(Dashboard(dashboard_address(address)), reference[len(REFERENCE) :])
    submission.details()
    return submission
