"""The commands about a study file: `init` writes one, `plan` prices it, `run` trains it."""

import shlex
from dataclasses import asdict
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

import results
from orchestrator.commands import usage
from orchestrator.errors import StudyError
from orchestrator.run.events import written_to


def init(
    file: Annotated[Path, typer.Argument(help="Where to write the study.")] = Path("study.yaml"),
    preset: Annotated[
        str | None, typer.Option(help="demo, images, reference or search, written as it is.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="A folder, table or function; digits, cifar10 or cifar100.")
    ] = None,
    models: Annotated[str | None, typer.Option(help="Such as resnet18,resnet50.")] = None,
    weights: Annotated[str | None, typer.Option(help="Such as none,IMAGENET1K_V1.")] = None,
    budget: Annotated[
        str | None, typer.Option(help="Hours that it may take on this machine: 2, 2h, 90min.")
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Also write a JSON Schema beside it, for editors.")
    ] = False,
) -> None:
    """Write a commented study file to start from.

    With --data, --models, --weights or --budget the study is made for them, with as
    many epochs, seeds and data sizes as fit the budget.
    """
    from orchestrator.study.presets import preset_names, preset_text
    from results.store.files import write_whole

    given = {"data": data, "models": _split(models), "weights": _split(weights), "budget": budget}
    wishes: dict[str, Any] = {name: value for name, value in given.items() if value}
    if preset is not None and wishes:
        raise StudyError(
            f"--preset goes without {' and '.join(f'--{key}' for key in wishes)}: a preset is "
            "written as it is."
        )
    if preset is not None and preset not in preset_names():
        raise StudyError(f"--preset {preset}: valid are {', '.join(preset_names())}.")
    if file.exists():
        raise StudyError(f"{file}: the file is there already; name another, or remove it first.")
    said: list[str] = []
    if wishes:
        from orchestrator.plan.starter import Starter

        usage.see_own_modules(file)
        text, said = Starter(file, **wishes).start()
    else:
        text = preset_text(preset or "demo", str(file))
    if schema:
        from orchestrator.study.file import schema_text

        beside = file.parent / "study.schema.json"
        write_whole(beside, schema_text().encode())
        text = f"# yaml-language-server: $schema={beside.name}\n{text}"
    write_whole(file, text.encode())
    said += [f"{file} is written. Look at it, then: scalestudy plan {file}"]
    typer.echo("\n".join(said))


def _split(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def plan(
    study: usage.StudyFile,
    out: usage.Out = None,
    settings: usage.Settings = None,
    reuse: usage.Reuse = None,
    max_parallel: usage.MaxParallel = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Time a few updates of each kind of trial here.")
    ] = False,
    look: Annotated[
        bool, typer.Option("--look", help="Decode the images now, and say what pixels tell.")
    ] = False,
    as_json: usage.Json = False,
) -> None:
    """Say what a run would train, what it costs, and what stands against its comparisons."""
    from orchestrator.plan.plan import plan_study
    from orchestrator.plan.price import price_study

    with usage.one_document(as_json) as document:
        with usage.declared(study, settings, reuse) as loaded:
            made = plan_study(loaded, out, look=look, say=partial(typer.echo, err=True))
            price = price_study(made.ledger, probe=probe, max_parallel=max_parallel)
        document.update(made.as_json(), price=asdict(price))
    if not as_json:
        from orchestrator.screen.plan_text import print_plan

        print_plan(made, price, _again(study, out, settings, reuse))


def run(
    study: usage.StudyFile,
    out: usage.Out = None,
    settings: usage.Settings = None,
    reuse: usage.Reuse = None,
    address: Annotated[
        str | None,
        typer.Option(help="A Ray cluster, or none for this process.", show_default="RAY_ADDRESS"),
    ] = None,
    max_parallel: usage.MaxParallel = None,
    autoscale: usage.Autoscale = False,
    budget: Annotated[
        str | None, typer.Option(help="3h, 20gpu-hours or money: start nothing beyond it.")
    ] = None,
    report_too: Annotated[
        bool, typer.Option("--report/--no-report", help="Write the report at the end.")
    ] = True,
    log: Annotated[
        Path | None, typer.Option(help="A file for what happens to trials, as JSON lines.")
    ] = None,
    as_json: usage.Json = False,
) -> None:
    """Train what the study wants and its run directory lacks, then report."""
    from orchestrator.commands.report import pictures_of
    from orchestrator.run.runner import run_study
    from orchestrator.run.signals import Deadline, Interrupted, Signals
    from orchestrator.screen.picture import Lines, make_progress
    from orchestrator.screen.plan_text import grave, print_summary

    with Deadline() as deadline, usage.one_document(as_json) as document:
        show = Lines() if as_json else make_progress()
        with usage.declared(study, settings, reuse) as loaded, written_to(log):
            report = partial(import_module, "results.report.page")
            summary = run_study(
                loaded,
                out,
                address=address,
                max_parallel=max_parallel,
                autoscale=autoscale,
                budget=budget,
                progress=show,
                meanwhile=(lambda: report().prepare()) if report_too else None,
            )
        answer = page = None
        findings: list[str] = []
        if report_too:
            show.note("writing the report")
            deadline.sentence = (
                f"the study is done. scalestudy report {summary.out} writes its report."
            )
            try:
                with Signals():
                    recorded = results.open(summary.out)
                    page = results.write_report(recorded, look=pictures_of(recorded))
                    answer, findings = recorded.answer(), grave(recorded.findings())
            except Interrupted:
                raise Interrupted(f"{summary.out}: interrupted; {deadline.sentence}") from None
        document.update(
            vars(summary),
            exit_code=summary.exit_code,
            answer=[one.text for one in answer.sentences] if answer else [],
            findings=findings,
            report=page,
        )
    if not as_json:
        print_summary(summary, _again(study, out, settings, reuse), answer, findings, page)
    raise typer.Exit(summary.exit_code)


def _again(
    study: Path, out: str | None, settings: list[str] | None, reuse: list[str] | None
) -> str:
    words = ["scalestudy", "run", str(study)]
    words += ["--out", out] if out else []
    for flag, values in (("--set", settings), ("--reuse", reuse)):
        words += [word for value in values or () for word in (flag, value)]
    return shlex.join(words)
