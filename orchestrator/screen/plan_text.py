"""What `plan` and `run` say in a terminal."""

from collections.abc import Sequence

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.ledger.ledger import State
from orchestrator.plan.plan import Plan
from orchestrator.run.runner import Summary
from orchestrator.screen.view import plain_table, split_levels, titled
from results.store.objects import Location

_MOST_CELLS = 60


def print_plan(plan: Plan, command: str) -> None:
    """Print cells, counts and findings, and the command that comes next."""
    console = Console(highlight=False)
    console.print(cells_table(plan))
    if len(plan.cells) > _MOST_CELLS:
        console.print(f"… and {len(plan.cells) - _MOST_CELLS} more cells (all with --json)")
    counts = plan.trials
    states = ", ".join(f"{counts[s]} {s}" for s in ("new", "reused", "continued") if counts[s])
    orphaned = counts["orphaned"]
    left = f"; {orphaned} recorded no longer wanted, and kept" if orphaned else ""
    console.print(f"{counts['wanted']} trials wanted: {states or 'none'}{left}.")
    for finding in plan.findings:
        console.print(f"{finding.severity}: {finding}", style="yellow", markup=False)
    for sentence in plan.placement:
        console.print(f"GPUs: {sentence}.", markup=False)
    console.print(f"run directory: {plan.out}", markup=False)
    console.print(f"next: {command}", markup=False, soft_wrap=True)


def cells_table(plan: Plan) -> Table:
    """Return a row per cell; columns that say the same of all cells are left out."""
    factors = list(plan.study.factors)
    levels = [[str(cell["levels"][factor]) for factor in factors] for cell in plan.cells]
    varying, common = split_levels(factors, levels)
    columns = {
        "recipes": [cell["recipes"] for cell in plan.cells],
        **{key: [cell[key] for cell in plan.cells] for key in ("trials", *map(str, State))},
    }
    shown = [
        name
        for name, numbers in columns.items()
        if name == "trials" or (any(numbers) and set(numbers) != {1})
    ]
    if columns["new"] == columns["trials"]:
        shown = [name for name in shown if name != "new"]
    table = plain_table(titled(plan.study.name, common), "cell", "images", *shown)
    for number, cell in enumerate(plan.cells[:_MOST_CELLS]):
        label = " × ".join(levels[number][place] for place in varying)
        table.add_row(Text(label), *(str(cell[name]) for name in ("n_train", *shown)))
    return table


_SAID_ELSEWHERE = ("missing-cell", "missing-seed", "race")
"""Findings that a run's other lines tell already."""


def doubts(findings: pd.DataFrame) -> list[str]:
    """Return a sentence for each kind of error among a report's findings.

    Parameters
    ----------
    findings
        What `results.findings.diagnoses.diagnose` returns.
    """
    grave = findings[(findings["severity"] == "error") & ~findings["code"].isin(_SAID_ELSEWHERE)]
    sentences = []
    for (_, advice), alike in grave.groupby(["code", "advice"], sort=False):
        first = alike.iloc[0]
        more = f" (and {len(alike) - 1} more like it)" if len(alike) > 1 else ""
        sentences.append(f"{first['cell']}: {first['evidence']}{more}: {advice}")
    return sentences


def print_summary(
    summary: Summary,
    command: str,
    answer: Sequence[str],
    doubtful: Sequence[str],
    page: Location | None,
) -> None:
    """Print what a run came to, its answer, what is doubtful about it, and how to go on."""
    console = Console(highlight=False, soft_wrap=True)
    for problem in summary.problems:
        console.print(f"noticed: {problem}", style="yellow", markup=False)
    for failure in summary.failed:
        console.print(f"failed: {failure}", style="red", markup=False)
    if summary.incomplete:
        console.print(
            f"{len(summary.incomplete)} cells are incomplete: {'; '.join(summary.incomplete)}.\n"
            f"Mend the cause, then this trains only what is missing: {command}",
            markup=False,
        )
    else:
        console.print(f"complete: {summary.out}", markup=False)
    for number, sentence in enumerate(answer, 1):
        console.print(f"{number}. {sentence}", markup=False)
    for sentence in doubtful:
        console.print(f"doubtful: {sentence}", style="red", markup=False)
    if page:
        console.print(f"report: {page}", markup=False)
