"""What `plan` and `run` say in a terminal."""

from collections.abc import Sequence

import pandas as pd
from rich.table import Table
from rich.text import Text

from orchestrator.ledger.ledger import State
from orchestrator.placement.shares import cpus_said
from orchestrator.plan.durations import Basis
from orchestrator.plan.plan import Plan
from orchestrator.plan.price import Cost, Price
from orchestrator.run.runner import Summary
from orchestrator.screen.picture import plain_table, say, titled
from results.answer.answer import Answer
from results.answer.levers import Step
from results.findings.finding import Severity
from results.phrases import byte_size, count, duration, level_label, split_levels
from results.store.objects import Location

_MOST_CELLS = 60
_NOTHING_LEFT = "Nothing is left to train: it costs nothing."
_SAID_ELSEWHERE = ("missing-cell", "missing-seed", "race")
"""Findings that a run's other lines tell already."""
_STYLES = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: ""}


def print_plan(plan: Plan, price: Price, command: str) -> None:
    """Print what a run would do and cost, its cells, findings, and the command that runs it."""
    counts = plan.trials
    states = ", ".join(f"{counts[state]} {state}" for state in State if counts[state])
    orphaned = counts["orphaned"]
    left = f"; {orphaned} recorded no longer wanted, and kept" if orphaned else ""
    most = counts["wanted_at_most"]
    range_of = f"{counts['wanted']} to {most}" if most > counts["wanted"] else counts["wanted"]
    said = [f"{range_of} trials wanted: {states or 'none'}{left}."]
    said += price_lines(price) if price.total.trials else [_NOTHING_LEFT]
    read = plan.inputs.inventory
    said += [f"{read}{'; all decoded' if read.looked_at else ''}"] if read else []
    said += [f"{cpus_said()}."] if cpus_said() else []
    said += [f"GPUs: {sentence}." for sentence in plan.placement]
    said += [f"images: {plan.images.line}."] if plan.images and plan.images.line else []
    say(*said, f"run directory: {plan.out}", cells_table(plan, price))
    if len(plan.cells) > _MOST_CELLS:
        say(f"… and {len(plan.cells) - _MOST_CELLS} more cells (all with --json)")
    for number, finding in enumerate(plan.findings, 1):
        style = _STYLES[finding.severity]
        say(f"{number}. {finding.severity}: {finding}", style=style, wrapped=True)
    say(f"next: {command}")


def cells_table(plan: Plan, price: Price) -> Table:
    """Return a row per cell; columns that say the same of all cells are left out."""
    numbers = {str(state): [cell[state] for cell in plan.cells] for state in State}
    if numbers["new"] == [cell["trials"] for cell in plan.cells]:
        del numbers["new"]
    shown = ["trials", *(key for key, own in numbers.items() if any(own) and set(own) != {1})]
    shown += ["head"] if any(cell["head"] for cell in plan.cells) else []
    levels = [*map(plan.ledger.levels, range(len(plan.cells)))]
    varying, common = split_levels(list(plan.study.factors), levels)
    timed = [f"{price.resource.upper()} time", "from – to"] if price.total.trials else []
    headings = ["images", *shown, *timed]
    title, tried = titled(plan.study.name, common), max(cell["recipes"] for cell in plan.cells)
    title += f" · {tried} recipes a cell" if tried > 1 else ""
    table = plain_table(title, varying[:2], *varying[2:], *headings)
    for cell, own in zip(plan.cells[:_MOST_CELLS], levels, strict=False):
        table.add_row(
            *(Text(level_label(name, own[name], bare=True)) for name in varying),
            *("" if cell[key] is None else str(cell[key]) for key in ("n_train", *shown)),
            *(_times(price.cells[cell["cell"]]) if timed else ()),
        )
    if timed:
        table.add_section()
        blank = [""] * (len(varying) + len(headings) - len(timed) - 1)
        table.add_row(Text("all"), *blank, *_times(price.total))
    return table


def _times(cost: Cost) -> tuple[str, str]:
    hours = cost.hours
    low, time, high = (duration(3600 * each) for each in (hours.low, hours.value, hours.high))
    return time, f"{low} – {high}"


