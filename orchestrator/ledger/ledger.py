"""What is wanted, known and left of a study: one truth, in memory."""

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from enum import StrEnum
from typing import Any

import pandas as pd

from orchestrator.ledger.history import History
from orchestrator.ledger.proposer import Proposer
from orchestrator.ledger.rows import Rows
from orchestrator.ledger.stages import CellStages, Outcome, Stages, Wanted, recorded_outcome
from orchestrator.ledger.stopping import Races, Stop
from orchestrator.study.inputs import Inputs
from orchestrator.study.study import Study
from results.analysis import questions
from results.analysis.analysis import Analysis
from results.analysis.runs import Design
from results.phrases import cell_name, model_labels
from results.records import Status
from results.store.tables import table_of
from trainables.errors import TrainableError
from trainables.recipe import Precision

Judge = Callable[[Stages, Rows, History, tuple[int, ...]], set[int]]
"""(stages, rows, what is recorded, numbers of seeds at the looks so far) → cells that an open
question still needs."""


def judged(stages: Stages, rows: Rows, history: History, taken: tuple[int, ...]) -> set[int]:
    """Judge by the recorded seeds up to the last look; predictions are read from disk."""
    wanted = stages.wanted
    trials = table_of("trials", (rows[name] for name in wanted)).to_pandas()
    tables: dict[str, pd.DataFrame] = {"trials": trials}

    def read(name: str) -> pd.DataFrame:
        if name not in tables:
            tables[name] = history.read(name, wanted).to_pandas()
        return tables[name]

    study = Analysis(read, Design.of(stages.study.written())).up_to(taken[-1])
    needed = (question.trials for question in questions.questions(study))
    return {wanted[trial_id].cell for trials in needed for trial_id in trials}


def all_needed(stages: Stages, *_: object) -> set[int]:
    """Judge as if no question were ever settled: the most seeds that there can be."""
    return questions.in_play([stages.inputs.count(cell.cell["fraction"]) for cell in stages.cells])


class State(StrEnum):
    """What the records mean for a wanted trial."""

    NEW = "new"
    REUSED = "reused"
    CONTINUED = "continued"
    BORROWED = "borrowed"


