"""Lines over data sizes: where they cross, what pretraining is worth, how they go on.

A series is one level of every factor but `fraction`. Errors are in points, sizes in images; `runs`
is always what `results.analysis.runs.compared_runs` returns, `factors` the columns that name a
cell.
"""

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from results.analysis.runs import by_cell, records_of
from results.phrases import cell_key
from results.records import FORECAST_SCHEMA
from results.statistics.crossover import Crossover, DataWorth, find_crossover, worth_in_data
from results.statistics.forecast import CALIBRATED_ON, FAR, FILTERS, LOCAL_LAW, MOST, Curve
from results.statistics.intervals import NORMAL, Array, quantile

STRETCHES = (2, 4, 8, 16, 32, 64)
"""Times the largest measured size that every series is forecast at."""
_CROSSED = (*(field.name for field in fields(Crossover)), "verdict")
_WORTH = (*(field.name for field in fields(DataWorth)), "text")
_FORECAST = (
    *("n_train", "error", "sizes", "times", "at", "headline", "low", "high", "curve_low"),
    *("curve_high", "local_power_law", "filters", "is_far", "refusal", "calibrated_on"),
)
_SCORED = ("n_train", "at", "headline", "low", "high", "measured", "held", "recorded_at")
_LABELS = ("n_train", "images", "low", "high", "basis", "text")
_LEAST_ERROR = 0.01  # points, so that logarithms exist


def crossovers(
    steps: pd.DataFrame, factors: Sequence[str], pairs: Sequence[tuple[Any, Any]]
) -> pd.DataFrame:
    """Look for data sizes at which a bigger model overtakes a smaller one.

    From the differences of models, as `Analysis.differences` has them, and the pairs to look at,
    the smaller first. One row per pair and level of the factors but `model` and `fraction`, where
    two sizes have common seeds: `small`, `big`, those factors, `n_seeds` (the fewest of any size),
    and all of a `Crossover`.
    """
    others = [name for name in factors if name not in ("model", "fraction")]
    asked = steps[pd.MultiIndex.from_frame(steps[["first", "second"]]).isin(list(pairs))]
    # With one seed the error speaks of these very runs alone.
    asked = asked.assign(standard_error=asked["standard_error"].where(asked["n_seeds"] > 1))
    rows = []
    for own in by_cell(asked, ["first", "second", *others]).values():
        if own["n_train"].nunique() > 1:
            columns = ("n_train", "error_first", "error_second", "standard_error", "freedom")
            found = find_crossover(*(own[name].to_numpy(float) for name in columns))
            key = {"small": own["first"].iloc[0], "big": own["second"].iloc[0]}
            key |= {name: own[name].iloc[0] for name in others}
            key["n_seeds"] = int(own["n_seeds"].min())
            rows.append({**key, **asdict(found), "verdict": found.verdict})
    return pd.DataFrame(rows, columns=["small", "big", *others, "n_seeds", *_CROSSED])


def data_worths(table: pd.DataFrame | None, factors: Sequence[str]) -> pd.DataFrame:
    """Tell how many times the data replaces each kind of pretrained weights.

    From the differences that `contrasts.replacements` names, if any. One row per pretrained level,
    size and level of the factors but `weights` and `fraction`: those factors, `weights`,
    `fraction`, `n_train`, `error` (of the pretrained model, points), `n_seeds` (the fewest of any
    size), and all of a `DataWorth`.
    """
    names = [*(name for name in factors if name not in ("weights", "fraction")), "weights"]
    names += ["fraction", "n_train"]
    rows = []
    sides = ["error_first", "error_second"]
    known = {} if table is None else by_cell(table.dropna(subset=sides), names)
    for own in known.values():
        if own["scratch_n_train"].nunique() > 1:
            same = own[own["scratch_n_train"] == own["n_train"]]
            target = float((same if len(same) else own)["error_second"].iloc[0])
            half = quantile(own["freedom"]) * own["standard_error"].where(own["n_seeds"] > 1)
            found = worth_in_data(
                own["scratch_n_train"].to_numpy(float),
                own["error_first"].to_numpy(float),
                half.to_numpy(float),
                float(own["n_train"].iloc[0]),
                target,
            )
            key = {name: own[name].iloc[0] for name in names}
            key |= {"error": target, "n_seeds": int(own["n_seeds"].min())}
            rows.append({**key, **asdict(found), "text": found.text})
    return pd.DataFrame(rows, columns=[*names, "error", "n_seeds", *_WORTH])


