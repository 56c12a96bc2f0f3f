"""Where a trial computes, and in which precision."""

import gc
import math
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from trainables.data.holding import Held, held, main_memory, resident_bytes
from trainables.data.reading import Pixels
from trainables.data.rows import Rows
from trainables.errors import OutOfGpuMemory, OutOfMemory, TrainableError, first_line
from trainables.machine import cpu_computes_bf16, keep_memory, peak_memory
from trainables.recipe import Precision

_SHORTAGE = (
    r"out of memory|not enough memory|can't allocate memory|_ALLOC(ATION)?_FAILED|"
    r"CUBLAS_STATUS_NOT_INITIALIZED|unable to find an engine to execute this computation"
)
"""How torch, cuBLAS and cuDNN word a shortage where torch raises a plain RuntimeError."""
_DRIVERS = {"11": 450, "12": 525, "13": 580}
"""The oldest driver that goes with a major version of CUDA (NVIDIA, *CUDA Compatibility*)."""
CONTEXT_BYTES = 2**29
"""Bytes that a process takes of a GPU before its first tensor: CUDA's context and kernels."""
_EVALUATION_PIXELS = {"cpu": 2**18, "cuda": 2**20}
"""Pixels of an evaluation batch: their maps stay in cache, or take of a GPU what training does."""


def resolve_device(name: str | None = None) -> torch.device:
    """Return the device of that name; without a name the GPU where torch can use one, else the CPU.

    Raises TrainableError where a GPU is asked for and torch can use none or sees a neighbour's too.
    """
    problem = gpu_problem() if name != "cpu" else None
    device = torch.device(name or ("cpu" if problem else "cuda"))
    if device.type != "cuda":
        return device
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "not set")
    seen = f"(CUDA_VISIBLE_DEVICES: {visible})"
    if problem:
        lack = f"a trial with a share of a GPU has none to train on: {problem} {seen}"
        mend = "`scalestudy doctor` says more, and resources.gpu: 0 trains on the CPU"
        raise TrainableError(f"{lack}; {mend}")
    if (n := torch.cuda.device_count()) != 1:
        said = f"a trial on a GPU needs exactly one visible device, torch sees {n} {seen}"
        raise TrainableError(f"{said}; set CUDA_VISIBLE_DEVICES to one device")
    return device


def gpu_problem() -> str | None:
    """Return why torch can train on no GPU that this process sees; None where it can."""
    built = f"torch {torch.__version__}"
    if torch.version.hip:
        return f"{built} is built for ROCm, and GPUs of AMD are not used"
    if not torch.version.cuda:
        return f"{built} is built without CUDA"
    with warnings.catch_warnings(action="ignore"):  # of what is said here
        n = torch.cuda.device_count() if torch.cuda.is_available() else 0
        best = max(map(torch.cuda.get_device_capability, range(n)), default=None)
    if best is None:
        try:
            torch.cuda.init()  # type: ignore[no-untyped-call]
            reason = "torch sees no GPU"
        except (AssertionError, RuntimeError) as error:
            reason = str(error).partition(". ")[0]
        return f"{reason}; {built} needs {gpu_needs()}"
    if best < _oldest_capability():
        return f"the GPU has compute capability {best[0]}.{best[1]}; {built} needs {gpu_needs()}"
    return None


def gpu_needs() -> str:
    """Return what this torch needs of a GPU: the driver and the compute capability, in words."""
    cuda = torch.version.cuda or "none"
    driver = _DRIVERS.get(cuda.partition(".")[0])
    capability = "compute capability {}.{} or later".format(*_oldest_capability())
    return f"{f'driver {driver} or later and ' if driver else ''}{capability} (CUDA {cuda})"


def gpu_names() -> list[str]:
    """Return what each GPU is that torch sees: product, memory in GiB and compute capability."""
    return [
        f"{each.name} ({each.total_memory / 2**30:.1f} GiB, {each.major}.{each.minor})"
        for each in map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    ]


def _oldest_capability() -> tuple[int, int]:
    built = [re.match(r"sm_(\d+)(\d)", name) for name in torch.cuda.get_arch_list()]
    return min(((int(each[1]), int(each[2])) for each in built if each), default=(0, 0))


def device_name(device: torch.device) -> str:
    """Return the name of a device: `cpu`, or the product name of a GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def computes_bf16(device: torch.device) -> bool:
    """Return whether the device multiplies bfloat16 in hardware, not by way of float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return cpu_computes_bf16()


def gpu_natives() -> dict[str, bool]:
    """Return by its name whether each GPU that torch can use here computes bf16."""
    n = 0 if gpu_problem() else torch.cuda.device_count()
    gpus = [torch.device("cuda", number) for number in range(n)]
    return {device_name(gpu): computes_bf16(gpu) for gpu in gpus}


