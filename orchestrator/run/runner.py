"""A run: a pass over what a study wants and its run directory lacks."""

import json
import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from orchestrator.drivers.driver import train_alone, train_on_ray
from orchestrator.errors import RunError
from orchestrator.ledger.allowance import Allowance, Spent, parse_budget
from orchestrator.ledger.history import history_of
from orchestrator.ledger.ledger import Ledger
from orchestrator.ledger.passes import Pass
from orchestrator.placement.environment import describe
from orchestrator.placement.placer import Placer
from orchestrator.plan.paces import durations_here
from orchestrator.plan.plan import check_owner, default_out
from orchestrator.plan.price import price_study
from orchestrator.run.events import Progress, tell
from orchestrator.run.lock import held
from orchestrator.run.recorder import Recorder
from orchestrator.run.signals import SAFE, Interrupted, Signals, recording
from orchestrator.study.file import continued
from orchestrator.study.inputs import Inputs, examples_of, find_inputs, look_at_images
from orchestrator.study.study import Study
from results.phrases import count, duration
from results.records import Status
from results.store.joining import lend, take_checkpoints
from results.store.objects import Location, ObjectPath
from results.store.store import Store
from trainables.work.checkpoints import Checkpoints


@dataclass
class Summary:
    """What a run came to."""

    out: Location
    """The run directory."""
    counts: dict[str, int] = field(default_factory=dict)
    """Wanted trials by status."""
    failed: list[str] = field(default_factory=list)
    """A sentence for each failed trial, with its cell."""
    incomplete: list[str] = field(default_factory=list)
    """Cells that comparisons lack, with the reason where that is more than a failed trial."""
    problems: list[str] = field(default_factory=list)
    """A sentence for each thing that was noticed and mended or left."""
    left_open: str = ""
    """What the budget left open, and what that costs; empty where it left nothing."""

    @property
    def exit_code(self) -> int:
        """The command's exit code: 0 when every cell is complete, else 3."""
        return 3 if self.incomplete else 0


