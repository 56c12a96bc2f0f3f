"""What a trial under way can do, whatever it trains. Torch-free, Ray-free."""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Learner(Protocol):
    """One trial, trained one evaluation interval at a time, in this process."""

    epoch: int
    """Evaluation intervals done; 0 before the first step."""

    def facts(self) -> dict[str, Any]:
        """Return what is known once per trial, under the names of the trial table's columns."""
        ...

    def step(self) -> dict[str, Any]:
        """Train one interval and evaluate; return the metrics, named as the epoch columns.

        Raises
        ------
        Diverged
            The loss became NaN or infinite.
        OutOfMemory
            The device has no room for the trial.
        """
        ...

    def predictions(self) -> NDArray[np.int64]:
        """Return the class predicted for every test example by the model as it stands."""
        ...

    def save(self, file: Path) -> None:
        """Write all that is needed to go on from here to the last digit."""
        ...

    def load(self, file: Path) -> None:
        """Go on from a saved state; no code in the file is ever executed.

        Raises
        ------
        CheckpointError
            The file is damaged, or was written by another trial.
        """
        ...
