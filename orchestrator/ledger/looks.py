"""Which cells need more seeds, as a look at what is recorded decides."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow.compute as pc

from orchestrator.study.blocks import SeedCounts
from results.analysis import questions
from results.analysis.runs import Design
from results.statistics.looks import Looks
from results.store.tables import table_of

if TYPE_CHECKING:
    from orchestrator.ledger.ledger import Ledger

Judge = Callable[["Ledger", tuple[int, ...]], set[int]]
"""(ledger, numbers of seeds at the looks so far) → cells that an open comparison still needs."""


def judged(ledger: "Ledger", taken: tuple[int, ...]) -> set[int]:
    """Return the cells that an open question still needs, by all that is recorded."""
    declared = ledger.study.seeds
    assert isinstance(declared, SeedCounts)
    wanted, store = ledger.stages.wanted, ledger.history.store
    trials = table_of("trials", (ledger.rows[trial_id] for trial_id in wanted)).to_pandas()
    tables: dict[str, pd.DataFrame] = {"trials": trials}

    def read(name: str) -> pd.DataFrame:
        if name not in tables:
            own = pc.field("trial_id").isin([*wanted])
            tables[name] = store.read(name, where=own).to_pandas()
        return tables[name]

    design = Design.of(ledger.study.written())
    looks = Looks(declared.counts, declared.smallest)
    asked = questions.questions_at(read, design, looks, taken)
    return {wanted[trial_id].cell for question in asked for trial_id in question.trials}


def in_play(ledger: "Ledger", taken: tuple[int, ...] = ()) -> set[int]:
    """Return the cells that questions may need at most, as if none were ever settled."""
    sizes = [ledger.inputs.count(cell.cell["fraction"]) for cell in ledger.stages.cells]
    return questions.in_play(sizes)
