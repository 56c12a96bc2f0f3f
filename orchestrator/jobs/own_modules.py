"""The modules that a study names by `package.module:function`, and what they import beside them.

Found by looking at files; nothing is imported.
"""

import ast
import importlib.util
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

from orchestrator.errors import StudyError
from orchestrator.study.levels import is_function
from orchestrator.study.study import Study

OURS = ("orchestrator", "trainables", "results")
_INSTALLED = {"site-packages", "dist-packages"}
_LEFT = {"__pycache__", "node_modules"}


def references(study: Study) -> list[str]:
    """Return every `package.module:function` that a study names."""
    named = [study.trainable, study.data.source, *map(str, study.factors["model"])]
    return [name for name in dict.fromkeys(named) if is_function(name)]


def own_modules(names: Iterable[str]) -> tuple[dict[str, Path], list[str]]:
    """Find the files of a user's own modules.

    Parameters
    ----------
    names
        Each `package.module:function`.

    Returns
    -------
    Files by their place under a folder on the module search path, and the names of installed
    packages among those asked for: whoever runs the study needs them too.

    Raises
    ------
    StudyError
        A module cannot be found from here.
    """
    files: dict[str, Path] = {}
    installed: list[str] = []
    waiting = [(name.partition(":")[0].partition(".")[0], name) for name in names]
    seen = set(OURS) | sys.stdlib_module_names
    while waiting:
        top, name = waiting.pop()
        if top in seen:
            continue
        seen.add(top)
        spec = _spec(top)
        if spec is None:
            if not name:
                # Imported by a module, perhaps only where it is there.
                continue
            raise StudyError(
                f"{name}: no module {top} on the search path here; is its folder on PYTHONPATH?"
            )
        if _is_installed(spec):
            installed += [top] if name else []
            continue
        found = dict(_files(top, spec))
        files |= found
        waiting += [
            (used, "") for file in found.values() if file.suffix == ".py" for used in _imports(file)
        ]
    return files, installed


def _spec(top: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None


def _is_installed(spec: ModuleSpec) -> bool:
    if spec.origin in ("built-in", "frozen"):
        return True
    places = [spec.origin] if spec.origin else list(spec.submodule_search_locations or ())
    standard = Path(sysconfig.get_path("stdlib"))
    return any(
        _INSTALLED & set(Path(place).parts) or Path(place).is_relative_to(standard)
        for place in places
    )


def _files(top: str, spec: ModuleSpec) -> Iterator[tuple[str, Path]]:
    """Yield the files of one top-level module or package, and their places."""
    if spec.submodule_search_locations is None:
        file = Path(spec.origin or "")
        yield file.name, file
        return
    for root in map(Path, spec.submodule_search_locations):
        for file in walked(root):
            yield f"{top}/{file.relative_to(root).as_posix()}", file


def walked(folder: Path) -> Iterator[Path]:
    """Yield the files under a folder in order, without hidden ones and what Python leaves."""
    for entry in sorted(folder.iterdir()):
        if entry.name[0] == "." or entry.name in _LEFT or entry.suffix == ".pyc":
            continue
        if entry.is_dir():
            yield from walked(entry)
        elif entry.is_file():
            yield entry


def _imports(file: Path) -> set[str]:
    """Return the top-level names that a module imports, wherever in it."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        # It says so itself, once it is called.
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names
