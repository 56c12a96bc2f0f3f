"""All races of a study: which trial competes where, rebuilt from records in order of arrival."""

from orchestrator.ledger.history import History
from orchestrator.ledger.stages import Stages, Wanted
from orchestrator.ledger.stopping import Race, Stop


class Races:
    """One race per group of trials, as the study's rule makes groups.

    Parameters
    ----------
    stages
        Knows the group of every wanted trial.
    """

    def __init__(self, stages: Stages) -> None:
        self._stages = stages
        self._rule = stages.study.stopping
        self._races: dict[tuple[str, ...], Race] = {}
        self._seen: dict[str, int] = {}

    def arrive(self, wanted: Wanted, epoch: int, value: float) -> Stop | None:
        """Enter a trial's validation accuracy at an epoch, once; return a stop if it is one."""
        trial_id = wanted.trial.trial_id
        group = self._stages.group(wanted)
        if group is None or self._rule is None or epoch <= self._seen.get(trial_id, 0):
            return None
        self._seen[trial_id] = epoch
        race = self._races.setdefault(group, Race(self._rule.grace, self._rule.reduction_factor))
        return race.arrive(epoch, value, budget=wanted.trial.recipe.intervals)

    def replay(self, history: History) -> list[tuple[Wanted, Stop, float]]:
        """Enter what is recorded; return the trials that stop at their last recorded epoch.

        Among them are those that a crash kept from being marked, and those that a larger budget
        would let go on.
        """
        stopped = []
        for trial_id, epoch, value in history.arrivals():
            wanted = self._stages.wanted.get(trial_id)
            if wanted is None or epoch > history.epochs_done(trial_id):
                continue
            stop = self.arrive(wanted, epoch, value)
            if stop and epoch == history.epochs_done(trial_id):
                stopped.append((wanted, stop, value))
        return stopped
