"""Builds the GPUs in name only, and says what a process on them needs in its environment."""

import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
_LIBRARIES = {
    "libfakecuda.so": ["runtime.c", "libraries.c", "nccl.c"],
    "libcuda.so.1": ["driver.c"],
    "libnvidia-ml.so.1": ["nvml.c"],
}


def missing() -> str | None:
    """Return what of torch, compiler and headers is not here; None where all is."""
    import torch

    if not (torch.version.cuda or "").startswith("13."):
        return "torch is not built for CUDA 13"
    if torch.cuda.is_available():
        return "there is a real GPU"
    if not shutil.which("gcc"):
        return "gcc is not here"
    return None if _headers() else "the headers of CUDA are not here"


def _headers() -> Path | None:
    import torch

    places = [
        Path(os.environ.get("CUDA_HOME", "/usr/local/cuda")) / "include",
        Path(torch.__file__).parents[1] / "nvidia" / "cu13" / "include",
    ]
    return next((place for place in places if (place / "cuda_runtime_api.h").exists()), None)


def build(folder: Path) -> dict[str, str]:
    """Build the libraries in a folder; return the variables that put a process on the GPUs."""
    flags = ["-O1", "-fPIC", "-shared", "-w", "-fvisibility=hidden", "-std=gnu11"]
    for name, sources in _LIBRARIES.items():
        words = ["gcc", *flags, f"-I{_headers()}", f"-Wl,-soname,{name}"]
        words += [str(HERE / source) for source in sources]
        subprocess.run([*words, "-o", str(folder / name), "-ldl", "-lpthread"], check=True)
    return {
        "LD_PRELOAD": str(folder / "libfakecuda.so"),
        "LD_LIBRARY_PATH": str(folder),
        "FAKECUDA_STATE": str(folder / "state"),
    }
