"""What is asked of a device, where nothing is captured; captures are in tests/fakecuda."""

import random

import torch
from torch import Tensor, nn

from trainables.training.capture import Launches, _in_python


def test_on_the_cpu_a_function_is_called_as_it_is() -> None:
    model = nn.Linear(2, 2)
    launches = Launches(model, torch.optim.SGD(model.parameters()), torch.device("cpu"))
    calls = []

    def double(values: Tensor) -> tuple[Tensor, ...]:
        calls.append(values)
        return (2 * values,)

    with launches.stream():
        found = [launches.run(double, torch.tensor(float(number)))[0] for number in range(5)]
    assert [value.item() for value in found] == [0, 2, 4, 6, 8]
    assert len(calls) == 5
    assert launches.problem == ""


def test_it_is_seen_what_a_model_does_in_python() -> None:
    layer = nn.BatchNorm2d(3)
    model = nn.Sequential(layer)
    before = _in_python(model)
    model(torch.ones(2, 3, 4, 4))
    # Its count of batches is a tensor.
    assert _in_python(model) == before
    random.random()
    drawn = _in_python(model)
    assert drawn != before
    layer.extra_calls = 1  # type: ignore[assignment]
    assert _in_python(model) != drawn
