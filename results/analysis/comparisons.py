"""The answer's comparisons, which hold together: how the best cells stand against the others.

Frames in, frame out. Gains are in points of accuracy, the best cell minus another, and all are
estimated by one model (`results.statistics.inference`).

The best of K cells is best by luck too, and so is the one that it is held against. That the best
cell is ahead of the best of some cells S is claimed where it is ahead of each of S, one-sided: were
one of S as good, one of the K would have had to pass it by chance, so that p = K · max over S of
the one-sided p (Bonferroni over the cells that may be the best). Holm's step-down over all of the
answer's comparisons then keeps false claims at 5 %, all together.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from results.analysis.runs import by_cell
from results.phrases import cell_key, level_label
from results.statistics.best import best_value
from results.statistics.inference import NOTHING, SEEDS, holm
from results.statistics.intervals import NORMAL, Array
from results.statistics.looks import Look

ALPHA = 0.05
"""Chance of one false claim or more in an answer."""
MOST, LEAST, ANY = "most", "least", "any"
"""The amounts of data at which the best cell is held against others; `ANY` is all of them."""
_CONTENDER = 0.005  # one-sided p below which a cell is no longer taken for a possible best one
_KNOWN = ("difference", "standard_error", "freedom", "n_seeds", "seed_error", "image_error")
HALF = 0.51  # of the largest size, up to which a size counts as half of it


@dataclass(frozen=True)
class Comparison:
    """How the best cell at an amount of data stands against the best of some others, in points."""

    amount: str
    """`MOST`, `LEAST` or `ANY`."""
    factor: str
    """Whose levels are compared: `fraction` for twice the data, empty against all other cells."""
    level: Any
    """The others' level; None where they have several."""
    best_level: Any
    best: int
    other: int
    """Rows in `Comparisons.cells`: the best cell, and the best of the others. For a forecast both
    are the cell that it is of."""
    others: tuple[int, ...]
    """All of the others; empty for a forecast."""
    gain: float
    """The best cell minus the other."""
    p: float
    """Chance of such a gain or more were there none, allowing for the choice among `contenders`;
    NaN where the spread over seeds is unknown."""
    contenders: int
    """Cells that may be the best at this amount of data, at least two."""
    n_seeds: int
    error: float
    freedom: float
    seed_error: float
    image_error: float
    """The gain's standard error (points), degrees of freedom, and parts from seeds and images."""
    is_forecast: bool = False
    """Whether nothing was measured there."""
    low: float = np.nan
    high: float = np.nan
    """Interval that holds together with those of all comparisons."""
    p_holm: float = np.nan
    """P value that does."""

    @property
    def key(self) -> tuple[int, tuple[int, ...], bool]:
        """What is compared: comparisons with the same key are one test."""
        return self.best, self.others, self.is_forecast

    @property
    def is_decided(self) -> bool:
        """Whether the answer may claim a gain."""
        return self.p_holm <= ALPHA


@dataclass(frozen=True)
class Comparisons:
    """What an answer compares."""

    rows: tuple[Comparison, ...]
    """Those of `MOST` and `LEAST` for each factor and each level other than the best cell's, one
    for twice the data, and one of `ANY`, the best cell against all others."""
    cells: pd.DataFrame
    """The cells, the most accurate first."""
    value: tuple[float, float] | None
    """Interval for what the best cell is worth, in points; None where its spread is unknown."""
    speaks_of: str
    """What intervals hold for: new seeds, or new seeds and images."""
    ties: tuple[int, ...]
    """Rows in `cells` but the best that are not told apart from it; all where nothing is tested."""
    crossings: Array
    """P values of crossovers that hold together with the comparisons, shape (crossovers,)."""
    spent: Mapping[Hashable, float]
    """P of each test over all looks so far, by the names of its cells."""

    @property
    def tests(self) -> list[float]:
        """The p values that hold together, one per test that was made, crossovers last."""
        known = [*{row.key: row.p_holm for row in self.rows}.values(), *self.crossings]
        return [float(p) for p in known if np.isfinite(p)]

    def of(self, amount: str, factor: str = "") -> list[Comparison]:
        """Return a factor's comparisons at an amount of data, the smallest known gap first."""
        own = [row for row in self.rows if (row.amount, row.factor) == (amount, factor)]
        return sorted(own, key=lambda row: (np.isnan(row.gain), row.gain))


