"""Who loads torch's compiler."""

import os
import subprocess
import sys
from pathlib import Path

_MADE = """
import sys
from pathlib import Path

from digit_trials import make_trial, start

recipe = {"optimizer": "adamw", "clip_norm": 1.0, "precision": "bf16"}
learner = start(make_trial(model="resnet18", recipe=recipe))
"""
_TRAINED = """
learner.step()
learner.save(Path("state"))
again = start(learner._trial)
again.load(Path("state"))
again.step()
again.predictions()
loaded = [name for name in ("torch._dynamo", "torch._inductor", "sympy") if name in sys.modules]
assert "torchvision" in sys.modules and not loaded, loaded

import torch
import torchvision

pooled = torchvision.ops.roi_align(torch.ones(1, 1, 4, 4), [torch.tensor([[0.0, 0, 2, 2]])], 2)
assert pooled.shape == (1, 1, 2, 2)
compiled = torch.compile(lambda values: values + 1, backend="eager")
assert compiled(torch.ones(2)).tolist() == [2.0, 2.0]
assert torch._inductor.config.deterministic
torch._inductor.config.deterministic = False
again.step()
start(learner._trial)
assert torch._inductor.config.deterministic
"""


def test_the_compiler_is_loaded_by_whoever_compiles_alone(tmp_path: Path) -> None:
    folders = ":".join(map(str, (Path(__file__).parent, Path(__file__).parents[2])))
    variables = {**os.environ, "PYTHONPATH": folders, "SCALESTUDY_CACHE": str(tmp_path)}
    # What a model of torchvision comes to is counted once on a machine, with the compiler's help.
    for script in (_MADE, _MADE + _TRAINED):
        words = [sys.executable, "-c", script]
        done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=variables)
        assert not done.returncode, done.stderr
