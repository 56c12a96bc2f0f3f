"""Wanted − recorded: what a run would train, and what is doubtful about it."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.errors import RunError, StudyError
from orchestrator.ledger.history import history_of
from orchestrator.ledger.ledger import Ledger, State, all_needed
from orchestrator.placement.images import ImagesForeseen, images_foreseen
from orchestrator.placement.precision import is_left_open, natives_here, settled
from orchestrator.placement.shares import has_gpu, shares_foreseen
from orchestrator.plan.design import design_findings
from orchestrator.plan.durations import uses_gpu
from orchestrator.study.file import continued
from orchestrator.study.inputs import Inputs, find_inputs, look_at_images
from orchestrator.study.levels import STANDARD_FACTORS
from orchestrator.study.study import Study
from results.errors import StoreError
from results.findings.finding import Finding, note, warning
from results.metric import Metric
from results.phrases import count
from results.records import Status
from results.store.objects import Location
from results.store.store import Store
from trainables.functions import places_of

_OURS = ("orchestrator", "trainables", "results", "timm")
"""Modules that studies may name and nobody writes anew."""
_MOST_NEIGHBOURS = 50
"""Run directories that are looked at for trials which the study would train."""


@dataclass(frozen=True)
class Plan:
    """What a run would do."""

    ledger: Ledger
    """What is wanted, known and left."""
    findings: list[Finding]
    """What stands against the comparisons of a study that is otherwise sound."""
    placement: list[str]
    """A sentence each on what trials take of a GPU, as far as it is known."""
    images: ImagesForeseen | None
    """Where trials would hold their images; None on GPUs, where `placement` says it, and where none
    are read."""

    @property
    def study(self) -> Study:
        """What is asked for."""
        return self.ledger.study

    @property
    def inputs(self) -> Inputs:
        """What the study names outside its file, as it was found."""
        return self.ledger.inputs

    @property
    def out(self) -> Location:
        """The run directory, which need not exist."""
        return self.ledger.history.store.root

    @property
    def warnings(self) -> list[str]:
        """Each finding as a sentence."""
        return [str(finding) for finding in self.findings]

    @cached_property
    def trials(self) -> dict[str, int]:
        """Counts: wanted = new + reused + continued + borrowed, and what is recorded here.

        Recorded = reused + continued + orphaned; borrowed trials need no more training, and will be
        recorded here.

        Of counted seeds the fewest are wanted, and `wanted_at_most` if nothing is ever decided.
        """
        counts = {key: sum(row[key] for row in self.cells) for key in ("trials", *map(str, State))}
        recorded = counts[State.REUSED] + counts[State.CONTINUED]
        orphaned = len(self.ledger.orphaned())
        wanted, stages = counts.pop("trials"), self.ledger.stages
        places = all_needed(stages) if self.ledger.may_add_seeds else ()
        growing = [stages.cells[place] for place in places if not stages.cells[place].lost]
        added = sum(len(self.study.all_seeds) - len(cell.seeds) for cell in growing)
        return {
            "wanted": wanted,
            "wanted_at_most": wanted + added,
            "recorded": recorded + orphaned,
            **counts,
            "orphaned": orphaned,
        }

    @cached_property
    def cells(self) -> list[dict[str, Any]]:
        """A row per cell, as the document has it: its levels, and counts of its trials."""
        ledger, stages = self.ledger, self.ledger.stages
        counts: list[Counter[State]] = [Counter() for _ in stages.cells]
        for trial_id, wanted in stages.wanted.items():
            counts[wanted.cell][ledger.state(trial_id)] += 1
        rows = []
        for cell, own in zip(stages.cells, counts, strict=True):
            own[State.NEW] += cell.unknown_recipes + stages.unknown_measures(cell)
            rows.append(
                {
                    "cell": str(cell.cell),
                    "levels": {
                        key: str(level) if key in STANDARD_FACTORS else level
                        for key, level in cell.cell.levels
                    },
                    "n_train": self.inputs.count(cell.cell["fraction"]),
                    "head": self.inputs.heads.get((cell.cell["model"], str(cell.cell["weights"]))),
                    "recipes": max(cell.expected, len(cell.recipes)),
                    "trials": own.total(),
                    **{state.value: own[state] for state in State},
                }
            )
        return rows

    def as_json(self) -> dict[str, Any]:
        """Return the document that `plan --json` prints."""
        return {
            "name": self.study.name,
            "out": str(self.out),
            "trials": self.trials,
            "cells": self.cells,
            "warnings": self.warnings,
            "placement": self.placement,
            "images": asdict(self.images) if self.images else None,
            "data": {
                **(self.inputs.inventory.as_json() if self.inputs.inventory else {}),
                "n_train": self.inputs.n_train,
                "n_validation": self.inputs.n_validation,
                "n_classes": self.inputs.n_classes,
                "fingerprint": self.inputs.fingerprint,
            },
        }


def default_out(study: Study) -> Path:
    """Return the run directory of a study for which none was named."""
    return Path("runs") / study.name


def plan_study(
    study: Study,
    out: str | Location | None = None,
    *,
    look: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Plan:
    """Say what `run_study` would train, reuse, borrow and leave; nothing is started or written.

    With `look`, the images are decoded, so that all that only their pixels tell is said. `say` is
    told the name of a file or model that is looked at for long.
    Raises StudyError where the study cannot be run or the run directory belongs to another one, and
    StoreError where that cannot be read.
    """
    store = Store(out or default_out(study))
    study = continued(study, store)
    inputs = find_inputs(study, say)
    if look:
        inputs = look_at_images(study, inputs)
    check_owner(study, inputs, store)
    ledger = Ledger(study, inputs, history_of(study, store))
    left = [wanted.trial for wanted in ledger.left()]
    on_gpu = uses_gpu(study)
    return Plan(
        ledger,
        [
            *design_findings(study, ledger.stages, inputs),
            *_mixed([store, *(lender.store for lender in ledger.history.lenders)]),
            *_reread(inputs, store),
            *_afresh(ledger),
            *_neighbours(ledger),
            *_found_twice(study),
            *_no_gpu(study, on_gpu),
            *_one_precision(ledger, on_gpu),
        ],
        shares_foreseen(study, inputs, left, on_gpu) if study.resources.gpu == "auto" else [],
        images_foreseen(study, inputs, left, on_gpu),
    )


def check_owner(study: Study, inputs: Inputs, store: Store) -> None:
    """Refuse a run directory that belongs to another study: a StudyError says what differs."""
    if not store.root.exists():
        return
    if not store.root.is_dir():
        raise StudyError(f"--out {store.root}: a file is there; name a folder.")
    if not store.study_file.exists():
        # A folder of something else is not ours to fill.
        held = {path.name for path in store.root.iterdir() if not path.name.startswith(".")}
        if others := sorted(held - store.names):
            raise StudyError(
                f"--out {store.root}: the folder holds other files ({others[0]}, say) "
                "and no study; name an empty or a new folder."
            )
        return
    recorded = store.study()
    fingerprint, content = _recorded_data(store)
    # The same images may be read otherwise: then trials are new, and the directory stays.
    ours = inputs.info.content if inputs.info else inputs.fingerprint
    is_same = fingerprint in (None, inputs.fingerprint, ours) or content == ours
    for key, theirs, wanted in (
        ("name", recorded.get("name"), study.name),
        ("trainable", recorded.get("trainable"), study.trainable),
        ("metric", *_metrics(study, recorded, store)),
        ("data fingerprint", inputs.fingerprint if is_same else fingerprint, inputs.fingerprint),
    ):
        if theirs != wanted:
            raise StudyError(
                f"--out {store.root}: this run directory belongs to another study "
                f"({key} {theirs}, not {wanted}); choose another --out. Nothing was touched."
            )


def _metrics(study: Study, recorded: Mapping[str, Any], store: Store) -> tuple[str, str]:
    """Return the metric that a directory was begun with, and the one that is wanted of it.

    Another one of a classifier's is wanted as well where it is recorded and nothing was stopped.
    """
    before, now = Metric.read(recorded.get("metric")), study.metric
    if before != now and before.is_built_in and now.is_built_in and not study.stopping:
        held = store.read("epochs", [f"val_{now.column}"]).column(0)
        stopped = store.read("trials", ["status"]).column(0).to_pylist()
        if not held.null_count and Status.STOPPED not in stopped:
            before = now
    return str(before.written), str(now.written)


def _recorded_data(store: Store) -> tuple[str | None, str | None]:
    """Return the data's fingerprint and content hash as last recorded, None where they are not."""
    if not store.study_file.exists():
        return None, None
    try:
        passes = store.read("environments", ["data_fingerprint", "data_content"]).to_pylist()
    except StoreError:
        # A damaged part is set aside once the run holds the lock; the name still speaks.
        return None, None
    return tuple(passes[-1].values()) if passes else (None, None)


