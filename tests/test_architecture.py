"""Import directions, seen in the source and in a running interpreter."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from results.records import RECIPE_COLUMNS
from trainables.recipe import Recipe

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "results": {"torch", "torchvision", "ray", "orchestrator", "trainables"},
    "trainables": {"orchestrator", "results"},
}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(file: Path) -> set[str]:
    """Return the top-level packages that a module imports, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_directions(package: str) -> None:
    assert modules(package)
    for file in modules(package):
        assert not imported(file) & FORBIDDEN[package], file.name


def test_ray_is_imported_by_the_actor_alone() -> None:
    for file in modules("trainables"):
        assert ("ray" in imported(file)) == (file.name == "actor.py"), file.name


def test_modules_are_short() -> None:
    for package in ("orchestrator", "trainables", "results"):
        for file in modules(package):
            assert len(file.read_text().splitlines()) <= 420, file.name


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import results", {"torch", "ray", "trainables", "orchestrator"}),
        ("import results; results.open, results.write_report", {"torch", "ray"}),
        ("import orchestrator.cli", {"torch", "ray", "pyarrow", "pandas", "matplotlib"}),
        ("import orchestrator.study, orchestrator.view", {"torch", "ray", "torchvision"}),
    ],
)
def test_what_an_import_leaves_out(code: str, absent: set[str]) -> None:
    shown = f"{code}; import sys; print(*sorted({absent!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", shown], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.split() == []


def test_every_recipe_field_has_its_column() -> None:
    assert list(RECIPE_COLUMNS) == list(Recipe.model_fields)
