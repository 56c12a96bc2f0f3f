"""How many trials fit where, worked out by hand."""

import os
from pathlib import Path

import pytest

from orchestrator.errors import RunError
from orchestrator.placement.shares import (
    Node,
    Share,
    copies,
    cpus_said,
    larger,
    places,
    remedy,
    share_for,
    slots,
    speed,
    worth_sharing,
)
from trainables import machine
from trainables.machine import memory_limit, usable_cpus
from trainables.measure.footprint import Footprint
from trainables.training.device import memory_fraction
from trainables.work.actor import countable
from trainables.work.reports import FailureKind


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
    with pytest.raises(RunError, match="1 CPU and 2 GPUs on one machine") as error:
        slots(nodes, Share(1, 2))
    assert "(there is 4 × 8 CPUs and 1 GPU); add one, or ask for less" in str(error.value)
    with pytest.raises(RunError, match=r"0\.5 GPUs of kind H100") as error:
        slots([Node("a", 4, 2, "T4"), Node("b", 8, 0)], Share(1, 1 / 2, "H100"))
    assert "(there is a: 4 CPUs and 2 GPUs (T4), b: 8 CPUs); add one" in str(error.value)


def test_a_kind_of_gpu_is_looked_for_where_it_is() -> None:
    nodes = [Node("a", 8, 2, "T4"), Node("b", 8, 4, "A100")]
    assert slots(nodes, Share(1, 1)) == 6
    assert slots(nodes, Share(1, 1, "A100")) == 4
    assert slots(nodes, Share(1, 1 / 2, "T4")) == 4
    with pytest.raises(RunError, match="1 CPU and 1 GPU of kind H100"):
        slots(nodes, Share(1, 1, "H100"))


GIB = 2**30


