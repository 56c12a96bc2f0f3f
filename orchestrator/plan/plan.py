"""Wanted − recorded: what a run would train, and what is doubtful about it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from orchestrator.errors import StudyError
from orchestrator.ledger.history import History
from orchestrator.ledger.proposer import Proposer
from orchestrator.ledger.races import Races
from orchestrator.ledger.stages import Outcome, Stages, recorded_outcome
from orchestrator.plan.design import design_findings
from orchestrator.plan.foresight import parallel_caveats, shares_foreseen
from orchestrator.study.inputs import Inputs, find_inputs
from orchestrator.study.study import Study
from results.errors import StoreError
from results.findings.finding import Finding, Severity
from results.records import Status
from results.store.objects import Location
from results.store.store import Store


class State(StrEnum):
    """What the records mean for a wanted trial."""

    NEW = "new"
    REUSED = "reused"
    CONTINUED = "continued"


@dataclass(frozen=True)
class Plan:
    """What a run would do.

    Parameters
    ----------
    study, out, inputs
        What is asked for, where, and what was found.
    trials
        Counts: wanted = new + reused + continued, recorded = reused + continued + orphaned.
    cells
        One entry per cell: its levels, and counts of its trials.
    findings
        What stands against the comparisons of a study that is otherwise sound.
    placement
        A sentence each on what trials take of a GPU, as far as it is known.
    """

    study: Study
    out: Location
    inputs: Inputs
    trials: dict[str, int]
    cells: list[dict[str, Any]]
    findings: list[Finding]
    placement: list[str]

    @property
    def warnings(self) -> list[str]:
        """Each finding as a sentence."""
        return [str(finding) for finding in self.findings]

    def as_json(self) -> dict[str, Any]:
        """Return the document that `plan --json` prints."""
        return {
            "name": self.study.name,
            "out": str(self.out),
            "trials": self.trials,
            "cells": self.cells,
            "warnings": self.warnings,
            "placement": self.placement,
            "data": {
                "n_train": self.inputs.n_train,
                "n_validation": self.inputs.n_validation,
                "n_classes": self.inputs.n_classes,
                "fingerprint": self.inputs.fingerprint,
            },
        }


def default_out(study: Study) -> Path:
    """Return the run directory of a study for which none was named."""
    return Path("runs") / study.name


def plan_study(study: Study, out: str | Location | None = None) -> Plan:
    """Say what `run_study` would train, reuse, continue and leave; nothing is started or written.

    Raises
    ------
    StudyError
        The study cannot be run, or the run directory belongs to another one.
    StoreError
        The run directory cannot be read.
    """
    inputs = find_inputs(study)
    store = Store.at(out or default_out(study))
    check_owner(study, inputs, store)
    history = History(store)
    stages = Stages(study, inputs)
    if stages.unknown_recipes():
        Proposer(study, stages, history)
    outcomes = {
        trial_id: recorded_outcome(history, study, wanted, trial_id)
        for trial_id, wanted in stages.wanted.items()
    }

    for wanted, _, accuracy in Races(stages).replay(history):
        trial_id = wanted.trial.trial_id
        outcomes[trial_id] = outcomes[trial_id] or Outcome(Status.STOPPED, accuracy)

    def outcome(trial_id: str) -> Outcome | None:
        return outcomes.get(trial_id)

    for cell in stages.cells:
        for wanted in stages.settle(cell, outcome):
            trial_id = wanted.trial.trial_id
            outcomes[trial_id] = recorded_outcome(history, study, wanted, trial_id)
    states = {
        trial_id: state_of(history, trial_id, outcomes[trial_id]) for trial_id in stages.wanted
    }
    return Plan(
        study,
        store.root,
        inputs,
        _count(study, stages, history, states),
        _cells(stages, states),
        [
            *design_findings(study, stages, inputs),
            *parallel_caveats(study, inputs),
            *_mixed(store),
            *_afresh(store, states),
        ],
        shares_foreseen(
            study,
            inputs,
            (stages.wanted[trial_id].trial for trial_id in states if not outcomes[trial_id]),
        ),
    )


def _afresh(store: Store, states: Mapping[str, State]) -> list[Finding]:
    """Say which trials cannot go on from where they were."""
    if State.CONTINUED not in states.values():
        return []
    left = {folder.name for folder in store.checkpoints.glob("*")}
    count = sum(
        state is State.CONTINUED and trial_id not in left for trial_id, state in states.items()
    )
    if not count:
        return []
    evidence = (
        f"{count} of the continued trials begin again at epoch 1, and are compared with what is "
        "recorded of them: no checkpoint of them is left. keep_checkpoints: last keeps those to "
        "come, so that more epochs go on from there"
    )
    return [Finding("no-checkpoint", Severity.WARNING, "", evidence, "")]


def state_of(history: History, trial_id: str, outcome: Outcome | None) -> State:
    """Return what the records mean for a wanted trial."""
    if outcome is not None:
        return State.REUSED
    if history.epochs_done(trial_id) and history.status(trial_id) is not Status.FAILED:
        return State.CONTINUED
    return State.NEW


def check_owner(study: Study, inputs: Inputs, store: Store) -> None:
    """Refuse a run directory that belongs to another study.

    Raises
    ------
    StudyError
        With what differs.
    """
    if not store.root.exists():
        return
    if not store.root.is_dir():
        raise StudyError(f"--out {store.root}: a file is there; name a folder.")
    if not store.study_file.exists():
        # A folder of something else is not ours to fill.
        strangers = [path.name for path in store.root.iterdir() if not path.name.startswith(".")]
        others = sorted(set(strangers) - store.names)
        if others:
            raise StudyError(
                f"--out {store.root}: the folder holds other files ({others[0]}, say) "
                "and no study; name an empty or a new folder."
            )
        return
    recorded = store.study()
    try:
        passes = store.read("environments", ["data_fingerprint"])["data_fingerprint"].to_pylist()
    except StoreError:
        # A damaged part is set aside once the run holds the lock; the name still speaks.
        passes = []
    theirs = {
        "name": recorded.get("name"),
        "trainable": recorded.get("trainable"),
        "data fingerprint": passes[-1] if passes else inputs.fingerprint,
    }
    asked = {
        "name": study.name,
        "trainable": study.trainable,
        "data fingerprint": inputs.fingerprint,
    }
    for key, value in asked.items():
        if theirs[key] != value:
            raise StudyError(
                f"--out {store.root}: this run directory belongs to another study "
                f"({key} {theirs[key]}, not {value}); choose another --out. Nothing was touched."
            )


def _count(
    study: Study, stages: Stages, history: History, states: dict[str, State]
) -> dict[str, int]:
    by_state = Counter(states.values())
    unknown = stages.unknown_recipes() + stages.unknown_measures()
    orphaned = sum(
        1
        for trial_id in history.trials
        if trial_id not in states
        and history.epochs_done(trial_id)
        and history.status(trial_id) is not Status.FAILED
    )
    reused, continued = by_state[State.REUSED], by_state[State.CONTINUED]
    return {
        "wanted": len(states) + unknown,
        "recorded": reused + continued + orphaned,
        "new": by_state[State.NEW] + unknown,
        "reused": reused,
        "continued": continued,
        "orphaned": orphaned,
    }


def _cells(stages: Stages, states: dict[str, State]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    counts: list[Counter[State]] = [Counter() for _ in stages.cells]
    for trial_id, wanted in stages.wanted.items():
        counts[wanted.cell][states[trial_id]] += 1
    seeds = stages.study.seeds
    later = sum(seed != stages.study.search_seed for seed in seeds) if stages.study.search else 0
    for cell, count in zip(stages.cells, counts, strict=True):
        open_measures = 0 if cell.winner or cell.lost else later
        unknown = max(0, cell.expected - len(cell.search)) if stages.study.search else 0
        rows.append(
            {
                "cell": str(cell.cell),
                "levels": {key: _plain(level) for key, level in cell.cell.levels},
                "n_train": stages.inputs.count(cell.cell["fraction"]),
                "recipes": max(cell.expected, len(cell.recipes)),
                "trials": sum(count.values()) + open_measures + unknown,
                "new": count[State.NEW] + open_measures + unknown,
                "reused": count[State.REUSED],
                "continued": count[State.CONTINUED],
            }
        )
    return rows


def _plain(level: Any) -> Any:
    return level if isinstance(level, bool | int | float | str) else str(level)


def _mixed(store: Store) -> list[Finding]:
    """Return a finding on records from unlike machines or library versions."""
    if not store.study_file.exists():
        return []
    columns = ["cpu_model", "gpu_model", "torch", "torchvision", "ray"]
    rows = store.read("environments", columns).to_pydict()
    return [
        Finding(
            "mixed-hardware",
            Severity.WARNING,
            "",
            f"records: passes ran with different {name} ({', '.join(sorted(kinds))})",
            "numbers repeat to the last digit only on the same",
        )
        for name, values in rows.items()
        if len(kinds := {str(value) for value in values if value is not None}) > 1
    ]