def forecasts(runs: pd.DataFrame, cells: pd.DataFrame, factors: Sequence[str]) -> pd.DataFrame:
    """Forecast each series' error at 2, 4, …, 64 times the data of its largest fraction.

    One row per series and stretch: its factors, `n_train` (largest measured), `error` (measured
    there, points: the baseline "no change"), `sizes` (measured), `times`, `at` (images asked for),
    `headline`, `low`, `high` (on new test images, as far as `cells` knows how much these say of
    them), `curve_low`, `curve_high` (on the same test images), `local_power_law`, `filters`
    (points; NaN where refused), `is_far` (beyond four times), `refusal` (text, empty where there is
    a forecast), `calibrated_on` (text).
    """
    series = [name for name in factors if name != "fraction"]
    known = by_cell(cells[cells["seeds"] > 0], series)
    rows = []
    for key, own in by_cell(runs, series).items():
        curve = Curve(own["n_train"], own["error"])
        largest, error, sizes = curve.sizes[-1], float(curve.errors[-1]), curve.sizes.size
        image_error = known[key].sort_values("n_train")["accuracy_image_error"].iloc[-1]
        for times in STRETCHES:
            found = curve.forecast(times * largest)
            headline = np.nan if found.headline is None else found.headline
            forms = (found.forms.get(name, np.nan) for name in (LOCAL_LAW, FILTERS))
            of_curve = found.interval or (np.nan, np.nan)
            down, up = np.hypot(np.subtract(of_curve, headline), NORMAL * image_error)
            ends = (max(headline - down, 0.0), min(headline + up, 100.0))
            numbers = (int(largest), error, sizes, times, found.at, headline, *ends, *of_curve)
            said = (found.is_far, found.refusal or "", CALIBRATED_ON)
            rows.append((*own[series].iloc[0], *numbers, *forms, *said))
    return pd.DataFrame(rows, columns=[*series, *_FORECAST])


def labels_for(
    targets: Sequence[float], cells: pd.DataFrame, forecast: pd.DataFrame, series: Sequence[str]
) -> list[pd.DataFrame]:
    """Return how many images each series needs for each of some test errors in points.

    Measured cells and forecasts are inverted: errors and both ends of their intervals, interpolated
    as straight lines of log error over log size, at the first size that reaches the target.

    One row per series, with the columns of `results.Run.labels_for`.
    """
    known = by_cell(cells[cells["seeds"] > 0], series)
    rows: list[list[dict[str, Any]]] = [[] for _ in targets]
    for key, own in by_cell(forecast, series).items():
        measured = known[key].sort_values("n_train")
        told = own[own["refusal"] == ""]
        sizes = np.concatenate([measured["n_train"], told["at"]]).astype(float)
        curves = {
            "images": (measured["error"], told["headline"]),
            "low": (measured["error_low"].fillna(measured["error"]), told["low"]),
            "high": (measured["error_high"].fillna(measured["error"]), told["high"]),
        }
        errors = {name: np.concatenate(parts).astype(float) for name, parts in curves.items()}
        first = records_of(own.iloc[:1])[0]
        levels = {name: first[name] for name in (*series, "n_train")}
        for target, answers in zip(targets, rows, strict=True):
            found = {name: _first_at_most(target, sizes, each) for name, each in errors.items()}
            basis = _basis(found["images"], float(first["n_train"]))
            text = _labels_text(found, basis, float(sizes[0]), first)
            answers.append({**levels, **found, "basis": basis, "text": text})
    return [pd.DataFrame(answers, columns=[*series, *_LABELS]) for answers in rows]


def _first_at_most(target: float, sizes: Array, errors: Array) -> float:
    """Return the first size at which the error is at most a target, NaN where none is."""
    logs = np.log(np.maximum(np.minimum.accumulate(errors), _LEAST_ERROR))
    wanted = np.log(max(target, _LEAST_ERROR))
    if logs[-1] > wanted:
        return np.nan
    later = int(np.argmax(logs <= wanted))
    if later == 0:
        return float(sizes[0])
    share = (logs[later - 1] - wanted) / (logs[later - 1] - logs[later])
    return float(sizes[later - 1] * (sizes[later] / sizes[later - 1]) ** share)


