"""Own modules are found by their files; nothing of them is run."""

import sys
from pathlib import Path

import pytest
from studies import study

from orchestrator.errors import StudyError
from orchestrator.jobs.parcel import own_modules, walked


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


def test_every_place_that_can_name_a_function() -> None:
    declared = study(
        trainable="mine.fast:Learner",
        data={"source": "mine.data:load"},
        factors={"model": ["resnet18", "nets:tiny"]},
    )
    assert declared.functions == ["mine.fast:Learner", "mine.data:load", "nets:tiny"]
    assert study().functions == []


def test_a_module_and_what_it_imports(home: Path) -> None:
    (home / "alpha_m.py").write_text(
        "import os, numpy\nimport beta_m\nraise SystemExit('was run')\n"
    )
    (home / "beta_m.py").write_text("def f():\n    from gamma_m.inner import g\n")
    (home / "gamma_m").mkdir()
    (home / "gamma_m" / "__init__.py").write_text("")
    (home / "gamma_m" / "inner.py").write_text("from . import other_m\n")
    (home / "gamma_m" / "table.csv").write_text("1")
    (home / "gamma_m" / ".hidden").write_text("1")
    (home / "gamma_m" / "__pycache__").mkdir()
    (home / "gamma_m" / "__pycache__" / "inner.pyc").write_text("1")
    (home / "unrelated_m.py").write_text("")
    files, installed = own_modules(["alpha_m:function"])
    assert sorted(files) == [
        "alpha_m.py",
        "beta_m.py",
        "gamma_m/__init__.py",
        "gamma_m/inner.py",
        "gamma_m/table.csv",
    ]
    assert files["beta_m.py"] == home / "beta_m.py"
    # What a module imports and the cluster lacks, the module itself says when it is called.
    assert installed == []


def test_files_that_a_module_reads_beside_it(home: Path) -> None:
    (home / "reads_m.py").write_text('NAMES = open("classes.txt"), "data/more.json", "../up.txt"\n')
    (home / "data").mkdir()
    for name in ("classes.txt", "data/more.json", "other.txt"):
        (home / name).write_text("1")
    (home.parent / "up.txt").write_text("1")
    files, _ = own_modules(["reads_m:function"])
    assert sorted(files) == ["classes.txt", "data/more.json", "reads_m.py"]


def test_a_package_without_init(home: Path) -> None:
    (home / "spaced_m").mkdir()
    (home / "spaced_m" / "nets.py").write_text("")
    assert list(own_modules(["spaced_m.nets:tiny"])[0]) == ["spaced_m/nets.py"]


def test_installed_packages_and_these_stay(home: Path) -> None:
    assert own_modules(["numpy.linalg:norm", "results.store.store:Store", "json:loads"]) == (
        {},
        ["numpy"],
    )


def test_a_module_that_is_not_there(home: Path) -> None:
    with pytest.raises(StudyError, match=r"absent_m:f: no module absent_m .* PYTHONPATH"):
        own_modules(["absent_m:f"])


def test_what_cannot_be_parsed_is_shipped_as_it_is(home: Path) -> None:
    (home / "broken_m.py").write_text("def (")
    assert list(own_modules(["broken_m:f"])[0]) == ["broken_m.py"]


def test_walked_is_in_order(tmp_path: Path) -> None:
    for name in ("b/2.txt", "b/1.txt", "a.txt", ".git/config"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    names = [file.relative_to(tmp_path).as_posix() for file in walked(tmp_path)]
    assert names == ["a.txt", "b/1.txt", "b/2.txt"]
