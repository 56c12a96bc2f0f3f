"""The command that says what other stopping rules would have saved and cost: `replay`."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from orchestrator.commands.usage import Json, RunFolder, one_document, or_dash

if TYPE_CHECKING:
    from rich.table import Table

    from orchestrator.plan.replay import Replay
    from orchestrator.study.blocks import EarlyStopping
    from orchestrator.study.study import Study

_COMPARES, _GRACES, _FACTORS = ("cell", "[]"), (1, 3), (2, 3, 4)
"""Of the stopping rules that are tried where none is named."""
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

    console = Console(highlight=False)
    title = f"{study.name}: stopping rules on {len(recorded.curves)} curves"
    console.print(_table(title, found))
    for sentence in (_LEGEND, *caveats):
        console.print(sentence, markup=False, soft_wrap=True)


def _rules(
    study: "Study",
    compare: Sequence[str] | None,
    grace: Sequence[int] | None,
    reduction_factor: Sequence[int] | None,
) -> "list[EarlyStopping]":
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


def _table(title: str, found: "Sequence[Replay]") -> "Table":
    """Return a row for each rule; what is zero in all has no column."""
    from rich.text import Text

    from orchestrator.screen.picture import plain_table

    columns: dict[str, list[str]] = {
        "epochs": [str(each.trained) for each in found],
        "saved": [f"{each.saved} ({100 * each.saved / (each.asked or 1):.0f} %)" for each in found],
        "unknown": [str(each.unknown or "") for each in found],
        "kept": [f"{each.kept} of {each.contests}" for each in found],
        "none left": [str(each.lost or "") for each in found],
        "given up": [or_dash(each.regret, "{:.2f}") for each in found],
        "worst": [or_dash(each.worst, "{:.2f}") for each in found],
    }
    shown = {heading: texts for heading, texts in columns.items() if any(texts)}
    table = plain_table(title, ["rule"], *shown)
    for each, *texts in zip(found, *shown.values(), strict=True):
        rule = f"{each.compared} {each.rule.grace}/{each.rule.reduction_factor}"
        table.add_row(Text(rule + " *" * each.is_own), *texts)
    return table
