"""A run: one pass after another until nothing that can be trained is left."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from orchestrator.errors import RunError, StudyError
from orchestrator.ledger.history import History
from orchestrator.ledger.passes import Pass
from orchestrator.ledger.stages import Stages
from orchestrator.placement.environment import describe
from orchestrator.placement.placer import Placer
from orchestrator.placement.shares import Node
from orchestrator.plan.durations import Durations
from orchestrator.plan.plan import check_owner, default_out
from orchestrator.plan.prediction import predict
from orchestrator.plan.price import durations_here
from orchestrator.run.events import tell
from orchestrator.run.lock import held
from orchestrator.run.recorder import Recorder
from orchestrator.run.signals import Interrupted, Signals
from orchestrator.screen.progress import Progress, Silent
from orchestrator.study.inputs import Inputs, find_inputs
from orchestrator.study.study import Study
from results.records import Status
from results.store.objects import Location, ObjectPath
from results.store.store import Store
from results.store.tables import table_of
from trainables.errors import TrainableError
from trainables.work.checkpoints import Checkpoints


@dataclass
class Summary:
    """What a run came to.

    Parameters
    ----------
    out
        The run directory.
    counts
        Wanted trials by status.
    failed
        A sentence for each failed trial, with its cell.
    incomplete
        Cells that comparisons lack, with the reason where that is more than a failed trial.
    problems
        What was noticed and mended or left.
    """

    out: Location
    counts: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 when every cell is complete, 3 when some trials failed."""
        return 3 if self.incomplete else 0


def run_study(
    study: Study,
    out: str | Location | None = None,
    *,
    address: str | None = None,
    max_parallel: int | None = None,
    autoscale: bool = False,
    progress: Progress | None = None,
) -> Summary:
    """Train what a study wants and its run directory lacks.

    Parameters
    ----------
    study
        What is asked for.
    out
        The run directory, a folder or an address such as `s3://bucket/run`; `runs/<name>` by
        default.
    address
        Of a Ray cluster; by default `RAY_ADDRESS`, else a private Ray on this machine. `none`
        trains in this process, one trial after another, without Ray.
    max_parallel
        At most so many trials at a time.
    autoscale
        Whether the cluster adds nodes where trials wait: it is asked for places for `max_parallel`
        trials, by default for one more than fit, and none need be there yet.
    progress
        Shown while it runs, such as what `orchestrator.make_progress` returns; silent by default.

    Raises
    ------
    StudyError
        The study cannot be run.
    RunError
        Lock, disk or cluster stand in the way.
    Interrupted
        A signal ended the run; run again to go on.
    """
    show = progress or Silent()
    store = Store.at(out or default_out(study))
    show.note("looking at data and weights")
    inputs = find_inputs(study)
    check_owner(study, inputs, store)
    with Signals() as signals, held(store.lock) as still_held:
        if isinstance(store.root, ObjectPath):
            show.note("the lock of an object store is advisory: start one run at a time there")
        problems = store.repair()
        pass_id = _pass_id()
        store.merge(pass_id)
        history = History(store)
        stages = Stages(study, inputs)
        recorder = Recorder(store, history, pass_id, inputs.test_labels)
        recorder.problems.extend(problems)
        placer = Placer(study, inputs, grows=autoscale)
        # Before the pass takes stock: trials that it continues are no longer complete then.
        durations = durations_here(study, inputs, store)
        work = Pass(
            study, stages, history, recorder, durations.seconds, placer.share, placer.enlarge, tell
        )
        store.write_study(study.written())
        recorder.flush(force=True)
        if not work.is_finished:
            _decode(study, inputs, show)
            record = partial(_record_environment, store, work, pass_id, placer, durations)
            limits = (max_parallel, autoscale)
            _train(work, store, placer, address, limits, show, signals, still_held, record)
        store.merge(pass_id)
        left = {folder.name for folder in store.checkpoints.glob("*")}
        _drop_checkpoints(study, store, recorder, [*left.intersection(stages.wanted)])
        return _summary(study, store, work)


