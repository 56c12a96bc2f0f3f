"""The same pass without a cluster: one trial after another, in this process.

For debugging a study or one's own trainable with an ordinary debugger, and for tests.
"""

from collections.abc import Callable

from orchestrator.ledger.passes import Pass
from results.store.objects import Location
from trainables.work.job import Job
from trainables.work.reports import FailureKind


def train_here(
    work: Pass,
    checkpoint_folder: Location,
    tick: Callable[[], None],
    safe: Callable[[list[str]], None],
) -> None:
    """Train what a pass has left; parameters as of `engine.train`."""
    while not work.is_finished:
        wanted = work.next()
        if wanted is None:
            break
        trial_id = wanted.trial.trial_id
        job = Job(work.task(wanted, checkpoint_folder))
        work.start(trial_id, None)
        while trial_id in work.running:
            try:
                report = job.step()
            except Exception as error:
                # A user's own trainable may raise anything; with Ray its worker would be lost.
                work.lose(trial_id, FailureKind.CRASHED, f"{type(error).__name__}: {error}")
                break
            work.result(trial_id, report)
            safe(work.recorder.flush())
            tick()
