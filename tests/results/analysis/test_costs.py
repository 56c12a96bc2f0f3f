import numpy as np
import pytest
from runs_table import BIG, SMALL, cell, trials_frame

from results.analysis.costs import cost_per_point, pareto_front
from results.analysis.estimates import cell_estimates, compared_runs

FACTORS = ["model", "weights", "fraction"]


def tables(rows):
    trials = trials_frame(rows)
    return compared_runs(trials), cell_estimates(trials)


def test_seconds_per_point_by_hand():
    # Two CPUs: 100 s more are 200 CPU-seconds, for four points.
    rows = cell([0.60, 0.61, 0.62], seconds=100.0)
    rows += cell([0.639, 0.65, 0.661], model=BIG, seconds=200.0)
    row = cost_per_point(*tables(rows), FACTORS, "model").iloc[0]
    assert row["decided"]
    assert (row["resource"], row["extra_seconds"]) == ("cpu", 200.0)
    assert row["seconds_per_point"] == pytest.approx(50)
    assert row["seconds_per_point_low"] == pytest.approx(200 / row["high"])
    assert row["seconds_per_point_high"] == pytest.approx(200 / row["low"])


@pytest.mark.parametrize("accuracies", [[0.60, 0.62, 0.61], [0.5, 0.5, 0.5], [0.9]])
def test_no_price_without_a_decided_gain(accuracies):
    rows = cell([0.60, 0.61, 0.62]) + cell(accuracies, model=BIG, seconds=200.0)
    row = cost_per_point(*tables(rows), FACTORS, "model").iloc[0]
    assert np.isnan(row["seconds_per_point"])


def test_pareto_front_by_hand():
    rows = cell([0.60], seconds=10.0, fraction=0.25)
    rows += cell([0.70], seconds=40.0)
    rows += cell([0.65], seconds=60.0, model=BIG, fraction=0.25)
    rows += cell([0.80], seconds=90.0, model=BIG)
    _, cells = tables(rows)
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
    _, cells = tables(rows)
    assert pareto_front(cells, "n_parameters").sum() == 1
