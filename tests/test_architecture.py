"""Import directions, seen in the source and in a running interpreter."""

import ast
import subprocess
import sys
import tomllib
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


def test_ray_is_imported_where_it_belongs() -> None:
    for file in modules("trainables"):
        assert ("ray" in imported(file)) == (file.name == "actor.py"), file.name
    users = {file.stem for file in modules("orchestrator") if "ray" in imported(file)}
    assert users == {"adaptors", "connection", "dashboard", "engine", "survey", "tracking"}


def imported_at_once(file: Path) -> set[str]:
    """Return the modules that are imported with a module, not within its functions."""
    names: set[str] = set()
    blocks: list[ast.AST] = [ast.parse(file.read_text())]
    while blocks:
        for node in ast.iter_child_nodes(blocks.pop()):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module)
            elif isinstance(node, ast.If | ast.Try | ast.With | ast.ClassDef):
                is_for_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(
                    node.test
                )
                blocks.extend([] if is_for_types else [node])
    return names


TORCH_FREE = {"recipe", "source", "trial", "errors", "functions", "learner", "simulated", "job"}
TORCH_FREE |= {"checkpoints", "folders", "splits", "cache", "footprint", "pace"}


def test_what_plans_and_simulates_is_free_of_torch() -> None:
    for name in TORCH_FREE:
        top = {
            module.partition(".")[0] for module in imported_at_once(ROOT / f"trainables/{name}.py")
        }
        assert not top & {"torch", "torchvision"}, name
    # These alone are imported only once Ray is wanted.
    late = {"engine", "survey", "tracking"}
    for file in [file for file in modules("orchestrator") if file.stem not in late]:
        assert not {
            module
            for module in imported_at_once(file)
            if module.startswith("trainables.") and module.split(".")[1] not in TORCH_FREE
        }, file.name


@pytest.mark.parametrize("package", ["orchestrator", "trainables", "results"])
def test_modules_do_not_import_each_other_in_a_circle(package: str) -> None:
    names = {f"{package}.{file.stem}": file for file in (ROOT / package).glob("*.py")}
    needs = {name: imported_at_once(file) & names.keys() for name, file in names.items()}
    while needs:
        free = {name for name, others in needs.items() if not others & needs.keys()}
        assert free, f"a circle among {sorted(needs)}"
        for name in free:
            del needs[name]


def test_packages_are_these_three() -> None:
    made = tomllib.loads((ROOT / "pyproject.toml").read_text())
    names = {name.partition(".")[0] for name in made["tool"]["setuptools"]["packages"]}
    assert names == {"orchestrator", "trainables", "results"}
    assert made["project"]["name"] == "scalestudy"
    assert made["project"]["scripts"] == {"scalestudy": "orchestrator.cli:main"}


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