def resolve_precision(
    precision: Literal["auto", "fp32", "bf16"],
    device: torch.device,
    settled: Precision | None = None,
) -> Precision:
    """Return the number format that a recipe's precision comes to on this device.

    `auto` is what was settled for the whole study, else what the device computes natively. Raises
    TrainableError where it is bf16 and a GPU would compute that piece by piece.
    """
    native = computes_bf16(device)
    found = precision if precision != "auto" else settled or ("bf16" if native else "fp32")
    if found == "bf16" and device.type == "cuda" and not native:
        lack = f"{device_name(device)} does not compute bf16 (compute capability 8.0 does)"
        raise TrainableError(f"{lack}; train on GPUs that do, or set recipe.precision: fp32")
    return found


def prepare(
    device: torch.device, cpus: int, gpu: float = 1.0, context_bytes: int | None = None
) -> None:
    """Take the trial's share of the machine, some threads and a GPU, and make its numbers repeat.

    What an earlier trial left in CUDA's cache is given back first, for neighbours on the GPU. With
    a part of a GPU the process may take no more of its memory: what is too large fails itself.
    """
    torch.set_num_threads(cpus)
    # A CPU's threads as well add gradients of one place in any order. A layer that knows no other
    # way is warned of; attention does: written out in matrices.
    torch.set_deterministic_debug_mode("warn")
    # Nor may a user's model that compiles itself; the compiler reads this when it is loaded.
    os.environ["TORCHINDUCTOR_DETERMINISTIC"] = "1"
    if compiler := sys.modules.get("torch._inductor.config"):
        compiler.deterministic = True  # type: ignore[attr-defined]
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if device.type != "cuda":
        keep_memory()
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.enable_flash_sdp(False)
    torch.backends.cuda.enable_mem_efficient_sdp(False)
    torch.backends.cuda.enable_cudnn_sdp(False)
    # `fp32` is what a recipe calls full precision: convolutions must not round to TF32.
    # Vendors' images let matrices round, by TORCH_ALLOW_TF32_CUBLAS_OVERRIDE.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    gc.collect()
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    # Of the one device that is seen: this function alone refuses a device without a number.
    torch.cuda.set_per_process_memory_fraction(memory_fraction(gpu, total, context_bytes))
    torch.cuda.reset_peak_memory_stats(device)


def memory_fraction(gpu: float, total_bytes: int, context_bytes: int | None = None) -> float:
    """Return how much of a GPU's memory a trial's tensors may take by its share, 0 to 1.

    `context_bytes` is what its process takes besides, where that was measured.
    """
    if gpu >= 1:
        return 1.0
    # The context is not torch's to cap, and each process has one.
    taken = CONTEXT_BYTES if context_bytes is None else context_bytes
    return max(gpu - taken / total_bytes, gpu / 2)


def peak_memory_bytes(device: torch.device) -> int:
    """Return the most bytes that the trial held of a GPU, or its process of main memory."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_memory()


def images_held(
    images: Pixels | Rows, n: int, n_train: int, device: torch.device, cpus: int, gpu: float
) -> Held:
    """Return where `n` images, `n_train` to train on, are held for a trial of CPUs and a GPU."""
    is_stored, each = isinstance(images, Rows), math.prod(images.shape[1:]) * images.dtype.itemsize
    room = main_memory(cpus, is_stored)
    if device.type == "cuda":
        room = min(gpu, 1.0) * torch.cuda.get_device_properties(device).total_memory
    return held(resident_bytes(n, n_train, each), room, is_stored)


def evaluation_batch(device_kind: str, sides: tuple[int, int]) -> int:
    """Return the number of images of these sides that are evaluated at once."""
    return max(1, _EVALUATION_PIXELS[device_kind] // (sides[0] * sides[1]))


@contextmanager
def memory_shortage_named(device: torch.device, what: str) -> Iterator[None]:
    """Turn torch's errors for want of memory for `what` into OutOfMemory, or OutOfGpuMemory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        short = isinstance(error, MemoryError | torch.cuda.OutOfMemoryError)
        if not short and not re.search(_SHORTAGE, str(error)):
            raise
        # Python's own error is of main memory, wherever the trial computes.
        on_gpu = device.type == "cuda" and not isinstance(error, MemoryError)
        kind = OutOfGpuMemory if on_gpu and "DefaultCPUAllocator" not in str(error) else OutOfMemory
        said = f"{device_name(device)} has no room for {what}: {first_line(error)}"
        raise kind(said) from error
