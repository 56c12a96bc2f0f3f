"""The command `replay`: choose a stopping rule from what is recorded."""

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.commands.usage import Json, RunFolder, one_document

if TYPE_CHECKING:
    from rich.table import Table

    from orchestrator.plan.replay import CellReplay, Recorded, Replay
    from orchestrator.study.blocks import EarlyStopping
    from orchestrator.study.study import Study
    from results.store.objects import Location

_COMPARES, _GRACES, _FACTORS = ("cell", "[]"), (1, 3), (2, 3, 4)
"""Of the rules that are tried where none is named."""
_MOST_CELLS = 40
_COLUMNS = (
    *("trials", "stopped", "asked", "trained", "saved", "unknown", "open"),
    *("contests", "kept", "lost", "regret", "worst", "test_regret"),
)
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
    from orchestrator.plan.replay import recorded_curves
    from orchestrator.plan.replay import replay as replayed
    from orchestrator.study.study import study_from
    from results.store.store import Store

    with one_document(as_json) as document:
        store = Store.at(run_folder)
        study = study_from(store.study(), file=str(store.study_file))
        rules = _rules(study, compare, grace, reduction_factor)
        recorded = recorded_curves(study, History(store))
        found = [replayed(study, recorded, rule) for rule in rules]
        caveats = _caveats(study, recorded)
        files = [] if out is None else _write(out, study.name, found)
        document.update(
            name=study.name,
            curves=len(recorded.curves),
            cut=recorded.cut,
            caveats=caveats,
            rules=[
                {
                    "rule": rule_name(each.rule),
                    "own": each.is_own,
                    "compare": each.rule.compare,
                    "grace": each.rule.grace,
                    "reduction_factor": each.rule.reduction_factor,
                    **_row(each.total),
                    "cells": [{"cell": cell.cell, **_row(cell)} for cell in each.cells],
                }
                for each in found
            ],
            files=[str(file) for file in files],
        )
    if as_json:
        return
    from rich.console import Console

    console = Console(highlight=False)
    console.print(_table(f"{study.name}: stopping rules on {len(recorded.curves)} curves", found))
    if cells:
        for each in found:
            console.print(_cell_table(each))
    console.print(_LEGEND, markup=False, soft_wrap=True)
    for sentence in caveats:
        console.print(sentence, markup=False, soft_wrap=True)
    for file in files:
        console.print(f"written: {file}", markup=False, soft_wrap=True)


def rule_name(rule: "EarlyStopping") -> str:
    """Return a rule as the study file writes it, short."""
    return f"{_compared(rule)}, grace {rule.grace}, factor {rule.reduction_factor}"


def _compared(rule: "EarlyStopping") -> str:
    return "cell" if rule.compare == "cell" else f"[{', '.join(rule.compare)}]"


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
    compares = [_compare(study, text) for text in compare] if compare else [base.compare]
    asked = [
        EarlyStopping(compare=which, grace=first, reduction_factor=factor)
        for which, first, factor in itertools.product(
            compares,
            sorted({*(grace or [base.grace])}),
            sorted({*(reduction_factor or [base.reduction_factor])}),
        )
    ]
    rules = [own, *asked] if own else asked
    return [rule for place, rule in enumerate(rules) if rule not in rules[:place]]


def _compare(study: "Study", text: str) -> Any:
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


def _caveats(study: "Study", recorded: "Recorded") -> list[str]:
    said = [
        "Results are replayed in the order in which they were recorded; a run under another rule "
        "frees places earlier and has another order."
    ]
    if not recorded.curves:
        return ["No curve is recorded that a rule could act on."]
    if recorded.cut:
        said.insert(
            0,
            f"{recorded.cut} of {len(recorded.curves)} curves are cut: the run stopped these "
            "trials, or has not finished them, so that no rule can be followed beyond that, and "
            "one of them may be the true winner. "
            "A run with early_stopping: none records all curves whole.",
        )
    if not study.search:
        said.append(
            "This study has no search: each cell and seed is one trial, so that a rule that "
            "compares cells leaves those that it stops without a result."
        )
    return said


def _row(cell: "CellReplay") -> dict[str, Any]:
    return {name: getattr(cell, name) for name in _COLUMNS}


def _table(title: str, found: "Sequence[Replay]") -> "Table":
    from rich.text import Text

    from orchestrator.screen.view import plain_table

    totals = [each.total for each in found]
    table = plain_table(title, "rule", *_headings(totals))
    for each in found:
        rule = each.rule
        name = f"{_compared(rule)} {rule.grace}/{rule.reduction_factor}{' *' * each.is_own}"
        table.add_row(Text(name), *_shown(each.total, totals))
    return table


def _cell_table(each: "Replay") -> "Table":
    from rich.text import Text

    from orchestrator.screen.view import plain_table

    table = plain_table(rule_name(each.rule), "cell", *_headings(each.cells))
    for cell in each.cells[:_MOST_CELLS]:
        table.add_row(Text(cell.cell), *_shown(cell, each.cells))
    if len(each.cells) > _MOST_CELLS:
        table.caption = f"… and {len(each.cells) - _MOST_CELLS} more (all with --json)"
    return table


def _headings(shown: "Sequence[CellReplay]") -> list[str]:
    unknown = ["unknown"] if any(cell.unknown for cell in shown) else []
    lost = ["none left"] if any(cell.lost for cell in shown) else []
    return ["epochs", "saved", *unknown, "kept", *lost, "given up", "worst"]


def _shown(cell: "CellReplay", shown: "Sequence[CellReplay]") -> list[str]:
    share = f"{cell.saved} ({100 * cell.saved / cell.asked:.0f} %)" if cell.asked else "0"
    unknown = [str(cell.unknown or "")] if any(other.unknown for other in shown) else []
    lost = [str(cell.lost or "")] if any(other.lost for other in shown) else []
    kept = f"{cell.kept} of {cell.contests}"
    points = [_points(cell.regret), _points(cell.worst)]
    return [str(cell.trained), share, *unknown, kept, *lost, *points]


def _points(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def _write(out: str, name: str, found: "Sequence[Replay]") -> "list[Location]":
    """Write the figure, and a row per rule and cell as CSV and Parquet."""
    import pandas as pd

    from results.figures.process import stopping_rules
    from results.report.html import write_frame, write_picture
    from results.store.objects import located
    from results.store.store import refuse_run

    folder = located(out)
    refuse_run(folder)
    rules = pd.DataFrame([_line(each, each.total) for each in found])
    write_picture(folder, "replay", stopping_rules(rules, name))
    every = pd.DataFrame(
        [_line(each, cell) for each in found for cell in (each.total, *each.cells)]
    )
    write_frame(folder, "replay", every)
    return [folder / f"replay.{suffix}" for suffix in ("png", "svg", "csv", "parquet")]


def _line(each: "Replay", cell: "CellReplay") -> dict[str, Any]:
    return {
        "rule": rule_name(each.rule),
        "own": each.is_own,
        "compare": _compared(each.rule),
        "grace": each.rule.grace,
        "reduction_factor": each.rule.reduction_factor,
        "cell": cell.cell,
        **_row(cell),
    }
