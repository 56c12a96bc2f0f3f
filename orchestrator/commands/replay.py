"""The command that says what other stopping rules would have saved and cost: `replay`."""

import itertools
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from orchestrator.commands.usage import Json, RunFolder, one_document, or_dash

if TYPE_CHECKING:
    from orchestrator.study.study import Study

_COMPARES, _GRACES, _FACTORS = ["cell", "[]"], [1, 3], [2, 3, 4]
"""What is tried by default of each part of a rule."""
_LEGEND = (
    "rule: which trials compete, grace/reduction factor; unknown: epochs that no record tells of; "
    "kept: winners that are the same as without stopping; none left: choices without a winner; "
    "given up: points of validation accuracy, mean over winners, and the worst. "
    "*: the rule of the study as last run."
)


def replay(
    run_folder: RunFolder,
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
    as_json: Json = False,
) -> None:
    """Say what other stopping rules would have saved and cost on the recorded curves.

    Every option may be given several times; all combinations are tried, besides the study's own.
    """
    from orchestrator.ledger.history import History
    from orchestrator.plan import replay as replaying
    from orchestrator.study.blocks import EarlyStopping
    from orchestrator.study.recorded import recorded_study
    from results.store.store import Store

    with one_document(as_json) as document:
        store = Store.at(run_folder)
        study = recorded_study(store)
        rules = [study.stopping] if study.stopping else []
        groups = [_groups(study, text) for text in compare]
        for which, first, factor in itertools.product(groups, grace, reduction_factor):
            rule = EarlyStopping(compare=which, grace=first, reduction_factor=factor)
            rules += [rule] if rule not in rules else []
        recorded = replaying.recorded_curves(study, History(store, study.metric))
        found = [replaying.replay(study, recorded, rule) for rule in rules]
        caveats = replaying.caveats(study, recorded)
        document.update(
            name=study.name,
            curves=len(recorded.curves),
            cut=recorded.cut,
            caveats=caveats,
            rules=[each.as_json() for each in found],
        )
    if as_json:
        return
    from rich.console import Console
    from rich.text import Text

    from orchestrator.screen.picture import plain_table

    headings = ("epochs", "saved", "unknown", "kept", "none left", "given up", "worst")
    title = f"{study.name}: stopping rules on {len(recorded.curves)} curves"
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
            *(or_dash(points, "{:.2f}") for points in (each.regret, each.worst)),
        )
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(table)
    for sentence in (_LEGEND, *caveats):
        console.print(sentence)


def _groups(study: "Study", text: str) -> Literal["cell"] | list[str]:
    """Return what `--compare` names: cell, or some of the study's factors."""
    from orchestrator.errors import StudyError
    from orchestrator.study.refusals import unknown

    if text.strip() == "cell":
        return "cell"
    factors = [name.strip() for name in text.strip(" []").split(",") if name.strip()]
    for name in factors:
        if name not in study.factors:
            known = unknown(name, ("cell", "[]", *study.factors))
            raise StudyError(f"--compare {text}: {name} is no factor of this study; {known}.")
    return factors
