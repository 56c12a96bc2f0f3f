"""What is asked of a GPU again and again, captured once for each shape and then one launch.

Python takes several times as long to launch kernels of a few microseconds as the GPU to run them
(NVIDIA, *CUDA Graphs*; Ng et al., *Accelerating PyTorch with CUDA Graphs*, 2021).
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

_CALLS_BEFORE = 3
"""Calls of a shape before it is captured. In these cuDNN, cuBLAS and the optimizer set up what is
no part of later ones, and it is seen whether Python takes a part."""
Work = Callable[..., tuple[Tensor, ...]]
_Key = tuple[str, tuple[torch.Size, ...]]
_Graph = tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...], tuple[Tensor, ...]]


class Launches:
    """What a trial does with its model on a device; on a GPU, as few launches of many kernels.

    Captured or not, a function gives the same numbers. One that draws random numbers in Python or
    counts there is never captured, since that would repeat one draw, nor one that waits for the
    GPU; nothing is where that is not allowed, and on the CPU.
    """

    def __init__(
        self, model: nn.Module, optimizer: Optimizer, device: torch.device, allowed: bool = True
    ) -> None:
        self._model, self._optimizer = model, optimizer
        self._side: torch.cuda.Stream | None = None
        if allowed and device.type == "cuda":
            self._side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool: Any = None
        self._calls: Counter[_Key] = Counter()
        self._graphs: dict[_Key, _Graph] = {}
        self.problem = ""
        """Why nothing is captured any more; empty where nothing stands against it."""

    def forget(self) -> None:
        """Capture anew what is asked from here on: the tensors of model or optimizer are others."""
        self._graphs.clear()
        self._calls.clear()

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Be where functions are run: a stream that begins after, and is waited for by, ours."""
        if self._side is None:
            yield
            return
        outside = torch.cuda.current_stream()
        self._side.wait_stream(outside)
        try:
            with torch.cuda.stream(self._side):
                yield
        finally:
            outside.wait_stream(self._side)

    def run(self, work: Work, *given: Tensor) -> tuple[Tensor, ...]:
        """Return what a function makes of tensors on the device.

        It is known by its name and their shapes. What it returned before may be overwritten.
        """
        if self._side is None or self.problem:
            return work(*given)
        key = work.__name__, tuple(each.shape for each in given)
        if key not in self._graphs:
            self._calls[key] += 1
            if self._calls[key] <= _CALLS_BEFORE:
                before, found = _in_python(self._model), work(*given)
                if _in_python(self._model) != before:
                    self.problem = "the model draws random numbers or counts in Python"
                return found
            self._capture(key, work, given)
            if self.problem:
                return work(*given)
        graph, inputs, outputs = self._graphs[key]
        for mine, new in zip(inputs, given, strict=True):
            mine.copy_(new)
        graph.replay()
        return outputs

    def _capture(self, key: _Key, work: Work, given: tuple[Tensor, ...]) -> None:
        inputs, graph = tuple(each.clone() for each in given), torch.cuda.CUDAGraph()
        # Torch refuses to capture Adam's step without the word, and warns of it with the word.
        groups = self._optimizer.param_groups
        for group in groups:
            group["capturable"] = True
        try:
            # Other threads of the process, such as Ray's, are no part of this.
            with torch.cuda.graph(graph, self._pool, self._side, "thread_local"):
                outputs = work(*inputs)
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:
            # Ending what was broken off fails too.
            self.problem = str(error.__context__ or error).partition("\n")[0]
        else:
            # One memory for all, since no two are under way at once.
            self._pool = graph.pool()
            self._graphs[key] = graph, inputs, outputs
        finally:
            for group in groups:
                group["capturable"] = False


def _in_python(model: nn.Module) -> list[Any]:
    """Return what a model could change in Python: generators, and the plain values of layers."""
    values = (entry for layer in model.modules() for entry in vars(layer).items())
    kept = [entry for entry in values if isinstance(entry[1], bool | int | float | str)]
    numpys = repr(np.random.get_state())  # noqa: NPY002
    return [*kept, random.getstate(), numpys, bytes(torch.get_rng_state().numpy())]
