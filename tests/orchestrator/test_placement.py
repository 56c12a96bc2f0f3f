"""How many trials fit where, worked out by hand."""

import pytest

from orchestrator.errors import RunError
from orchestrator.passes import Share
from orchestrator.placement import Node, larger, places, remedy, slots
from trainables.job import OUT_OF_GPU_MEMORY, OUT_OF_MEMORY


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


def test_a_kind_of_gpu_is_looked_for_where_it_is() -> None:
    nodes = [Node("a", 8, 2, "T4"), Node("b", 8, 4, "A100")]
    assert slots(nodes, Share(1, 1)) == 6
    assert slots(nodes, Share(1, 1, "A100")) == 4
    assert slots(nodes, Share(1, 1 / 2, "T4")) == 4
    with pytest.raises(RunError, match="1 CPUs and 1 GPUs of kind H100"):
        slots(nodes, Share(1, 1, "H100"))


GPU, MAIN = OUT_OF_GPU_MEMORY, OUT_OF_MEMORY
NODES = [Node("small", 4, 0), Node("large", 8, 2)]


def ladder(share: Share, shortage: str) -> list[tuple[float, float]]:
    """Enlarge a share until there is no more; return the CPUs and GPUs of each rung."""
    rungs = []
    while larger_share := larger(share, NODES, shortage):
        share = larger_share
        rungs.append((share.cpu, share.gpu))
    return rungs


def test_a_larger_part_of_a_gpu_up_to_the_whole() -> None:
    assert ladder(Share(1, 1 / 4), GPU) == [(1, 1 / 3), (1, 1 / 2), (1, 1)]
    # More CPUs give a GPU no more memory.
    assert ladder(Share(1, 1), GPU) == []
    assert ladder(Share(1, 2), GPU) == []
    kept = larger(Share(1, 1 / 2, "T4"), NODES, GPU)
    assert kept == Share(1, 1, "T4")


def test_more_cpus_where_main_memory_ends() -> None:
    assert ladder(Share(1, 0), MAIN) == [(2, 0), (4, 0), (8, 0)]
    assert ladder(Share(3, 0), MAIN) == [(6, 0), (8, 0)]
    assert ladder(Share(4, 1 / 4), MAIN) == [(8, 1 / 4)]
    assert ladder(Share(8, 0), MAIN) == []
    assert larger(Share(1, 0), [], MAIN) is None


def test_what_would_help_is_said() -> None:
    assert "it had a whole GPU; a smaller recipe.batch_size" in remedy(Share(1, 1), GPU)
    assert "resources.gpu: 2 divides" in remedy(Share(1, 1), GPU)
    assert "it had 2 whole GPUs" in remedy(Share(1, 2), GPU)
    assert "resources.gpu: 4 divides" in remedy(Share(1, 2), GPU)
    assert "more memory helps" in remedy(Share(8, 1), MAIN)
