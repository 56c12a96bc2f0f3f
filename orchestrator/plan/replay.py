"""Other stopping rules on recorded curves: what they would have saved, and what that had cost."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from orchestrator.ledger.history import History
from orchestrator.ledger.stopping import Races, group_of
from orchestrator.study.blocks import EarlyStopping
from orchestrator.study.study import Study
from results.ranking import rank
from results.records import Status


@dataclass(frozen=True)
class Curve:
    """What is recorded of one trial that a rule may stop."""

    trial_id: str
    levels: dict[str, Any]
    seed: int
    budget: int
    """Evaluation intervals of the whole trial."""
    done: int
    """Intervals recorded without a gap, at most the budget."""
    failed: bool = False
    """Whether it ended in an error: no rule would have trained it further."""
    score: float = math.nan
    """By the metric at the end of the budget; NaN where the curve does not reach it."""

    @property
    def is_cut(self) -> bool:
        """Whether a rule might have trained it beyond what is recorded."""
        return not self.failed and self.done < self.budget

    @property
    def asked(self) -> int:
        """Intervals that training takes where no rule stops it."""
        return self.done if self.failed else self.budget


@dataclass(frozen=True)
class Recorded:
    """All curves of a run that compete or may compete, and the order in which they arrived."""

    curves: dict[str, Curve]
    """By trial_id, in the order of the trial records."""
    arrivals: Sequence[tuple[str, int, float]]
    """(trial_id, epoch, score on the validation set), as recorded."""

    @property
    def cut(self) -> int:
        """Trials that are recorded only up to where the run stopped them, or has come to."""
        return sum(curve.is_cut for curve in self.curves.values())


@dataclass(frozen=True)
class Replay:
    """What a rule makes of a run."""

    rule: EarlyStopping
    is_own: bool
    """Whether the study as last run has this very rule."""
    trials: int
    stopped: int
    """That compete, and that the rule stops."""
    asked: int
    trained: int
    """Epochs without any rule, and with this one."""
    saved: int
    """Epochs that the rule is sure to save; `unknown` more at most."""
    unknown: int
    """Further epochs that the rule might have trained of cut curves: nobody knows."""
    contests: int
    """Choices to be made: one in each cell's search; one per seed where each is a trial."""
    kept: int
    lost: int
    """Contests whose winner is the same as without stopping, and those without any winner."""
    regret: float
    worst: float
    """What is given up of the metric on the validation set, mean over the winners and most, in
    points where it is a share; NaN without any."""

    def as_json(self) -> dict[str, Any]:
        """Return what `replay --json` says of the rule."""
        values = asdict(self)
        return {**values.pop("rule").model_dump(), "own": values.pop("is_own"), **values}


def recorded_curves(study: Study, history: History) -> Recorded:
    """Return the curves of a run that stopping rules can be replayed on.

    Those of the search where there is one, else all: a study without a search becomes a race.
    """
    curves = {}
    for trial_id, row in history.trials.items():
        if not row["wanted"] or (study.search and row["seed"] != study.search_seed):
            continue
        budget = row["epochs_budget"] or 0
        done = min(history.epochs_done(trial_id), budget)
        score = history.score(trial_id, budget) if done == budget > 0 else math.nan
        levels = {factor: row[factor] for factor in study.factors}
        failed = row["status"] == Status.FAILED
        curves[trial_id] = Curve(trial_id, levels, row["seed"], budget, done, failed, score)
    arrivals = [
        (trial_id, epoch, value)
        for trial_id, epoch, value in history.arrivals()
        if trial_id in curves and epoch <= curves[trial_id].done
    ]
    return Recorded(curves, arrivals)


def caveats(study: Study, recorded: Recorded) -> list[str]:
    """Return sentences on what a replay of recorded curves cannot know."""
    if not recorded.curves:
        return ["No curve is recorded that a rule could act on."]
    said = []
    if recorded.cut:
        said.append(
            f"{recorded.cut} of {len(recorded.curves)} curves are cut: the run stopped these "
            "trials, or has not finished them, so that no rule can be followed beyond that, and "
            "one of them may be the true winner. "
            "A run with early_stopping: none records all curves whole."
        )
    said.append(
        "Results are replayed in the order in which they were recorded; a run under another rule "
        "frees places earlier and has another order."
    )
    if not study.search:
        said.append(
            "This study has no search: each cell and seed is one trial, so that a rule that "
            "compares cells leaves those that it stops without a result."
        )
    return said


def stops(rule: EarlyStopping, recorded: Recorded) -> dict[str, int]:
    """Return the epoch at which a rule stops each trial that it stops."""
    races = Races(rule)
    stopped: dict[str, int] = {}
    for trial_id, epoch, value in recorded.arrivals:
        curve = recorded.curves[trial_id]
        group = group_of(rule.compare, curve.levels, curve.seed)
        if trial_id not in stopped and races.arrive(trial_id, group, epoch, value, curve.budget):
            stopped[trial_id] = epoch
    return stopped


def replay(study: Study, recorded: Recorded, rule: EarlyStopping) -> Replay:
    """Return what any rule, the study's own among them, would have made of recorded curves."""
    stopped = stops(rule, recorded)
    curves = [*recorded.curves.values()]
    contests: dict[tuple[Any, ...], list[Curve]] = defaultdict(list)
    for curve in curves:
        own = () if study.search else (curve.seed,)
        contests[(*curve.levels.values(), *own)].append(curve)
    pairs = [
        (best, _winner([curve for curve in contest if curve.trial_id not in stopped]))
        for contest in contests.values()
        if (best := _winner(contest))
    ]
    won = [(best, chosen) for best, chosen in pairs if chosen]
    asked = sum(curve.asked for curve in curves)
    trained = sum(stopped.get(curve.trial_id, curve.done) for curve in curves)
    unknown = sum(curve.asked - curve.done for curve in curves if curve.trial_id not in stopped)
    size, (worst, _) = abs(study.metric.scale), study.metric.bounds
    # A winner that diverged is as bad as one that is always wrong.
    values = [
        [worst if math.isnan(one.score) else size * one.score for one in pair] for pair in won
    ]
    regrets = [0.0 if best == own else best - own for best, own in values]
    return Replay(
        rule,
        rule == study.stopping,
        trials=len(curves),
        stopped=len(stopped),
        asked=asked,
        trained=trained,
        saved=asked - trained - unknown,
        unknown=unknown,
        contests=len(pairs),
        kept=sum(chosen is best for best, chosen in won),
        lost=len(pairs) - len(won),
        regret=float(np.mean(regrets)) if regrets else math.nan,
        worst=max(regrets, default=math.nan),
    )


def _winner(curves: Sequence[Curve]) -> Curve | None:
    """Return the trial that a search would choose, as `Stages.settle` does."""
    whole = [curve for curve in curves if not (curve.failed or curve.is_cut)]
    return min(whole, key=lambda curve: (rank(curve.score), curve.trial_id), default=None)
