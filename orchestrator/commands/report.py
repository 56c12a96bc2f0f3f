"""The commands that read what runs have recorded: `report`, `compare` and `replay`."""

import itertools
import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from orchestrator.commands.usage import (
    Dashboard,
    Document,
    Json,
    Out,
    RunFolder,
    RunOrJob,
    one_document,
)

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from orchestrator.jobs.fetching import Opened
    from orchestrator.plan.replay import CellReplay, Replay
    from orchestrator.study.blocks import EarlyStopping
    from orchestrator.study.study import Study
    from results.pairs.pair import Pair
    from results.run import Run
    from results.store.objects import Location

_SECONDS = 10.0
_COMPARES, _GRACES, _FACTORS = ("cell", "[]"), (1, 3), (2, 3, 4)
"""Of the stopping rules that are tried where none is named."""
_MOST_CELLS = 40
_LEGEND = (
    "rule: which trials compete, grace/reduction factor; kept: winners that are the same as "
    "without stopping; given up: points of validation accuracy, mean over winners, and the worst. "
    "*: the rule of the study as last run."
)


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
    target: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            metavar="ACCURACY",
            help="Say how many images a test accuracy would take, such as 0.9.",
        ),
    ] = None,
    price_per_label: Annotated[
        float | None,
        typer.Option(min=0.0, help="Price of one more label.", show_default="prices.label"),
    ] = None,
    price_per_hour: Annotated[
        float | None,
        typer.Option(
            min=0.0, help="Price of a GPU (or CPU) for an hour.", show_default="prices.hour"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the page, figures and summary of a run, finished or under way; a job's is fetched."""
    import results
    from orchestrator.jobs.fetching import brought

    given = {"label": price_per_label, "hour": price_per_hour}
    prices = {name: price for name, price in given.items() if price is not None}
    if watch and as_json:
        raise typer.BadParameter("--watch and --json do not go together: leave one out.")
    if watch:
        _watch(brought(run_folder, address, out), interval, target, prices)
        return
    said = []
    with one_document(as_json) as document:
        run = results.open(brought(run_folder, address, out).folder, prices)
        if target is not None:
            labels = run.labels_for(target)
            document["labels"] = _rows(labels)
            said = [
                f"{run.analysis.name(row, 'fraction') or run.name}: {row['text']}"
                for row in document["labels"]
            ]
        page = results.write_report(run, target=target)
        document.update(report=str(page), levers=_rows(run.levers()))
    if not as_json:
        typer.echo("\n".join([*said, str(page)]))


def _watch(
    looked_at: "Opened", interval: float, target: float | None, prices: dict[str, float]
) -> None:
    """Write the report whenever the records changed, until nothing is left to train."""
    import results
    from orchestrator.run.signals import Interrupted, Signals

    seen, waits = "", False
    try:
        with Signals():
            while True:
                # Asked before the records are read, which a run may finish in between.
                at_work = looked_at.is_at_work()
                run = results.open(looked_at.folder, prices)
                state, is_settled = _state(run), run.cells.is_settled
                if state != seen:
                    page = results.write_report(run, None if is_settled else interval, target)
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
    """Return what changes whenever a report does: trials change whenever epochs do."""
    trials = run.trials()[["trial_id", "wanted", "measured", "status", "epochs_done"]]
    return f"{run.study}\n{trials.to_csv()}"


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


def _rows(frame: "pd.DataFrame") -> list[Document]:
    from results.analysis.runs import records_of

    # Whatever pandas holds an absent value as, JSON has one word for it.
    return records_of(frame.astype(object).where(frame.notna(), None))


def _table(pair: "Pair") -> "Table":
    """Return the cells of both studies as a terminal shows them."""
    from orchestrator.screen.picture import plain_table
    from results.analysis.runs import records_of
    from results.phrases import signed

    refusal = pair.refusal
    first, second = pair.names
    title = f"{second} against {first}: test accuracy (%), points gained"
    table = plain_table(title, "cell", first, second, "gain", "95 % interval", "cost")
    table.add_column("", overflow="fold")
    for row in records_of(pair.cells):
        basis = f"decided, {row['basis']}" if row["decided"] else row["basis"]
        interval = f"{signed(row['low'])} to {signed(row['high'])}"
        table.add_row(
            pair.cell_name(row),
            *(_known(row[f"accuracy_{side}"], "{:.1f}") for side in ("first", "second")),
            _known(row["difference"], signed(row["difference"])),
            _known(row["low"], interval),
            _known(row["cost_ratio"], "×{:.2g}"),
            row["basis"] if row["reason"] == refusal else row["reason"] or basis,
        )
    return table


def _known(value: float, written: str) -> str:
    """Return a number as `written` writes it, and a dash for NaN."""
    return "–" if math.isnan(value) else written.format(value)


def replay(
    run_folder: RunFolder,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            help="Which trials compete: cell, factors such as fraction,model, or [] for all.",
            show_default="as the study has it; cell and [] where no option is given",
        ),
    ] = None,
    grace: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            help="First rung, in epochs.",
            show_default="as the study has it; 1 and 3 where no option is given",
        ),
    ] = None,
    reduction_factor: Annotated[
        list[int] | None,
        typer.Option(
            min=2,
            help="About one in so many passes a rung.",
            show_default="as the study has it; 2, 3 and 4 where no option is given",
        ),
    ] = None,
    cells: Annotated[bool, typer.Option("--cells", help="Show every rule cell by cell.")] = False,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="For the figure and the tables.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what other stopping rules would have saved and cost on the recorded curves.

    Every option may be given several times; all combinations are tried.
    """
    from orchestrator.ledger.history import History
    from orchestrator.plan import replay as replaying
    from orchestrator.study.recorded import recorded_study
    from results.store.store import Store

    with one_document(as_json) as document:
        store = Store.at(run_folder)
        study = recorded_study(store)
        rules = _rules(study, compare, grace, reduction_factor)
        recorded = replaying.recorded_curves(study, History(store))
        found = [replaying.replay(study, recorded, rule) for rule in rules]
        caveats = replaying.caveats(study, recorded)
        files = [] if out is None else _write(out, study.name, found)
        document.update(
            name=study.name,
            curves=len(recorded.curves),
            cut=recorded.cut,
            caveats=caveats,
            rules=[each.as_json() for each in found],
            files=[str(file) for file in files],
        )
    if as_json:
        return
    from rich.console import Console

    console = Console(highlight=False)
    title = f"{study.name}: stopping rules on {len(recorded.curves)} curves"
    console.print(_rules_table(title, found))
    if cells:
        for each in found:
            console.print(_replay_table(each.name, "cell", [(c.cell, c) for c in each.cells]))
    for sentence in (_LEGEND, *caveats, *(f"written: {file}" for file in files)):
        console.print(sentence, markup=False, soft_wrap=True)


def _rules(
    study: "Study",
    compare: Sequence[str] | None,
    grace: Sequence[int] | None,
    reduction_factor: Sequence[int] | None,
) -> "list[EarlyStopping]":
    """Return the study's own rule, and every combination of what is asked for."""
    from orchestrator.study.blocks import EarlyStopping

    own = study.stopping
    base = own or EarlyStopping()
    if not (compare or grace or reduction_factor):
        compare, grace, reduction_factor = _COMPARES, _GRACES, _FACTORS
    asked = [
        EarlyStopping(compare=which, grace=first, reduction_factor=factor)
        for which, first, factor in itertools.product(
            [_compare(study, text) for text in compare] if compare else [base.compare],
            sorted({*(grace or [base.grace])}),
            sorted({*(reduction_factor or [base.reduction_factor])}),
        )
    ]
    rules = [own, *asked] if own else asked
    return [rule for place, rule in enumerate(rules) if rule not in rules[:place]]


