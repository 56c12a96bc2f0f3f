"""Shares worked out by hand."""

import pytest

from results.analysis.occupancy import Hold, busy_share


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
