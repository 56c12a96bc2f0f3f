"""The command that says what other stopping rules would have saved and cost: `replay`."""

import itertools
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from orchestrator.commands.usage import Json, RunFolder, one_document, or_dash

if TYPE_CHECKING:
    from rich.table import Table

    from orchestrator.plan.replay import CellReplay, Replay
    from orchestrator.study.blocks import EarlyStopping
    from orchestrator.study.study import Study
    from results.store.objects import Location

_COMPARES, _GRACES, _FACTORS = ("cell", "[]"), (1, 3), (2, 3, 4)
"""Of the stopping rules that are tried where none is named."""
_MOST_CELLS = 40
_LEGEND = (
    "rule: which trials compete, grace/reduction factor; kept: winners that are the same as "
    "without stopping; given up: points of validation accuracy, mean over winners, and the worst. "
    "*: the rule of the study as last run."
)


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
        "given up": [or_dash(cell.regret, "{:.2f}") for _, cell in rows],
        "worst": [or_dash(cell.worst, "{:.2f}") for _, cell in rows],
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
    rules = pd.DataFrame([{**each.head(), **asdict(each.total)} for each in found])
    write_picture(folder, "replay", stopping_rules(rules, name))
    every = pd.DataFrame(
        [{**each.head(), **asdict(cell)} for each in found for cell in (each.total, *each.cells)]
    )
    write_frame(folder, "replay", every)
    return [folder / f"replay.{suffix}" for suffix in ("png", "svg", "csv", "parquet")]
