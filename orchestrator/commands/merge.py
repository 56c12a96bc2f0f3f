"""The command `merge`: what several machines trained of one study, as one run directory."""

from typing import Annotated

import typer


def merge(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN_A RUN_B …", help="Run directories of one study."),
    ],
    out: Annotated[str, typer.Option("--out", metavar="FOLDER", help="The new run directory.")],
) -> None:
    """Join run directories of one study, trained on several machines, into a new one."""
    from results.store.joining import join
    from results.store.store import Store

    if len(runs) < 2:
        raise typer.BadParameter("two run directories or more are needed")
    sources = [Store.at(run) for run in runs]
    trials = join(sources, Store.at(out)).num_rows
    twice = sum(source.read("trials", ["trial_id"]).num_rows for source in sources) - trials
    typer.echo(
        f"{out}: {trials} trials of {len(runs)} run directories"
        + (f", {twice} rows of trials that were there twice left out" if twice else "")
        + "; `scalestudy run` with this --out trains what is missing."
    )
