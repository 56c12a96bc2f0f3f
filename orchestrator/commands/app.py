"""The command `scalestudy`. Heavy libraries are imported by the commands that need them."""

import errno
import gc
import io
import sys
from typing import Annotated, Any

import typer

from orchestrator.commands.doctor import doctor
from orchestrator.commands.export import export
from orchestrator.commands.jobs import stop, submit
from orchestrator.commands.report import compare, merge, replay, report
from orchestrator.commands.status import clean, status
from orchestrator.commands.study import init, plan, run
from orchestrator.commands.usage import BAD_USAGE, explained, print_json

app = typer.Typer(
    name="scalestudy",
    help="Distributed factor studies for vision models: declare a study, run it, read the answer.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_COMMANDS = (init, plan, run, status, doctor, report, compare, merge, export, replay, clean)
for _command in (*_COMMANDS, submit, stop):
    app.command()(_command)


class _Patient(io.FileIO):
    """The end of another stream, whose reader may go away: no output is worth a run."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream.fileno(), "w", closefd=False)
        # It would close the descriptor when it goes.
        self._stream = stream

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            return len(content)


def _patient(stream: Any) -> Any:
    """Return a stream that goes on without its reader, and without signs that it does not know."""
    if not isinstance(getattr(getattr(stream, "buffer", None), "raw", None), io.FileIO):
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Patient(stream)),
        encoding=stream.encoding,
        errors="replace",
        line_buffering=stream.line_buffering or stream.isatty(),
        write_through=stream is sys.stderr,
    )


@app.callback(invoke_without_command=True)
def _any_command(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print it and leave.")] = False,
) -> None:
    if version:
        from importlib import metadata

        typer.echo(f"scalestudy {metadata.version('scalestudy')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        raise BAD_USAGE("Missing command.", context)


def main() -> None:
    """Run the command; every error a user can cause is one message on standard error."""
    sys.stdout, sys.stderr = map(_patient, (sys.stdout, sys.stderr))
    try:
        code = app(standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("interrupted.", err=True)
        sys.exit(130)
    except Exception as error:
        if (known := explained(error)) is None:
            raise
        code, said = known
        if "--json" in sys.argv:
            print_json({"error": said, "exit_code": code})
        if isinstance(error, BAD_USAGE):
            error.show()
        else:
            typer.echo(f"scalestudy: {said}", err=True)
    sys.exit(code)


def command() -> None:
    """Run the command as a process of its own, whose time is short."""
    # Looking for garbage takes a fifth of it while libraries are imported, and finds next to none.
    gc.set_threshold(100_000, 10, 10)
    try:
        main()
    finally:
        # Else Python looks through all that was imported once more before it ends.
        gc.freeze()