def _compare(study: "Study", text: str) -> Literal["cell"] | list[str]:
    """Return what `--compare` names: cell, or some of the study's factors."""
    from orchestrator.errors import StudyError
    from orchestrator.study.refusals import unknown

    if text.strip() == "cell":
        return "cell"
    names = [name.strip() for name in text.strip().removeprefix("[").removesuffix("]").split(",")]
    factors = [name for name in names if name]
    for name in factors:
        if name not in study.factors:
            raise StudyError(
                f"--compare {text}: {name} is no factor of this study; "
                f"{unknown(name, ('cell', '[]', *study.factors))}."
            )
    return factors


def _rules_table(title: str, found: "Sequence[Replay]") -> "Table":
    rows = []
    for each in found:
        rule = f"{each.compared} {each.rule.grace}/{each.rule.reduction_factor}"
        rows.append((rule + " *" * each.is_own, each.total))
    return _replay_table(title, "rule", rows)


def _replay_table(title: str, first: str, rows: "Sequence[tuple[str, CellReplay]]") -> "Table":
    """Return a row for each rule or cell; what is zero in all has no column."""
    from rich.text import Text

    from orchestrator.screen.picture import plain_table

    columns: dict[str, list[str]] = {
        "epochs": [str(cell.trained) for _, cell in rows],
        "saved": [_saved(cell) for _, cell in rows],
        "unknown": [str(cell.unknown or "") for _, cell in rows],
        "kept": [f"{cell.kept} of {cell.contests}" for _, cell in rows],
        "none left": [str(cell.lost or "") for _, cell in rows],
        "given up": [_known(cell.regret, "{:.2f}") for _, cell in rows],
        "worst": [_known(cell.worst, "{:.2f}") for _, cell in rows],
    }
    shown = {heading: texts for heading, texts in columns.items() if any(texts)}
    table = plain_table(title, first, *shown)
    for (name, _), *texts in zip(rows[:_MOST_CELLS], *shown.values(), strict=False):
        table.add_row(Text(name), *texts)
    if len(rows) > _MOST_CELLS:
        table.caption = f"… and {len(rows) - _MOST_CELLS} more (all with --json)"
    return table


def _saved(cell: "CellReplay") -> str:
    return f"{cell.saved} ({100 * cell.saved / cell.asked:.0f} %)" if cell.asked else "0"


def _write(out: str, name: str, found: "Sequence[Replay]") -> "list[Location]":
    """Write the figure, and a row per rule and cell as CSV and Parquet."""
    import pandas as pd

    from results.figures.process import stopping_rules
    from results.report.html import write_frame, write_picture
    from results.store.objects import located
    from results.store.store import refuse_run

    folder = located(out)
    refuse_run(folder)
    rules = pd.DataFrame([{**each.head(), **each.total.row()} for each in found])
    write_picture(folder, "replay", stopping_rules(rules, name))
    every = pd.DataFrame(
        [{**each.head(), **cell.row()} for each in found for cell in (each.total, *each.cells)]
    )
    write_frame(folder, "replay", every)
    return [folder / f"replay.{suffix}" for suffix in ("png", "svg", "csv", "parquet")]
