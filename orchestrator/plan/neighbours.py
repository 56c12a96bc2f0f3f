"""Run directories beside a study's own that hold trials which it would train."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.compute as pc

from orchestrator.ledger.ledger import Ledger, State
from results.errors import StoreError
from results.findings.finding import Finding, note
from results.phrases import count
from results.records import Status
from results.store.store import Store

_MOST = 50
"""Run directories that are looked at."""


def neighbours(ledger: Ledger) -> Iterator[Finding]:
    """Return a finding on each run directory, on a file system, that would save training."""
    budgets = {name: each.trial.recipe.intervals for name, each in ledger.stages.wanted.items()}
    new = {name: least for name, least in budgets.items() if ledger.state(name) is State.NEW}
    own, lenders = ledger.history.store.root, ledger.history.lenders
    if not (new and isinstance(own, Path) and own.parent.is_dir()):
        return
    known = {own.absolute(), *(lender.store.root for lender in lenders)}
    roots = (file.parent for file in sorted(own.parent.glob("*/study.yaml")))
    done = pc.field("status") == Status.COMPLETED.value
    for root in [root for root in roots if root.absolute() not in known][:_MOST]:
        try:
            rows = Store(root).read("trials", ["trial_id", "epochs_done"], where=done)
        except StoreError:
            continue
        pairs = zip(*(column.to_pylist() for column in rows.columns), strict=True)
        if found := sum(epochs >= new[name] for name, epochs in pairs if name in new):
            said = f"{root} holds {count(found, 'trial')} that are new here"
            yield note("neighbour", said, f"--reuse {root} takes them")
