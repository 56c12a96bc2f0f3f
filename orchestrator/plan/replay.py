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
    scores: list[float]
    """By the metric on the validation set after each interval that is recorded without a gap."""
    failed: bool = False
    """Whether it ended in an error: no rule would have trained it further."""

    @property
    def done(self) -> int:
        """Intervals recorded."""
        return len(self.scores)

    @property
    def is_cut(self) -> bool:
        """Whether a rule might have trained it beyond what is recorded."""
        return not self.failed and self.done < self.budget


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


def recorded_curves(study: Study, history: History) -> list[Curve]:
    """Return the curves of a run that compete or may compete.

    Those of the search where there is one, else all: a study without a search becomes a race.
    """
    curves = []
    for trial_id, row in history.trials.items():
        if not row["wanted"] or (study.search and row["seed"] != study.search_seed):
            continue
        budget = row["epochs_budget"] or 0
        done = min(history.epochs_done(trial_id), budget)
        scores = [*map(study.metric.score, history.column(trial_id, "val_metric")[:done].tolist())]
        levels = {factor: row[factor] for factor in study.factors}
        failed = row["status"] == Status.FAILED
        curves.append(Curve(trial_id, levels, row["seed"], budget, scores, failed))
    return curves


def caveats(study: Study, curves: Sequence[Curve]) -> list[str]:
    """Return sentences on what a replay of recorded curves cannot know."""
    if not curves:
        return ["No curve is recorded that a rule could act on."]
    said = []
    if cut := sum(curve.is_cut for curve in curves):
        said.append(
            f"{cut} of {len(curves)} curves are cut: the run stopped these "
            "trials, or has not finished them, so that no rule can be followed beyond that, and "
            "one of them may be the true winner. "
            "A run with early_stopping: none records all curves whole."
        )
    if not study.search:
        said.append(
            "This study has no search: each cell and seed is one trial, so that a rule that "
            "compares cells leaves those that it stops without a result."
        )
    return said


def stops(rule: EarlyStopping, curves: Sequence[Curve]) -> dict[str, int]:
    """Return the epoch at which a rule stops each trial that it stops."""
    races = Races(rule)
    stopped: dict[str, int] = {}
    for curve in curves:
        group = group_of(rule.compare, curve.levels, curve.seed)
        races.join(curve.trial_id, group, curve.budget)
    for rung in rule.rungs(1 + max((curve.budget for curve in curves), default=0)):
        for curve in curves:
            if curve.done < rung:
                # Nobody knows what a cut one would have come to.
                races.leave(curve.trial_id)
            elif curve.trial_id not in stopped:
                races.arrive(curve.trial_id, rung, curve.scores[rung - 1])
        stopped |= {name: stop.epoch for name, stop in races.decide().items() if stop}
    return stopped


def replay(study: Study, curves: Sequence[Curve], rule: EarlyStopping) -> Replay:
    """Return what any rule, the study's own among them, would have made of recorded curves."""
    stopped = stops(rule, curves)
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
    asked = sum(curve.done if curve.failed else curve.budget for curve in curves)
    trained = sum(stopped.get(curve.trial_id, curve.done) for curve in curves)
    cut = [curve for curve in curves if curve.is_cut and curve.trial_id not in stopped]
    unknown = sum(curve.budget - curve.done for curve in cut)
    size, (worst, _) = abs(study.metric.scale), study.metric.bounds
    ends = [[size * curve.scores[-1] for curve in pair] for pair in won]
    # A winner that diverged is as bad as one that is always wrong.
    values = [[worst if math.isnan(end) else end for end in pair] for pair in ends]
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
    whole = [curve for curve in curves if curve.done and not (curve.failed or curve.is_cut)]
    return min(whole, key=lambda curve: (rank(curve.scores[-1]), curve.trial_id), default=None)
