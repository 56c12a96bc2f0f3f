"""The benchmark of large clusters, in a small form."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from scaling import MODELS, mixed, on_paper


@pytest.mark.parametrize("shared", [False, True])
def test_a_mixed_study_comes_within_a_twentieth_of_the_bound(shared: bool) -> None:
    study = mixed(2)
    schedule, _ = on_paper(study, 16, shared=shared)
    assert len(schedule.stays) == 200
    assert schedule.makespan <= 1.05 * schedule.lower_bound
    # Nowhere more than there is, at any moment.
    moments = [(stay.start, stay.share.gpu) for stay in schedule.stays]
    moments += [(stay.end, -stay.share.gpu) for stay in schedule.stays]
    held = most = 0.0
    for _, gpu in sorted(moments):
        held += gpu
        most = max(most, held)
    assert 15 < most <= 16 + 1e-9
    assert {stay.share.gpu for stay in schedule.stays} == (set(MODELS.values()) if shared else {1})