def compare_best(
    cells: pd.DataFrame,
    differences: pd.DataFrame,
    factors: Sequence[str],
    forecasts: pd.DataFrame,
    crossings: Array,
    look: Look | None = None,
) -> Comparisons:
    """Hold the best cells against the others, and make all claims of an answer hold together.

    Cells are those that may be called the best, the most accurate first; differences those of the
    pairs that `rivals` names; crossings the p values of the tested crossovers. Of forecasts the
    first stretch of a series is used. `look` is None where a study is looked at once.
    """
    cells = cells.reset_index(drop=True)
    crossings = look.looks.overall(crossings, look.number) if look else crossings
    if cells.empty:
        return Comparisons((), cells, None, NOTHING, (), holm(crossings), {})
    field = _Field(cells, differences, factors)
    rows = [row for amount in field.groups for row in field.stood(amount)]
    rows += field.more_data(forecasts)
    # The best cell may be held against the same others twice, which is one test.
    tests = {row.key: row.p for row in rows}
    spent = {field.named(key): p for key, p in tests.items()}
    spent = look.spend(spent) if look else spent
    together = holm([*spent.values(), *crossings])
    level = look.looks.level(look.number, 1) if look else ALPHA
    count = max(int(np.isfinite(together).sum()), 1) * ALPHA / level
    adjusted = dict(zip(tests, together, strict=False))
    settled = [_settled(field, row, float(adjusted[row.key]), count) for row in rows]
    ties: list[int] = []
    for row in [row for row in settled if row.amount == ANY and not row.is_decided]:
        low, _ = field.ends(row, ALPHA / (row.contenders * count))
        ties += np.array(row.others)[~(low > 0)].tolist()
    known = tuple(settled), cells, field.value(), field.speaks_of, tuple(ties)
    return Comparisons(*known, together[len(tests) :], spent)


def rivals(cells: pd.DataFrame, factors: Sequence[str]) -> list[tuple[int, int]]:
    """Return the pairs an answer needs, a best cell and another, as places in ranked `cells`."""
    if cells.empty:
        return []
    groups, _, half = _layout(cells, [name for name in factors if name != "fraction"])
    pairs = dict.fromkeys((own[0], other) for own in groups.values() for other in own[1:])
    return [*(pairs if half is None else pairs | {(groups[MOST][0], half): None})]


def _layout(
    cells: pd.DataFrame, series: Sequence[str]
) -> tuple[dict[str, list[int]], list[tuple[str, ...]], int | None]:
    """Return the cells at each amount of data, the best first, the name of each one's series, and
    the cell that differs from the best by having half of the data, or the next less than half."""
    fraction, images = (cells[name].to_numpy(float) for name in ("fraction", "n_train"))
    groups = {MOST: np.flatnonzero(fraction == fraction.max()).tolist()}
    if fraction.min() < fraction.max():
        groups[LEAST] = np.flatnonzero(fraction == fraction.min()).tolist()
    top, levels = groups[MOST][0], cells[[*series]].to_dict("records")
    names = [cell_key(row, series) for row in levels]
    same = np.array([name == names[top] for name in names])
    smaller = np.flatnonzero(same & (images <= HALF * images[top]))
    half = int(smaller[images[smaller].argmax()]) if smaller.size else None
    return groups | {ANY: [*range(len(cells))]}, names, half