def _reread(inputs: Inputs, store: Store) -> Iterator[Finding]:
    fingerprint, _ = _recorded_data(store)
    if fingerprint not in (None, inputs.fingerprint):
        yield note(
            "read-otherwise",
            "data: the images are the recorded ones and are read otherwise now (more than 8 bits, "
            "transparency, data.fit or what is left out), so that trials are new; those recorded "
            "stay",
        )


def _afresh(ledger: Ledger) -> Iterator[Finding]:
    wanted, history = ledger.stages.wanted, ledger.history
    continued = {trial_id for trial_id in wanted if ledger.state(trial_id) is State.CONTINUED}
    budgets = {trial_id: wanted[trial_id].trial.recipe.intervals for trial_id in continued}
    whole = [name for name, budget in budgets.items() if history.epochs_done(name) >= budget]
    if untested := sum(not history.is_tested(name, budgets[name]) for name in whole):
        yield warning(
            "untested-there",
            f"{untested} of the continued trials are recorded up to the budget and trained again: "
            "the test set was not evaluated where it ends now",
        )
    for home in (history, *history.lenders) if continued else ():
        continued.difference_update(path.name for path in home.store.checkpoints.glob("*"))
    if continued:
        yield warning(
            "no-checkpoint",
            f"{len(continued)} of the continued trials begin again at epoch 1, and are compared "
            "with what is recorded of them: no checkpoint of them is left. keep_checkpoints: last "
            "keeps those to come, so that more epochs go on from there",
        )


