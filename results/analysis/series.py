"""Lines over data sizes: where they cross, what pretraining is worth, how they go on.

A series is one level of every factor but `fraction`. Errors are in points, sizes in images; `runs`
are those of `results.analysis.runs.compared_runs`, `factors` the columns that name a cell.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import pandas as pd

from results.analysis.runs import by_cell, records_of
from results.statistics.crossover import Crossover, DataWorth, find_crossover, worth_in_data
from results.statistics.forecast import FAR, MOST, Curve
from results.statistics.intervals import NORMAL, Array, quantile

STRETCHES = (2, 4, 8, 16, 32, 64)
"""Times the largest measured size that every series is forecast at."""
_CROSSED = (*(field.name for field in fields(Crossover)), "verdict")
_WORTH = (*(field.name for field in fields(DataWorth)), "text")
_FORECAST = (
    *("n_train", "error", "sizes", "at", "headline", "low", "high", "curve_low", "curve_high"),
    *("is_far", "refusal"),
)
_LEAST_ERROR = 0.01  # points, so that logarithms exist


def crossovers(
    steps: pd.DataFrame,
    factors: Sequence[str],
    pairs: Sequence[tuple[Any, Any]],
    factor: str = "model",
) -> pd.DataFrame:
    """Look for data sizes at which a bigger model, or level of a factor, overtakes a smaller one.

    From the factor's `Analysis.differences`, and the pairs to look at, the smaller first. One row
    per pair and level of the other factors but `fraction` with common seeds at two sizes: `factor`,
    `small`, `big`, those factors, `n_seeds` (the fewest of any size), and all of a `Crossover`.
    """
    others = [name for name in factors if name not in (factor, "fraction")]
    steps = steps.dropna(subset=["error_first", "error_second"])
    asked = steps[pd.MultiIndex.from_frame(steps[["first", "second"]]).isin(list(pairs))]
    # With one seed the error speaks of these very runs alone.
    asked = asked.assign(standard_error=asked["standard_error"].where(asked["n_seeds"] > 1))
    rows = []
    for own in by_cell(asked, ["first", "second", *others]).values():
        if own["n_train"].nunique() > 1:
            columns = ("n_train", "error_first", "error_second", "standard_error", "freedom")
            found = find_crossover(*(own[name].to_numpy(float) for name in columns))
            ends = (own[name].iloc[0] for name in ("first", "second", *others))
            told = asdict(found).values()
            rows.append([factor, *ends, int(own["n_seeds"].min()), *told, found.verdict])
    return pd.DataFrame(rows, columns=["factor", "small", "big", *others, "n_seeds", *_CROSSED])


def data_worths(table: pd.DataFrame | None, factors: Sequence[str]) -> pd.DataFrame:
    """Tell how many times the data replaces each kind of pretrained weights.

    From `contrasts.replacements`, if any. One row per pretrained level, size and level of the
    factors but `weights` and `fraction`: those factors, `weights`, `fraction`, `n_train`, `error`
    (pretrained, points), `n_seeds` (the fewest of any size), and all of a `DataWorth`.
    """
    names = [*(name for name in factors if name not in ("weights", "fraction")), "weights"]
    names += ["fraction", "n_train"]
    rows, sides = [], ["error_first", "error_second"]
    known = {} if table is None else by_cell(table.dropna(subset=sides), names)
    for own in known.values():
        if own["scratch_n_train"].nunique() > 1:
            same = own[own["scratch_n_train"] == own["n_train"]]
            target = float((same if len(same) else own)["error_second"].iloc[0])
            half = quantile(own["freedom"]) * own["standard_error"].where(own["n_seeds"] > 1)
            line = own["scratch_n_train"], own["error_first"], half, float(own["n_train"].iloc[0])
            found = worth_in_data(*line, target)
            key = (*(own[name].iloc[0] for name in names), target, int(own["n_seeds"].min()))
            rows.append([*key, *asdict(found).values(), found.text])
    return pd.DataFrame(rows, columns=[*names, "error", "n_seeds", *_WORTH])


def forecasts(runs: pd.DataFrame, cells: pd.DataFrame, factors: Sequence[str]) -> pd.DataFrame:
    """Forecast each series' error at 2, 4, …, 64 times the data of its largest fraction.

    One row per series and stretch: its factors, `times`, `n_train` (largest measured), `error`
    (there, points: the baseline "no change"), `sizes` (measured), `at` (images), `headline`, `low`,
    `high` (on new test images, as far as `cells` knows of them), `curve_low`, `curve_high` (on the
    same ones; points, NaN where refused), `is_far` (beyond four times), `refusal` (or empty).
    """
    series, rows = [name for name in factors if name != "fraction"], []
    for levels, own, image_errors in _lines(runs, cells, series):
        curve = Curve(own["n_train"], own["error"])
        largest = curve.sizes[-1]
        for times in STRETCHES:
            told = _forecast(curve, times * largest, image_errors[largest])
            rows.append({**levels, "times": times, **told})
    return pd.DataFrame(rows, columns=[*series, "times", *_FORECAST])


def backtests(runs: pd.DataFrame, cells: pd.DataFrame, factors: Sequence[str]) -> pd.DataFrame:
    """Hold each series' largest size against what the smaller ones alone forecast of it.

    One row per series and smaller size with a forecast: the columns of `forecasts` but for `times`,
    `measured` (points of error, the mean over seeds), and `held` (whether the interval did).
    """
    series, rows = [name for name in factors if name != "fraction"], []
    for levels, own, image_errors in _lines(runs, cells, series):
        means = own.groupby("n_train")["error"].mean()
        at, measured = float(means.index[-1]), means.iloc[-1]
        for size in means.index[1:-1]:
            early = own[own["n_train"] <= size]
            if at <= MOST * size:
                told = _forecast(Curve(early["n_train"], early["error"]), at, image_errors[size])
                # What was measured is of the same test images.
                told |= {"low": told["curve_low"], "high": told["curve_high"]}
                held = told["low"] <= measured <= told["high"]
                rows.append({**levels, **told, "measured": measured, "held": held})
    table = pd.DataFrame(rows, columns=[*series, *_FORECAST, "measured", "held"])
    return table[table["refusal"] == ""]


def _lines(
    runs: pd.DataFrame, cells: pd.DataFrame, series: Sequence[str]
) -> Iterator[tuple[dict[str, Any], pd.DataFrame, pd.Series]]:
    """Yield levels and runs of each series, and how much test images say of new ones, by size."""
    known = by_cell(cells[cells["seeds"] > 0], series)
    for key, own in by_cell(runs, series).items():
        image_errors = known[key].set_index("n_train")["accuracy_image_error"]
        yield {name: own[name].iloc[0] for name in series}, own, image_errors


def _forecast(curve: Curve, at: float, image_error: float) -> dict[str, Any]:
    found = curve.forecast(at)
    headline = np.nan if found.headline is None else found.headline
    of_curve = found.interval or (np.nan, np.nan)
    down, up = np.hypot(np.subtract(of_curve, headline), NORMAL * image_error)
    ends = (max(headline - down, 0.0), min(headline + up, 100.0))
    measured = int(curve.sizes[-1]), float(curve.errors[-1]), curve.sizes.size
    told = (*measured, found.at, headline, *ends, *of_curve, found.is_far, found.refusal or "")
    return dict(zip(_FORECAST, told, strict=True))


def labels_for(
    targets: Sequence[float], cells: pd.DataFrame, forecast: pd.DataFrame, series: Sequence[str]
) -> list[pd.DataFrame]:
    """Return how many images each series needs for each of some test errors in points.

    Measured cells and forecasts are inverted: errors and both ends of their intervals, interpolated
    as straight lines of log error over log size, at the first size that reaches the target. One row
    per series, with the columns of `results.Run.labels_for`.
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
            basis, text = _told(found, float(sizes[0]), first)
            answers.append({**levels, **found, "basis": basis, "text": text})
    columns = [*series, "n_train", "images", "low", "high", "basis", "text"]
    return [pd.DataFrame(answers, columns=columns) for answers in rows]


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


def _told(found: dict[str, float], smallest: float, row: dict[str, Any]) -> tuple[str, str]:
    """Return what an answer rests on, empty where the target is not reached, and the answer."""
    images, low, high, largest = found["images"], found["low"], found["high"], row["n_train"]
    if np.isnan(images):
        if row["refusal"]:
            return "", f"not reached up to {_images(largest)}; no forecast: {row['refusal']}"
        most = _images(MOST * largest)
        text = f"not reached at any size the curve supports ({MOST:g} times, {most})"
        return "", text if np.isnan(low) else f"{text}; {_images(low)} at the earliest"
    told = "forecast" if images <= FAR * largest else "far forecast"
    basis = "measured" if images <= largest else told
    if images <= smallest:
        return basis, f"at most {_images(smallest)}, the smallest measured size"
    ends = f"{_images(low)} or more" if np.isnan(high) else f"{_images(low, '')} to {_images(high)}"
    return basis, f"{_images(images)} ({ends}), {basis}"


def _images(number: float, unit: str = " images") -> str:
    return f"{float(f'{number:.3g}'):,.0f}{unit}"
