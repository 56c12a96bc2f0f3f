"""A study as a job of a Ray cluster: sent, followed, asked for, brought home."""

import asyncio
import json
import os
import shlex
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.dashboard import WINDOW, Dashboard, dashboard_address
from orchestrator.environment import COMMIT_VARIABLE, git_commit
from orchestrator.errors import RunError, StudyError
from orchestrator.lock import is_held
from orchestrator.parcel import Parcel, mebibytes, pack
from orchestrator.study import Study, study_from
from orchestrator.study_text import override, read_values
from results.files import explained, write_whole
from results.records import SCHEMAS
from results.store import Store

REFERENCE = "job:"
"""What a job's name begins with where a run directory could be named too."""
_STOP_SECONDS = "30"
"""How long Ray waits for a job that is asked to stop before it is killed."""
_PATIENCE = 60.0
"""Seconds for which a dashboard that was lost sight of is looked for."""
_MARK = ".fetched"
"""File of a fetched run directory that says where it came from."""
_STATES = {"SUCCEEDED": 0, "STOPPED": 130}
_ENDED = {"SUCCEEDED", "STOPPED", "FAILED"}


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

    def state(self) -> str:
        """Return pending, running, succeeded, failed or stopped."""
        return str(self.details().status.value).lower()

    def is_ended(self) -> bool:
        """Return whether it will do no more."""
        return self.state().upper() in _ENDED

    def exit_code(self) -> int:
        """Wait until it has ended; return the exit code of the run.

        Raises
        ------
        RunError
            It failed before the run could begin.
        """
        while (details := self.details()).status.value not in _ENDED:
            time.sleep(0.5)
        state = details.status.value
        if state in _STATES:
            return _STATES[state]
        code = details.driver_exit_code
        if code is None:
            lines = str(details.message or "no reason is given").strip().splitlines()
            raise RunError(f"{REFERENCE}{self.job}: failed before the run began: {lines[-1]}")
        return int(code)

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        self.dashboard.stop(self.job)
        while not self.is_ended():
            time.sleep(0.5)


def load_unrooted(path: Path, settings: Iterable[str] = ()) -> Study:
    """Read and check a study file as `load_study` does, its paths left as they are written."""
    values = read_values(path)
    for setting in settings:
        override(values, setting)
    return study_from(values, file=str(path))


