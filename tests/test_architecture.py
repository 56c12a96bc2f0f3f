"""Import directions, seen in the source and in a running interpreter."""

import ast
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from setuptools import find_packages

from results.records import RECIPE_COLUMNS
from trainables.recipe import Recipe

ROOT = Path(__file__).parents[1]
PACKAGES = ("orchestrator", "trainables", "results")
FORBIDDEN = {
    "results": {"torch", "torchvision", "ray", "orchestrator", "trainables"},
    "trainables": {"orchestrator"},
}
LEAVES = {
    *("results.errors", "results.phrases", "results.metric", "results.ranking", "results.records"),
    *("results.store.files", "results.store.objects"),
}
"""What trainables may import of results; each imports nothing else of ours but the others."""
ROOMS = {
    "orchestrator": "errors study placement ledger plan drivers run screen jobs commands",
    "results": "errors records ranking phrases metric store statistics analysis findings answer "
    "figures run report pairs",
    "trainables": "errors functions machine vision recipe trial data models demo training work "
    "measure",
}
"""Folders and modules at the top of each package: each may import those to its left."""


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def name_of(file: Path) -> str:
    """Return a module's dotted name; a package's file stands for the package."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


ALL = {name_of(file): file for package in PACKAGES for file in modules(package)}
FRONT = ROOT / "scalestudy.py"
"""What users import: it hands on names of the packages, none of which knows of it."""


def imported(file: Path) -> set[str]:
    """Return the names of all that a module imports: in functions and for types alike.

    `from a import b` is an import of `a.b` where that is a module of ours, else of `a`.
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: imports are absolute"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in ALL else str(node.module) for name in inner}
    return names


def top(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_directions(package: str) -> None:
    assert modules(package)
    for file in modules(package):
        assert not top(imported(file)) & FORBIDDEN[package], file.name


def test_the_front_hands_on_and_is_not_imported() -> None:
    assert top(imported(FRONT)) == {"typing", "importlib", *PACKAGES}
    assert imported_at_once(FRONT) == {"typing"}
    for file in ALL.values():
        assert "scalestudy" not in top(imported(file)), file.name


def test_leaves_of_results_are_all_that_trainables_import() -> None:
    for file in modules("trainables"):
        assert {name for name in imported(file) if name.startswith("results")} <= LEAVES, file.name
    for leaf in LEAVES:
        assert imported(ALL[leaf]) & ALL.keys() <= LEAVES, leaf


def test_ray_is_imported_where_it_belongs() -> None:
    for file in modules("trainables"):
        assert ("ray" in top(imported(file))) == (file.name == "actor.py"), file.name
    users = {file.stem for file in modules("orchestrator") if "ray" in top(imported(file))}
    assert users == {"connection", "ray_private", "dashboard", "tuner", "survey", "tracking"}


def test_lazy_imports_and_those_for_types_are_seen(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import results.run\n"
        "def late():\n    from results import errors\n    import ray.tune\n"
    )
    assert imported(file) == {"typing", "results.run", "results.errors", "ray.tune"}


def circles(needs: dict[str, set[str]]) -> list[set[str]]:
    """Return the groups of names that need each other, whatever the way."""
    reached = {name: set(others) for name, others in needs.items()}
    for between in needs:
        for others in reached.values():
            if between in others:
                others |= reached[between]
    groups: list[set[str]] = []
    for name, others in reached.items():
        if name in others and not any(name in group for group in groups):
            groups.append({other for other in others if name in reached[other]})
    return groups


def test_circles_are_seen() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [{"b", "c"}]


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    needs = {name: (imported(file) & ALL.keys()) - {name} for name, file in ALL.items()}
    assert circles(needs) == []


def room(name: str) -> str:
    """Return the folder that a module lies in, or its own name at the top of a package."""
    return name.split(".")[1] if "." in name else ""


def test_folders_import_what_lies_below_them() -> None:
    upward = set()
    for name, file in ALL.items():
        package = name.partition(".")[0]
        order = ROOMS[package].split()
        for other in imported(file) & ALL.keys():
            # The packages' own files hand out what lies above.
            if not other.startswith(f"{package}.") or room(name) in ("", "__main__"):
                continue
            if order.index(room(other)) > order.index(room(name)):
                upward.add((name, other))
    assert upward == set()


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


# What of trainables needs torch, or a module that does, as soon as it is imported.
HEAVY = {
    "training.capture",
    "training.classifier",
    "training.features",
    "training.losses",
    "training.mixing",
    "training.norms",
    "training.device",
    "training.network",
    "training.optimizers",
    "training.parallel",
    "training.places",
}
HEAVY |= {f"models.{name}" for name in ("networks", "taps", "weights", "tensors", "matching")}
HEAVY.add("models.exported")
HEAVY |= {f"models.{name}" for name in ("published", "own", "rehearsal", "timm_models")}
HEAVY |= {"data.batches", "demo", "demo.nets", "work.actor", "measure.probe", "measure.proof"}
HEAVY.add("vision")


def test_what_plans_and_simulates_is_free_of_torch() -> None:
    heavy = {f"trainables.{name}" for name in HEAVY}
    assert heavy <= ALL.keys()
    for file in modules("trainables"):
        if name_of(file) not in heavy:
            found = imported_at_once(file)
            assert not top(found) & {"torch", "torchvision"}, file.name
            assert not found & heavy, file.name
    # These alone are imported only once Ray is wanted.
    late = {"tuner", "survey", "tracking"}
    for file in [file for file in modules("orchestrator") if file.stem not in late]:
        assert not imported_at_once(file) & heavy, file.name


def test_torchvision_is_first_imported_in_one_place() -> None:
    users = [file for file in modules("trainables") if "torchvision" in top(imported_at_once(file))]
    assert [file.stem for file in users] == ["vision"]


def test_packages_are_found_and_are_these_three() -> None:
    made = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = set(find_packages(str(ROOT), **made["tool"]["setuptools"]["packages"]["find"]))
    assert {name.partition(".")[0] for name in found} == set(PACKAGES)
    assert {name.rpartition(".")[0] for name in ALL} - {""} <= found
    assert made["tool"]["setuptools"]["py-modules"] == [FRONT.stem]
    assert made["project"]["name"] == "scalestudy"
    assert made["project"]["scripts"] == {"scalestudy": "orchestrator.commands.app:command"}


def test_modules_are_short_and_few_in_a_folder() -> None:
    named = [file for file in ALL.values() if file.name not in ("__init__.py", "__main__.py")]
    for file in named:
        assert len(file.read_text().splitlines()) <= 400, file.name
    assert max(Counter(file.parent for file in named).values()) <= 16


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        (
            "import results",
            {"torch", "ray", "trainables", "orchestrator", "matplotlib", "scipy.stats"},
        ),
        ("import results; results.open, results.write_report", {"torch", "ray"}),
        ("import scalestudy", {"torch", "ray", "pandas", *PACKAGES}),
        ("import scalestudy; scalestudy.open, scalestudy.compare", {"torch", "ray"}),
        (
            "import results.errors, results.ranking, results.store.objects",
            {"torch", "ray", "pandas", "matplotlib", "trainables", "orchestrator"},
        ),
        ("import trainables; trainables.Learner, trainables.CheckpointError", {"torch", "pandas"}),
        ("import orchestrator.commands.app", {"torch", "ray", "pyarrow", "pandas", "matplotlib"}),
        (
            "import orchestrator.study.study, orchestrator.screen.picture",
            {"torch", "ray", "torchvision", "scipy.stats"},
        ),
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