class _Field:
    """The cells of a study, and what is known of all pairs of them that an answer needs."""

    def __init__(
        self, cells: pd.DataFrame, differences: pd.DataFrame, factors: Sequence[str]
    ) -> None:
        self.cells = cells
        self.series = [name for name in factors if name != "fraction"]
        self.groups, self._names, self.half = _layout(cells, self.series)
        known = differences[[*_KNOWN, "p"]].astype(float)
        # Chance of such an estimate or a higher one; NaN where seeds are unknown.
        chance = special.stdtr(known["freedom"], -known["difference"] / known["standard_error"])
        known["chance"] = np.where(known["p"].isna(), np.nan, chance)
        # Of pairs without a common seed nothing is known: the last row.
        self.known = known.reindex(range(len(known) + 1))
        pairs = zip(differences["best"], differences["other"], strict=True)
        self.place = {pair: place for place, pair in enumerate(pairs)}
        chances = {end: self.pairs(own[0], own[1:])["chance"] for end, own in self.groups.items()}
        # How many cells at an amount of data may be the best, at least two.
        self.contenders = {
            end: max(1 + int((~(p <= _CONTENDER)).sum()), 2) for end, p in chances.items()
        }
        spoken = list(differences["speaks_of"])
        self.speaks_of = SEEDS if SEEDS in spoken else spoken[0] if spoken else NOTHING

    def pairs(self, best: int, others: Sequence[int]) -> pd.DataFrame:
        return self.known.iloc[[self.place.get((best, other), -1) for other in others]]

    def value(self) -> tuple[float, float] | None:
        names = ("accuracy", "accuracy_error", "accuracy_freedom")
        mean, error, freedom = (self.cells[name].to_numpy(float) for name in names)
        if np.isnan(error).any() or (self.cells["seeds"] < 2).any():
            return None
        apart = [np.nan, *self.pairs(0, self.groups[ANY][1:])["standard_error"]]
        return best_value(mean, error, freedom, apart)

    def stood(self, amount: str) -> list[Comparison]:
        best, *others = self.groups[amount]
        if not others:
            return []
        if amount == ANY:
            return [self.compared(amount, "", others)]
        rows = []
        for factor in self.series:
            labels = [level_label(factor, level) for level in self.cells[factor]]
            for label in dict.fromkeys(labels[place] for place in others):
                having = [place for place in others if labels[place] == label != labels[best]]
                rows += [self.compared(amount, factor, having)] if having else []
        return rows

    def compared(self, amount: str, factor: str, others: Sequence[int]) -> Comparison:
        best, contenders = self.groups[amount][0], self.contenders[amount]
        own = self.pairs(best, others)
        nearest = int(own["difference"].fillna(np.inf).argmin())
        at = own.iloc[nearest]
        # NaN where any is: a cell that is not tested may be as good.
        p = float(own["chance"].max(skipna=False))
        if factor == "fraction":
            # Half of the data was not chosen for being less accurate.
            p = min(p, 1 - p)
        levels = [*self.cells[factor]] if factor else [None] * len(self.cells)
        gain, seeds = float(at["difference"]), int(np.nan_to_num(at["n_seeds"]))
        return Comparison(
            *(amount, factor, levels[others[0]], levels[best], best, others[nearest]),
            *(tuple(others), gain, min(contenders * p, 1.0), contenders, seeds),
            *at[["standard_error", "freedom", "seed_error", "image_error"]],
        )

    def named(self, key: tuple[int, tuple[int, ...], bool]) -> Hashable:
        """Return what a comparison's key is called at every look."""
        size = self.cells["n_train"]
        best, *others = ((self._names[place], size[place]) for place in (key[0], *key[1]))
        return best, frozenset(others), key[2]

    def ends(self, row: Comparison, tail: float) -> tuple[pd.Series, pd.Series]:
        """Return both ends of the best cell's gain over each other; the least are the gain's."""
        own = self.pairs(row.best, row.others)
        half = special.stdtrit(own["freedom"], 1 - tail) * own["standard_error"]
        return own["difference"] - half, own["difference"] + half

    def more_data(self, forecasts: pd.DataFrame) -> list[Comparison]:
        """Return the gain of twice the data by the forecast, or of the last doubling measured."""
        top, half = self.groups[MOST][0], [] if self.half is None else [self.half]
        if LEAST not in self.groups:
            return []
        own = by_cell(forecasts, self.series).get(self._names[top])
        row = None if own is None else own.iloc[0]
        if row is not None and not np.isnan(row["headline"]):
            # On the same test images a gain is surer than what is gained; as the last one was.
            ends = row["headline"] - row[["curve_high", "curve_low"]].to_numpy(float)
            down, up = np.hypot(ends, NORMAL * self.pairs(top, half)["image_error"].sum())
            gain = row["error"] - row["headline"]
            error = (down if gain > 0 else up) / NORMAL
            seeds = int(self.cells["seeds"].iloc[top])
            p = 2 * special.ndtr(-abs(gain) / error) if error > 0 and seeds > 1 else np.nan
            forecast = Comparison(
                *(MOST, "fraction", row["n_train"], row["at"], top, top, (), gain, p, 2, seeds),
                *(error, np.inf, np.nan, np.nan, True, gain - down, gain + up),
            )
            return [forecast]
        return [self.compared(MOST, "fraction", half)] if half else []


def _settled(field: _Field, row: Comparison, p: float, count: float) -> Comparison:
    """Return a comparison with what holds together with the others, `count` in all."""
    if np.isnan(row.p):
        return replace(row, low=np.nan, high=np.nan)
    tail = ALPHA / (row.contenders * count)
    if row.is_forecast:
        wider = float(special.ndtri(1 - tail)) / NORMAL
        low, high = (row.gain + wider * (end - row.gain) for end in (row.low, row.high))
        high = min(high, float(field.cells["error"].iloc[row.best]))
    else:
        low, high = (float(end.min(skipna=False)) for end in field.ends(row, tail))
    # Holm's step-down may decide what Bonferroni's interval does not; 0 is then its end.
    if p <= ALPHA:
        low, high = (max(low, 0.0), high) if row.gain > 0 else (low, min(high, 0.0))
    return replace(row, low=low, high=high, p_holm=p)
