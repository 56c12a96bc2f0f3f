"""What can go wrong in a trial."""


class TrainableError(Exception):
    """Base of all errors of this package; the message says what, where and what to do."""


class DataError(TrainableError):
    """The images cannot be had, read or split as asked."""


class PictureError(DataError):
    """One image cannot be read; `where` names it, `why` says why and what to do."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(where, why)
        self.where, self.why = where, why

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


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
