"""The commands that read what runs have recorded: `report`, `compare` and `merge`."""

import time
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.commands import usage

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from orchestrator.jobs.fetching import Opened
    from results.pairs.pair import Pair
    from results.report.gallery import Look
    from results.run import Run
    from results.store.objects import Location


_LOOK_SECONDS = 10.0
"""Seconds between two looks of `--watch`."""


def report(
    run_folder: usage.RunOrJob,
    address: usage.Dashboard = None,
    to: Annotated[
        str | None,
        typer.Option(help="A folder for it, or for all of a job.", show_default="RUN/report"),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Write it anew while the study runs.")
    ] = False,
    target: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Say how many images an accuracy would take: 0.9."),
    ] = None,
    price_per_label: Annotated[
        float | None,
        typer.Option(min=0.0, help="Price of one more label.", show_default="prices.label"),
    ] = None,
    price_per_hour: Annotated[
        float | None,
        typer.Option(min=0.0, help="Price of a GPU or CPU, an hour.", show_default="prices.hour"),
    ] = None,
    figures: Annotated[
        bool, typer.Option("--figures", help="Write every figure, not only the comparison charts.")
    ] = False,
    images: Annotated[
        bool, typer.Option(help="Show test images that models get wrong, where they are found.")
    ] = True,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    as_json: usage.Json = False,
) -> None:
    """Write the page, figures and summary of a run, finished or under way; a job's is fetched."""
    import results
    from orchestrator.jobs.fetching import brought
    from results.answer.levers import levers_said
    from results.store.store import Store

    given = {"label": price_per_label, "hour": price_per_hour}
    prices = {name: price for name, price in given.items() if price is not None}
    if watch and as_json:
        raise typer.BadParameter("--watch and --json do not go together: leave one out.")
    if watch:
        _watch(*brought(run_folder, address, to), target, prices)
        return
    said = []
    with usage.one_document(as_json) as document:
        opened, folder = brought(run_folder, address, to)
        run = results.open(opened.folder, prices)
        if target is not None:
            labels = run.labels_for(target)
            document["labels"] = _rows(labels)
            said = [
                f"{run.analysis.name(row, 'fraction') or run.name}: {row['text']}"
                for row in _rows(run.analysis.labels_for(target)[0])
            ]
        if prices:
            said.append(levers_said(run.analysis))
        look = pictures_of(run) if images else None
        page = _written(run, folder, target=target, figures=figures, look=look)
        document.update(report=str(page), levers=_rows(run.levers()))
        usage.say_problems(Store(run.path), document, as_json)
    if not as_json:
        typer.echo("\n".join([*said, str(page)]))
    if open_page:
        typer.launch(str(page))


def _written(run: "Run", folder: "Location | None", **options: Any) -> "Location":
    """Write the report; where the run directory refuses it, say that it may go elsewhere."""
    import results
    from orchestrator.errors import RunError
    from results.errors import StoreError

    try:
        return results.write_report(run, to=folder, **options)
    except StoreError as error:
        if folder is None and isinstance(error.__cause__, OSError):
            raise RunError(
                f"{run.path}: its report cannot be written there ({error.__cause__.strerror}); "
                "--to FOLDER writes it elsewhere."
            ) from error
        raise


def pictures_of(run: "Run") -> "Look | None":
    """Return what makes small pictures of a run's test images; None where its data are not read."""
    from orchestrator.errors import StudyError
    from orchestrator.study.recorded import recorded_study
    from results.store.store import Store

    try:
        source = recorded_study(Store(run.path)).data
        from trainables.data.thumbnails import thumbnails
    except (StudyError, ImportError):
        return None
    return partial(thumbnails, source)


def _watch(
    looked_at: "Opened",
    folder: "Location | None",
    target: float | None,
    prices: dict[str, float],
) -> None:
    """Write the report whenever the records changed, until nothing is left to train."""
    import results
    from orchestrator.run.signals import Interrupted, Signals

    seen = ""
    try:
        with Signals():
            while True:
                # Asked before the records are read, which a run may finish in between.
                at_work = looked_at.is_at_work()
                run = results.open(looked_at.folder, prices)
                # Trials change whenever epochs do.
                trials = run.trials()[["trial_id", "wanted", "measured", "status", "epochs_done"]]
                state, is_settled = f"{run.study}\n{trials.to_csv()}", run.cells.is_settled
                if state != seen:
                    again = None if is_settled else _LOOK_SECONDS
                    page = _written(run, folder, refresh=again, target=target)
                    typer.echo(f"[{time.strftime('%H:%M:%S')}] {run.cells.progress}: {page}")
                    seen = state
                if is_settled and not at_work:
                    return
                time.sleep(_LOOK_SECONDS)
                looked_at.refresh()
    except Interrupted:
        raise Interrupted("no longer watching; the run and its report are as they were") from None


def compare(
    first: Annotated[str, typer.Argument(metavar="RUN_A", help="A run directory.")],
    second: Annotated[str, typer.Argument(metavar="RUN_B", help="One that is held against it.")],
    to: Annotated[
        str | None, typer.Option(help="A folder for one page, its figure and the cells as files.")
    ] = None,
    as_json: usage.Json = False,
) -> None:
    """Put two studies side by side: what each cell gained, and what it costs."""
    from results.pairs.findings import findings
    from results.pairs.pair import Pair
    from results.pairs.verdict import verdict

    with usage.one_document(as_json) as document:
        pair = Pair.of(first, second)
        page = None
        if to is not None:
            from results.pairs.page import write_page

            page = write_page(pair, to)
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

    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(_table(pair))
    for sentence in said:
        console.print(sentence)
    for finding in _rows(found):
        console.print(f"{finding['severity']}: {finding['evidence']}")
    if page is not None:
        console.print(f"page: {page}")


def merge(
    runs: Annotated[list[str], typer.Argument(help="Run directories of one study.")],
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


def _rows(frame: "pd.DataFrame") -> list[usage.Document]:
    from results.analysis.runs import records_of

    # Whatever pandas holds an absent value as, JSON has one word for it.
    return records_of(frame.astype(object).where(frame.notna(), None))


def _table(pair: "Pair") -> "Table":
    from orchestrator.screen.picture import plain_table
    from results.analysis.runs import records_of

    refusal, metric = pair.refusal, pair.metric
    unit = "%" if metric.is_percent else metric.unit
    form = "{:.1f}" if metric.is_percent else "{:.4g}"
    heading = f"test {metric.name} ({unit})" if unit else f"test {metric.name}"
    first, second = pair.names
    title = f"{second} against {first}: {heading}, {metric.points} gained".replace(",  ", ", ")
    table = plain_table(title, ["cell"], first, second, "gain", "95 % interval", "cost")
    table.add_column("", overflow="fold")
    for row in records_of(pair.cells):
        scores = (row[f"accuracy_{side}"] for side in ("first", "second"))
        basis = f"decided, {row['basis']}" if row["decided"] else row["basis"]
        interval = f"{metric.change(row['low'])} to {metric.change(row['high'])}"
        table.add_row(
            pair.cell_name(row),
            *(usage.or_dash(metric.sign * score, form) for score in scores),
            usage.or_dash(row["difference"], metric.change(row["difference"])),
            usage.or_dash(row["low"], interval),
            usage.or_dash(row["cost_ratio"], "×{:.2g}"),
            row["basis"] if row["reason"] == refusal else row["reason"] or basis,
        )
    return table
