"""The commands that read what runs recorded: `report`, `compare`, `merge` and `replay`."""

import itertools
import time
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

import results
from orchestrator.commands import usage
from orchestrator.errors import RunError, StudyError
from results.errors import StoreError

if TYPE_CHECKING:
    from orchestrator.jobs.fetching import Opened
    from orchestrator.study.study import Study
    from results.report.sections import Look
    from results.store.objects import Location

_LOOK_SECONDS = 10.0
"""Seconds between two looks of `--watch`."""
_COMPARES, _GRACES, _FACTORS = ["cell", "[]"], [1, 3], [2, 3, 4]
"""What is tried by default of each part of a rule."""
_LEGEND = (
    "rule: which trials compete, grace/reduction factor; unknown: epochs that no record tells of; "
    "kept: winners that are the same as without stopping; none left: choices without a winner; "
    "given up: points of validation accuracy, mean over winners, and the worst. "
    "*: the rule of the study as last run."
)


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
    from orchestrator.jobs.fetching import brought
    from results.analysis.runs import records_of
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
            document["labels"] = records_of(run.labels_for(target))
            said = [
                f"{run.analysis.name(row, 'fraction') or run.name}: {row['text']}"
                for row in records_of(run.analysis.labels_for(target)[0])
            ]
        if prices:
            said.append(levers_said(run.analysis))
        look = pictures_of(run) if images else None
        page = _written(run, folder, target=target, figures=figures, look=look)
        document.update(report=str(page), levers=records_of(run.levers()))
        usage.say_problems(Store(run.path).problems(), document, as_json)
    if not as_json:
        typer.echo("\n".join([*said, str(page)]))
    if open_page:
        typer.launch(str(page))


def _written(run: "results.Run", folder: "Location | None", **options: Any) -> "Location":
    """Write the report; where the run directory refuses it, say that it may go elsewhere."""
    try:
        return results.write_report(run, to=folder, **options)
    except StoreError as error:
        if folder is None and isinstance(error.__cause__, OSError):
            raise RunError(
                f"{run.path}: its report cannot be written there ({error.__cause__.strerror}); "
                "--to FOLDER writes it elsewhere."
            ) from error
        raise


def pictures_of(run: "results.Run") -> "Look | None":
    """Return what makes small pictures of a run's test images; None where its data are not read."""
    from orchestrator.study.file import recorded_study
    from results.store.store import Store

    try:
        source = recorded_study(Store(run.path)).data
        from trainables.data.thumbnails import thumbnails
    except (StudyError, ImportError):
        return None
    return partial(thumbnails, source)


def _watch(
    looked_at: "Opened", folder: "Location | None", target: float | None, prices: dict[str, float]
) -> None:
    """Write the report whenever the records changed, until nothing is left to train."""
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
                state, cells = f"{run.study}\n{trials.to_csv()}", run.analysis.cells
                if state != seen:
                    again = None if cells.is_settled else _LOOK_SECONDS
                    page = _written(run, folder, refresh=again, target=target)
                    typer.echo(f"[{time.strftime('%H:%M:%S')}] {cells.progress}: {page}")
                    seen = state
                if cells.is_settled and not at_work:
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
    from results.analysis.runs import records_of
    from results.pairs.findings import findings
    from results.pairs.pair import Pair
    from results.pairs.verdict import verdict

    with usage.one_document(as_json) as document:
        pair = Pair.of(first, second)
        page = None
        if to is not None:
            from results.pairs.page import write_page

            page = write_page(pair, to)
        cells, said, found = records_of(pair.cells), verdict(pair), records_of(findings(pair))
        document.update(
            first={"name": pair.names[0], "path": first},
            second={"name": pair.names[1], "path": second},
            verdict=said,
            cells=cells,
            caveats=found,
            page=page,
        )
    if as_json:
        return
    from orchestrator.screen.picture import plain_table, say

    refusal, metric = pair.refusal, pair.metric
    unit = "%" if metric.is_percent else metric.unit
    form = "{:.1f}" if metric.is_percent else "{:.4g}"
    heading = f"test {metric.name}" + f" ({unit})" * bool(unit)
    against = "{1} against {0}".format(*pair.names)
    title = f"{against}: {heading}, {metric.points} gained".replace(",  ", ", ")
    table = plain_table(title, ["cell"], *pair.names, "gain", "95 % interval", "cost")
    table.add_column("", overflow="fold")
    for row in cells:
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
    said += [f"{finding['severity']}: {finding['evidence']}" for finding in found]
    say(table, *said, *([f"page: {page}"] if page else []))


