import gc
import os
import platform
import resource
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from trainables.machine import (
    available_memory,
    free_disk,
    give_memory_back,
    keep_memory,
    memory_kills,
    uncollected,
)

NOWHERE = Path("/nonexistent")


def written(folder, **files):
    for name, text in files.items():
        file = folder / name.replace("__", "/").replace("_DOT_", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


@pytest.fixture
def system(monkeypatch):
    memory = SimpleNamespace(available=1000 * 1024)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)


def test_the_system_says_what_is_available(system):
    assert available_memory(NOWHERE) == 1000 * 1024


def test_a_containers_limit_counts_without_its_page_cache(system, tmp_path):
    groups = written(
        tmp_path / "v2",
        memory_DOT_max="500000\n",
        memory_DOT_current="300000\n",
        memory_DOT_stat="anon 150000\ninactive_file 90000\nactive_file 10000\n",
    )
    assert available_memory(groups) == 300_000  # 500,000 − 300,000 + 100,000


def test_no_limit(system, tmp_path):
    groups = written(
        tmp_path / "v2", memory_DOT_max="max\n", memory_DOT_current="1\n", memory_DOT_stat=""
    )
    assert available_memory(groups) == 1000 * 1024


def test_the_older_kind_of_limit(system, tmp_path):
    groups = written(
        tmp_path / "v1",
        memory__memory_DOT_limit_in_bytes="500000\n",
        memory__memory_DOT_usage_in_bytes="450000\n",
        memory__memory_DOT_stat="total_inactive_file 20000\ntotal_active_file 0\n",
    )
    assert available_memory(groups) == 70_000


def test_never_below_nothing(system, tmp_path):
    groups = written(
        tmp_path / "v2", memory_DOT_max="5\n", memory_DOT_current="9\n", memory_DOT_stat=""
    )
    assert available_memory(groups) == 0


def test_this_machine():
    assert 2**20 < available_memory() < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_disk_of_a_folder_yet_to_be_made(tmp_path):
    assert free_disk(tmp_path / "a" / "b") > 0


def test_what_the_system_ended_for_its_memory_is_counted(tmp_path):
    assert memory_kills(tmp_path) == 0
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory.events").write_text("max 7\noom 2\noom_kill 1\n")
    assert memory_kills(tmp_path) == 1
    (tmp_path / "memory" / "memory.oom_control").write_text("under_oom 0\noom_kill 3\n")
    assert memory_kills(tmp_path) == 3


def test_garbage_is_looked_for_again_where_it_was() -> None:
    with uncollected():
        assert not gc.isenabled()
        with uncollected():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others stay as they are")
def test_memory_is_kept_between_updates_and_given_back_when_asked() -> None:
    size = 30_000_000

    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(5):
            bytes(size)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    keep_memory()
    faults()
    kept, held = faults(), psutil.Process().memory_info().rss
    give_memory_back()
    assert kept < 100
    assert psutil.Process().memory_info().rss < held - size / 2
