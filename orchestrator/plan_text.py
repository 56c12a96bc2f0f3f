"""What `plan` and `run` say in a terminal."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from orchestrator.plan import Plan
from orchestrator.runner import Summary

_MOST_CELLS = 60


def print_plan(plan: Plan, file: Path) -> None:
    """Print cells, counts and warnings."""
    console = Console(highlight=False)
    table = Table(title=plan.study.name, title_justify="left", header_style="bold")
    table.add_column("cell", overflow="fold")
    for name in ("images", "recipes", "trials", "new", "reused", "continued"):
        table.add_column(name, justify="right")
    for cell in plan.cells[:_MOST_CELLS]:
        numbers = (cell[key] for key in ("n_train", "recipes", "trials", "new", "reused"))
        table.add_row(cell["cell"], *map(str, numbers), str(cell["continued"]))
    console.print(table)
    if len(plan.cells) > _MOST_CELLS:
        console.print(f"… and {len(plan.cells) - _MOST_CELLS} more cells (all with --json)")
    counts = plan.trials
    console.print(
        f"{counts['wanted']} trials wanted: {counts['new']} new, {counts['reused']} reused, "
        f"{counts['continued']} continued; {counts['orphaned']} recorded ones no longer wanted."
    )
    for warning in plan.warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False)
    console.print(f"run directory: {plan.out}    next: scalestudy run {file}", markup=False)


def print_summary(summary: Summary, file: Path, page: Path | None) -> None:
    """Print what a run came to, and how to go on."""
    console = Console(highlight=False, soft_wrap=True)
    for problem in summary.problems:
        console.print(f"noticed: {problem}", style="yellow", markup=False)
    for failure in summary.failed:
        console.print(f"failed: {failure}", style="red", markup=False)
    if summary.incomplete:
        console.print(
            f"{len(summary.incomplete)} cells are incomplete: {'; '.join(summary.incomplete)}.\n"
            f"Mend the cause, then `scalestudy run {file}` trains only what is missing.",
            markup=False,
        )
    else:
        console.print(f"complete: {summary.out}", markup=False)
    if page:
        console.print(f"report: {page}", markup=False)
