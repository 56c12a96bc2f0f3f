"""What a study is judged by: one value that every room reads."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from results.ranking import rank

if TYPE_CHECKING:
    import pandas as pd

_SHARES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "top5": "top-5 accuracy",
}
_NAN = float("nan")
BUILT_IN = (*_SHARES, "log_loss")
"""Metrics of classifiers; all but the last are shares from 0 to 1, and more is better."""
SHARES = tuple(_SHARES)


@dataclass(frozen=True)
class Metric:
    """What trials are ranked and cells compared by.

    Records hold values. What is computed with are scores, of which more is better: values times
    100 where they are shares, so that they are points, and negative where less is better.
    """

    column: str = "accuracy"
    """What the trainable's columns end in, as in `val_accuracy` and `test_accuracy`."""
    goal: Literal["max", "min"] = "max"
    unit: str = ""
    """Of a trainable's own column; `%` where values go from 0 to 100."""

    @classmethod
    def read(cls, written: str | Mapping[str, str] | None) -> Self:
        """Return a study's metric, else accuracy; columns may have `val_` or `test_` first."""
        if isinstance(written, Mapping):
            column = written["column"].removeprefix("val_").removeprefix("test_")
            return cls(column, "min" if written["goal"] == "min" else "max", written["unit"])
        return cls(written or "accuracy", "min" if written == "log_loss" else "max")

    @property
    def written(self) -> str | dict[str, str]:
        """The metric as a study names it."""
        return self.column if self.is_built_in else asdict(self)

    @property
    def name(self) -> str:
        """The metric in words, such as `balanced accuracy`."""
        return _SHARES.get(self.column, self.column.replace("_", " "))

    @property
    def is_built_in(self) -> bool:
        """Whether every classifier records it."""
        return self.column in BUILT_IN

    @property
    def is_percent(self) -> bool:
        """Whether scores are points between 0 and 100."""
        return self.column in _SHARES or self.unit == "%"

    @property
    def sign(self) -> int:
        """1 where more is better, else −1."""
        return 1 if self.goal == "max" else -1

    def score(self, value: float) -> float:
        """Return a value with the sign that makes more of it better; of that, the value."""
        return self.sign * value

    def rank(self, value: float | None) -> float:
        """Return the key by which a value sorts, the best first, as `results.ranking.rank`."""
        return rank(None if value is None else self.score(value))

    @property
    def scale(self) -> int:
        """What a value is multiplied by to be a score: 100, 1 or −1."""
        return 100 if self.column in _SHARES else self.sign

    @property
    def bounds(self) -> tuple[float, float]:
        """The worst and the best score that there can be, infinite where there is none."""
        best = self.error(0.0) if self.is_percent or self.is_built_in else float("inf")
        return (best - 100.0 if self.is_percent else -float("inf")), best

    @property
    def widest(self) -> float:
        """The most that two scores can differ by."""
        worst, best = self.bounds
        return best - worst

    @property
    def points(self) -> str:
        """The unit of differences, such as `points`; empty where there is none."""
        return "points" if self.is_percent else self.unit

    def points_of(self, part: str) -> str:
        """Return what differences of a part are in, such as `points of test accuracy`."""
        return f"{self.points} of {part} {self.name}".removeprefix(" of ")

    def of(self, frame: "pd.DataFrame", part: str) -> "pd.Series":
        """Return the values of a part, such as `val` or `final_test`, in a table of records."""
        named = f"{part}_{self.column}"
        return frame[named if named in frame else f"{part}_metric"].astype(float)

    def latest(self, row: Mapping[str, Any]) -> float | None:
        """Return the value that a row of the table of trials holds of its latest epoch."""
        named = f"latest_val_{self.column}"
        value: float | None = row[named if named in row else "latest_val_metric"]
        return value

    def shown(self, value: float) -> str:
        """Return a value as records hold it as people write it."""
        return self.value(self.scale * value)

    def error(self, score: Any) -> Any:
        """Return what a score lacks of the best (100 points, else 0), or the score of an error."""
        return (100 if self.is_percent and self.goal == "max" else 0) - score

    def errors(self, scores: "pd.Series") -> "pd.Series":
        """Return the error of each score; NaN where the best there is, is not known."""
        found: pd.Series = self.error(scores)
        return found.where((found >= 0) & (scores >= self.bounds[0]))

    def value(self, score: float, low: float = _NAN, high: float = _NAN, note: str = "") -> str:
        """Return a score as people write its value, such as `93.1 % (92.0 to 94.2)`; the note
        stands behind the interval, which is cut where scores end."""
        worst, best = self.bounds
        low, high = max(low, worst), min(high, best)
        ends = sorted((low, high), key=lambda end: self.sign * end)
        text = self._written(score) + (" %" if self.is_percent else f" {self.unit}".rstrip())
        if math.isnan(low):
            return text
        return f"{text} ({' to '.join(map(self._written, ends))}{note})"

    def tick(self, score: float) -> str:
        """Return a round score as an axis has it."""
        return f"{self.sign * score:g}{' %' if self.is_percent else ''}".replace("-", "−")

    def change(self, difference: float) -> str:
        """Return a difference of scores, such as `+4.1`: what is better has a plus.

        NaN is `unknown`.
        """
        if math.isnan(difference):
            return "unknown"
        return f"{difference + 0.0:{'+.1f' if self.is_percent else '+.3g'}}".replace("-", "−")

    def small(self, difference: float) -> str:
        """Return a small difference of scores with its unit, such as `0.04 points`."""
        return f"{difference:{'.2f' if self.is_percent else '.3g'}} {self.points}".rstrip()

    def amount(self, mean: float, low: float, high: float) -> str:
        """Return a difference of scores with its interval, such as `4.1 points (2.6 to 5.5)`.

        Of points the mean has a sign where 0 lies within the interval, whose ends are cut at the
        most that there can be; NaN where there is none. Without a mean the difference is unknown.
        """
        unit = f" {self.points}".rstrip()
        if math.isnan(mean):
            return "difference unknown"
        if math.isnan(low) or math.isnan(high):
            return f"{self.change(mean)}{unit} (no ±)"
        low, high = max(low, -self.widest), min(high, self.widest)
        if low < 0 < high or not self.is_percent:
            return f"{self.change(mean)}{unit} ({self.change(low)} to {self.change(high)})"
        # An end that is written as 0.0 would look undecided.
        places = 1 if min(abs(low), abs(high)) >= 0.05 or 0 in (low, high) else 2
        return f"{mean:.{places}f}{unit} ({low:.{places}f} to {high:.{places}f})".replace("-", "−")

    def _written(self, score: float) -> str:
        return f"{self.sign * score + 0.0:{'.1f' if self.is_percent else '.4g'}}".replace("-", "−")


ACCURACY = Metric()
"""What studies are judged by that name nothing."""
