"""The commands `submit` and `stop`: studies as jobs of a Ray cluster."""

import os
import signal
import socket
import time
from functools import partial
from typing import Annotated

import typer

from orchestrator.commands import usage


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
    from orchestrator.errors import StudyError
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
            sent = submission.submit(
                asked,
                study.parent,
                address,
                out=out,
                max_parallel=max_parallel,
                autoscale=autoscale,
                note=_note,
            )
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


_note = partial(typer.echo, err=True)


def stop(
    run_folder: usage.RunOrJob, address: usage.Dashboard = None, as_json: usage.Json = False
) -> None:
    """End a submitted job, or a run on this machine; all that is recorded is safe."""
    from orchestrator.jobs.submission import referred

    with usage.one_document(as_json) as document:
        job = referred(run_folder, address)
        if job is None:
            document["stopped"] = _stop_here(run_folder)
        else:
            document["stopped"] = not job.standing().has_ended
            job.stop()
    if not as_json:
        stopped = document["stopped"]
        said = "stopped; all that was recorded is safe" if stopped else "no run is at work there"
        typer.echo(f"{run_folder}: {said}.")


def _stop_here(folder: str) -> bool:
    """Ask a run on this machine to end, and wait until it has; return whether there was one."""
    from orchestrator.errors import RunError
    from orchestrator.run.lock import holder, is_held
    from results.store.store import Store

    lock = Store.at(folder).lock
    if not is_held(lock):
        return False
    who = holder(lock) or {}
    host, process = who.get("host"), who.get("pid")
    if host != socket.gethostname() or not isinstance(process, int):
        raise RunError(
            f"{folder}: the run is on host {host or 'unknown'} (process {process}); stop it there."
        )
    os.kill(process, signal.SIGTERM)
    while is_held(lock):
        time.sleep(0.2)
    return True