def _train(
    work: Pass,
    store: Store,
    placer: Placer,
    address: str | None,
    limits: tuple[int | None, bool],
    show: Progress,
    signals: Signals,
    still_held: Callable[[], None],
    record: Callable[[int | None], None],
) -> None:
    def tick() -> None:
        try:
            signals.check()
        except Interrupted:
            finish()
            show.note("ending the workers; all that was recorded is safe")
            raise
        still_held()
        show.update(work)

    def safe(trial_ids: list[str]) -> None:
        _drop_checkpoints(work.study, store, work.recorder, trial_ids)

    def finish() -> None:
        # What another run took over is written by that one alone.
        still_held()
        work.recorder.interrupt()
        safe(work.recorder.flush(force=True))

    address = address or os.environ.get("RAY_ADDRESS") or None
    show.start(work)
    try:
        signals.deferred = address == "none"
        if address == "none":
            from orchestrator.drivers.here import train_here

            gpu = work.study.resources.gpu
            if gpu != "auto" and gpu > 1:
                raise RunError(
                    f"resources.gpu: {gpu}: several GPUs take several processes, and --address "
                    "none trains in this one alone; leave it out."
                )
            placer.meet([Node("here", float(os.cpu_count() or 1), _own_gpus(work))])
            record(1)
            train_here(work, store.checkpoints.absolute(), tick, safe)
        else:
            from orchestrator.drivers.capacity import Capacity
            from orchestrator.drivers.connection import Connected, cluster

            show.note("starting Ray" if not address else f"connecting to {address}")
            with cluster(address) as nodes:
                # Ray takes SIGTERM for itself when it starts.
                signals.install()
                warnings = placer.meet(nodes)
                left = [wanted.trial for wanted in work.left()]
                warnings += placer.survey(left, show.note)
                record(limits[0])
                capacity = Capacity(
                    work,
                    Connected(),
                    nodes,
                    lambda: placer.shares(wanted.trial for wanted in work.left()),
                    placer.remeet,
                    show.note,
                    max_parallel=limits[0],
                    grows=limits[1],
                )
                work.recorder.problems.extend(warnings)
                for warning in warnings:
                    show.note(f"warning: {warning}")
                show.note(f"{capacity.slots} trial{'s' * (capacity.slots != 1)} at a time")
                from orchestrator.drivers.tuner import train

                def beat() -> None:
                    tick()
                    capacity.tick()

                signals.deferred = True
                train(
                    work,
                    limit=lambda: capacity.limit,
                    checkpoint_folder=store.checkpoints.absolute(),
                    tick=beat,
                    safe=safe,
                )
    except Interrupted:
        raise Interrupted(
            f"{store.root}: interrupted; all that was recorded is safe. "
            "The same command goes on from there."
        ) from None
    finally:
        # Before the workers are ended, which takes a while: nothing depends on them.
        try:
            finish()
        finally:
            show.stop(work)


def _own_gpus(work: Pass) -> float:
    """Return the GPUs that torch sees in this process; a simulation never loads torch."""
    if work.study.trainable == "simulated":
        return 0.0
    import torch

    return float(torch.cuda.device_count())


def _decode(study: Study, inputs: Inputs, show: Progress) -> None:
    """Decode the images once on this node, so that bad files are refused before training."""
    if not inputs.decode_sizes:
        return
    from trainables.data.dataset import open_dataset

    for size in sorted(inputs.decode_sizes, key=lambda side: side or 0):
        try:
            open_dataset(study.data, inputs.fingerprint, size, show.decoding)
        except TrainableError as error:
            raise StudyError(f"{study.name}: {error}") from None


def _record_environment(
    store: Store,
    work: Pass,
    pass_id: str,
    placer: Placer,
    durations: Durations,
    max_parallel: int | None,
) -> None:
    nodes, inputs = placer.nodes, work.stages.inputs
    left = [(wanted, placer.share(wanted.trial)) for wanted in work.left()]
    forecast = predict(work.study, inputs, store, durations, left, nodes, max_parallel)
    row = {
        "pass_id": pass_id,
        "data_fingerprint": inputs.fingerprint,
        "forecast": forecast,
        "gpu_footprints": placer.measurements(),
        "settings": json.dumps(work.study.written(), default=str),
        **describe(sum(node.cpu for node in nodes), sum(node.gpu for node in nodes)),
    }
    store.write_part("environments", pass_id, [table_of("environments", [row])])


def _drop_checkpoints(study: Study, store: Store, recorder: Recorder, trial_ids: list[str]) -> None:
    """Remove the checkpoints of ended trials whose rows are safe."""
    if study.keep_checkpoints != "none":
        return
    for trial_id in trial_ids:
        status = recorder.trial(trial_id).get("status")
        if status in (Status.COMPLETED.value, Status.STOPPED.value):
            Checkpoints(store.checkpoints / trial_id).clear()


def _summary(study: Study, store: Store, work: Pass) -> Summary:
    summary = Summary(store.root, problems=list(work.recorder.problems))
    missing: set[int] = set()
    for trial_id, wanted in work.stages.wanted.items():
        row = work.recorder.trial(trial_id)
        status = row["status"]
        summary.counts[status] = summary.counts.get(status, 0) + 1
        cell = work.stages.cells[wanted.cell].cell
        if status == Status.FAILED.value:
            summary.failed.append(f"{cell}, seed {wanted.trial.seed} ({trial_id}): {row['error']}")
        ended = status == Status.COMPLETED.value or (study.is_race and status == "stopped")
        if not ended and (row["measured"] or study.is_race):
            missing.add(wanted.cell)
    missing |= {cell.index for cell in work.stages.cells if cell.lost}
    for stages in (work.stages.cells[index] for index in sorted(missing)):
        reason = f": {stages.lost}" if stages.lost else ""
        summary.incomplete.append(f"{stages.cell}{reason}")
    return summary


def _pass_id() -> str:
    # Parts sort by name in the order in which passes began.
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{os.urandom(2).hex()}"
