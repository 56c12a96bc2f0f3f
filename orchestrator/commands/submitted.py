"""A submitted study on the cluster: `python -m … JOB OUT [flags of run]`.

It runs in the folder that was shipped, and opens the run directory to `scalestudy status`,
`report` and `--fetch` through Ray's own log service, which serves what is linked from the logs.
"""

import sys
from importlib import metadata
from pathlib import Path


def main() -> None:
    """Run the study that was shipped, into a folder that outlives the shipped one."""
    job, out, *flags = sys.argv[1:]
    lacking = _lacking()
    if lacking:
        sys.exit(
            f"scalestudy: the cluster lacks {', '.join(lacking)}; install that on every node, or "
            "start the cluster from an image that has it. scalestudy itself need not be there."
        )
    from orchestrator.commands import app as cli
    from orchestrator.drivers.connection import join
    from orchestrator.jobs.parcel import STUDY_FILE

    if "://" not in out:
        out = str(Path(out).expanduser())
        _open_window(join(), job, Path(out))
    sys.argv = ["scalestudy", "run", STUDY_FILE, "--out", out, *flags]
    cli.main()


def _lacking() -> "list[str]":
    """Return what this Python lacks of what the packages need, as one would install it."""
    # The cluster's, which nothing has checked yet.
    if sys.version_info < (3, 11):  # noqa: UP036
        return ["Python 3.11 or newer (it has {}.{})".format(*sys.version_info)]
    from packaging.requirements import Requirement

    lacking = []
    for text in metadata.requires("scalestudy") or ():
        needed = Requirement(text)
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        try:
            there = metadata.version(needed.name)
        except metadata.PackageNotFoundError:
            lacking.append(f"{needed.name}{needed.specifier}")
            continue
        if not needed.specifier.contains(there, prereleases=True):
            lacking.append(f"{needed.name}{needed.specifier} (it has {there})")
    return lacking


def _open_window(session: Path, job: str, out: Path) -> None:
    from orchestrator.jobs.dashboard import WINDOW
    from results.store.files import explained

    with explained(out):
        out.mkdir(parents=True, exist_ok=True)
    link = session / "logs" / WINDOW / job
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(out.resolve(), target_is_directory=True)


if __name__ == "__main__":
    main()
