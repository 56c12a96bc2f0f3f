"""The doctor on this very machine."""

import json
from pathlib import Path

import pytest
from studies import write
from typer.testing import CliRunner

from orchestrator.commands.app import app
from orchestrator.commands.doctor import examine


@pytest.mark.ray
def test_this_machine(tmp_path: Path) -> None:
    file = write(tmp_path / "s.yaml", {"name": "d", "factors": {"model": ["squeezenet1_1"]}})
    ended = CliRunner().invoke(app, ["doctor", str(file), "--json"])
    found = {check["name"]: check for check in json.loads(ended.stdout)["checks"]}
    assert ended.exit_code == 0, found
    names = {"Python", "torch", "torchvision", "ray", "CUDA", "MPS", "Ray", "devices", "clock"}
    assert names | {"weights", "study", "disk of runs", "disk of temporary files"} == set(found)
    assert "ready in" in found["Ray"]["seen"]
    assert "10 classes" in found["study"]["seen"]


def test_a_cluster_that_is_not_there_and_a_study_without_data(no_ray: None, tmp_path: Path) -> None:
    data = {"source": "imagefolder", "path": "nowhere"}
    file = write(tmp_path / "s.yaml", {"name": "d", "data": data})
    found = {check.name: check for check in examine(file, "127.0.0.1:1")}
    assert (found["Ray"].state, "127.0.0.1:1" in found["Ray"].seen) == ("broken", True)
    assert (found["study"].state, "nowhere" in found["study"].seen) == ("broken", True)
