import pytest
from runs_table import BIG, SMALL, analysis_of, cell

from results.analysis.costs import Hold, busy_share, pareto_front


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


@pytest.mark.parametrize(
    ("holds", "share"),
    [
        ([(0, 0, 10)], 1.0),
        ([(0, 0, 4), (0, 6, 10)], 0.8),
        ([(0, 0, 10), (1, 0, 5)], 0.75),
        ([(0, 2, 6), (0, 4, 12), (1, 2, 12)], 1.0),  # held twice from 4 to 6
        ([(0, 0, 10), (0, 1, 2), (0, 3, 20)], 1.0),  # one within another
        ([(0, 5, 5), (1, 5, 6)], 0.5),
    ],
)
def test_share_of_the_time_from_first_start_to_last_end(holds: list[Hold], share: float) -> None:
    assert busy_share(holds) == pytest.approx(share)
    assert busy_share(reversed(holds)) == pytest.approx(share)


@pytest.mark.parametrize("holds", [[], [(0, 3, 3)]])
def test_no_share_before_any_time(holds: list[Hold]) -> None:
    assert busy_share(holds) is None
