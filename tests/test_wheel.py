"""The built wheel, installed beside no checkout, where neither torch nor Ray can be imported."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("orchestrator", "results", "trainables")
STUDY = """
name: small
trainable: simulated
factors: {model: [a, b], fraction: [1/4, 1]}
recipe: {epochs: 2}
seeds: [0, 1]
"""
WALK = """
import json, runpy, sys
command, commands = sys.argv[1:]
for sys.argv[1:] in json.loads(commands):
    try:
        runpy.run_path(command, run_name="__main__")
    except SystemExit as ended:
        assert not ended.code
import orchestrator, scalestudy
print(orchestrator.__file__, len(scalestudy.open("runs/small").trials()))
"""
"""Carries out one command after another, and says where from."""
BUILD = "import setuptools.build_meta as b; b.build_wheel('dist')"
INSTALL = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile")


def followed(folder: Path, *words: object, **environment: str) -> str:
    """Do what Python does with these words in a folder; return what it said."""
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": "", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE", "scalestudy.py"):
        shutil.copy(ROOT / name, folder)
    for package in PACKAGES:
        unwanted = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=unwanted)
    followed(folder, "-c", BUILD)
    (built,) = (folder / "dist").glob("*.whl")
    return built


def test_everything_is_in_it(wheel: Path) -> None:
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    here = {
        str(file.relative_to(ROOT))
        for package in PACKAGES
        for file in (ROOT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert inside == {"scalestudy.py", *here}
    assert {f"{package}/py.typed" for package in PACKAGES} <= inside
    assert any(name.endswith(".yaml") for name in inside)
    assert any("/templates/" in name for name in inside)
    assert "trainables/demo/small-characters.safetensors" in inside


def test_it_plans_runs_and_reports_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    there, folder = tmp_path / "there", tmp_path / "empty"
    folder.mkdir()
    followed(folder, *INSTALL, "--target", there, wheel)
    for absent in ("torch", "torchvision", "ray"):
        (there / f"{absent}.py").write_text(f"raise ImportError('no {absent} here')\n")
    # Libraries are where they are; `-S` leaves out what points from there to a checkout.
    path = os.pathsep.join([str(there), sysconfig.get_path("purelib")])

    def installed(*words: object) -> str:
        return followed(folder, "-S", *words, PYTHONPATH=path)

    command = there / "bin" / "scalestudy"
    (folder / "study.yaml").write_text(STUDY)
    planned = installed(command, "plan", "study.yaml", "--json")
    assert json.loads(planned)["trials"]["new"] == 8
    commands = [
        ["init", "demo.yaml", "--preset", "demo"],
        ["run", "study.yaml", "--address", "none", "--no-report"],
        ["report", "runs/small"],
    ]
    said = installed("-c", WALK, command, json.dumps(commands))
    assert said.splitlines()[-1] == f"{there / 'orchestrator' / '__init__.py'} 8"
    assert (folder / "demo.yaml").exists()
    assert (folder / "runs/small/report/index.html").stat().st_size > 10_000