def footprint(peak: int | None, alone: float = 100.0, **shared: float) -> Footprint:
    rates = {int(k.removeprefix("of_")): rate for k, rate in shared.items()}
    return Footprint(GIB // 2, peak, alone, rates)


@pytest.mark.parametrize(
    ("total", "peak", "images", "most", "k"),
    [
        # 16 / (0.5 + 1.1 · 2) = 5.9
        (16 * GIB, 2 * GIB, 0, 100, 5),
        # The images count too: 16 / (0.5 + 1.1 · 3) = 4.2
        (16 * GIB, 2 * GIB, GIB, 100, 4),
        (16 * GIB, 2 * GIB, GIB, 3, 3),
        # 14 + 0.5 fit once, if without all of the headroom.
        (16 * GIB, 14 * GIB, 0, 100, 1),
        (16 * GIB, 15 * GIB, 0, 100, 1),
        (16 * GIB, 15 * GIB, GIB, 100, 0),
        (16 * GIB, None, 0, 100, 0),
    ],
)
def test_copies_in_memory(total: int, peak: int | None, images: int, most: int, k: int) -> None:
    assert copies(total, footprint(peak), images, most) == k
    if k > 1:
        # What each may take, it has room for.
        assert memory_fraction(1 / k, total) * total >= 1.1 * ((peak or 0) + images)


@pytest.mark.parametrize(
    ("images", "most", "k"),
    [
        # Five trials have 3.2 GiB each, of which images may take half: else they stay on the node.
        (GIB, 100, 4),
        (2 * GIB, 100, 5),
        (2 * GIB, 3, 3),
        (100 * GIB, 100, 5),
        # Alone it has 16 GiB.
        (7 * GIB, 1, 1),
        (100 * GIB, 1, 1),
    ],
)
def test_images_count_where_a_part_of_a_gpu_holds_them(images: int, most: int, k: int) -> None:
    assert copies(16 * GIB, footprint(2 * GIB), images, most) == k


def test_what_sharing_costs() -> None:
    found = footprint(GIB, of_4=30.0, of_8=12.5)
    assert speed(found, 1) == 1.0
    assert speed(found, 4) == pytest.approx(0.3)
    assert speed(found, 3) is None
    # Four at 30 % train more than one alone; eight at 12.5 % just as much, so four are best.
    assert worth_sharing(found, 4) == 4
    assert worth_sharing(found, 8) == 4
    # 9 % more is what any two measurements differ by.
    assert worth_sharing(Footprint(0, 1, 100.0, {2: 54.5}), 2) == 1
    assert worth_sharing(found, 3) == 3


def test_a_share_that_is_safe_on_every_kind_of_gpu() -> None:
    gpus = {"T4": 8.0, "A100": 4.0, "H100": 2.0}
    assert share_for(2, {"A100": (7, 0.5)}, gpus) == Share(2, 1 / 7, speed=0.5)
    both = {"T4": (2, 0.7), "A100": (7, 0.5)}
    assert share_for(2, both, gpus) == Share(2, 1 / 2, speed=0.7)
    # Too large for a T4: kept to the A100s, of which there are more than H100s.
    some = {"T4": (0, None), "A100": (1, 1.0), "H100": (3, 0.6)}
    assert share_for(2, some, gpus) == Share(2, 1, "A100", 1.0)
    assert share_for(2, {"T4": (0, None)}, gpus) == Share(2, 1)


def test_shares_as_ray_counts_them_fit() -> None:
    for k in range(1, 1000):
        assert k * round(countable(1 / k) * 10_000) <= 10_000
        assert 1 / k - countable(1 / k) < 1 / 10_000
    assert countable(1.0) == 1


GPU, MAIN = FailureKind.OUT_OF_GPU_MEMORY, FailureKind.OUT_OF_MEMORY
NODES = [Node("small", 4, 0), Node("large", 8, 2)]


def ladder(share: Share, shortage: str) -> list[tuple[float, float]]:
    """Enlarge a share until there is no more; return the CPUs and GPUs of each rung."""
    rungs = []
    while larger_share := larger(share, NODES, shortage):
        share = larger_share
        rungs.append((share.cpu, share.gpu))
    return rungs


def test_a_part_of_a_gpu_that_is_too_small_becomes_the_whole() -> None:
    assert ladder(Share(1, 1 / 4), GPU) == [(1, 1)]
    # More CPUs give a GPU no more memory.
    assert ladder(Share(1, 1), GPU) == []
    assert ladder(Share(1, 2), GPU) == []
    kept = larger(Share(1, 1 / 2, "T4"), NODES, GPU)
    assert kept == Share(1, 1, "T4", 1)


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


def test_a_containers_quota_counts(tmp_path: Path) -> None:
    machine = usable_cpus(tmp_path)
    for quota, cpus in (("max 100000", machine), ("100000 100000", 1), ("50000 100000", 1)):
        (tmp_path / "cpu.max").write_text(quota)
        assert usable_cpus(tmp_path) == cpus


def test_the_first_version_of_control_groups_and_a_batch_systems_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in machine._GIVEN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert (usable_cpus(tmp_path), cpus_said(tmp_path)) == (8, "")
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("300000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    said = "3 of 8 CPUs may be used here: the quota of a container or group"
    assert (usable_cpus(tmp_path), cpus_said(tmp_path)) == (3, said)
    # Half a CPU is one slot, and said to be half a CPU.
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("50000\n")
    assert usable_cpus(tmp_path) == 1
    assert cpus_said(tmp_path) == said.replace("3", "0.5")
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    assert usable_cpus(tmp_path) == 8
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "2")
    assert cpus_said(tmp_path) == "2 of 8 CPUs may be used here: SLURM_CPUS_PER_TASK says so"
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5})
    assert cpus_said(tmp_path) == "1 of 8 CPUs may be used here: this process is bound to them"


def test_memory_is_what_a_container_allows(tmp_path: Path) -> None:
    machine = memory_limit(tmp_path)
    (tmp_path / "memory.max").write_text("max\n")
    assert memory_limit(tmp_path) == machine
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text(f"{2**20}\n")
    assert memory_limit(tmp_path) == 2**20
