"""What the doctor makes of plain facts, and of this very machine."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from studies import write
from typer.testing import CliRunner

from orchestrator.commands import doctor as checks
from orchestrator.commands.app import app
from orchestrator.commands.doctor import Check, State, examine


@pytest.mark.ray
def test_this_machine(tmp_path: Path) -> None:
    file = write(tmp_path / "s.yaml", {"name": "d", "factors": {"model": ["squeezenet1_1"]}})
    ended = CliRunner().invoke(app, ["doctor", str(file), "--json"])
    found = {check["name"]: check for check in json.loads(ended.stdout)["checks"]}
    assert ended.exit_code == 0, found
    names = {
        "torch",
        "torchvision",
        "ray",
        "CUDA",
        "Ray",
    }
    assert names | {"study", "disk of runs", "disk of temporary files"} == set(found)
    assert "ready in" in found["Ray"]["seen"]
    assert "10 classes" in found["study"]["seen"]


def test_a_cluster_that_is_not_there_and_a_study_without_data(no_ray: None, tmp_path: Path) -> None:
    data = {"source": "imagefolder", "path": "nowhere"}
    file = write(tmp_path / "s.yaml", {"name": "d", "data": data})
    found = {check.name: check for check in examine(file, "127.0.0.1:1")}
    assert (found["Ray"].state, "127.0.0.1:1" in found["Ray"].seen) == ("broken", True)
    assert "check --address" in found["Ray"].advice
    assert (found["study"].state, "nowhere" in found["study"].seen) == ("broken", True)


@pytest.mark.parametrize(
    ("check", "state", "word"),
    [
        (checks.package_check("no_such_library", {}), "broken", "pip install"),
        (checks.package_check("numpy", {}), "ok", ""),
        (checks.cuda_check(["H100"], "580.1", None, "driver 580"), "ok", ""),
        # In a container without nvidia-smi.
        (checks.cuda_check(["H100"], None, None, "driver 580"), "ok", ""),
        (
            checks.cuda_check([], "570.1", "built without CUDA", ""),
            "broken",
            "a torch that is built",
        ),
        (checks.cuda_check([], None, "the driver is too old", ""), "broken", "update the driver"),
        (checks.cuda_check([], None, "Found no NVIDIA driver", ""), "ok", ""),
        (checks.cuda_check(["A100 MIG 1g.5gb"], None, None, ""), "warning", "lists all"),
    ],
)
def test_verdicts(check: Check, state: str, word: str) -> None:
    assert check.state == state
    assert word in check.advice
    assert bool(check.advice) == (check.state is not State.OK)
    assert check.seen


@pytest.mark.parametrize(
    ("gib", "state"), [(100, State.OK), (1, State.WARNING), (0.25, State.BROKEN)]
)
def test_a_disk_that_is_nearly_full(
    gib: float, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(free=int(gib * 2**30))
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: usage)
    found = checks.disk_check("disk", tmp_path / "not" / "there" / "yet")
    assert found.state == state
    assert ("make room" in found.advice) == (state is not State.OK)
    assert list(tmp_path.iterdir()) == []
