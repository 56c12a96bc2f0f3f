"""The script that `ray submit` copies to the head of a cluster, copied to a folder of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

SCRIPT = Path(__file__).parents[1] / "docker" / "run_study.py"


@pytest.fixture
def head(tmp_path: Path) -> Path:
    shutil.copy(SCRIPT, tmp_path)
    study = {"name": "small", "trainable": "simulated", "recipe": {"epochs": 2}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    return tmp_path


def submitted(head: Path, *words: str, path: str | None = None) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, *(["-S"] if path == "" else []), str(head / "run_study.py"), *words],
        cwd="/",
        env={**os.environ, **({} if path is None else {"PYTHONPATH": path})},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stderr


def test_paths_start_from_where_the_script_lies(head: Path) -> None:
    code, said = submitted(head, "study.yaml", "--address", "none", "--no-report")
    assert code == 0, said
    assert (head / "runs/small/study.yaml").exists()


def test_what_the_head_lacks(head: Path) -> None:
    code, said = submitted(head, "other.yaml")
    assert code == 1
    assert said.startswith("run_study: other.yaml: not on the head")
    assert "ray rsync-up docker/cluster.yaml other.yaml other.yaml" in said
    code, said = submitted(head)
    assert (code, said.count("\n")) == (1, 1)
    # Without any installed library, these packages are not there either.
    code, said = submitted(head, "study.yaml", path="")
    assert code == 1
    assert "scalestudy is not installed on the head" in said
