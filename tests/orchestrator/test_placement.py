"""How many trials fit where, worked out by hand."""

import pytest

from orchestrator.errors import RunError
from orchestrator.passes import Share
from orchestrator.placement import Node, larger, places, slots


@pytest.mark.parametrize(
    ("cpu", "gpu", "share", "count"),
    [
        (2, 0, Share(1, 0), 2),
        (2, 0, Share(2, 0), 1),
        (3, 0, Share(2, 0), 1),
        (1, 0, Share(2, 0), 0),
        (16, 4, Share(1, 1), 4),
        (16, 4, Share(1, 2), 2),
        (16, 4, Share(1, 3), 1),
        (16, 4, Share(8, 1), 2),
        (16, 0, Share(1, 1), 0),
        # A third fits three times on each GPU, although 3 · 0.333… is less than 1.
        (16, 4, Share(1, 1 / 3), 12),
        (16, 1, Share(1, 1 / 7), 7),
        (4, 4, Share(1, 1 / 4), 4),
        # 0.1 + 0.2 is a little more than 0.3: no place may get lost to that.
        (0.3, 0, Share(0.1, 0), 3),
    ],
)
def test_places(cpu: float, gpu: float, share: Share, count: int) -> None:
    assert places(Node("host", cpu, gpu), share) == count


def test_slots_are_counted_per_node() -> None:
    # Together there are six CPUs; a trial of four fits on one of the nodes alone.
    nodes = [Node("a", 4, 0), Node("b", 2, 0)]
    assert slots(nodes, Share(1, 0)) == 6
    assert slots(nodes, Share(4, 0)) == 1
    assert slots(nodes, Share(1, 0), max_parallel=3) == 3
    assert slots(nodes, Share(1, 0), max_parallel=30) == 6


def test_what_fits_nowhere_is_refused_and_does_not_wait() -> None:
    # Four GPUs in the cluster, and none of its nodes has two.
    nodes = [Node(name, 8, 1) for name in "abcd"]
    with pytest.raises(RunError, match=r"1 CPUs and 2 GPUs on one machine.*a: 8 CPUs, 1 GPUs"):
        slots(nodes, Share(1, 2))


def test_a_larger_share_for_a_trial_that_ran_out_of_memory() -> None:
    nodes = [Node("small", 4, 0), Node("large", 8, 2)]
    share: Share | None = Share(1, 1 / 3)
    grown = []
    while share := larger(share, nodes):
        grown.append((share.cpu, share.gpu))
    # Fewer trials per GPU, then the whole machine's CPUs.
    assert grown == [(1, 1 / 2), (1, 1), (2, 1), (4, 1), (8, 1)]
    assert larger(Share(3, 0), nodes) == Share(6, 0)
    assert larger(Share(8, 0), nodes) is None
    assert larger(Share(1, 0), []) is None
