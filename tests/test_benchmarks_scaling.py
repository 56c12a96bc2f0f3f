"""The benchmark of large clusters, in a small form."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from scaling import mixed, on_paper


def test_a_mixed_study_comes_within_a_twentieth_of_the_bound() -> None:
    schedule, _ = on_paper(mixed(2), 16)
    assert len(schedule.stays) == 200
    assert schedule.makespan <= 1.05 * schedule.bound(16)
    # Nowhere more than there is, at any moment.
    moments = [(stay.start, 1) for stay in schedule.stays]
    moments += [(stay.end, -1) for stay in schedule.stays]
    held = most = 0
    for _, gpus in sorted(moments):
        held += gpus
        most = max(most, held)
    assert most == 16
