"""CIFAR-10 as a study declares it."""

from pathlib import Path
from typing import Any


def cifar10(folder: Path) -> dict[str, Any]:
    """Return the `data` block of a study whose folder holds both parts as Parquet."""
    parts = {part: str(folder.absolute() / f"cifar10-{part}.parquet") for part in ("train", "test")}
    return {"source": "parquet", "path": parts}