def _basis(images: float, largest: float) -> str:
    if np.isnan(images):
        return ""
    if images <= largest:
        return "measured"
    return "forecast" if images <= FAR * largest else "far forecast"


def _labels_text(found: dict[str, float], basis: str, smallest: float, row: dict[str, Any]) -> str:
    low, high = found["low"], found["high"]
    if not basis:
        if row["refusal"]:
            return f"not reached up to {_images(row['n_train'])}; no forecast: {row['refusal']}"
        most = _images(MOST * row["n_train"])
        text = f"not reached at any size the curve supports ({MOST:g} times, {most})"
        return text if np.isnan(low) else f"{text}; {_images(low)} at the earliest"
    if found["images"] <= smallest:
        return f"at most {_images(smallest)}, the smallest measured size"
    ends = f"{_images(low)} or more" if np.isnan(high) else f"{_images(low, '')} to {_images(high)}"
    return f"{_images(found['images'])} ({ends}), {basis}"


def _images(number: float, unit: str = " images") -> str:
    return f"{float(f'{number:.3g}'):,.0f}{unit}"


def with_recorded(
    recorded: pd.DataFrame,
    forecast: pd.DataFrame,
    runs: pd.DataFrame,
    wanted: pd.DataFrame,
    series: Sequence[str],
    now: datetime,
) -> pd.DataFrame:
    """Return what a report records: of each series and largest size, the last forecast.

    A series is recorded once the largest size that its wanted trials ask for is measured. What was
    forecast from smaller sizes stays as it was said. See `records.FORECAST_SCHEMA`.
    """
    asked = {key: own["n_train"].max() for key, own in by_cell(wanted, series).items()}
    trials = {
        key: own["trial_id"].tolist() for key, own in by_cell(runs, [*series, "n_train"]).items()
    }
    rows, again = [], set()
    for row in records_of(forecast[forecast["refusal"] == ""]):
        if row["n_train"] == asked[cell_key(row, series)]:
            own = trials[cell_key(row, [*series, "n_train"])]
            again |= {*own}
            rows.append({**row, "trial_id": own[0], "recorded_at": now})
    new = pd.DataFrame(rows, columns=FORECAST_SCHEMA.names)
    kept = recorded[~recorded["trial_id"].isin(again)]
    return pd.concat([kept, new], ignore_index=True) if len(kept) else new


def scored(recorded: pd.DataFrame, runs: pd.DataFrame, factors: Sequence[str]) -> pd.DataFrame:
    """Hold recorded forecasts against larger sizes that were measured later.

    One row per forecast and size: the series' factors, `n_train` (largest at the time), `at`
    (images), `headline`, `low`, `high` and `measured` (points of error, the latter the mean over
    seeds), `held` (whether the interval did) and `recorded_at`. Between stretches that were
    recorded a forecast is interpolated over log size.
    """
    series = [name for name in factors if name != "fraction"]
    of_series = by_cell(runs, series)
    trials = runs.set_index("trial_id")
    rows = []
    for trial, told in recorded[recorded["trial_id"].isin(runs["trial_id"])].groupby("trial_id"):
        levels = {name: trials.at[trial, name] for name in series}
        first = told.iloc[0]
        means = of_series[cell_key(levels, series)].groupby("n_train")["error"].mean()
        for at, measured in zip(means.index.astype(int), means, strict=True):
            if first["n_train"] < at <= MOST * first["n_train"]:
                headline, low, high = _between(told, float(at))
                held = low <= measured <= high
                known = (int(first["n_train"]), at, headline, low, high, measured, held)
                rows.append((*levels.values(), *known, first["recorded_at"]))
    return pd.DataFrame(rows, columns=[*series, *_SCORED])


def _between(told: pd.DataFrame, at: float) -> tuple[float, float, float]:
    """Return headline, low and high of one recorded series at a size."""
    told = told.sort_values("times")
    places, doublings = np.log2(told["times"]), np.log2(at / told["n_train"].iloc[0])
    known = [told["error"].iloc[0], *told["headline"]]
    headline = float(np.interp(doublings, [0.0, *places], known))
    root = np.sqrt(min(doublings, 1.0))
    down, up = (
        root * float(np.interp(doublings, places, side))
        for side in (told["headline"] - told["low"], told["high"] - told["headline"])
    )
    return headline, headline - down, headline + up
