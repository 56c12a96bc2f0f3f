from runs_table import BIG, SMALL, analysis_of, cell

from results.analysis.costs import pareto_front


def test_pareto_front_by_hand():
    rows = cell([0.60], seconds=10.0, fraction=0.25)
    rows += cell([0.70], seconds=40.0)
    rows += cell([0.65], seconds=60.0, model=BIG, fraction=0.25)
    rows += cell([0.80], seconds=90.0, model=BIG)
    cells = analysis_of(rows).cells.frame
    front = cells.assign(front=pareto_front(cells, "resource_seconds"))
    names = zip(front["model"], front["fraction"], front["front"], strict=True)
    assert {(model, fraction): on for model, fraction, on in names} == {
        (SMALL, 0.25): True,
        (SMALL, 1.0): True,
        (BIG, 0.25): False,
        (BIG, 1.0): True,
    }
    by_size = front.assign(front=pareto_front(cells, "n_parameters"))
    assert by_size.loc[by_size["front"], "fraction"].tolist() == [1.0, 1.0]


def test_cells_without_a_value_are_on_no_front():
    rows = cell([0.6]) + cell([None], model=BIG, status="failed")
    cells = analysis_of(rows).cells.frame
    assert pareto_front(cells, "n_parameters").sum() == 1