def run_study(
    study: Study,
    out: str | Location | None = None,
    *,
    address: str | None = None,
    max_parallel: int | None = None,
    autoscale: bool = False,
    budget: str | None = None,
    progress: Progress | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> Summary:
    """Train what a study wants and its run directory lacks.

    `out` is the run directory, a folder or an address such as `s3://bucket/run`; `runs/<name>` by
    default. `address` is that of a Ray cluster, by default `RAY_ADDRESS`, else a private Ray here;
    `none` trains in this process, one trial after another. Elsewhere `max_parallel` run at a time
    at most. With `autoscale` the cluster adds nodes where trials wait, and is asked for places for
    `max_parallel` trials, by default for one more than fit; none need be there yet. A `budget` such
    as 3h, 20gpu-hours or a number in the currency of `prices` caps this run: what would exceed it
    is left open. `progress`, of `orchestrator.make_progress`, shows how far it is. `meanwhile` is
    called at most once, as soon as all that is left runs and leaves a place free; whatever it
    raises is dropped.

    Raises StudyError where the study cannot be run, RunError where lock, disk or cluster stand in
    the way, and Interrupted once a signal has ended the run; run again to go on.
    """
    show, price = progress or Progress(), study.prices.hour if study.prices else None
    allowance = Allowance(parse_budget(budget, bare="money") if budget else None, price)
    with ExitStack() as stack:
        signals = stack.enter_context(Signals())
        store = Store(out or default_out(study))
        study = continued(study, store)
        show.note("looking at data and weights")
        inputs = find_inputs(study, show.note)
        if study.data.damaged == "skip":
            # Which images are left out decides which trials there are.
            inputs = look_at_images(study, inputs, show.decoding)
        check_owner(study, inputs, store)
        still_held = stack.enter_context(held(store.lock))
        if isinstance(store.root, ObjectPath):
            show.note("the lock of an object store is advisory: start one run at a time there")
        problems = store.repair()
        # Parts sort by name in the order in which passes began.
        pass_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{os.urandom(2).hex()}"
        store.merge(pass_id)
        ledger = Ledger(study, inputs, history_of(study, store))
        ledger.rows.problems.extend(problems)
        for lender, borrowed in ledger.rows.lent.items():
            show.note(f"{count(len(borrowed), 'trial')} taken from {lender.root}")
        copying = partial(_copy_lent, ledger, pass_id)
        recorder = Recorder(store, ledger.rows, pass_id, inputs.test_labels, still_held, copying)
        # Before the first flush: trials that are continued are no longer complete then.
        ledger.count_anew()
        seconds = durations_here(ledger).seconds
        placer = Placer(study, inputs, grows=autoscale)
        work = Pass(ledger, seconds, placer.share, placer.enlarge, tell, placer.spread, allowance)
        store.write_study(study.written())
        recorder.flush(force=True)
        if not work.is_finished:
            looked = look_at_images(study, inputs, show.decoding)
            if info := looked.info:
                recorder.write_examples(info.test_fingerprint, lambda: examples_of(study, looked))
            inventory = looked.inventory
            for line in (inventory, *inventory.notes) if inventory else ():
                show.note(str(line))
            address = address or os.environ.get("RAY_ADDRESS") or None
            flags: dict[str, Any] = {"max_parallel": max_parallel, "autoscale": autoscale}
            on_ray = partial(train_on_ray, address=address, **flags)
            watch = _Watch(work, placer, recorder, signals, show, looked, meanwhile)
            watch.train(train_alone if address == "none" else on_ray)
        store.merge(pass_id)
        left = {folder.name for folder in store.checkpoints.glob("*")}
        _drop_checkpoints(ledger, left.intersection(ledger.stages.wanted))
        return _summary(ledger, _left_open(work, max_parallel, recorder))


@dataclass
class _Watch:
    """Looks after a run while a driver trains: rows, checkpoints, lock, signals and progress."""

    work: Pass
    placer: Placer
    recorder: Recorder
    signals: Signals
    show: Progress
    inputs: Inputs
    meanwhile: Callable[[], None] | None

    def train(self, driver: Callable[[Pass, Placer, Location, "_Watch"], None]) -> None:
        """Have a driver train what is left; whatever ends it, all that was reported is written."""
        ledger = self.work.ledger
        store = ledger.history.store
        ledger.before_look = lambda: self._flush(force=True)
        self.show.start(ledger)
        # Ray leaves its processes behind where its start is cut short, a step its row.
        self.signals.deferred = True
        try:
            driver(self.work, self.placer, store.checkpoints.absolute(), self)
        except Interrupted:
            raise Interrupted(f"{store.root}: interrupted; {SAFE}") from None
        except Spent:
            self.show.note("the budget is spent; trials under way go back to the plan")
        finally:
            try:
                self._finish()
            finally:
                self.show.stop(ledger)

    def note(self, text: str) -> None:
        self.show.note(text)
        self.signals.check()

    def connected(self) -> None:
        # Ray takes SIGTERM for itself when it starts.
        self.signals.install()
        self.signals.check()

    def begin(self) -> None:
        ledger, nodes = self.work.ledger, self.placer.nodes
        info, inventory = ledger.inputs.info, self.inputs.inventory
        row: dict[str, Any] = {
            "data_fingerprint": ledger.inputs.fingerprint,
            "data_content": info and info.content,
            "train_fingerprint": info and info.train_fingerprint,
            "test_fingerprint": info and info.test_fingerprint,
            "gpu_footprints": self.placer.measurements(),
            "data": json.dumps(inventory.as_json()) if inventory else None,
            "settings": json.dumps(ledger.study.written(), default=str),
            **describe(sum(node.cpu for node in nodes), sum(node.gpu for node in nodes)),
        }
        self.recorder.write_environment(row)

    def beat(self) -> None:
        self._flush()
        if self.signals.asked_by:
            # Before the workers are ended, which takes a while: nothing depends on them.
            self._finish()
            self.show.note("ending what is under way; all that was recorded is safe")
            self.signals.check()
        self.recorder.still_held()
        if self.work.allowance.is_spent and self.work.running:
            raise Spent("the budget is spent")
        self.show.update(self.work.ledger)
        if self.meanwhile and self.work.leaves_places:
            meanwhile, self.meanwhile = self.meanwhile, None
            # Training depends on nothing that is done here.
            with suppress(Exception):
                self._flush(force=True)
                meanwhile()
            self.signals.check()

    def _finish(self) -> None:
        try:
            self.recorder.still_held(look=True)
        except RunError as error:
            # What another run took over is written by that one alone.
            raise RunError(f"{error}{self.recorder.keep_beside()}") from None
        self.work.ledger.rows.interrupt()
        with recording:
            self._flush(force=True)
            if self.signals.asked_by:
                self.recorder.write_end(self.signals.asked_by)

    def _flush(self, *, force: bool = False) -> None:
        _drop_checkpoints(self.work.ledger, self.recorder.flush(force=force))


def _copy_lent(ledger: Ledger, pass_id: str) -> None:
    """Copy predictions, and what is of use of checkpoints, of trials that other runs lend."""
    rows, store = ledger.rows, ledger.history.store
    for lender, trial_ids in [*rows.lent.items()]:
        name = f"{pass_id}-lent-{os.urandom(4).hex()}"
        lend(lender, store, name, trial_ids, ledger.inputs.fingerprint)
        useful = set(trial_ids) - {folder.name for folder in store.checkpoints.glob("*")}
        if ledger.study.keep_checkpoints == "none":
            useful = {name for name in useful if rows[name]["status"] == Status.PLANNED}
        take_checkpoints(lender, store, useful)
        del rows.lent[lender]


def _drop_checkpoints(ledger: Ledger, trial_ids: Iterable[str]) -> None:
    """Remove the checkpoints of ended trials whose rows are safe."""
    for trial_id in trial_ids if ledger.study.keep_checkpoints == "none" else ():
        if ledger.rows[trial_id]["status"] in (Status.COMPLETED, Status.STOPPED):
            Checkpoints(ledger.history.store.checkpoints / trial_id).clear()


def _left_open(work: Pass, max_parallel: int | None, recorder: Recorder) -> str:
    """Return what a budget left open of a study and what that costs, and record it."""
    ledger, budget = work.ledger, work.allowance.text
    if not budget or not (ledger.left() or ledger.stages.unknown_recipes()):
        return ""
    recorded = history_of(ledger.study, ledger.history.store)
    price = price_study(Ledger(ledger.study, ledger.inputs, recorded), max_parallel=max_parallel)
    cells = sum(bool(cost.trials) for cost in price.cells.values())
    hours = f"{price.total.hours.value:.3g} {price.resource.upper()}-hours"
    has_failed = any(ledger.rows[name]["status"] == Status.FAILED for name in ledger.stages.wanted)
    again = ", failed ones again" if has_failed else ""
    said = (
        f"the budget of {budget} is spent; the next run has {count(price.total.trials, 'trial')} "
        f"of {count(cells, 'cell')}{again}: about {hours} "
        f"({duration(price.wall.value)} here), by {' and '.join(price.total.basis)}"
    )
    recorder.write_end(f"its budget of {budget}", said)
    return said


def _summary(ledger: Ledger, left_open: str) -> Summary:
    problems = [*ledger.rows.problems]
    summary = Summary(ledger.history.store.root, problems=problems, left_open=left_open)
    cells, is_race = ledger.stages.cells, ledger.study.is_race
    missing = {cell.index for cell in cells if cell.lost}
    for trial_id, wanted in ledger.stages.wanted.items():
        row, name = ledger.rows[trial_id], ledger.cell_name(wanted.cell)
        status = row["status"]
        summary.counts[status] = summary.counts.get(status, 0) + 1
        if status == Status.FAILED:
            summary.failed.append(f"{name}, seed {wanted.trial.seed} ({trial_id}): {row['error']}")
        ended = status == Status.COMPLETED or (is_race and status == Status.STOPPED)
        if not ended and (row["measured"] or is_race or (left_open and status == Status.PLANNED)):
            missing.add(wanted.cell)
    for place in sorted(missing):
        name, lost = ledger.cell_name(place), cells[place].lost
        summary.incomplete.append(f"{name}: {lost}" if lost else name)
    return summary