def price_lines(price: Price) -> list[str]:
    """Return the price of a study in sentences."""
    total, unit = price.total, price.resource.upper()
    at_a_time = f"{count(price.slots, 'trial')} at a time"
    basis = ", ".join(f"{name} ({100 * share:.0f} %)" for name, share in total.basis.items())
    guessed = {Basis.FLOPS, Basis.GUESS, Basis.SCALED} & set(total.basis)
    said = [
        f"time: about {duration(price.wall.value)} from first start to last end with {at_a_time} "
        f"({duration(price.wall.low)} to {duration(price.wall.high)}), "
        f"{total.hours.value:.3g} {unit}-hours. Starting Ray and writing the report come on top.",
        f"basis: {basis}."
        + " --probe measures a few updates of each kind of trial." * bool(guessed),
    ]
    if saved := total.saved:
        said.append(f"early stopping: about {saved} of {total.epochs + saved} epochs saved.")
    places = "GPUs" if price.resource == "gpu" else "places on CPUs"
    falls = ", ".join(f"{number}: {duration(wall)}" for number, wall in price.sizes.items())
    said.append(f"at best with more {places}: {falls}.")
    if most := price.at_most:
        cost = f", money about {most.money.value:,.2f}" if most.money else ""
        said.append(
            f"seeds: this is with the fewest. If no look decides anything, "
            f"{count(most.total.trials, 'trial')}, about {duration(most.wall.value)}, "
            f"{most.total.hours.value:.3g} {unit}-hours{cost}."
        )
    disk = ", ".join(f"{name} {byte_size(size)}" for name, size in price.disk.items() if size)
    said.append(f"disk: about {byte_size(sum(price.disk.values()))} ({disk}).")
    if money := price.money:
        said.append(f"money: about {money.value:,.2f} ({money.low:,.2f} to {money.high:,.2f}).")
    return said


def grave(findings: pd.DataFrame) -> list[str]:
    """Return a sentence for each kind of error in what `results.Run.findings` returned."""
    is_error = findings["severity"] == Severity.ERROR
    errors = findings[is_error & ~findings["code"].isin(_SAID_ELSEWHERE)]
    sentences = []
    for (_, advice), alike in errors.groupby(["code", "advice"], sort=False):
        first = alike.iloc[0]
        about = f"{first['cell']}: " if first["cell"] else ""
        more = f" (and {len(alike) - 1} more like it)" if len(alike) > 1 else ""
        sentences.append(f"{about}{first['evidence']}{more}: {advice}")
    return sentences


def steps_table(steps: Sequence[Step]) -> Table:
    """Return the steps that may help as a table, the largest gain first."""
    table = plain_table("", ["step"], "gain", "95 % interval", "decided", "best next step")
    for step in steps:
        table.add_row(
            Text(f"{step.text}, forecast" if step.is_forecast else step.text),
            step.gain,
            step.interval or "no ±",
            "yes" if step.is_decided else "no",
            step.chance or "–",
        )
    return table


def print_summary(
    summary: Summary,
    command: str,
    answer: Answer | None = None,
    findings: Sequence[str] = (),
    page: Location | None = None,
) -> None:
    """Print what a run came to and what its report says; the command goes on with the run."""
    say(*(f"noticed: {problem}" for problem in summary.problems), style="yellow")
    say(*(f"failed: {failure}" for failure in summary.failed), style="red")
    if summary.left_open:
        say(f"{summary.left_open}. This goes on: {command}")
    elif summary.incomplete:
        cells = count(len(summary.incomplete), "incomplete cell")
        mend = f"Mend the cause, then this trains only what is missing: {command}"
        say(f"{cells}: {'; '.join(summary.incomplete)}.", mend)
    else:
        say(f"complete: {summary.out}")
    if answer:
        say(f"\n{answer.headline}", style="bold")
        if answer.sure:
            say(answer.sure)
        if answer.steps:
            say(steps_table(answer.steps))
    say(*(f"{Severity.ERROR}: {sentence}" for sentence in findings), style="red")
    if page:
        say(f"report: {page}")
