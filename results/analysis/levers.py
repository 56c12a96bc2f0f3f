"""What each lever gains at all of the data, as `results.Run.levers` says it, and what it costs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from results.analysis.comparisons import MOST, Comparison, Comparisons
from results.analysis.runs import Design, records_of, where
from results.phrases import level_label
from results.ranking import rank
from results.records import Stage, Status
from results.statistics.best import probability_of_best

COLUMNS = (
    *("lever", "step", "gain", "low", "high", "decided", "best_probability"),
    *("images", "hours", "price", "basis"),
)
MEASURED, FORECAST, ONE_SEED = "measured", "forecast", "one seed"
"""What a gain rests on; `ONE_SEED` where it is of a recipe that was searched with one."""
_DRAWS_SEED = 0
_HOUR = 3600.0
_MANY = 1e6  # degrees of freedom that are as good as infinite


def levers(
    found: Comparisons, search: pd.DataFrame, levels: Mapping[str, Sequence[Any]], design: Design
) -> pd.DataFrame:
    """Return what each lever is worth and costs, the largest gain first.

    Levels of each factor are in order, the reference first; models from small to large. Search is
    the wanted trials of the search stage; the design's prices, of which either may be missing, are
    of a `label` and of an `hour` of the resource. One row per lever that varies, with the columns
    of `results.Run.levers`; `basis` is one of `MEASURED`, `FORECAST` and `ONE_SEED`.
    """
    rows = [_row(found.cells, step) for step in reference_steps(found, levels)]
    if design.stated and len(found.cells):
        rows += filter(None, [_recipe(found, search, design)])
    frame = pd.DataFrame(rows, columns=[*COLUMNS, "error", "freedom", "one_seed"])
    frame["best_probability"] = _best_probabilities(frame)
    frame["price"] = _price(frame, design.prices)
    most = design.metric.widest
    frame[["low", "high"]] = frame[["low", "high"]].clip(-most, most)
    order = sorted(frame.index, key=lambda place: rank(frame["gain"][place]))
    return frame.loc[order, [*COLUMNS]].reset_index(drop=True)


def reference_steps(
    found: Comparisons, levels: Mapping[str, Sequence[Any]]
) -> list[tuple[Comparison, int]]:
    """Return each lever's comparison, with 1 where the best cell gained and −1 where it would."""
    steps = []
    for factor in dict.fromkeys(row.factor for row in found.rows if row.amount == MOST):
        own = found.of(MOST, factor)
        if factor == "fraction":
            steps.append((own[0], 1))
            continue
        order = [level_label(factor, level) for level in levels[factor]]
        best = level_label(factor, own[0].best_level)
        place = order.index(best) if best in order else 0
        smaller = max(place - 1, 0) if factor == "model" else 0
        at = [row for row in own if level_label(factor, row.level) == order[smaller]]
        # A model without a smaller one, or a level without a reference that was measured.
        steps.append((at[0], 1) if at else (own[0], -1))
    return steps


def _row(cells: pd.DataFrame, step: tuple[Comparison, int]) -> dict[str, Any]:
    row, sign = step
    seconds = cells["resource_seconds"].to_numpy(float)
    images, more = 0.0, sign * (seconds[row.best] - seconds[row.other])
    sides = [level_label(row.factor, level, bare=True) for level in (row.level, row.best_level)]
    name, text = row.factor, " → ".join(sides[::sign])
    if row.factor == "fraction":
        now, then = (float(cells["n_train"].iloc[place]) for place in (row.other, row.best))
        if row.is_forecast:
            now, then = float(row.level), float(row.best_level)
            # A budget of updates or of images stays what it is; one of epochs grows with the data.
            is_fixed = cells.loc[row.best, ["steps", "examples"]].notna().any()
            more = 0.0 if is_fixed else (then / now - 1) * seconds[row.best]
        name, text, images = "data", f"{now:,.0f} → {then:,.0f} images", then - now
    low, high = sorted([sign * row.low, sign * row.high])
    return {
        "lever": name,
        "step": text,
        "gain": sign * row.gain,
        "low": low,
        "high": high,
        "decided": row.is_decided,
        "images": images,
        "hours": more / _HOUR,
        "basis": FORECAST if row.is_forecast else MEASURED,
        "error": row.error,
        "freedom": row.freedom,
        "one_seed": np.hypot(row.seed_error * np.sqrt(row.n_seeds), row.image_error),
    }


def _recipe(found: Comparisons, search: pd.DataFrame, design: Design) -> dict[str, Any] | None:
    """Return what the tuned recipe gains over the stated one, on the one seed of the search."""
    best = next((row.best for row in found.rows if row.amount == MOST), 0)
    cell, metric = found.cells.loc[best], design.metric
    done = search[(search["stage"] == Stage.SEARCH) & (search["status"] == Status.COMPLETED)]
    done = done[done["fraction"] == cell["fraction"]].sort_values("trial_id")
    ranks = metric.of(done, "final_val").map(metric.rank)
    done = done.assign(accuracy=metric.scale * metric.of(done, "final_test"), rank=ranks)
    own = where(done, {name: cell[name] for name in design.factors})
    stated, winner = _top(where(own, dict(design.stated))), _top(own)
    if stated is None or winner is None:
        return None
    written = {name: level_label(name, stated[name]) for name in design.stated}
    if all(level_label(name, winner[name]) == level for name, level in written.items()):
        winner = _top(own.drop(where(own, dict(design.stated)).index))
    elif np.isnan(winner["accuracy"]):
        # A search may leave the test set out; its winner was measured.
        winner["accuracy"] = cell["accuracy"]
    if winner is None or not np.isfinite(gain := winner["accuracy"] - stated["accuracy"]):
        return None
    fields = [name for name in written if level_label(name, winner[name]) != written[name]]
    sides = [", ".join(level_label(name, row[name]) for name in fields) for row in (stated, winner)]
    return {
        "lever": "recipe",
        "step": " → ".join(sides),
        "gain": gain,
        "decided": False,
        "images": 0.0,
        "hours": float(found.cells["search_resource_seconds"].iloc[best]) / _HOUR,
        "basis": ONE_SEED,
    }


def _top(trials: pd.DataFrame) -> dict[str, Any] | None:
    return min(records_of(trials), key=lambda row: float(row["rank"]), default=None)


def _best_probabilities(frame: pd.DataFrame) -> np.ndarray:
    gain, low, error, freedom, one_seed = (
        frame[name].to_numpy(float) for name in ("gain", "low", "error", "freedom", "one_seed")
    )
    tested = ~np.isnan(low)
    # One seed says nothing of its noise; it is taken to be that of the others.
    if not np.isfinite(one_seed[tested]).any() or np.isnan(gain).any():
        return np.full(len(frame), np.nan)
    error = np.where(tested, error, np.nanmedian(one_seed[tested]))
    freedom = np.minimum(freedom, _MANY)
    freedom = np.where(tested, freedom, np.nanmedian(freedom[tested]))
    return probability_of_best(gain, error, freedom, np.random.default_rng(_DRAWS_SEED))


def _price(frame: pd.DataFrame, prices: Mapping[str, float]) -> pd.Series:
    """Return labels and hours in money, NaN where what is needed has no price."""
    if not prices:
        return pd.Series(np.nan, frame.index)
    needs = frame[["images", "hours"]].astype(float)
    parts = needs * [prices.get(name, np.nan) for name in ("label", "hour")]
    return parts.where(needs != 0, 0.0).sum(axis=1, skipna=False)
