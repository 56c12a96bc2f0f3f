"""A submitted study on the cluster: `python -m … JOB OUT [flags of run]`.

It runs in the folder that was shipped, and opens the run directory to `scalestudy status`,
`report` and `--fetch` through Ray's own log service, which serves what is linked from the logs.
"""

import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path


def main() -> None:
    """Run the study that was shipped, into a folder that outlives the shipped one."""
    job, out, *flags = sys.argv[1:]
    if lacking := _lacking():
        sys.exit(
            f"scalestudy: the cluster lacks {', '.join(lacking)}; install that on every node, or "
            "start the cluster from an image that has it. scalestudy itself need not be there."
        )
    from orchestrator.commands import app as cli
    from orchestrator.drivers.connection import join
    from orchestrator.jobs.dashboard import WINDOW
    from orchestrator.jobs.parcel import STUDY_FILE
    from results.store.files import explained

    if "://" not in out:
        folder, link = Path(out).expanduser(), join() / "logs" / WINDOW / job
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(folder.resolve(), target_is_directory=True)
        out = str(folder)
    sys.argv = ["scalestudy", "run", STUDY_FILE, "--out", out, *flags]
    cli.main()


def _lacking() -> "list[str]":
    """Return what this Python lacks of what the packages need, as one would install it."""
    # The cluster's, which nothing has checked yet.
    if sys.version_info < (3, 11):  # noqa: UP036
        return ["Python 3.11 or newer (it has {}.{})".format(*sys.version_info)]
    from packaging.requirements import Requirement

    lacking = []
    for needed in map(Requirement, metadata.requires("scalestudy") or ()):
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        there = ""
        with suppress(metadata.PackageNotFoundError):
            there = metadata.version(needed.name)
        if not there or not needed.specifier.contains(there, prereleases=True):
            has = f" (it has {there})" if there else ""
            lacking.append(f"{needed.name}{needed.specifier}{has}")
    return lacking


if __name__ == "__main__":
    main()
