"""Recipes proposed by Optuna as a search goes: one sampler per cell, refilled from records."""

import hashlib
from typing import Any

from orchestrator.errors import StudyError
from orchestrator.history import History
from orchestrator.stages import CellStages, Outcome, Stages, Wanted, recorded_outcome
from orchestrator.study import Study
from results.records import Stage, Status


class Proposer:
    """Asks one Optuna study per cell for its next recipe.

    Parameters
    ----------
    study, stages
        What is asked for; recorded recipes are added to their cells at once.
    history
        What the samplers are refilled from.

    Raises
    ------
    StudyError
        Optuna is not installed.
    """

    def __init__(self, study: Study, stages: Stages, history: History) -> None:
        try:
            import optuna
        except ImportError:
            raise StudyError(
                "search.algorithm: optuna needs the package optuna; "
                "install it with `pip install scalestudy[search]`."
            ) from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna, self._study, self._stages = optuna, study, stages
        self._searches = [optuna.create_study(direction="maximize") for _ in stages.cells]
        self._asked: dict[str, Any] = {}
        self._space = {
            key: self._distribution(values)
            for key, values in (study.search.fields if study.search else {}).items()
        }
        for cell in stages.cells:
            self._refill(cell, history)

    def propose(self, cell: CellStages) -> Wanted | None:
        """Return the cell's next trial; None where the recipe has been tried already."""
        search = self._searches[cell.index]
        number = len(search.trials)
        # A sampler made anew for each question depends on the records alone, not on the past
        # of this process.
        seed = hashlib.sha256(f"{self._study.search_seed} {cell.cell} {number}".encode()).digest()
        search.sampler = self._optuna.samplers.TPESampler(
            seed=int.from_bytes(seed[:4], "big"), n_startup_trials=4, constant_liar=True
        )
        asked = search.ask(self._space)
        recipe = self._study.recipe_of(cell.cell, dict(asked.params))
        wanted = self._stages.add_recipe(cell, recipe)
        if wanted is None:
            search.tell(asked, state=self._optuna.trial.TrialState.FAIL)
            return None
        self._asked[wanted.trial.trial_id] = asked
        return wanted

    def tell(self, wanted: Wanted, outcome: Outcome) -> None:
        """Let the cell's sampler know what became of a trial."""
        asked = self._asked.pop(wanted.trial.trial_id, None)
        if asked is None:
            return
        search, states = self._searches[wanted.cell], self._optuna.trial.TrialState
        if outcome.status is Status.COMPLETED:
            search.tell(asked, outcome.val_accuracy)
        elif outcome.status is Status.STOPPED and outcome.val_accuracy is not None:
            asked.report(outcome.val_accuracy, step=1)
            search.tell(asked, state=states.PRUNED)
        else:
            search.tell(asked, state=states.FAIL)

    def _refill(self, cell: CellStages, history: History) -> None:
        recorded = sorted(
            (row for row in history.trials.values() if row["stage"] == Stage.SEARCH.value),
            key=lambda row: (str(row["started_at"]), row["trial_id"]),
        )
        for row in recorded:
            if len(cell.search) >= cell.expected:
                return
            draw = {key: row[key] for key in self._space}
            if any(value is None for value in draw.values()):
                continue
            recipe = self._study.recipe_of(cell.cell, draw)
            trial = self._stages.inputs.trial(
                self._study, cell.cell, recipe, self._study.search_seed
            )
            # The hash tells whether the row is of this cell, recipe and seed.
            if trial.trial_id != row["trial_id"]:
                continue
            wanted = self._stages.add_recipe(cell, recipe)
            if wanted is None:
                continue
            search = self._searches[cell.index]
            search.enqueue_trial(draw)
            self._asked[trial.trial_id] = search.ask(self._space)
            outcome = recorded_outcome(history, self._study, wanted, trial.trial_id)
            if outcome:
                self.tell(wanted, outcome)

    def _distribution(self, values: list[Any] | dict[str, list[Any]]) -> Any:
        kinds = self._optuna.distributions
        if isinstance(values, list):
            return kinds.CategoricalDistribution(values)
        ((kind, arguments),) = values.items()
        if kind == "choice":
            return kinds.CategoricalDistribution(arguments)
        low, high = (float(argument) for argument in arguments)
        if kind == "randint":
            return kinds.IntDistribution(int(low), int(high))
        return kinds.FloatDistribution(low, high, log=kind == "loguniform")
