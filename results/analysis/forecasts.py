"""What each pass was expected to take, and what it took. Frames in, frame out."""

import json
from typing import Any

import pandas as pd

COLUMNS = (
    *("started_at", "trials_predicted", "trials", "epochs_predicted", "epochs"),
    *("seconds_predicted", "seconds_low", "seconds_high", "seconds", "ratio", "basis"),
)


def predicted_and_actual(environments: pd.DataFrame, epochs: pd.DataFrame) -> pd.DataFrame:
    """Return one row per pass that recorded what it was expected to take.

    Parameters
    ----------
    environments
        One row per pass.
    epochs
        One row per trial and epoch, with `trial_id` and `recorded_at`.

    Returns
    -------
    DataFrame
        `started_at`; trials, epochs and seconds, each as predicted and as they came to be;
        `seconds_low` and `seconds_high` of the prediction; `ratio`, actual over predicted seconds,
        NaN where the pass trained fewer trials than it was to, and so was cut short; `basis`, in
        words. Seconds are from the pass's start to its last epoch.
    """
    passes = environments.sort_values("started_at").reset_index(drop=True)
    ends = passes["started_at"].shift(-1)
    rows = [
        _row(json.loads(text), start, epochs[_within(epochs["recorded_at"], start, end)])
        for text, start, end in zip(_forecasts(passes), passes["started_at"], ends, strict=True)
        if isinstance(text, str)
    ]
    # A time that is no number was once recorded of trainables that do not say how fast they are.
    found = pd.DataFrame(rows, columns=list(COLUMNS))
    return found[found["seconds_predicted"].notna()]


def _forecasts(passes: pd.DataFrame) -> Any:
    # Passes of earlier versions recorded none.
    return passes["forecast"] if "forecast" in passes else [None] * len(passes)


def _within(times: pd.Series, start: Any, end: Any) -> pd.Series:
    inside: pd.Series = times >= start
    return inside if pd.isna(end) else inside & (times < end)


def _row(forecast: dict[str, Any], start: Any, own: pd.DataFrame) -> dict[str, Any]:
    trials = int(own["trial_id"].nunique())
    seconds = (own["recorded_at"].max() - start).total_seconds() if trials else float("nan")
    whole = trials >= forecast["trials"]
    shares = forecast["basis"].items()
    return {
        "started_at": start,
        "trials_predicted": forecast["trials"],
        "trials": trials,
        "epochs_predicted": forecast["epochs"],
        "epochs": len(own),
        "seconds_predicted": forecast["seconds"],
        "seconds_low": forecast["low"],
        "seconds_high": forecast["high"],
        "seconds": seconds,
        "ratio": seconds / forecast["seconds"] if whole else float("nan"),
        "basis": ", ".join(f"{name} ({100 * share:.0f} %)" for name, share in shares),
    }
