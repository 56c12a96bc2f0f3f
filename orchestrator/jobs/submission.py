"""A study as a job of a Ray cluster: how it is sent, followed, asked for and stopped."""

import asyncio
import os
import shlex
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from orchestrator.errors import RunError, StudyError
from orchestrator.jobs.dashboard import Dashboard, dashboard_address
from orchestrator.jobs.parcel import pack
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


@dataclass(frozen=True)
class Standing:
    """How a job stands, as its cluster said at one moment."""

    state: str
    exit_code: int | None
    """Exit code of the run; None while it goes on, and where it never began."""
    said: str
    """The state in words; of a job that failed, also its exit code, or why it failed."""

    @classmethod
    def of(cls, details: Any) -> Self:
        """Return the standing that the cluster's details of a job (Ray's `JobDetails`) tell."""
        state, code = str(details.status.value).lower(), details.driver_exit_code
        lines = str(details.message or "").strip().splitlines() or ["no reason is given"]
        why = f"before the run began: {lines[-1]}" if code is None else f"with exit code {code}"
        said = f"failed {why}" if state == "failed" else state
        return cls(state, _EXIT_CODES.get(state, code), said)

    @property
    def has_ended(self) -> bool:
        """Whether the job will do no more."""
        return self.state in (*_EXIT_CODES, "failed")


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
    out: str | None,
    flags: Sequence[str],
    note: Callable[[str], None],
) -> Submission:
    """Ship a study to a cluster and start it there, with `flags` of `run`.

    Relative paths of the study are taken from `base`; the address is a dashboard's. `out` is the
    run directory as the cluster's nodes see it: absolute, or in a store; by default
    `~/scalestudy/<name>` of whoever runs the head. `note` is told what is being done.
    """
    where = out or f"~/scalestudy/{study.name}"
    # An address that holds a secret is refused here: what a job is told, its dashboard shows.
    if is_address(where):
        check_address(where)
    elif not where.startswith(("/", "~")):
        raise StudyError(
            f"--out {where}: this is a path on the cluster, which is absolute; --fetch brings the "
            "results to a folder here, --to."
        )
    parcel = pack(study, base)
    parcel.check_size()
    dashboard = Dashboard(dashboard_address(address))
    for other in dashboard.jobs():
        if other.metadata.get("out") == where and not Standing.of(other).has_ended:
            words = Submission(dashboard, other.submission_id).words
            raise RunError(
                f"{REFERENCE}{other.submission_id} is at work on {where} already. Look at it "
                f"(scalestudy status {words}), wait for it, or end it (scalestudy stop {words}); "
                "submitted again after that, the study goes on from what is recorded."
            )
    count = len(parcel.files)
    files = f", {count:,} file{'s' * (count > 1)} that it names among it" if count else ""
    note(f"shipping the study to {dashboard.address}: {byte_size(parcel.size)}{files}")
    for what, names in (("read", parcel.elsewhere), ("needed", parcel.needed)):
        if names:
            note(f"{what} on the cluster, not shipped: {', '.join(dict.fromkeys(names))}")
    job = f"{study.name}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.urandom(2).hex()}"
    command = shlex.join(["python", "-m", "orchestrator.commands.submitted", job, where, *flags])
    variables = {"RAY_JOB_STOP_WAIT_TIME_S": _STOP_SECONDS}
    if commit := git_commit():
        variables[COMMIT_VARIABLE] = commit
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
            show(text[max(0, shown - seen) :])
            seen += len(text)
            shown = max(shown, seen)

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
            lost = None
            if standing.exit_code is not None:
                return standing.exit_code
            if standing.has_ended:
                raise RunError(f"{REFERENCE}{submission.job}: {standing.said}")
        time.sleep(1.0)


def referred(reference: str, address: str | None) -> Submission | None:
    """Return the job that `job:ID` names, which is there; None where a run directory is named."""
    if not reference.startswith(REFERENCE):
        return None
    submission = Submission(Dashboard(dashboard_address(address)), reference[len(REFERENCE) :])
    submission.details()
    return submission