def merge(
    runs: Annotated[list[str], typer.Argument(help="Run directories of one study.")],
    out: Annotated[str, typer.Option("--out", metavar="FOLDER", help="The new run directory.")],
) -> None:
    """Join run directories of one study, trained on several machines, into a new one."""
    from results.store.joining import join
    from results.store.store import Store

    if len(runs) < 2:
        raise typer.BadParameter("two run directories or more are needed")
    sources = [Store(run) for run in runs]
    trials = join(sources, Store(out)).num_rows
    twice = sum(source.read("trials", ["trial_id"]).num_rows for source in sources) - trials
    typer.echo(
        f"{out}: {trials} trials of {len(runs)} run directories"
        + (f", {twice} rows of trials that were there twice left out" if twice else "")
        + "; `scalestudy run` with this --out trains what is missing."
    )


def replay(
    run_folder: usage.RunFolder,
    compare: Annotated[
        list[str],
        typer.Option(
            help="Which trials compete: cell, factors such as fraction,model, or [] for all."
        ),
    ] = _COMPARES,
    grace: Annotated[list[int], typer.Option(min=1, help="First rung, in epochs.")] = _GRACES,
    reduction_factor: Annotated[
        list[int], typer.Option(min=2, help="About one in so many passes a rung.")
    ] = _FACTORS,
    as_json: usage.Json = False,
) -> None:
    """Say what other stopping rules would have saved and cost on the recorded curves.

    Every option may be given several times; all combinations are tried, besides the study's own.
    """
    from orchestrator.ledger.history import History
    from orchestrator.plan import replay as replaying
    from orchestrator.study.blocks import EarlyStopping
    from orchestrator.study.file import recorded_study
    from results.store.store import Store

    with usage.one_document(as_json) as document:
        store = Store(run_folder)
        study = recorded_study(store)
        rules = [study.stopping] if study.stopping else []
        groups = [_groups(study, text) for text in compare]
        for which, first, factor in itertools.product(groups, grace, reduction_factor):
            rule = EarlyStopping(compare=which, grace=first, reduction_factor=factor)
            rules += [rule] if rule not in rules else []
        curves = replaying.recorded_curves(study, History(store, study.metric))
        found = [replaying.replay(study, curves, rule) for rule in rules]
        caveats = replaying.caveats(study, curves)
        document.update(
            name=study.name,
            curves=len(curves),
            cut=sum(curve.is_cut for curve in curves),
            caveats=caveats,
            rules=[each.as_json() for each in found],
        )
    if as_json:
        return
    from rich.text import Text

    from orchestrator.screen.picture import plain_table, say

    headings = ("epochs", "saved", "unknown", "kept", "none left", "given up", "worst")
    title = f"{study.name}: stopping rules on {len(curves)} curves"
    table = plain_table(title, ["rule"], *headings)
    for each in found:
        names = each.rule.compare
        group = names if isinstance(names, str) else f"[{', '.join(names)}]"
        table.add_row(
            Text(f"{group} {each.rule.grace}/{each.rule.reduction_factor}{' *' * each.is_own}"),
            str(each.trained),
            f"{each.saved} ({100 * each.saved / (each.asked or 1):.0f} %)",
            str(each.unknown),
            f"{each.kept} of {each.contests}",
            str(each.lost),
            *(usage.or_dash(points, "{:.2f}") for points in (each.regret, each.worst)),
        )
    say(table, _LEGEND, *caveats)


def _groups(study: "Study", text: str) -> Literal["cell"] | list[str]:
    """Return what `--compare` names: cell, or some of the study's factors."""
    from orchestrator.study.refusals import unknown

    if text.strip() == "cell":
        return "cell"
    factors = [name.strip() for name in text.strip(" []").split(",") if name.strip()]
    for name in factors:
        if name not in study.factors:
            known = unknown(name, ("cell", "[]", *study.factors))
            raise StudyError(f"--compare {text}: {name} is no factor of this study; {known}.")
    return factors
