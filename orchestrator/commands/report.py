"""The commands `report` and `compare`: pages from what runs have recorded."""

import hashlib
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.commands.usage import Dashboard, Json, Out, RunOrJob, one_document

if TYPE_CHECKING:
    from rich.console import RenderableType

    from orchestrator.jobs.fetching import Opened
    from results.pairs.pair import Pair
    from results.run import Run

_SECONDS = 10.0


def report(
    run_folder: RunOrJob,
    address: Dashboard = None,
    out: Out = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Write it anew while the study runs.")
    ] = False,
    interval: Annotated[
        float, typer.Option(min=1.0, help="Seconds between two looks of --watch.")
    ] = _SECONDS,
    as_json: Json = False,
) -> None:
    """Write the page, figures and summary of a run, finished or under way; a job's is fetched."""
    from orchestrator.jobs.fetching import brought
    from results import write_report

    if watch and as_json:
        raise typer.BadParameter("--watch and --json do not go together: leave one out.")
    if watch:
        _watch(brought(run_folder, address, out), interval)
        return
    with one_document(as_json) as document:
        page = write_report(brought(run_folder, address, out).folder)
        document["report"] = str(page)
    if not as_json:
        typer.echo(str(page))


def _watch(looked_at: "Opened", interval: float) -> None:
    """Write the report whenever the records changed, until nothing is left to train."""
    import results
    from orchestrator.run.signals import Interrupted, Signals

    seen, waits = "", False
    try:
        with Signals():
            while True:
                # Asked before the records are read, which a run may finish in between.
                at_work = looked_at.is_at_work()
                run = results.open(looked_at.folder)
                state, is_settled = _state(run), run.cells.is_settled
                if state != seen:
                    page = results.write_report(run, refresh=None if is_settled else interval)
                    typer.echo(f"[{time.strftime('%H:%M:%S')}] {run.cells.progress}: {page}")
                    seen = state
                if is_settled and not at_work:
                    return
                if not at_work and not waits:
                    typer.echo("no run is at work here; waiting for one (Ctrl-C ends this)")
                waits = not at_work
                time.sleep(interval)
                looked_at.refresh()
    except Interrupted:
        raise Interrupted("no longer watching; the run and its report are as they were") from None


def _state(run: "Run") -> str:
    """Return a hash of all that a report is made from: trials change whenever epochs do."""
    from pandas.util import hash_pandas_object

    trials = run.trials()[["trial_id", "wanted", "measured", "status", "epochs_done"]]
    digest = hashlib.sha256(hash_pandas_object(trials, index=False).to_numpy().tobytes())
    digest.update(repr(run.study).encode())
    return digest.hexdigest()


def compare(
    first: Annotated[
        str, typer.Argument(metavar="RUN_A", help="A run directory.", show_default=False)
    ],
    second: Annotated[
        str,
        typer.Argument(
            metavar="RUN_B", help="The one that is judged against it.", show_default=False
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="For one page, its figure and the cells as files: a folder, or s3://… or gs://….",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Put two studies side by side: what each cell gained, and what it costs."""
    from results.pairs.findings import findings
    from results.pairs.pair import Pair
    from results.pairs.verdict import verdict

    with one_document(as_json) as document:
        pair = Pair.of(first, second)
        page = None
        if out is not None:
            from results.pairs.page import write_page

            page = write_page(pair, out)
        said, found = verdict(pair), findings(pair)
        document.update(
            first={"name": pair.names[0], "path": str(first)},
            second={"name": pair.names[1], "path": str(second)},
            verdict=said,
            cells=_rows(pair.cells),
            caveats=_rows(found),
            page=None if page is None else str(page),
        )
    if as_json:
        return
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    Console(highlight=False).print(_table(pair))
    for sentence in said:
        console.print(sentence, markup=False)
    for finding in _rows(found):
        console.print(f"{finding['severity']}: {finding['evidence']}", markup=False)
    if page is not None:
        console.print(f"page: {page}", markup=False)


def _rows(frame: Any) -> list[dict[str, Any]]:
    from results.analysis.cells import records_of

    # Whatever pandas holds an absent value as, JSON has one word for it.
    return records_of(frame.astype(object).where(frame.notna(), None))


def _table(pair: "Pair") -> "RenderableType":
    """Return the cells of both studies as a terminal shows them."""
    from orchestrator.screen.view import plain_table
    from results.analysis.cells import records_of
    from results.phrases import signed

    refusal = pair.refusal
    first, second = pair.names
    table = plain_table(
        f"{second} against {first}: test accuracy (%), points gained", "cell", first, second
    )
    for heading in ("gain", "95 % interval", "cost"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for row in records_of(pair.cells):
        known = row["difference"] == row["difference"]
        tested = row["low"] == row["low"]
        table.add_row(
            pair.cell_name(row),
            *(_percent(row[f"accuracy_{side}"]) for side in ("first", "second")),
            signed(row["difference"]) if known else "–",
            f"{signed(row['low'])} to {signed(row['high'])}" if tested else "–",
            f"×{row['cost_ratio']:.2g}" if row["cost_ratio"] == row["cost_ratio"] else "–",
            row["basis"] if row["reason"] == refusal else row["reason"] or _basis(row),
        )
    return table


def _basis(row: dict[str, Any]) -> str:
    return f"{'decided, ' if row['decided'] else ''}{row['basis']}"


def _percent(value: float) -> str:
    return f"{value:.1f}" if value == value else "–"
