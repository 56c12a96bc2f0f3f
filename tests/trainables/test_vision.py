"""What torch imports of its compiler."""

import subprocess
import sys
from textwrap import dedent

_UPDATES = """
import sys

import torch

from trainables.models import networks  # noqa: F401
from trainables.recipe import Recipe
from trainables.training.device import prepare
from trainables.training.optimizers import build_optimizer, update

prepare(torch.device("cpu"), 1)
model = torch.nn.Linear(2, 2)
for name in ("adam", "adamw", "sgd"):
    optimizer = build_optimizer(model.parameters(), Recipe(optimizer=name))
    for _ in range(2):
        optimizer.zero_grad(set_to_none=True)
        model(torch.ones(1, 2)).sum().backward()
        update(optimizer)
    optimizer.load_state_dict(optimizer.state_dict())
loaded = [name for name in ("torch._dynamo", "torch._inductor", "sympy") if name in sys.modules]
assert "torchvision" in sys.modules and not loaded, loaded

import torchvision

pooled = torchvision.ops.roi_align(torch.ones(1, 1, 4, 4), [torch.tensor([[0.0, 0, 2, 2]])], 2)
assert pooled.shape == (1, 1, 2, 2)
compiled = torch.compile(lambda values: values + 1, backend="eager")
assert compiled(torch.ones(2)).tolist() == [2.0, 2.0]
assert "torch._dynamo" in sys.modules
assert torch._inductor.config.deterministic
"""


def test_the_compiler_is_loaded_by_whoever_compiles_alone() -> None:
    done = subprocess.run([sys.executable, "-c", dedent(_UPDATES)], capture_output=True, text=True)
    assert not done.returncode, done.stderr