def submit(
    study: Study,
    base: Path,
    address: str | None,
    *,
    out: str | None = None,
    max_parallel: int | None = None,
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
    max_parallel
        Trials at a time, at most.
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
    parcel = pack(study, base)
    parcel.check_size()
    dashboard = Dashboard(dashboard_address(address))
    _check_free(dashboard, where)
    for text in _said(parcel, dashboard.address):
        note(text)
    job = f"{study.name}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.urandom(2).hex()}"
    flags = ["--max-parallel", str(max_parallel)] if max_parallel else []
    command = shlex.join(["python", "-m", "orchestrator.submitted", job, where, *flags])
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
        if job.metadata.get("out") == out and job.status.value not in _ENDED:
            words = Submission(dashboard, job.submission_id).words
            raise RunError(
                f"{REFERENCE}{job.submission_id} is at work on {out} already. Look at it "
                f"(scalestudy status {words}), wait for it, or end it (scalestudy stop {words}); "
                "submitted again after that, the study goes on from what is recorded."
            )


def _said(parcel: Parcel, address: str) -> Iterator[str]:
    count = len(parcel.files)
    files = f", {count:,} file{'s' * (count > 1)} that it names among it" if count else ""
    yield f"shipping the study to {address}: {mebibytes(parcel.size)}{files}"
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
            if submission.is_ended():
                return submission.exit_code()
        except RunError as error:
            lost = lost or time.monotonic()
            if time.monotonic() - lost > _PATIENCE:
                raise RunError(
                    f"{error} The job may be going on: scalestudy status {submission.words}"
                ) from None
        time.sleep(1.0)


def fetch(submission: Submission, folder: Path) -> None:
    """Bring a job's run directory here, checkpoints left out; again later, only what it has now.

    Raises
    ------
    StudyError
        The folder holds results that did not come from there.
    RunError
        The run directory cannot be read.
    """
    source = _source(submission)
    known = _fetched(folder)
    if folder.exists() and any(folder.iterdir()) and (known is None or known["from"] != source):
        raise StudyError(
            f"--out {folder}: the folder holds something else than results fetched from "
            f"{source}; name another."
        )
    own = [
        str(part.relative_to(folder))
        for part in _parts(folder)
        if known is None or str(part.relative_to(folder)) not in known["files"]
    ]
    if own:
        raise StudyError(
            f"--out {folder}: it was added to since it was fetched ({own[0]}); name another, so "
            "that nothing recorded is lost."
        )
    files = mirror(submission, folder, ("checkpoints", "run.lock", "damaged"))
    mark = {"from": source, "files": files}
    write_whole(folder / _MARK, json.dumps(mark, indent=2).encode())
    _drop_parts(folder, files)


def _drop_parts(folder: Path, files: Sequence[str]) -> None:
    """Remove the parts that are not among files: they were merged into others since."""
    for part in _parts(folder):
        if str(part.relative_to(folder)) not in files:
            part.unlink()


def _source(submission: Submission) -> str:
    return f"{submission.dashboard.address} {submission.details().metadata['out']}"


def _fetched(folder: Path) -> dict[str, Any] | None:
    try:
        known = json.loads((folder / _MARK).read_bytes())
    except (OSError, ValueError):
        return None
    return known if isinstance(known, dict) and {"from", "files"} <= known.keys() else None


def _parts(folder: Path) -> list[Path]:
    store = Store(folder)
    return [part for table in SCHEMAS for part in store.parts(table)]


def mirror(submission: Submission, folder: Path, left_out: Iterable[str] = ()) -> list[str]:
    """Copy what a job's run directory holds right now; return the names of the files.

    Parameters
    ----------
    submission
        The job.
    folder
        To copy into; made if need be.
    left_out
        Names at the top that are not copied.

    Raises
    ------
    RunError
        The cluster shows no run directory of the job.
    """
    details = submission.details()
    if details.driver_node_id is None:
        raise RunError(f"{REFERENCE}{submission.job}: it has not begun yet; nothing is recorded.")
    root = f"{WINDOW}/{submission.job}"
    dashboard, node = submission.dashboard, details.driver_node_id
    # Parts are merged now and then: what vanishes between a look and a copy is looked for again.
    for _ in range(5):
        names = [
            name
            for name in _walk(dashboard, node, root)
            if name.removeprefix(f"{root}/").partition("/")[0] not in left_out
        ]
        if all(_copy(dashboard, node, name, folder / name[len(root) + 1 :]) for name in names):
            if not names:
                raise RunError(
                    f"{REFERENCE}{submission.job}: the cluster shows no results of it; has it "
                    f"begun, and is {details.metadata['out']} still there?"
                )
            return [name[len(root) + 1 :] for name in names]
    raise RunError(f"{REFERENCE}{submission.job}: its results change too fast; try again.")


def _walk(dashboard: Dashboard, node: str, folder: str) -> Iterator[str]:
    for name in dashboard.listing(node, folder):
        if Path(name).name.startswith(".") or ".." in Path(name).parts:
            continue
        if name.endswith("/"):
            if Path(name).name != "checkpoints":
                yield from _walk(dashboard, node, name.rstrip("/"))
        else:
            yield name


def _copy(dashboard: Dashboard, node: str, name: str, target: Path) -> bool:
    scrap = target.with_name(f".{target.name}.coming")
    with explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            if not dashboard.download(node, name, scrap):
                return False
            scrap.replace(target)
        finally:
            scrap.unlink(missing_ok=True)
    return True


@dataclass(frozen=True)
class Opened:
    """A run directory to look at.

    Parameters
    ----------
    folder
        The run directory itself, or a copy of a job's.
    job
        Where it is a copy.
    """

    folder: Path
    job: Submission | None = None

    def is_at_work(self) -> bool:
        """Return whether a run writes to it."""
        return not self.job.is_ended() if self.job else is_held(Store(self.folder).lock)

    def refresh(self) -> None:
        """Bring a copy up to date.

        Raises
        ------
        RunError
            The cluster cannot be reached.
        """
        if self.job:
            files = mirror(self.job, self.folder, ("predictions", "report", "run.lock", "damaged"))
            _drop_parts(self.folder, files)


@contextmanager
def opened(run: Path, address: str | None) -> Iterator[Opened]:
    """Yield what a command names: a run directory, or a job's copied for as long as needed."""
    submission = referred(str(run), address)
    if submission is None:
        yield Opened(run)
        return
    with tempfile.TemporaryDirectory(prefix="scalestudy-") as scratch:
        copy = Opened(Path(scratch) / submission.job, submission)
        copy.refresh()
        yield copy


def brought(run: Path, address: str | None, out: Path | None) -> Path:
    """Return the run directory that a command names; a job's is fetched into `out`.

    Raises
    ------
    StudyError
        `out` is named for a run directory, which is where it is.
    """
    submission = referred(str(run), address)
    if submission is None:
        if out is not None:
            raise StudyError("--out: only what a job left is fetched; a run directory stays.")
        return run
    folder = out or Path("runs") / submission.details().metadata["study"]
    fetch(submission, folder)
    return folder


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
