"""Recipes proposed by Optuna as a search goes: one sampler per cell, refilled from records."""

import hashlib
import warnings
from typing import Any

import numpy as np
from pydantic import ValidationError

from orchestrator.errors import StudyError
from orchestrator.ledger.history import History
from orchestrator.ledger.stages import CellStages, Outcome, Stages, Wanted, recorded_outcome
from results.ranking import rank
from results.records import Stage, Status
from trainables.recipe import Recipe

_STARTUP = 4
"""Recipes drawn at random before the sampler has something to go by."""
_ATTEMPTS = 100
"""Questions for one recipe that can be trained and that the cell does not have yet."""


class Proposer:
    """Asks one Optuna study per cell for its next recipe; the samplers are refilled from history.

    Recorded recipes are added to their cells at once. Raises StudyError without Optuna.
    """

    def __init__(self, stages: Stages, history: History) -> None:
        try:
            import optuna
        except ImportError:
            raise StudyError(
                "search.algorithm: optuna needs the package optuna; "
                "install it with `pip install scalestudy[search]`."
            ) from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna, self._study, self._stages = optuna, stages.study, stages
        self._searches = [optuna.create_study(direction="maximize") for _ in stages.cells]
        self._asked: dict[str, Any] = {}
        fields = self._study.search.fields if self._study.search else {}
        self._space = {key: self._distribution(fields[key]) for key in sorted(fields)}
        for cell in stages.cells:
            self._refill(cell, history)

    def propose(self, cell: CellStages) -> Wanted | None:
        """Return the cell's next trial; None where no recipe is left that it has not tried.

        What is proposed depends on the study and on what is recorded of the cell, not on the past
        of this process.
        """
        untried = self._untried(cell)
        # What can be listed is looked through rather than asked for again and again.
        for attempt in range(_ATTEMPTS // 10 if untried else _ATTEMPTS):
            if wanted := self._take(cell, self._ask(cell, attempt)):
                return wanted
        for draw in untried:
            if wanted := self._take(cell, self._asked_for(cell, draw)):
                return wanted
        cell.expected = len(cell.search)
        return None

    def tell(self, wanted: Wanted, outcome: Outcome) -> None:
        """Let the cell's sampler know what became of a trial."""
        asked = self._asked.pop(wanted.trial.trial_id, None)
        if asked is None:
            return
        search, states = self._searches[wanted.cell], self._optuna.trial.TrialState
        if outcome.status is Status.COMPLETED:
            search.tell(asked, -rank(outcome.score))
        elif outcome.status is Status.STOPPED and outcome.score is not None:
            asked.report(-rank(outcome.score), step=1)
            search.tell(asked, state=states.PRUNED)
        else:
            search.tell(asked, state=states.FAIL)

    def _asked_for(self, cell: CellStages, draw: dict[str, Any]) -> Any:
        self._searches[cell.index].enqueue_trial(draw)
        return self._searches[cell.index].ask(self._space)

    def _ask(self, cell: CellStages, attempt: int = 0) -> Any:
        search = self._searches[cell.index]
        key = f"{self._study.search_seed} {cell.cell} {len(cell.search)} {attempt}"
        seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", self._optuna.exceptions.ExperimentalWarning)
            search.sampler = self._optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=_STARTUP, constant_liar=True
            )
        return search.ask(self._space)

    def _take(self, cell: CellStages, asked: Any) -> Wanted | None:
        """Add what was asked for to the cell; None where the cell has it, or it cannot be."""
        recipe = self._recipe(cell, asked.params)
        wanted = self._stages.add_recipe(cell, recipe) if recipe else None
        if wanted is None:
            self._forget(cell, asked)
        else:
            self._asked[wanted.trial.trial_id] = asked
        return wanted

    def _forget(self, cell: CellStages, asked: Any) -> None:
        self._searches[cell.index].tell(asked, state=self._optuna.trial.TrialState.FAIL)

    def _recipe(self, cell: CellStages, draw: dict[str, Any]) -> Recipe | None:
        try:
            return self._study.recipe_of(cell.cell, draw)
        except ValidationError:
            # Values inside a range may not go together although those at its ends do.
            return None

    def _untried(self, cell: CellStages) -> list[dict[str, Any]]:
        """Return, in a seeded random order, all draws of a space that can be listed."""
        search = self._study.search
        if search is None or not search.is_finite:
            return []
        draws = list(search.corners())
        generator = np.random.default_rng([self._study.search_seed, cell.index, len(cell.search)])
        return [draws[position] for position in generator.permutation(len(draws))]

    def _refill(self, cell: CellStages, history: History) -> None:
        """Add what is recorded of the cell's search, in the order in which it was proposed."""
        levels = {"seed": self._study.search_seed, "stage": Stage.SEARCH.value}
        levels |= {"model": cell.cell["model"], "weights": cell.cell["weights"].label}
        for row in history.trials.values():
            if len(cell.search) >= cell.expected:
                return
            if any(row[key] != value for key, value in levels.items()):
                continue
            draw = {key: row[key] for key in self._space if row[key] is not None}
            if not (self._holds(draw) and self._is_of(cell, draw, row["trial_id"])):
                continue
            asked = self._ask(cell)
            if not self._is_of(cell, asked.params, row["trial_id"]):
                # It was proposed while other trials were under way.
                self._forget(cell, asked)
                asked = self._asked_for(cell, draw)
            if wanted := self._take(cell, asked):
                outcome, rule = recorded_outcome(history, self._study, wanted), self._study.stopping
                if not outcome and rule and rule.grace <= history.epochs_done(row["trial_id"]):
                    outcome = Outcome(Status.STOPPED, history.score(row["trial_id"], rule.grace))
                if outcome:
                    self.tell(wanted, outcome)

    def _holds(self, draw: dict[str, Any]) -> bool:
        """Return whether the search, as it is asked for now, could propose a draw."""
        for key, value in draw.items():
            space = self._space[key]
            choices = getattr(space, "choices", None)
            if not (value in choices if choices else space.low <= value <= space.high):
                return False
        return True

    def _is_of(self, cell: CellStages, draw: dict[str, Any], trial_id: str) -> bool:
        """Return whether a draw is a cell's trial of that name, as its hash tells."""
        if (recipe := self._recipe(cell, draw)) is None:
            return False
        inputs, seed = self._stages.inputs, self._study.search_seed
        return inputs.trial(self._study, cell.cell, recipe, seed).trial_id == trial_id

    def _distribution(self, values: list[Any] | dict[str, list[Any]]) -> Any:
        kinds = self._optuna.distributions
        chosen = {"choice": values} if isinstance(values, list) else values
        ((kind, arguments),) = chosen.items()
        if kind == "choice":
            return kinds.CategoricalDistribution(list(dict.fromkeys(arguments)))
        low, high = (float(argument) for argument in arguments)
        if kind == "randint":
            return kinds.IntDistribution(int(low), int(high))
        return kinds.FloatDistribution(low, high, log=kind == "loguniform")
