"""What can go wrong in a trial."""

from collections.abc import Mapping
from typing import Any


class TrainableError(Exception):
    """Base of all errors of this package; the message says what, where and what to do."""


class DataError(TrainableError):
    """The images cannot be had, read or split as asked."""


class OtherLayout(DataError):
    """A data set that is read where a study's data block says more; `block` is what to write."""

    def __init__(self, what: str, aim: str, block: Mapping[str, Any]) -> None:
        super().__init__(what, aim, block)
        self.block = block

    def __str__(self) -> str:
        what, aim, block = self.args
        lines = [f"data.{key}: {_flow(value)}" for key, value in block.items()]
        return f"{what}; to {aim}, write {' and '.join(lines)}"


def _flow(value: Any) -> str:
    if not isinstance(value, Mapping):
        return str(value)
    return f"{{{', '.join(f'{key}: {_flow(entry)}' for key, entry in value.items())}}}"


class PictureError(DataError):
    """One image cannot be read; its arguments say where it is, and why and what to do."""

    def __str__(self) -> str:
        return ": ".join(self.args)


class ModelError(TrainableError):
    """No such model, or one that cannot take these images."""


class WeightsError(TrainableError):
    """No such pretrained weights, or ones that do not fit the model."""


class CheckpointError(TrainableError):
    """A saved state is damaged, or was written by another trial."""


class ForeignCheckpoint(CheckpointError):
    """A saved state is sound, and of another trial, version, kind of device or precision."""


class Diverged(TrainableError):
    """The loss became NaN or infinite."""


class OutOfMemory(TrainableError):
    """There is no room for the trial: in main memory, if not said otherwise."""


class OutOfGpuMemory(OutOfMemory):
    """A GPU has no room, or the part of it that the trial may take."""


def first_line(error: BaseException) -> str:
    """Return the line that says it, of an error that may hold a page of traceback."""
    text = str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if "Traceback" in text else lines[0]) if lines else type(error).__name__
