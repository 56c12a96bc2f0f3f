"""Which cells need more seeds, as a look at what is recorded decides."""

from collections.abc import Callable

import pandas as pd

from orchestrator.ledger.history import History
from orchestrator.ledger.rows import Rows
from orchestrator.ledger.stages import Stages
from results.analysis import questions
from results.analysis.analysis import Analysis
from results.analysis.runs import Design
from results.store.tables import table_of

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
    sizes = [stages.inputs.count(cell.cell["fraction"]) for cell in stages.cells]
    return questions.in_play(sizes)
