"""Who carries a pass's trials out: this process, or workers of a Ray cluster."""

import gc
from collections.abc import Callable
from typing import Protocol

from orchestrator.drivers.capacity import Capacity
from orchestrator.drivers.connection import Connected, cluster
from orchestrator.errors import OrchestratorError, RunError
from orchestrator.ledger.passes import Pass
from orchestrator.placement.placer import Placer
from orchestrator.placement.shares import cpus_said, own_machine
from results.phrases import count
from results.store.objects import Location
from trainables.machine import give_memory_back
from trainables.work.job import Job
from trainables.work.reports import FailureKind


class Watch(Protocol):
    """Whoever looks after a run while a driver trains."""

    def note(self, text: str) -> None:
        """Say what is being done."""

    def connected(self) -> None:
        """Take note that a library was started that may have taken signals for itself."""

    def begin(self) -> None:
        """Take note that trials have their shares and are about to start."""

    def beat(self) -> None:
        """Write what is new, several times a second; whatever it raises ends the pass."""


def train_alone(work: Pass, placer: Placer, checkpoints: Location, watch: Watch) -> None:
    """Train one trial after another in this process, for debuggers and tests, without a cluster."""
    study = work.ledger.study
    gpu = study.resources.gpu
    if gpu != "auto" and gpu > 1:
        raise RunError(
            f"resources.gpu: {gpu}: several GPUs take several processes, and --address none "
            "trains in this one alone; leave it out."
        )
    # A simulation never loads torch.
    placer.meet([own_machine(study.trainable != "simulated")])
    placer.settle(work.ledger.precision, watch.note)
    watch.begin()
    # What a trial leaves in this process goes soon, as in a worker.
    gc.set_threshold(700, 10, 10)
    try:
        train_here(work, checkpoints, watch.beat)
    finally:
        # This process may have other things to do.
        give_memory_back()


def train_here(work: Pass, checkpoints: Location, beat: Callable[[], None]) -> None:
    """Train all that a pass has left in this process."""
    while wanted := work.next():
        trial_id = wanted.trial.trial_id
        job = Job(work.task(wanted, checkpoints))
        work.start(trial_id)
        while trial_id in work.running:
            try:
                report = job.step()
            except OrchestratorError:
                # A second Ctrl-C does not wait for the end of an interval.
                raise
            except Exception as error:
                # A user's own trainable may raise anything; with Ray its worker would be lost.
                work.lose(trial_id, FailureKind.CRASHED, f"{type(error).__name__}: {error}")
                break
            work.result(trial_id, report)
            beat()


def train_on_ray(
    work: Pass,
    placer: Placer,
    checkpoints: Location,
    watch: Watch,
    *,
    address: str | None = None,
    max_parallel: int | None = None,
    autoscale: bool = False,
) -> None:
    """Train what a pass has left on workers of a Ray cluster; RunError where it cannot be there.

    No `address` starts a private one on this machine; with `autoscale` a cluster adds nodes where
    trials wait. `checkpoints` is a folder that the nodes share, or in an object store.
    """
    if not address and (said := cpus_said()):
        watch.note(said)
    watch.note(f"connecting to {address}" if address else "starting Ray")
    with cluster(address) as nodes:
        watch.connected()
        warnings = placer.meet(nodes)
        placer.settle(work.ledger.precision, watch.note)
        warnings += placer.survey([wanted.trial for wanted in work.ledger.left()], watch.note)
        watch.begin()
        capacity = Capacity(
            work, Connected(), placer, watch.note, max_parallel=max_parallel, grows=autoscale
        )
        work.ledger.rows.problems.extend(warnings)
        for warning in warnings:
            watch.note(f"warning: {warning}")
        watch.note(f"{count(capacity.slots, 'trial')} at a time")
        # Only now: the connection sets what Ray reads when Tune is imported.
        from orchestrator.drivers.tuner import train

        train(work, capacity, checkpoints, watch.beat, lends=not address and len(nodes) == 1)
