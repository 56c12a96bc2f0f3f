import json

import numpy as np
import pandas as pd
import pytest
from runs_table import BIG, SMALL, analysis_of, cell

from results.analysis.costs import Hold, busy_share, pareto_front, predicted_and_actual


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


def at(seconds: float) -> pd.Timestamp:
    return pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(seconds=seconds)


def forecast(trials: int, epochs: int, seconds: float) -> str:
    basis = {"FLOPs": 0.25, "a probe": 0.75}
    return json.dumps(
        {
            **{"trials": trials, "epochs": epochs, "seconds": seconds, "slots": 2},
            **{"low": seconds / 2, "high": 2 * seconds, "basis": basis},
        }
    )


EPOCHS = pd.DataFrame(
    [
        *(("a", at(seconds)) for seconds in (10, 20, 30)),
        *(("b", at(seconds)) for seconds in (15, 25)),
        # A second pass, from 100 s on.
        ("b", at(140)),
        ("c", at(150)),
        ("c", at(180)),
    ],
    columns=["trial_id", "recorded_at"],
)


def test_by_hand() -> None:
    passes = pd.DataFrame(
        # Not in their order.
        [(at(100), forecast(2, 3, 100.0)), (at(0), forecast(3, 9, 50.0))],
        columns=["started_at", "forecast"],
    )
    first, second = predicted_and_actual(passes, EPOCHS).to_dict("records")
    assert (first["trials_predicted"], first["trials"]) == (3, 2)
    assert (first["epochs_predicted"], first["epochs"]) == (9, 5)
    assert (first["seconds_predicted"], first["seconds"]) == (50, 30)
    # Two of three trials: it was cut short.
    assert np.isnan(first["ratio"])
    assert (second["trials"], second["epochs"], second["seconds"]) == (2, 3, 80)
    assert second["ratio"] == pytest.approx(0.8)
    assert (second["seconds_low"], second["seconds_high"]) == (50, 200)
    assert second["basis"] == "FLOPs (25 %), a probe (75 %)"


def test_passes_without_a_forecast_have_no_row() -> None:
    passes = pd.DataFrame({"started_at": [at(0), at(100)], "forecast": [None, forecast(2, 3, 80)]})
    found = predicted_and_actual(passes, EPOCHS)
    assert list(found["started_at"]) == [at(100)]
    assert predicted_and_actual(passes.drop(columns="forecast"), EPOCHS).empty


def test_a_pass_that_recorded_nothing() -> None:
    passes = pd.DataFrame({"started_at": [at(500)], "forecast": [forecast(2, 3, 80)]})
    (row,) = predicted_and_actual(passes, EPOCHS).to_dict("records")
    assert (row["trials"], row["epochs"]) == (0, 0)
    assert np.isnan(row["seconds"])
    assert np.isnan(row["ratio"])
