"""Trials that other run directories hold: those that a study takes, and those that it could."""

from pathlib import Path

import pyarrow.compute as pc

from orchestrator.errors import StudyError
from orchestrator.ledger.history import History
from orchestrator.ledger.ledger import Ledger, State
from orchestrator.study.study import Study
from results.errors import StoreError
from results.findings.finding import Finding, note
from results.metric import Metric
from results.phrases import count
from results.records import Status
from results.store.store import Store

_MOST_SIBLINGS = 50
"""Run directories beside a study's own that are looked at."""


def history_of(study: Study, store: Store) -> History:
    """Return what is recorded for a study, in its run directory and in those that it reuses.

    Raises StudyError where one of those is no run directory, or measured another metric.
    """
    lenders = [Store.at(place) for place in study.reuse or ()]
    for lender in lenders:
        if not lender.study_file.exists():
            raise StudyError(
                f"reuse: {lender.root}: no run directory is there. Name one, or leave it out: what "
                "was taken from it before is recorded here."
            )
        theirs = Metric.read(lender.study().get("metric"))
        if not study.metric.is_built_in and theirs != study.metric:
            raise StudyError(
                f"reuse: {lender.root}: it recorded the metric {theirs.written}, and this study "
                f"has {study.metric.written}; leave it out."
            )
    return History(store, study.metric, lenders)


def lending_findings(ledger: Ledger) -> list[Finding]:
    """Return findings on run directories that lend nothing, and on neighbours that would."""
    history, wanted = ledger.history, ledger.stages.wanted
    idle = {lender.store.root for lender in history.lenders}
    idle -= {lender.store.root for name in wanted if (lender := history.lender(name))}
    findings = [
        note("lends-nothing", f"reuse: {root} holds no trial that saves training here")
        for root in sorted(idle, key=str)
    ]
    budgets = {name: each.trial.recipe.intervals for name, each in wanted.items()}
    new = {name: least for name, least in budgets.items() if ledger.state(name) is State.NEW}
    done = pc.field("status") == Status.COMPLETED.value
    for store in _siblings(history) if new else ():
        try:
            rows = store.read("trials", ["trial_id", "epochs_done"], where=done)
        except StoreError:
            continue
        pairs = zip(*(column.to_pylist() for column in rows.columns), strict=True)
        found = sum(epochs >= new[name] for name, epochs in pairs if name in new)
        if found:
            said = f"{store.root} holds {count(found, 'trial')} of the {len(new)} that are new"
            findings.append(note("neighbour", said, f"--reuse {store.root} takes them"))
    return findings


def _siblings(history: History) -> list[Store]:
    """Return the run directories beside a study's own that it does not reuse, on a file system."""
    own = history.store.root
    if not isinstance(own, Path) or not own.parent.is_dir():
        return []
    known = {own.absolute(), *(lender.store.root for lender in history.lenders)}
    found = sorted(file.parent for file in own.parent.glob("*/study.yaml"))
    return [Store(root) for root in found if root.absolute() not in known][:_MOST_SIBLINGS]
