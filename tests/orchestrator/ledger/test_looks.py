"""Seeds that looks add: to which cells, in which order, and what a run that goes on makes of it."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from studies import a_ledger, run, searched, study, trials

from orchestrator.ledger.ledger import all_needed, judged
from orchestrator.plan.plan import plan_study
from orchestrator.plan.price import price_study
from orchestrator.study.study import Study
from results.analysis import questions
from results.analysis.analysis import Analysis

COUNTED: dict[str, Any] = {"at_least": 3, "at_most": 6, "looks": [3, 4, 6]}


def seeds_of(out: Path) -> pd.Series:
    """Return the number of seeds that each cell is measured with."""
    rows = trials(out)
    measured = rows[rows.measured & (rows.status == "completed")]
    assert (
        measured.groupby(["model", "fraction"])
        .seed.max()
        .add(1)
        .equals(measured.groupby(["model", "fraction"]).seed.nunique())
    )
    return measured.groupby(["model", "fraction"]).seed.nunique()


def counts(declared: Study, out: Path) -> tuple[int, ...]:
    planned = plan_study(declared, out).trials
    return tuple(planned[key] for key in ("wanted", "wanted_at_most", "new", "reused", "orphaned"))


def test_cells_that_an_open_question_needs_get_more_seeds(tmp_path: Path) -> None:
    declared = study(seeds=COUNTED)
    assert counts(declared, tmp_path) == (12, 12 + 4 * 3, 12, 0, 0)
    assert run(declared, tmp_path).exit_code == 0
    found = seeds_of(tmp_path)
    # Small fractions settle nothing at all of the data, and keep what every cell gets.
    assert found.xs(1, level="fraction").max() > 3
    wanted = int(found.sum())
    assert counts(declared, tmp_path) == (wanted, wanted, 0, wanted, 0)
    assert trials(tmp_path).query("seed > 2").stage.eq("measure").all()


@pytest.mark.parametrize(("smallest", "most"), [(60.0, 3), (0.0, 6)])
def test_what_no_longer_matters_gets_none(tmp_path: Path, smallest: float, most: int) -> None:
    alike = study(seeds={**COUNTED, "smallest": smallest}, factors={"model": ["a", "aa"]})
    run(alike, tmp_path)
    assert seeds_of(tmp_path).max() <= most


def test_a_gap_that_three_seeds_show_ends_it(tmp_path: Path) -> None:
    # Of one size, so that the model is all that is asked.
    far = study(seeds=COUNTED, factors={"model": ["a"], "optimizer": ["adam", "sgd"]})
    run(far, tmp_path)
    assert trials(tmp_path).seed.max() == 2


def test_the_order_of_the_trials_changes_no_decision(tmp_path: Path) -> None:
    for order in ("fair", "longest-first"):
        run(study(seeds=COUNTED, order=order), tmp_path / order)
    assert seeds_of(tmp_path / "fair").equals(seeds_of(tmp_path / "longest-first"))


def test_winners_of_a_search_get_more_seeds(tmp_path: Path) -> None:
    declared = searched(seeds=COUNTED, early_stopping="none", search={"lr": [1e-3, 1e-2]})
    assert counts(declared, tmp_path)[:2] == (4 * 5, 4 * 5 + 4 * 3)
    run(declared, tmp_path)
    rows = trials(tmp_path)
    assert rows[rows.measured].groupby(["model", "fraction"]).lr.nunique().eq(1).all()
    assert seeds_of(tmp_path).max() > 3
    again = {path: path.read_bytes() for path in tmp_path.glob("[!.]*/*.parquet")}
    run(declared, tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.glob("[!.]*/*.parquet")} == again


def test_a_look_sees_the_seeds_up_to_it_alone(tmp_path: Path) -> None:
    run(study(seeds=COUNTED), tmp_path / "looks")
    run(study(seeds=[*range(6)]), tmp_path / "all")
    # Six seeds of every cell are recorded; what each look finds is what it would have found.
    for taken in ((3,), (3, 4)):
        one, other = (a_ledger(study(seeds=COUNTED), tmp_path / name) for name in ("looks", "all"))
        found = [judged(each.stages, each.rows, each.history, taken) for each in (one, other)]
        assert found[0] == found[1]
    # None of them is thrown away.
    assert counts(study(seeds=COUNTED), tmp_path / "all") == (24, 24, 0, 24, 0)
    assert trials(tmp_path / "all").measured.all()


def test_a_look_reads_the_predictions_that_were_reported_just_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def spied(analysis: Analysis) -> list[questions.Question]:
        seen.append((len(analysis.runs), analysis.table("predictions")["trial_id"].nunique()))
        return questions_of(analysis)

    questions_of = questions.questions
    monkeypatch.setattr(questions, "questions", spied)
    declared = study(
        trainable="faulty:Guesses", data={"source": "digits"}, seeds={"at_least": 2, "at_most": 3}
    )
    summary = run(declared, tmp_path)
    assert summary.failed == []
    assert seen == [(2 * 4, 2 * 4)]


def test_a_study_whose_trials_all_fail_asks_nothing(tmp_path: Path) -> None:
    failing = study(trainable="faulty:TooFew", data={"source": "digits"}, seeds=COUNTED)
    assert run(failing, tmp_path).exit_code == 3
    assert trials(tmp_path).seed.max() == 2


def test_another_level_opens_the_looks_again(tmp_path: Path) -> None:
    run(study(seeds=COUNTED), tmp_path)
    before = seeds_of(tmp_path)
    wider = study(seeds=COUNTED, factors={"model": ["a", "b", "c"], "fraction": ["1/16", 1]})
    wanted = int(before.sum()) + 6
    assert counts(wider, tmp_path)[2:] == (6, int(before.sum()), 0)
    assert counts(wider, tmp_path)[0] == wanted
    assert run(wider, tmp_path).exit_code == 0
    assert (seeds_of(tmp_path).reindex(before.index) >= before).all()


def test_a_price_has_a_range(tmp_path: Path) -> None:
    planned = plan_study(study(seeds=COUNTED), tmp_path / "run")
    price = price_study(planned.ledger)
    assert price.at_most
    assert price.total.trials == planned.trials["wanted"] == 12
    assert price.at_most.total.trials == planned.trials["wanted_at_most"] == 24
    assert price.wall.value < price.at_most.wall.value
    assert price.at_most.at_most is None
    listed = price_study(plan_study(study(), tmp_path / "run").ledger)
    assert listed.at_most is None


def test_questions_are_about_all_of_the_data_and_half_of_it(tmp_path: Path) -> None:
    sizes = {"model": ["a", "b"], "fraction": ["1/16", "1/2", "3/4", 1]}
    ledger = a_ledger(study(seeds=COUNTED, factors=sizes), tmp_path)
    names = {
        str(ledger.stages.cells[place].cell["fraction"]) for place in all_needed(ledger.stages)
    }
    assert names == {"1/2", "1"}
