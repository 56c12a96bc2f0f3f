"""What pretraining is worth in data. Arrays in, numbers out.

Sizes are in examples, errors in points; a row of errors is one seed over all sizes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from results.statistics.crossover import (
    RULES,
    first_rise_through_zero,
    places_between,
    seed_tables,
    smooth,
    zero_range,
)
from results.statistics.intervals import Array

_ROUNDING = 1e-9


@dataclass(frozen=True)
class DataWorth:
    """How many times the data a model from scratch needs for a pretrained one's error."""

    size: float
    """Training size of the pretrained model, in examples."""
    error: float
    """Its mean error, in points."""
    factor: float | None
    """The answer; None where the pretrained error is off the chart of the scratch model."""
    more_than: float | None
    """Set where even the largest measured size does not suffice: at least this many times."""
    less_than: float | None
    """Set where the smallest measured size is already better: at most this many times."""
    interval: tuple[float | None, float | None] | None
    """Factors that a two-sided paired t test cannot rule out. An end that reaches the largest
    measured size is None ("more than"), as is one at the smallest. None with one seed."""
    n_seeds: int
    """Seeds, rows of the tables."""

    @property
    def text(self) -> str:
        """The factor as people write it, such as `5.2 times` or `more than 16 times`."""
        if self.factor is not None:
            return f"{self.factor:.2g} times"
        if self.more_than is not None:
            return f"more than {self.more_than:.3g} times"
        return f"less than {self.less_than:.3g} times"


def worth_in_data(sizes: ArrayLike, scratch: ArrayLike, pretrained: ArrayLike) -> list[DataWorth]:
    """Return, at every size, how many times the data replaces pretraining, smallest size first.

    The scratch model's error between measured sizes is interpolated seed by seed; beyond them
    nothing is claimed but "more than". The interval holds the sizes at which the paired difference
    scratch − pretrained may be 0 (test inversion), the union over both rules of interpolation, so
    that it needs two seeds.

    Parameters
    ----------
    sizes
        Training sizes in examples, shape (sizes,), distinct, at least two; else a ValueError.
    scratch, pretrained
        Errors in points, shape (seeds, sizes), finite, the same seed in the same row.
    """
    n, (a, b) = seed_tables(sizes, scratch, pretrained)
    places = places_between(n)
    along = [rule(n, a, places) for rule in RULES]
    mean_along = smooth(n, a.mean(axis=0)[None], places)[0]
    return [
        _worth(places, along, mean_along, float(size), b[:, column])
        for column, size in enumerate(n)
    ]


def _worth(
    places: Array, along: list[Array], mean_along: Array, size: float, pretrained: Array
) -> DataWorth:
    target = float(pretrained.mean())
    smallest, largest = float(places[0]), float(places[-1])
    factor = more = less = None
    # Interpolation passes through the measured errors only to rounding.
    reached = target * (1 + _ROUNDING)
    if mean_along[0] < target * (1 - _ROUNDING):
        less, around = smallest / size, smallest
    elif mean_along.min() > reached:
        more, around = largest / size, largest
    else:
        rise = first_rise_through_zero(places, reached - mean_along[None])[0]
        around = smallest if np.isnan(rise) else float(rise)
        factor = around / size
    interval = None
    if len(pretrained) > 1:
        low, high = zero_range(places, [a - pretrained[:, None] for a in along], around)
        interval = (
            None if low <= smallest else low / size,
            None if high >= largest else high / size,
        )
    return DataWorth(size, target, factor, more, less, interval, len(pretrained))
