"""The command `scalestudy`. Heavy libraries are imported by the commands that need them."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.commands import jobs as cli_jobs
from orchestrator.commands.doctor import doctor
from orchestrator.commands.init import init
from orchestrator.commands.replay import replay
from orchestrator.commands.report import compare, report
from orchestrator.commands.status import status
from orchestrator.commands.usage import (
    BAD_USAGE,
    Autoscale,
    Json,
    Out,
    RunFolder,
    Settings,
    StudyFile,
    explained,
    named,
    one_document,
    print_json,
    see_own_modules,
)
from results.phrases import byte_size

app = typer.Typer(
    name="scalestudy",
    help="Distributed factor studies for vision models: declare a study, run it, read the answer.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


app.command()(init)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        typer.echo(f"scalestudy {metadata.version('scalestudy')}")
        raise typer.Exit


@app.callback()
def _any_command(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print it and leave."),
    ] = False,
) -> None:
    pass


@app.command()
def plan(
    study: StudyFile,
    out: Out = None,
    settings: Settings = None,
    max_parallel: Annotated[
        int | None, typer.Option(min=1, help="Reckon with so many trials at a time.")
    ] = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Time a few updates of each kind of trial here.")
    ] = False,
    price_per_hour: Annotated[
        float | None, typer.Option(min=0.0, help="Price of one GPU (or CPU) for an hour.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what a run would train, what it costs, and what is doubtful about the study."""
    from orchestrator.plan.plan import plan_study
    from orchestrator.plan.price import price_study
    from orchestrator.study.file import load_study

    with one_document(as_json) as document:
        see_own_modules()
        with named(study):
            made = plan_study(load_study(study, settings or ()), out)
            price = price_study(
                made.ledger, probe=probe, max_parallel=max_parallel, per_hour=price_per_hour
            )
        document.update(made.as_json(), price=price.as_json())
    if not as_json:
        from orchestrator.screen.plan_text import print_plan
        from orchestrator.screen.price_text import print_price

        print_price(price)
        print_plan(made, _again(study, out, settings))


@app.command()
def run(
    study: StudyFile,
    out: Out = None,
    settings: Settings = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="A Ray cluster's address; none trains in this process without Ray.",
            show_default="RAY_ADDRESS, else a private Ray on this machine",
        ),
    ] = None,
    max_parallel: Annotated[
        int | None, typer.Option(min=1, help="Trials at a time, at most.")
    ] = None,
    autoscale: Autoscale = False,
    report_too: Annotated[
        bool, typer.Option("--report/--no-report", help="Write the report at the end.")
    ] = True,
    log: Annotated[
        Path | None,
        typer.Option(help="Append what happens to trials to this file, as JSON lines."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train what the study wants and its run directory lacks, then report."""
    from orchestrator.run.events import written_to
    from orchestrator.run.runner import run_study
    from orchestrator.run.signals import Interrupted
    from orchestrator.screen.plan_text import doubts, print_summary
    from orchestrator.screen.progress import Lines, make_progress
    from orchestrator.study.file import load_study

    code = 0
    with one_document(as_json) as document:
        see_own_modules()
        show = Lines() if as_json else make_progress()
        with named(study), written_to(log):
            summary = run_study(
                load_study(study, settings or ()),
                out,
                address=address,
                max_parallel=max_parallel,
                autoscale=autoscale,
                progress=show,
            )
        code = summary.exit_code
        page, answer, doubtful = None, [], []
        if report_too:
            import results

            show.note("writing the report")
            try:
                recorded = results.open(summary.out)
                page = results.write_report(recorded)
                answer = [sentence.text for sentence in recorded.analysis.answer.sentences]
                doubtful = doubts(recorded.analysis.overview.findings)
            except KeyboardInterrupt:
                raise Interrupted(
                    f"{summary.out}: interrupted while the report was written; the study is done. "
                    f"scalestudy report {summary.out} writes it."
                ) from None
        document.update(
            out=str(summary.out),
            exit_code=code,
            counts=summary.counts,
            failed=summary.failed,
            incomplete=summary.incomplete,
            problems=summary.problems,
            answer=answer,
            doubtful=doubtful,
            report=str(page) if page else None,
        )
    if not as_json:
        print_summary(summary, _again(study, out, settings), answer, doubtful, page)
    raise typer.Exit(code)


app.command()(status)
app.command()(doctor)
app.command()(report)
app.command()(compare)
app.command()(replay)


@app.command()
def clean(
    run_folder: RunFolder,
    kept: Annotated[
        bool, typer.Option("--kept", help="Also checkpoints that keep_checkpoints asked for.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    as_json: Json = False,
) -> None:
    """Say what a run directory holds that nothing needs any more, and remove it."""
    from orchestrator.run.cleaning import leftovers, remove
    from orchestrator.run.lock import held
    from results.store.store import Store

    with one_document(as_json) as document:
        store = Store.at(run_folder)
        items = leftovers(store, kept_checkpoints=kept)
        size = sum(item.size for item in items)
        if not as_json:
            for item in items:
                typer.echo(f"{item.path}  {byte_size(item.size)}  {item.reason}")
            typer.echo(f"{len(items)} items, {byte_size(size)} in all")
        if items and (yes or (not as_json and _confirmed("Remove them?"))):
            with held(store.lock):
                remove(items)
            document["removed"] = True
        document["items"] = [
            {"path": str(item.path), "bytes": item.size, "reason": item.reason} for item in items
        ]


@app.command()
def schema() -> None:
    """Print the JSON Schema of a study file, for editors and other tools."""
    from orchestrator.study.file import schema_text

    typer.echo(schema_text(), nl=False)


app.command()(cli_jobs.submit)
app.command()(cli_jobs.stop)


def _confirmed(question: str) -> bool:
    """Ask; where nobody can answer, say what answers."""
    from orchestrator.errors import StudyError

    if not sys.stdin.isatty():
        raise StudyError("clean asks before it removes anything; without a terminal, add --yes.")
    return typer.confirm(question)


def _again(study: Path, out: str | None, settings: list[str] | None) -> str:
    """Return the command that runs a study as it was asked for just now."""
    words = ["scalestudy", "run", str(study)]
    words += ["--out", out] if out else []
    for setting in settings or ():
        words += ["--set", setting]
    return shlex.join(words)


def main() -> None:
    """Run the command; every error a user can cause is one message on standard error."""
    try:
        code = app(standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("interrupted.", err=True)
        sys.exit(130)
    except BAD_USAGE as error:
        if "--json" in sys.argv:
            print_json({"error": error.format_message(), "exit_code": 2})
        error.show()
        sys.exit(2)
    except Exception as error:
        known = explained(error)
        if known is None:
            raise
        typer.echo(f"scalestudy: {known[1]}", err=True)
        sys.exit(known[0])
    sys.exit(code)
