"""What the commands share: arguments, the JSON document, errors as a sentence. Nothing heavy."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

import orchestrator
from orchestrator.errors import OrchestratorError, StudyError
from orchestrator.run.events import plain
from results.errors import AddressError, ResultsError

StudyFile = Annotated[Path, typer.Argument(help="The study file (YAML).")]
RunFolder = Annotated[str, typer.Argument(help="A run directory: runs/demo, or s3://bucket/demo.")]
RunOrJob = Annotated[str, typer.Argument(help="A run directory, or job:ID of a submitted one.")]
Dashboard = Annotated[
    str | None,
    typer.Option(help="http://head:8265, a dashboard.", show_default="RAY_API_SERVER_ADDRESS"),
]
Out = Annotated[
    str | None,
    typer.Option(help="The run directory: a folder or s3://….", show_default="runs/<name>"),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key: --set recipe.epochs=3."),
]
Reuse = Annotated[list[str] | None, typer.Option(help="A run directory to take trials from.")]
MaxParallel = Annotated[int | None, typer.Option(min=1, help="Trials at a time, at most.")]
Autoscale = Annotated[
    bool, typer.Option("--autoscale", help="Ask a cluster that grows for --max-parallel places.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]

Document = dict[str, Any]
"""What becomes a JSON object: values of JSON, and whatever `plain` makes such values of."""

# Of the click that typer was built on: newer versions bring their own copy of it.
BAD_USAGE: type[Any] = typer.BadParameter.__mro__[1]
"""What typer raises where a command, an option or a value cannot be meant."""


@contextmanager
def one_document(as_json: bool) -> Iterator[Document]:
    """Yield a document, and print it as JSON where asked."""
    document: Document = {}
    yield document
    if as_json:
        print_json(document)


def say_problems(problems: list[str], document: Document, as_json: bool) -> None:
    """Say what is wrong with the tables of a run, and who mends it; nothing where all is well."""
    document["problems"] = problems
    if problems and not as_json:
        mend = "`scalestudy run` sets aside what is double, and trains what is missing."
        said = [*(f"warning: {problem}" for problem in problems), f"Each row counts once. {mend}"]
        typer.echo("\n".join(said), err=True)


def print_json(document: Document) -> None:
    """Print a document on standard output; what JSON lacks (NaN, infinity) becomes null."""
    typer.echo(json.dumps(plain(document), indent=2, allow_nan=False))


@contextmanager
def declared(
    file: Path, settings: list[str] | None, reuse: list[str] | None = None, *, rooted: bool = True
) -> "Iterator[orchestrator.Study]":
    """Yield the study of a file, which is named in all that is said of its keys meanwhile.

    `settings` override keys; it takes trials from the run directories `reuse`. Relative paths are
    left as they are where it is not `rooted`.
    """
    from orchestrator.study.file import load_study
    from results.store.objects import is_address

    see_own_modules(file)
    # What the command names lies where the command runs, not beside the study.
    places = [place if is_address(place) else str(Path(place).absolute()) for place in reuse or ()]
    lent = [f"reuse={json.dumps(places)}"] if places else []
    try:
        yield load_study(file, [*(settings or ()), *lent], rooted=rooted)
    except StudyError as error:
        if str(error).startswith((f"{file}:", "--")):
            raise
        raise StudyError(f"{file}: {error}") from error


def see_own_modules(study: Path | None = None) -> None:
    """Let `package.module:function` name a module beside the study, or in the working folder."""
    from trainables.functions import see_modules

    see_modules([str(study.absolute().parent if study else Path.cwd()), str(Path.cwd())])


def explained(error: BaseException) -> tuple[int, str] | None:
    """Return exit code and message of an error that a user can mend; None for a bug."""
    from trainables.errors import TrainableError

    if isinstance(error, BAD_USAGE):
        return 2, error.format_message()
    if isinstance(error, OrchestratorError):
        return error.exit_code, str(error)
    if isinstance(error, ResultsError | TrainableError):
        return 2 if isinstance(error, AddressError | TrainableError) else 1, str(error)
    return None


def or_dash(value: float, written: str) -> str:
    """Return a number as `written` writes it, and a dash for NaN."""
    return "–" if math.isnan(value) else written.format(value)
