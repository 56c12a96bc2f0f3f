"""What passes were expected to take, against what they took, by hand."""

import json

import numpy as np
import pandas as pd
import pytest

from results.analysis.forecasts import predicted_and_actual


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
