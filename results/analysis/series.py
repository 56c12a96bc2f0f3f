"""Lines over data sizes: curves, crossovers and worth of pretraining. Frame in, frame out.

A series is one level of every factor but `fraction`. Errors are in points, sizes in examples.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from results.analysis.estimates import by_cell, ordered_levels
from results.statistics.crossover import DRAWS, find_crossover
from results.statistics.curves import LAST_VALUE, LOCAL_LAW, POWER_LAW, predict_error
from results.statistics.worth import worth_in_data

_NEEDED = ("model", "weights", "fraction", "seed", "n_train", "error", "n_parameters")
_EXTRAPOLATION = (
    "n_train",
    "at",
    "error",
    "headline",
    "low",
    "high",
    "local_power_law",
    "power_law",
    "last_value",
    "alpha",
    "eta",
    "gamma",
    "data_reliance",
    "residual_degrees_of_freedom",
    "back_test",
    "refusal",
    "notes",
)
_CROSSOVER = (
    "n_seeds",
    "is_established",
    "p_value",
    "bracket_low",
    "bracket_high",
    "location",
    "low",
    "high",
    "bootstrap_low",
    "bootstrap_high",
    "share_without_root",
    "hypothetical",
    "verdict",
)
_WORTH = (
    "fraction",
    "n_train",
    "error",
    "factor",
    "low",
    "high",
    "more_than",
    "less_than",
    "n_seeds",
    "text",
)


def extrapolations(runs: pd.DataFrame, factors: Sequence[str], times: float = 2.0) -> pd.DataFrame:
    """Predict each series' error at more data than its largest fraction.

    Parameters
    ----------
    runs
        What `results.analysis.estimates.compared_runs` returns.
    factors
        Columns that name a cell, `fraction` among them.
    times
        How many times the largest measured size, 1 to 4.

    Returns
    -------
    DataFrame
        One row per series: its factors, `n_train` (largest measured), `at` (examples asked for),
        `error` (measured there, points), `headline`, `low`, `high`, `local_power_law`,
        `power_law`, `last_value` (points), `alpha`, `eta`, `gamma`, `data_reliance` (points),
        `residual_degrees_of_freedom`, `back_test` (points), `refusal` and `notes` (text). NaN or
        empty where there is none.
    """
    rows = []
    series = [name for name in factors if name != "fraction"]
    for levels, own in _parts(runs, series):
        largest = float(own["n_train"].max())
        found = predict_error(own["n_train"], own["error"], times * largest)
        law = found.power_law
        low, high = found.interval or (np.nan, np.nan)
        rows.append(
            {
                **levels,
                "n_train": int(largest),
                "at": found.at,
                "error": found.forms[LAST_VALUE],
                "headline": _number(found.headline),
                "low": low,
                "high": high,
                "local_power_law": found.forms.get(LOCAL_LAW, np.nan),
                "power_law": found.forms.get(POWER_LAW, np.nan),
                "last_value": found.forms[LAST_VALUE],
                "alpha": np.nan if law is None else law.alpha,
                "eta": np.nan if law is None else law.eta,
                "gamma": np.nan if law is None else law.gamma,
                "data_reliance": np.nan if law is None else law.data_reliance(),
                "residual_degrees_of_freedom": (
                    np.nan if law is None else law.residual_degrees_of_freedom
                ),
                "back_test": _number(found.back_test),
                "refusal": found.refusal or "",
                "notes": "; ".join(found.notes),
            }
        )
    return pd.DataFrame(rows, columns=[*series, *_EXTRAPOLATION])


def crossovers(
    runs: pd.DataFrame,
    factors: Sequence[str],
    generator: np.random.Generator,
    pairs: Sequence[tuple[Any, Any]] | None = None,
    draws: int = DRAWS,
) -> pd.DataFrame:
    """Look for data sizes at which a bigger model overtakes a smaller one.

    Parameters
    ----------
    runs
        What `results.analysis.estimates.compared_runs` returns.
    factors
        Columns that name a cell, `model` and `fraction` among them.
    generator
        Of the bootstrap.
    pairs
        Models to compare, the smaller first; by default every two, by parameters.
    draws
        Bootstrap draws for each pair.

    Returns
    -------
    DataFrame
        One row per pair of models (by parameters) and level of the factors but `model` and
        `fraction`, where two sizes have common seeds: `small`, `big`, those factors, `n_seeds`,
        `is_established`, `p_value`, `bracket_low`, `bracket_high` (examples), `location`, `low`,
        `high` (examples; NaN where the means do not cross), `bootstrap_low`, `bootstrap_high`,
        `share_without_root`, `hypothetical` (examples), `verdict` (text).
    """
    rows = []
    others = [name for name in factors if name not in ("model", "fraction")]
    chosen = combinations(ordered_levels(runs, "model"), 2) if pairs is None else pairs
    compared = list(chosen)
    for levels, own in _parts(runs, others):
        of_model = dict(iter(own.groupby("model", sort=False)))
        for small, big in compared:
            if small not in of_model or big not in of_model:
                continue
            found = paired_tables(of_model[small], of_model[big])
            if found is None:
                continue
            crossing = find_crossover(*found, generator, draws=draws)
            bracket, interval, bootstrap = (
                pair or (np.nan, np.nan)
                for pair in (crossing.bracket, crossing.interval, crossing.bootstrap_interval)
            )
            rows.append(
                {
                    "small": small,
                    "big": big,
                    **levels,
                    "n_seeds": crossing.n_seeds,
                    "is_established": crossing.is_established,
                    "p_value": _number(crossing.p_value),
                    "bracket_low": bracket[0],
                    "bracket_high": bracket[1],
                    "location": _number(crossing.location),
                    "low": interval[0],
                    "high": interval[1],
                    "bootstrap_low": bootstrap[0],
                    "bootstrap_high": bootstrap[1],
                    "share_without_root": _number(crossing.share_without_root),
                    "hypothetical": _number(crossing.hypothetical),
                    "verdict": crossing.verdict,
                }
            )
    return pd.DataFrame(rows, columns=["small", "big", *others, *_CROSSOVER])


def data_worths(runs: pd.DataFrame, factors: Sequence[str], scratch: str = "none") -> pd.DataFrame:
    """Tell how many times the data replaces each kind of pretrained weights.

    Parameters
    ----------
    runs
        What `results.analysis.estimates.compared_runs` returns.
    factors
        Columns that name a cell, `weights` and `fraction` among them.
    scratch
        The level of `weights` without pretraining.

    Returns
    -------
    DataFrame
        One row per pretrained level, size and level of the factors but `weights` and `fraction`:
        those factors, `weights`, `fraction`, `n_train`, `error` (of the pretrained model, points),
        `factor`, `low`, `high` (NaN where open), `more_than`, `less_than` (NaN unless off the
        chart), `n_seeds`, `text` (as people write it).
    """
    rows = []
    others = [name for name in factors if name not in ("weights", "fraction")]
    for levels, own in _parts(runs, others):
        for weights in ordered_levels(own, "weights"):
            if weights == scratch:
                continue
            found = paired_tables(own[own["weights"] == scratch], own[own["weights"] == weights])
            if found is None:
                continue
            shares = dict(zip(own["n_train"].astype(float), own["fraction"], strict=True))
            for worth in worth_in_data(*found):
                low, high = worth.interval or (None, None)
                rows.append(
                    {
                        **levels,
                        "weights": weights,
                        "fraction": shares[worth.size],
                        "n_train": int(worth.size),
                        "error": worth.error,
                        "factor": _number(worth.factor),
                        "low": _number(low),
                        "high": _number(high),
                        "more_than": _number(worth.more_than),
                        "less_than": _number(worth.less_than),
                        "n_seeds": worth.n_seeds,
                        "text": worth.text,
                    }
                )
    return pd.DataFrame(rows, columns=[*others, "weights", *_WORTH])


def paired_tables(
    first: pd.DataFrame, second: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return sizes and both series' errors (seeds, sizes) over what both have.

    Where runs are missing, the seeds or the sizes that lack one are left out, whichever keeps more
    runs. None with fewer than two sizes or no seed.
    """
    sizes, seeds = (
        np.intersect1d(first[name].to_numpy(), second[name].to_numpy())
        for name in ("n_train", "seed")
    )
    if len(sizes) < 2 or not len(seeds):
        return None
    a, b = (_laid_out(own, seeds, sizes) for own in (first, second))
    n = sizes.astype(float)
    whole = ~(np.isnan(a) | np.isnan(b))
    rows, columns = whole.all(axis=1), whole.all(axis=0)
    if columns.sum() > 1 and len(a) * columns.sum() > rows.sum() * n.size:
        return n[columns], a[:, columns], b[:, columns]
    return (n, a[rows], b[rows]) if rows.any() else None


def _laid_out(runs: pd.DataFrame, seeds: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return errors of shape (seeds, sizes), NaN where there is no run."""
    seed, size = runs["seed"].to_numpy(), runs["n_train"].to_numpy()
    kept = np.isin(seed, seeds) & np.isin(size, sizes)
    place = np.searchsorted(seeds, seed[kept]), np.searchsorted(sizes, size[kept])
    if np.unique(np.ravel_multi_index(place, (seeds.size, sizes.size))).size < kept.sum():
        raise ValueError(
            "Two runs share seed and size: name every column in which runs differ in factors."
        )
    table = np.full((seeds.size, sizes.size), np.nan)
    table[place] = runs["error"].to_numpy(dtype=float)[kept]
    return table


def _parts(runs: pd.DataFrame, keys: Sequence[str]) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    runs = runs[list(dict.fromkeys([*keys, *_NEEDED]))]
    if not keys:
        return [({}, runs)] if len(runs) else []
    return [
        ({name: own[name].iloc[0] for name in keys}, own) for own in by_cell(runs, keys).values()
    ]


def _number(value: float | None) -> float:
    return np.nan if value is None else value
