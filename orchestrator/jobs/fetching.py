"""A job's run directory, copied here: once, or again and again while one looks."""

import json
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator.errors import RunError, StudyError
from orchestrator.jobs.dashboard import WINDOW, Dashboard
from orchestrator.jobs.submission import REFERENCE, Standing, Submission, referred
from orchestrator.run.lock import is_held
from results.records import SCHEMAS
from results.store import merging
from results.store.files import explained, write_whole
from results.store.objects import Location, is_address, located
from results.store.store import Store

_MARK = ".fetched"
"""File of a fetched run directory that says where it came from."""
_LEFT = ("run.lock", "damaged")
"""Names in a run directory that are of its own machine only."""


def target(to: str | None, name: str) -> Path:
    """Return the folder that results are fetched into, `runs/<name>` by default, or refuse it."""
    if to is not None and is_address(to):
        raise StudyError(
            f"--to {to}: results are fetched into a folder here; `submit --out` has the job itself "
            "write to an object store."
        )
    folder = Path(to) if to else Path("runs") / name
    if folder.exists() and not folder.is_dir():
        raise StudyError(f"--to {folder}: a file stands where a folder is needed; name another.")
    _fetched(folder)
    return folder


def _fetched(folder: Path, source: str | None = None) -> list[str]:
    """Return the files that were fetched from a source, or any job; refuse a folder of others."""
    origin, files = "", list[str]()
    with suppress(OSError, ValueError, TypeError, KeyError):
        known = json.loads((folder / _MARK).read_bytes())
        origin, files = known["from"], known["files"]
    is_other = not origin or source not in (None, origin)
    if is_other and folder.exists() and any(folder.iterdir()):
        raise StudyError(
            f"--to {folder}: the folder holds something else than results fetched from "
            f"{source or 'a job'}; name another."
        )
    return files


def fetch(submission: Submission, folder: Path) -> None:
    """Copy a job's run directory into a folder here, its checkpoints left out.

    Fetched again, the folder holds what the run directory has by then, and no more; one that holds
    what did not come from there is refused.
    """
    source = f"{submission.dashboard.address} {submission.details().metadata['out']}"
    if own := _parts_beside(folder, _fetched(folder, source)):
        raise StudyError(
            f"--to {folder}: it was added to since it was fetched ({own[0].relative_to(folder)}); "
            "name another, so that nothing recorded is lost."
        )
    mark = {"from": source, "files": mirror(submission, folder)}
    write_whole(folder / _MARK, json.dumps(mark, indent=2).encode())


def _parts_beside(folder: Path, files: Collection[str]) -> list[Path]:
    parts = (part for table in SCHEMAS for part in merging.parts(folder, table))
    return [part for part in parts if str(part.relative_to(folder)) not in files]


def mirror(submission: Submission, folder: Path, left_out: Collection[str] = ()) -> list[str]:
    """Copy what a job's run directory holds right now; return the files as paths below it.

    Files and folders named in `left_out` stay, besides those that are never copied. Raises RunError
    where the cluster shows no run directory of the job.
    """
    root, node = f"{WINDOW}/{submission.job}", submission.details().driver_node_id
    dashboard = submission.dashboard
    # Parts are merged now and then: what vanishes between a look and a copy is looked for again.
    for _ in range(5):
        walked = () if node is None else _walk(dashboard, node, root)
        found = (name.removeprefix(f"{root}/") for name in walked)
        names = [name for name in found if name.partition("/")[0] not in (*_LEFT, *left_out)]
        if all(_copy(dashboard, node, f"{root}/{name}", folder / name) for name in names):
            # A job that refused its folder shows what others have put there.
            if "study.yaml" not in names:
                break
            # What is not there any more was merged into others since.
            for part in _parts_beside(folder, names):
                part.unlink()
            return names
    else:
        raise RunError(f"{REFERENCE}{submission.job}: its results change too fast; try again.")
    details = submission.details()
    said = "it is starting; nothing is recorded yet. Look again in some seconds."
    if (standing := Standing.of(details)).has_ended:
        said = (
            f"it has ended ({standing.said}) and shows no results in {details.metadata['out']}: "
            "either it recorded none, or they are gone since. Why: ray job logs "
            f"{submission.job} --address {dashboard.address}"
        )
    raise RunError(f"{REFERENCE}{submission.job}: {said}")


def _walk(dashboard: Dashboard, node: str, folder: str) -> Iterator[str]:
    for name in dashboard.listing(node, folder):
        inside = name.startswith(f"{folder}/") and not name[len(folder) + 1 :].startswith("/")
        own = Path(name)
        if not inside or own.name.startswith(".") or ".." in own.parts:
            continue
        if not name.endswith("/"):
            yield name
        elif own.name != "checkpoints":
            yield from _walk(dashboard, node, name.rstrip("/"))


def _copy(dashboard: Dashboard, node: str, name: str, target: Path) -> bool:
    scrap = target.with_name(f".{target.name}.coming")
    with explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            if is_there := dashboard.download(node, name, scrap):
                scrap.replace(target)
            return is_there
        finally:
            scrap.unlink(missing_ok=True)


@dataclass(frozen=True)
class Opened:
    """A run directory to look at."""

    folder: Location
    """The run directory itself, or a copy of a job's."""
    job: Submission | None = None
    """The job whose run directory it is, or None where a run directory is named."""
    refresh: Callable[[], object] = lambda: None
    """Brings a copy up to date; raises `RunError` where the cluster cannot be reached."""

    def is_at_work(self) -> bool:
        """Return whether a run writes to the run directory."""
        return not self.job.standing().has_ended if self.job else is_held(Store(self.folder).lock)

    def standing(self) -> tuple[dict[str, Any], str]:
        """Return how a run or job stands: as values for a document, and in words."""
        if self.job is None:
            running = self.is_at_work()
            return {"running": running}, f"{'a' if running else 'no'} run is at work here"
        standing, job = self.job.standing(), self.job.job
        values: dict[str, Any] = {"running": not standing.has_ended, "job": job}
        values |= {"state": standing.state, "exit_code": standing.exit_code}
        return values, f"{REFERENCE}{job}: {standing.said}"


def _named(run: str, address: str | None) -> Opened | Submission:
    """Return the run directory that a command names, or the job from which it must be fetched."""
    if (submission := referred(run, address)) is None:
        return Opened(located(run))
    out = str(submission.details().metadata["out"])
    return Opened(located(out), submission) if "://" in out else submission


@contextmanager
def opened(run: str, address: str | None) -> Iterator[Opened]:
    """Yield the run directory that a command names; of a job, a copy that is removed afterwards."""
    found = _named(run, address)
    if isinstance(found, Opened):
        yield found
        return
    with tempfile.TemporaryDirectory(prefix="scalestudy-") as scratch:
        folder = Path(scratch) / found.job
        refresh = partial(mirror, found, folder, ("predictions", "report"))
        refresh()
        yield Opened(folder, found, refresh)


def brought(run: str, address: str | None, to: str | None) -> tuple[Opened, Location | None]:
    """Return the run directory that is named, a job's fetched, and where its report goes else."""
    found = _named(run, address)
    if isinstance(found, Opened):
        return found, None if to is None else located(to)
    folder = target(to, found.details().metadata["study"])
    fetch(found, folder)
    return Opened(folder, found, lambda: fetch(found, folder)), None