def _neighbours(ledger: Ledger) -> Iterator[Finding]:
    """Yield a finding on each run directory beside the study's that would save training."""
    budgets = {name: each.trial.recipe.intervals for name, each in ledger.stages.wanted.items()}
    new = {name: least for name, least in budgets.items() if ledger.state(name) is State.NEW}
    own, lenders = ledger.history.store.root, ledger.history.lenders
    if not (new and isinstance(own, Path) and own.parent.is_dir()):
        return
    known = {own.absolute(), *(lender.store.root for lender in lenders)}
    roots = (file.parent for file in sorted(own.parent.glob("*/study.yaml")))
    done = pc.field("status") == Status.COMPLETED.value
    for root in [root for root in roots if root.absolute() not in known][:_MOST_NEIGHBOURS]:
        try:
            rows = Store(root).read("trials", ["trial_id", "epochs_done"], where=done).to_pylist()
        except StoreError:
            continue
        held = [row for row in rows if row["trial_id"] in new]
        if found := sum(row["epochs_done"] >= new[row["trial_id"]] for row in held):
            said = f"{root} holds {count(found, 'trial')} that are new here"
            yield note("neighbour", said, f"--reuse {root} takes them")


def _no_gpu(study: Study, on_gpu: bool) -> Iterator[Finding]:
    if on_gpu and study.trainable != "simulated" and not has_gpu():
        said = f"resources.gpu: {study.resources.gpu}: this machine has no GPU to train on"
        yield warning("no-gpu", said, "run it where Ray counts some; gpu: auto takes what is there")


def _one_precision(ledger: Ledger, on_gpu: bool) -> Iterator[Finding]:
    # Of one CPU alone, and without records, there is nothing that could be another.
    is_told = has_gpu() if on_gpu else bool(ledger.precision)
    if not is_told or not is_left_open(ledger.study):
        return
    try:
        _, said = settled(ledger.precision, natives_here(on_gpu), on_gpu)
    except RunError as error:
        yield warning("one-precision", str(error))
    else:
        yield from [note("one-precision", said)] if said else []


def _mixed(stores: Sequence[Store]) -> list[Finding]:
    columns = ["cpu_model", "gpu_model", "torch", "torchvision", "ray"]
    found = [store.read("environments", columns) for store in stores if store.study_file.exists()]
    rows = pa.concat_tables(found).to_pydict() if found else {}
    return [
        warning(
            "mixed-hardware",
            f"records: passes ran with different {name} ({', '.join(sorted(kinds))})",
            "numbers repeat to the last digit only on the same",
        )
        for name, values in rows.items()
        if len(kinds := {str(value) for value in values if value is not None}) > 1
    ]


def _found_twice(study: Study) -> list[Finding]:
    tops = dict.fromkeys(name.partition(":")[0].partition(".")[0] for name in study.functions)
    return [
        warning(
            "found-twice",
            f"module {top}: found in {' and in '.join(places)}; the first is taken",
            "rename your own, in the study too",
        )
        for top in tops
        if top not in _OURS and len(places := places_of(top)) > 1
    ]