class Ledger:
    """The trials that a study wants, what became of each, and their rows.

    A command makes one: `plan` counts it, a run goes on with it and writes its rows, and the screen
    shows it. A forecast plays one of its own, made of the same records, in virtual time. Raises
    StudyError where Optuna is to propose recipes and is not installed.
    """

    def __init__(self, study: Study, inputs: Inputs, history: History) -> None:
        self.study, self.inputs, self.history = study, inputs, history
        self.stages = Stages(study, inputs)
        self.races = Races(study.stopping)
        self.rows = Rows(history)
        self.outcomes: dict[str, Outcome] = {}
        """What became of each trial that is not open any more."""
        self._undecided: dict[int, set[str]] = {}
        self.judge: Judge = judged
        """Says at a look which cells need more seeds."""
        self.before_look: Callable[[], object] = lambda: None
        """Has all that was reported written, so that a look can read it."""
        self._looked = 0
        self._proposer = Proposer(self.stages, history) if self.stages.unknown_recipes() else None
        self._take_stock()

    @property
    def precision(self) -> Precision | None:
        """What `precision: auto` came to in most recorded trials; None where none is recorded."""
        rows = (row for row in self.rows.values() if row.get("precision") == "auto")
        found = Counter(row["resolved_precision"] for row in rows if row.get("resolved_precision"))
        return max(found, key=found.__getitem__, default=None)

    @property
    def may_add_seeds(self) -> bool:
        """Whether a look to come may add seeds to some cells."""
        return self._looked + 1 < len(self.study.looks)

    def left(self) -> list[Wanted]:
        """Return the trials that are known and still to be trained."""
        return self._open(self.stages.wanted.values())

    def state(self, trial_id: str) -> State:
        """Return what the records mean for a wanted trial."""
        if trial_id in self.outcomes:
            return State.BORROWED if trial_id in self.history.borrowed else State.REUSED
        return State.CONTINUED if self.history.is_begun(trial_id) else State.NEW

    def orphaned(self) -> list[str]:
        """Return the recorded trials that the study does not ask for."""
        strangers = self.history.trials.keys() - self.stages.wanted.keys()
        return list(filter(self.history.is_begun, strangers))

    def cell_name(self, cell: int) -> str:
        """Return the name of a cell by its place, as people read it."""
        return cell_name(self.levels(cell), list(self.study.factors))

    def levels(self, cell: int) -> dict[str, Any]:
        """Return a cell's levels as people read them: models in short, data as a share."""
        levels = dict(self.stages.cells[cell].cell.levels)
        model = model_labels(self.study.factors["model"])[levels["model"]]
        return levels | {"model": model, "fraction": self.inputs.share(levels["fraction"])}

    def arrive(self, wanted: Wanted, epoch: int, score: float) -> None:
        """Enter a trial's score at an epoch."""
        self.races.arrive(wanted.trial.trial_id, epoch, score)
        if self._proposer and wanted.trial.trial_id in self.races.waiting:
            # All recipes are proposed before anybody goes on.
            self._proposer.tell(wanted, Outcome(Status.STOPPED, score))

    def decisions(self) -> list[tuple[Wanted, Stop | None]]:
        """Return whose fate is decided since it was asked last: a stop, or None to go on."""
        # Until all recipes are known, somebody may still come.
        decided = {} if self.stages.unknown_recipes() else self.races.decide()
        return [(self.stages.wanted[trial_id], stop) for trial_id, stop in decided.items()]

    def rungs(self, wanted: Wanted, end: int) -> list[int]:
        """Return the epochs before another at which a trial is compared with its rivals."""
        rule = self.study.stopping if self.stages.group(wanted) else None
        return rule.rungs(end) if rule else []

    def recorded(self, wanted: Wanted) -> int:
        """Return how many epochs of a trial a worker need not tell of any more."""
        row = self.rows[wanted.trial.trial_id]
        facts = [row.get(name) for name in ("n_parameters", "subset_hash")]
        # A killed run may have recorded an epoch and not what came with it, once per trial.
        is_untold = wanted.trial.trial_id not in self.outcomes and facts == [None, None]
        return max(0, (row.get("epochs_done") or 0) - is_untold)

    def end(self, wanted: Wanted, outcome: Outcome, **values: Any) -> list[Wanted]:
        """Note what became of a trial; return the trials that are to be trained because of it.

        Further columns are taken as `Rows.end` takes them.
        """
        self._note(wanted, outcome, **values)
        return self._open([*self._settle(self.stages.cells[wanted.cell]), *self._look()])

    def propose(self) -> list[Wanted]:
        """Have one more recipe proposed; return the trials that are to be trained because of it."""
        # To the cell with the fewest recipes so far, so that all cells search alike.
        searching = (cell for cell in self.stages.cells if cell.unknown_recipes)
        cell = min(searching, key=lambda cell: len(cell.search))
        proposed = self._proposer.propose(cell) if self._proposer else None
        if proposed:
            self._enter(proposed)
            trial_id = proposed.trial.trial_id
            if self._proposer and (outcome := self.outcomes.get(trial_id)):
                # Tried elsewhere: the races and the proposer hear of it here.
                self._replay(proposed)
                self._proposer.tell(proposed, outcome)
        settled = self._settle(cell)
        return self._open([*([proposed] if proposed else []), *settled, *self._look()])

    def count_anew(self) -> None:
        """Count all parameters in rows that counted trainable ones, where the model is at hand."""
        for trial_id, wanted in self.stages.wanted.items():
            row = self.rows[trial_id]
            counted = row.get("n_parameters")
            is_whole = counted is None or row.get("n_trainable") is not None
            if is_whole or wanted.trial.trainable != "classifier":
                continue
            from trainables.models.facts import anatomy

            # Without the model the row stays as it is, and is told by its gap.
            with suppress(TrainableError):
                whole = anatomy(*self.inputs.form(wanted.trial)).n_parameters
                self.rows.update(trial_id, {"n_parameters": whole, "n_trainable": counted})

    def _open(self, trials: Iterable[Wanted]) -> list[Wanted]:
        return [wanted for wanted in trials if wanted.trial.trial_id not in self.outcomes]

    def _take_stock(self) -> None:
        for wanted in [*self.stages.wanted.values()]:
            self._enter(wanted, unfinished=True)
        for wanted in self.stages.wanted.values():
            self._replay(wanted)
        # Stops that a crash kept from being marked, and those that a larger budget brings.
        for wanted, stop in self.decisions():
            if stop:
                self._note(wanted, Outcome(Status.STOPPED, stop.score), **self.columns(stop))
        for cell in self.stages.cells:
            self._settle(cell)
        self._look()
        # Trials that a cell measured before its search was opened again, to retry or to extend it,
        # stay wanted until its winner is known: most often it is the same.
        unwanted = self.history.trials.keys() - self.stages.wanted.keys()
        for cell in self.stages.cells if unwanted else ():
            kept = unwanted & self.stages.possible_measures(cell)
            unwanted -= kept
            self._undecided[cell.index] = kept
        self.rows.disown(unwanted)

    def _replay(self, wanted: Wanted) -> None:
        """Enter what is recorded of a trial in the races: its rungs, and how far it has come."""
        done = self.recorded(wanted)
        for epoch in (*self.rungs(wanted, done), done) if done else ():
            self.arrive(wanted, epoch, self.history.score(wanted.trial.trial_id, epoch))

    def columns(self, stop: Stop) -> dict[str, float]:
        """Return the trial columns that tell of a stop."""
        cutoff = self.study.metric.score(stop.cutoff)
        return {"stopped_at_epoch": stop.epoch, "stopped_cutoff": cutoff}

    def _enter(self, wanted: Wanted, *, unfinished: bool = False) -> None:
        """Enter what is recorded of a trial, here or where it is lent; `unfinished` ones too."""
        trial_id = wanted.trial.trial_id
        outcome = recorded_outcome(self.history, self.study, wanted)
        if not outcome and self.history.borrow(wanted.trial, self.study, unfinished=unfinished):
            outcome = recorded_outcome(self.history, self.study, wanted)
        if lender := self.history.borrowed.get(trial_id):
            self.rows.borrow(wanted, lender)
        self.rows.declare(wanted, outcome, measured=self.stages.is_measured(trial_id))
        self.races.join(trial_id, self.stages.group(wanted), wanted.trial.recipe.intervals)
        if outcome:
            self.outcomes[trial_id] = outcome
            self.races.leave(trial_id)

    def _note(self, wanted: Wanted, outcome: Outcome, **values: Any) -> None:
        self.rows.end(wanted.trial.trial_id, outcome.status, **values)
        self.outcomes[wanted.trial.trial_id] = outcome
        self.races.leave(wanted.trial.trial_id)
        if self._proposer:
            self._proposer.tell(wanted, outcome)

    def _settle(self, cell: CellStages) -> list[Wanted]:
        """Choose the cell's winner if its search has ended; return what that adds."""
        if cell.winner:
            return []
        measures = self.stages.settle(cell, self.outcomes.get)
        if cell.winner:
            winner = cell.winner.trial_id
            self.rows.update(winner, {"measured": self.stages.is_measured(winner)})
        self._entered(measures)
        # Further seeds of a counted study stay in the comparisons that are recorded already.
        while (trial := self.stages.next_measure(cell)) and self.history.has(trial, self.study):
            measures += self._entered(self.stages.measure_more(cell, len(cell.seeds) + 1))
        if cell.winner or cell.lost:
            self.rows.disown(self._undecided.pop(cell.index, set()) - self.stages.wanted.keys())
        return measures

    def _look(self) -> list[Wanted]:
        """Take the looks that are due; return the trials that they add.

        A look is due when nothing is left: its comparisons share their errors, and are judged
        together. It depends on the recorded seeds up to it alone, so that a run that goes on takes
        the same ones again.
        """
        looks, added, stages = self.study.looks, list[Wanted](), self.stages
        while self.may_add_seeds and not (
            len(self.outcomes) < len(stages.wanted) or stages.unknown_recipes()
        ):
            self._looked += 1
            self.before_look()
            needed = self.judge(stages, self.rows, self.history, looks[: self._looked])
            for cell in (stages.cells[place] for place in sorted(needed)):
                added += self._entered(stages.measure_more(cell, looks[self._looked]))
            if not needed:
                self._looked = len(looks)
        return added

    def _entered(self, trials: list[Wanted]) -> list[Wanted]:
        for wanted in trials:
            self._enter(wanted)
        return trials
