"""States of models: read from checkpoints without running code, compared and hashed."""

import hashlib
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainables.errors import CheckpointError


def read_checkpoint(file: Path, device: torch.device) -> dict[str, Any]:
    """Return a learner's saved state, on `device`, without executing anything in the file.

    Raises
    ------
    CheckpointError
        The file cannot be read, is damaged, or is none that this program wrote.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            # torch does not compare checksums, and would load flipped bits.
            damaged = archive.testzip()
        if damaged is not None:
            raise CheckpointError(f"{file} is damaged: the checksum of {damaged} does not match")
        state = torch.load(file, map_location=device, weights_only=True)
    except (OSError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError(f"{file} is damaged: {str(error).splitlines()[0]}") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{file} is not a checkpoint of this program")
    return state


def shapes(state: dict[str, Tensor]) -> dict[str, torch.Size]:
    """Return the shape of every entry."""
    return {name: values.shape for name, values in state.items()}


def hash_state(model: nn.Module) -> str:
    """Return 16 hex digits over all parameters and buffers, with their names."""
    digest = hashlib.sha256()
    for name, values in model.state_dict().items():
        digest.update(f"{name}{values.dtype}{tuple(values.shape)}".encode())
        digest.update(values.contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
