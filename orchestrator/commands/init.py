"""The command `init`: a study file to start from, asked for or declared by flags."""

import sys
from pathlib import Path
from typing import Annotated

import typer

_QUESTIONS = {
    "data": ("Your images: a folder, or digits, cifar10, cifar100", "digits"),
    "models": ("Models to compare, with commas", "resnet18,resnet50"),
    "weights": ("Weights to start from, with commas (none, IMAGENET1K_V1, a file)", "none"),
    "fractions": ("Shares of the training images, with commas", "as the budget allows"),
    "budget": ("Hours that it may take on this machine", "1"),
}


def init(
    file: Annotated[Path, typer.Argument(help="Where to write the study.")] = Path("study.yaml"),
    preset: Annotated[
        str | None,
        typer.Option(
            help="Write this one as it is: digits, reference, search or images.",
            show_default="digits, where nothing is asked or named",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="A folder of images or Parquet files, or digits, cifar10, cifar100."),
    ] = None,
    models: Annotated[str | None, typer.Option(help="Such as resnet18,resnet50.")] = None,
    weights: Annotated[str | None, typer.Option(help="Such as none,IMAGENET1K_V1.")] = None,
    fractions: Annotated[str | None, typer.Option(help="Such as 1/16,1/4,1.")] = None,
    budget: Annotated[
        float | None,
        typer.Option(min=0.0, metavar="HOURS", help="What it may take on this machine."),
    ] = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Time a few updates of each model here first.")
    ] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Also write a JSON Schema beside it, for editors.")
    ] = False,
) -> None:
    """Write a commented study file to start from.

    With --data, --models, --weights, --fractions or --budget the study is made for them, with as
    many epochs, seeds and data sizes as fit the budget. On a terminal, what is not given is asked.
    """
    from orchestrator.commands.usage import see_own_modules
    from orchestrator.errors import StudyError
    from orchestrator.study.presets import preset_names, preset_text
    from results.store.files import write_whole

    given = {
        "data": data,
        "models": models,
        "weights": weights,
        "fractions": fractions,
        "budget": None if budget is None else f"{budget:g}",
    }
    named = {key: value for key, value in given.items() if value is not None}
    if preset is not None and named:
        raise StudyError(
            f"--preset goes without {' and '.join(f'--{key}' for key in named)}: a preset is "
            "written as it is."
        )
    if preset is not None and preset not in preset_names():
        raise StudyError(f"--preset {preset}: valid are {', '.join(preset_names())}.")
    if file.exists():
        raise StudyError(f"{file}: the file is there already; name another, or remove it first.")
    if preset is None and sys.stdin.isatty() and sys.stdout.isatty():
        named |= _asked([key for key in _QUESTIONS if key not in named])
    beside = file.parent / "study.schema.json"
    if preset is not None or not named:
        text, said = preset_text(preset or "digits", str(file)), []
        if schema:
            text = f"# yaml-language-server: $schema={beside.name}\n{text}"
    else:
        from orchestrator.plan.starter import Starter, Wish

        see_own_modules()
        wish = Wish(
            file,
            data=named.get("data", "digits"),
            models=_split(named.get("models")),
            weights=_split(named.get("weights")),
            fractions=_split(named.get("fractions")),
            hours=_hours(named.get("budget")),
            schema=beside.name if schema else None,
        )
        started = Starter(wish, probe=probe).start()
        text, said = started.text, started.reasons
    if schema:
        from orchestrator.study.file import schema_text

        write_whole(beside, schema_text().encode())
    write_whole(file, text.encode())
    for sentence in said:
        typer.echo(sentence)
    typer.echo(f"{file} is written. Look at it, then: scalestudy plan {file}")


def _asked(keys: list[str]) -> dict[str, str]:
    answers = {}
    for key in keys:
        question, default = _QUESTIONS[key]
        answer = typer.prompt(question, default=default)
        if answer != default or key in ("data", "models", "weights", "budget"):
            answers[key] = str(answer)
    return answers


def _split(text: str | None) -> list[str] | None:
    parts = [part.strip() for part in (text or "").split(",")]
    return [part for part in parts if part] or None


def _hours(text: str | None) -> float | None:
    from orchestrator.errors import StudyError

    if text is None:
        return None
    try:
        hours = float(text)
    except ValueError:
        hours = 0.0
    if not 0 < hours < float("inf"):
        raise StudyError(f"--budget {text}: a number of hours above 0 is needed, such as 2.")
    return hours
