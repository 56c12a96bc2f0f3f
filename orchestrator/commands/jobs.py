"""The commands `submit` and `stop`: studies as jobs of a Ray cluster."""

from functools import partial
from typing import Annotated

import typer

from orchestrator.commands import usage
from orchestrator.errors import StudyError

_note = partial(typer.echo, err=True)


def submit(
    study: usage.StudyFile,
    address: usage.Dashboard = None,
    out: Annotated[
        str | None,
        typer.Option(help="A run directory of the cluster.", show_default="~/scalestudy/<name>"),
    ] = None,
    settings: usage.Settings = None,
    max_parallel: usage.MaxParallel = None,
    autoscale: usage.Autoscale = False,
    follow: Annotated[bool, typer.Option(help="Show what it prints until it ends.")] = True,
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Bring the results here, to --to.")
    ] = False,
    to: Annotated[
        str | None, typer.Option(help="A folder for --fetch.", show_default="runs/<name>")
    ] = None,
    as_json: usage.Json = False,
) -> None:
    """Run a study on a Ray cluster that need not have scalestudy; ends as the run does."""
    from orchestrator.jobs import fetching, submission
    from orchestrator.run.signals import Interrupted

    code = 0
    with usage.one_document(as_json) as document:
        if fetch and not follow:
            raise StudyError(
                "--fetch waits for the job and --no-follow does not; afterwards, "
                "`scalestudy report job:ID` fetches too."
            )
        with usage.declared(study, settings, rooted=False) as asked:
            # Looked at before a job is sent for it.
            folder = fetching.target(to, asked.name) if fetch else None
            flags = ["--max-parallel", str(max_parallel)] if max_parallel else []
            flags += ["--autoscale"] if autoscale else []
            sent = submission.submit(asked, study.parent, address, out, flags, _note)
        there = sent.details().metadata["out"]
        document.update(job=sent.job, address=sent.dashboard.address, out=there)
        _note(f"job:{sent.job} writes {there} on the cluster")
        if follow:
            try:
                code = submission.follow(sent, partial(typer.echo, nl=False, err=as_json))
            except KeyboardInterrupt:  # which ends the following alone
                raise Interrupted(
                    f"job:{sent.job} goes on without being followed. Look at it: scalestudy status "
                    f"{sent.words}; end it: scalestudy stop {sent.words}"
                ) from None
            document.update(exit_code=code, state=sent.standing().state)
        else:
            _note(f"look at it: scalestudy status {sent.words}")
            _note(f"end it: scalestudy stop {sent.words}")
            _note(f"bring its results: scalestudy report {sent.words}")
        if folder and code in (0, 3):
            _note(f"fetching {there}")
            fetching.fetch(sent, folder)
            _note(f"fetched: {folder}")
            page = folder / "report" / "index.html"
            if page.exists():
                _note(f"its report here: {page}")
            document["fetched"] = str(folder)
        elif follow and code:
            _note(f"what is recorded: scalestudy report {sent.words}")
    raise typer.Exit(code)


def stop(
    job: Annotated[str, typer.Argument(help="job:ID of a submitted study.")],
    address: usage.Dashboard = None,
    as_json: usage.Json = False,
) -> None:
    """End a submitted job; all that is recorded is safe."""
    from orchestrator.jobs.submission import referred

    with usage.one_document(as_json) as document:
        if (submission := referred(job, address)) is None:
            raise StudyError(f"{job}: a job is job:ID. Ctrl-C or SIGTERM ends a run on a machine.")
        document["stopped"] = not submission.standing().has_ended
        submission.stop()
    if not as_json:
        said = "stopped; all that was recorded is safe" if document["stopped"] else "it had ended"
        typer.echo(f"{job}: {said}.")
