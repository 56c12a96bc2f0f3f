import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from trainables.errors import OutOfGpuMemory, OutOfMemory, TrainableError
from trainables.training.device import (
    computes_bf16,
    device_name,
    gpu_problem,
    memory_fraction,
    memory_shortage_named,
    peak_memory_bytes,
    prepare,
    resolve_device,
    resolve_precision,
)

CPU = torch.device("cpu")


def test_the_cpu_by_name() -> None:
    assert resolve_device("cpu") == CPU
    assert device_name(CPU) == "cpu"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu() -> None:
    assert resolve_device() == CPU
    with pytest.raises(TrainableError, match=r"has none to train on: .*VISIBLE_DEVICES"):
        resolve_device("cuda")


def test_precision() -> None:
    native = computes_bf16(CPU)
    assert resolve_precision("auto", CPU) == ("bf16" if native else "fp32")
    assert resolve_precision("fp32", CPU) == "fp32"
    assert resolve_precision("bf16", CPU) == "bf16"


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="not Linux")
def test_torch_agrees_on_what_the_cpu_computes() -> None:
    capabilities = torch.cpu.get_capabilities()
    expected = capabilities["avx512_bf16"] or capabilities["amx_bf16"]
    assert computes_bf16(CPU) == expected


def test_threads_are_the_trials_cpus() -> None:
    before = torch.get_num_threads()
    try:
        for cpus in (2, 1):
            prepare(CPU, cpus)
            assert torch.get_num_threads() == cpus
    finally:
        torch.set_num_threads(before)


class Driver:
    """What torch calls beneath its own checks of arguments, where a driver would answer."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.fractions: list[tuple[float, int]] = []
        self.reset: list[int] = []
        for module in (torch.cuda, torch.cuda.memory):
            patch.setattr(module, "_lazy_init", lambda: None)
        patch.setattr(torch.version, "cuda", "13.0")
        patch.setattr(torch.version, "hip", None)
        patch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_90a", "compute_120"])
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.cuda, "device_count", lambda: 1)
        patch.setattr(torch.cuda, "current_device", lambda: 0)
        below = {
            "_cuda_setMemoryFraction": lambda part, device: self.fractions.append((part, device)),
            "_cuda_resetPeakMemoryStats": self.reset.append,
        }
        for name, call in below.items():
            patch.setattr(torch._C, name, call, raising=False)
        properties = SimpleNamespace(total_memory=16 * 2**30, major=7, minor=5)
        self.properties = properties
        patch.setattr(torch.cuda, "_get_device_properties", lambda index: properties, raising=False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_torch_takes_what_a_gpu_is_prepared_with(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(monkeypatch)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    rounding = torch.backends.cudnn, torch.backends.cuda.matmul
    kept = [part.allow_tf32 for part in rounding]
    attention = torch.backends.cuda
    try:
        for part in rounding:
            # As a vendor's image may have it.
            part.allow_tf32 = True
        prepare(resolve_device("cuda"), 1, 1 / 4)
        assert [part.allow_tf32 for part in rounding] == [False, False]
        # Only attention that is written out repeats its gradients.
        assert torch.are_deterministic_algorithms_enabled()
        assert not attention.flash_sdp_enabled()
        assert not attention.mem_efficient_sdp_enabled()
        assert attention.math_sdp_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
        for enable in ("flash", "mem_efficient", "cudnn"):
            getattr(attention, f"enable_{enable}_sdp")(True)
        for part, before in zip(rounding, kept, strict=True):
            part.allow_tf32 = before
    # A quarter of 16 GiB, less half a GiB for the context.
    assert driver.fractions == [(0.25 - 0.5 / 16, 0)]
    assert driver.reset == [0]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_torch_cannot_use_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def too_old() -> None:
        raise RuntimeError("The NVIDIA driver is too old (found version 12080). Please update it.")

    driver = Driver(monkeypatch)
    assert gpu_problem() is None
    needs = "needs driver 580 or later and compute capability 7.5 or later (CUDA 13.0)"
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a T4")
    assert resolve_precision("auto", torch.device("cuda")) == "fp32"
    with pytest.raises(TrainableError, match=r"a T4 does not compute bf16 .*8\.0.*precision: fp32"):
        resolve_precision("bf16", torch.device("cuda"))
    with pytest.raises(TrainableError, match="a T4 does not compute bf16"):
        resolve_precision("auto", torch.device("cuda"), "bf16")
    driver.properties.minor = 0
    assert f"capability 7.0; torch {torch.__version__} {needs}" in (gpu_problem() or "")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", too_old)
    reason = f"(found version 12080); torch {torch.__version__} {needs}"
    assert reason in (gpu_problem() or "")
    with pytest.raises(TrainableError, match=re.escape(reason)):
        resolve_device("cuda")
    assert resolve_device() == CPU
    monkeypatch.setattr(torch.version, "hip", "6.4")
    assert "ROCm" in (gpu_problem() or "")
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "without CUDA" in (gpu_problem() or "")


def test_peak_memory_grows_with_use() -> None:
    before = peak_memory_bytes(CPU)
    block = torch.ones(before // 4 + 2**24)  # four bytes each
    assert peak_memory_bytes(CPU) >= block.nbytes


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("of Python's own"),
        # As Python raises it: without a word.
        MemoryError(),
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory"),
    ],
)
def test_every_kind_of_shortage_is_named(error: Exception) -> None:
    with (
        pytest.raises(OutOfMemory, match="cpu has no room for a test: ") as caught,
        memory_shortage_named(CPU, "a test"),
    ):
        raise error
    assert caught.value.__cause__ is error
    assert type(caught.value) is OutOfMemory


def test_which_memory_ended_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    # The edge is CUDA: errors are raised as torch words them, nothing is allocated.
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    errors = {
        MemoryError("of Python's own"): OutOfMemory,
        RuntimeError("DefaultCPUAllocator: not enough memory"): OutOfMemory,
        torch.cuda.OutOfMemoryError("CUDA out of memory."): OutOfGpuMemory,
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"): OutOfGpuMemory,
        RuntimeError("unable to find an engine to execute this computation"): OutOfGpuMemory,
    }
    for error, kind in errors.items():
        with (
            pytest.raises(OutOfMemory, match="a GPU has no room") as caught,
            memory_shortage_named(torch.device("cuda"), "a test"),
        ):
            raise error
        assert type(caught.value) is kind


def test_the_part_of_the_memory_that_goes_with_a_part_of_a_gpu() -> None:
    total = 16 * 2**30
    assert memory_fraction(1.0, total) == 1.0
    assert memory_fraction(2.0, total) == 1.0
    # A quarter is 4 GiB, of which the context takes half a GiB.
    assert memory_fraction(0.25, total) == 3.5 / 16
    # Of a context that was measured to be a whole one.
    assert memory_fraction(0.25, total, 2**30) == 3 / 16
    # Of none, as where trials share one.
    assert memory_fraction(0.25, total, 0) == 0.25
    # Never less than half the share, on however small a GPU.
    assert memory_fraction(0.25, 2**30) == 0.125


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="size mismatch"), memory_shortage_named(CPU, "a test"):
        raise RuntimeError("size mismatch")
