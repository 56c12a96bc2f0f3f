"""From search to measurement, cell by cell, without a barrier between them."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from orchestrator.ledger.history import History
from orchestrator.ledger.stopping import group_of
from orchestrator.study.inputs import Inputs
from orchestrator.study.study import Cell, Study
from results.ranking import rank
from results.records import Stage, Status
from trainables.recipe import Recipe
from trainables.trial import Trial


@dataclass(frozen=True)
class Wanted:
    """A trial that the study asks for."""

    trial: Trial
    cell: int
    """Position of its cell in `Study.cells()`."""
    stage: Stage
    round: int
    """Place among the trials of its cell and stage: which recipe, or which seed."""


@dataclass
class Outcome:
    """What is known of a trial that has ended."""

    status: Status
    score: float | None = None
    """What the metric is on the validation set at the last epoch trained; more is better."""


@dataclass
class CellStages:
    """Where one cell stands."""

    cell: Cell
    index: int
    """The cell, and its position in `Study.cells()`."""
    recipes: list[Recipe]
    """Recipes to try, in this order; more may follow where a searcher proposes them."""
    expected: int
    """How many recipes the search will have tried; 0 without a search."""
    seeds: list[int]
    """Seeds that it is measured with, as far as is decided."""
    search: list[Wanted] = field(default_factory=list)
    """The search trials that are known."""
    winner: Trial | None = None
    """The search trial whose recipe is measured, once it is chosen."""
    lost: str | None = None
    """Why the cell cannot be measured, once that is so."""

    @property
    def unknown_recipes(self) -> int:
        """How many recipes a searcher has yet to propose."""
        return max(0, self.expected - len(self.search))


class Stages:
    """Which trials a study wants, as far as is known, and what each outcome brings."""

    def __init__(self, study: Study, inputs: Inputs) -> None:
        self.study, self.inputs = study, inputs
        self.wanted: dict[str, Wanted] = {}
        self.cells: list[CellStages] = []
        for index, (cell, recipes) in enumerate(self._recipes()):
            expected = self._expected(cell, recipes)
            stages = CellStages(cell, index, recipes, expected, study.first_seeds)
            self.cells.append(stages)
            for recipe in recipes if study.search else ():
                self.add_recipe(stages, recipe)
            if not study.search:
                self._measures(stages, Stage.SEARCH if study.is_race else Stage.MEASURE)

    def add_recipe(self, cell: CellStages, recipe: Recipe) -> Wanted | None:
        """Add a recipe to a cell's search; None where the cell has it already."""
        trial = self.inputs.trial(self.study, cell.cell, recipe, self.study.search_seed)
        if trial.trial_id in self.wanted:
            return None
        wanted = Wanted(trial, cell.index, Stage.SEARCH, len(cell.search))
        self.wanted[trial.trial_id] = wanted
        cell.search.append(wanted)
        return wanted

    def settle(self, cell: CellStages, outcome: Callable[[str], Outcome | None]) -> list[Wanted]:
        """Choose a cell's winner once its search has ended; return what is to be measured.

        Nothing happens where its search goes on, or has been settled. `outcome` returns what became
        of a trial_id, None while it is open.
        """
        ended = [(outcome(wanted.trial.trial_id), wanted.trial) for wanted in cell.search]
        known = [(result, trial) for result, trial in ended if result is not None]
        if not self._is_searching(cell) or cell.unknown_recipes or len(known) < len(ended):
            return []
        completed = [each for each in known if each[0].status is Status.COMPLETED]
        if not completed:
            counts = Counter(result.status.value for result, _ in known)
            became = [f"{number} {status}" for status, number in sorted(counts.items())]
            cell.lost = f"none of its recipes completed ({', '.join(became) or 'none tried'})"
            return []
        _, cell.winner = min(completed, key=lambda each: (rank(each[0].score), each[1].trial_id))
        return self._measures(cell)

    def measure_more(self, cell: CellStages, count: int) -> list[Wanted]:
        """Measure a cell with so many seeds if it has fewer; return what that adds.

        Nothing happens where it has no recipe to be measured.
        """
        if count <= len(cell.seeds) or cell.lost or self._is_searching(cell):
            return []
        cell.seeds = self.study.all_seeds[:count]
        return self._measures(cell)

    def next_measure(self, cell: CellStages) -> Trial | None:
        """Return the trial that one seed more would add to a cell, where there may be one."""
        more = self.study.all_seeds[len(cell.seeds) :]
        is_open = more and not (cell.lost or self._is_searching(cell))
        return self._measured(cell, more[0]) if is_open else None

    def is_measured(self, trial_id: str) -> bool:
        """Return whether comparisons use a trial."""
        wanted = self.wanted.get(trial_id)
        if wanted is None or self.study.is_race:
            return False
        cell = self.cells[wanted.cell]
        is_chosen = cell.winner is wanted.trial and wanted.trial.seed in cell.seeds
        return wanted.stage is Stage.MEASURE or is_chosen

    def possible_measures(self, cell: CellStages) -> set[str]:
        """Return the trials that a cell without a winner yet may come to measure."""
        return {
            wanted.trial.changed(seed=seed).trial_id
            for wanted in (cell.search if self._is_searching(cell) else ())
            for seed in self.study.all_seeds
            if seed != self.study.search_seed
        }

    def unknown_measures(self, cell: CellStages) -> int:
        """Return how many measure trials of a cell will be known once it has a winner."""
        return len({*cell.seeds} - {self.study.search_seed}) if self._is_searching(cell) else 0

    def unknown_recipes(self) -> int:
        """Return how many recipes a searcher has yet to propose in all cells."""
        return sum(cell.unknown_recipes for cell in self.cells)

    def group(self, wanted: Wanted) -> tuple[str, ...] | None:
        """Return the race that a trial runs in, or None where nothing stops it."""
        rule = self.study.stopping
        if rule is None or wanted.stage is not Stage.SEARCH:
            return None
        return group_of(rule.compare, dict(self.cells[wanted.cell].cell.levels), wanted.trial.seed)

    def _is_searching(self, cell: CellStages) -> bool:
        return self.study.search is not None and not (cell.winner or cell.lost)

    def _measures(self, cell: CellStages, stage: Stage = Stage.MEASURE) -> list[Wanted]:
        """Want the trials that measure a cell with its seeds; return those that are new."""
        trials = [self._measured(cell, seed) for seed in cell.seeds]
        new = {
            trial.trial_id: Wanted(trial, cell.index, stage, number)
            for number, trial in enumerate(trials)
            if trial.trial_id not in self.wanted
        }
        self.wanted |= new
        return [*new.values()]

    def _measured(self, cell: CellStages, seed: int) -> Trial:
        if cell.winner:
            return cell.winner.changed(seed=seed)
        return self.inputs.trial(self.study, cell.cell, cell.recipes[0], seed)

    def _recipes(self) -> Iterator[tuple[Cell, list[Recipe]]]:
        """Yield each cell with its recipes, in the cell's own random order."""
        study, seed = self.study, self.study.search_seed
        draws = study.search.draws(seed) if study.search else [{}]
        for cell in study.cells():
            # A field without bearing, such as adam's momentum, makes no recipe of its own; and the
            # order of fields in the file makes no other order.
            found: dict[str, Recipe] = {}
            for draw in draws:
                recipe = study.recipe_of(cell, draw)
                found.setdefault(str(sorted(recipe.identity().items())), recipe)
            recipes = [found[key] for key in sorted(found)]
            digest = hashlib.sha256(f"{seed} {cell.key}".encode()).digest()
            generator = np.random.default_rng(int.from_bytes(digest[:8], "big"))
            yield cell, [recipes[position] for position in generator.permutation(len(recipes))]

    def _expected(self, cell: Cell, recipes: list[Recipe]) -> int:
        search = self.study.search
        if not search or search.algorithm != "optuna":
            return len(recipes) if search else 0
        distinct: set[str] = set()
        for draw in search.corners() if search.is_finite else ():
            distinct.add(str(self.study.recipe_of(cell, draw).identity()))
            if len(distinct) == search.size:
                break
        return len(distinct) if search.is_finite else search.size


def recorded_outcome(history: History, study: Study, wanted: Wanted) -> Outcome | None:
    """Return what the records say became of a wanted trial; None where training is left.

    A failed trial counts as open: every run tries it again.
    """
    trial_id, budget = wanted.trial.trial_id, wanted.trial.recipe.intervals
    if history.has(wanted.trial, study):
        return Outcome(Status.COMPLETED, history.score(trial_id, budget))
    is_stopped = history.status(trial_id) is Status.STOPPED and wanted.stage is Stage.SEARCH
    if is_stopped and study.stopping:
        at, done = history.trials[trial_id]["stopped_at_epoch"] or 0, history.epochs_done(trial_id)
        # Where the rule has no rung any more, its stops do not stand.
        if at in study.stopping.rungs(at + 1) and at <= done:
            return Outcome(Status.STOPPED, history.score(trial_id, done))
    return None
