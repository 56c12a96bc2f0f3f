"""Functions and classes of a user's own, named as package.module:function in a study."""

import contextlib
import functools
import importlib
import re
import sys
import sysconfig
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any


def is_function(name: str) -> bool:
    """Return whether a name has the form package.module:function."""
    # timm's names, such as timm:vit_tiny_patch16_224.augreg_in21k, may hold dots.
    return re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*|timm:\w[\w.]*", name) is not None


_folders: list[str] = []


def own_folders() -> tuple[str, ...]:
    """Return the folders that were given to `see_modules`, by default the working folder."""
    return tuple(_folders or [str(Path.cwd())])


def see_modules(folders: Sequence[str]) -> None:
    """Fix the order in which modules are looked for in this process.

    It is the standard library, these packages, the first of the folders, which is the study's, what
    is installed, and the last of them, the working folder.
    """
    _folders[:] = folders
    root, library = Path(__file__).parents[1], Path(sysconfig.get_path("stdlib"))
    zipped = f"python{sys.version_info.major}{sys.version_info.minor}.zip"
    inner = (library, library / "lib-dynload")
    standard = [place for place in sys.path if Path(place) in inner or Path(place).name == zipped]
    # Installed, they stay where they are: no study's folder hides them once they are imported.
    ours = [] if root.name in ("site-packages", "dist-packages") else [str(root)]
    rest = [place for place in sys.path if place and place != folders[-1]]
    sys.path[:] = dict.fromkeys([*standard, *ours, folders[0], *rest, folders[-1]])


def places_of(name: str) -> list[str]:
    """Return every place that holds a top-level module of a name, the one that is taken first."""
    places = [place for place in sys.path if PathFinder.find_spec(name, [place])]
    built_in = ["Python itself"] if name in sys.builtin_module_names else []
    return list(dict.fromkeys([*built_in, *places]))


def own_output() -> contextlib.AbstractContextManager[object]:
    """Return a context in which what a user's code prints goes to standard error."""
    return contextlib.redirect_stdout(sys.stderr)


def load_function(name: str) -> Callable[..., Any]:
    """Return what `package.module:function` names, made quiet; ImportError says what is missing."""
    module_name, _, function_name = name.partition(":")
    if not module_name or not function_name:
        raise ImportError(f"{name} is not of the form package.module:function")
    try:
        with own_output():
            module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # the user's code, which may raise anything
        why = f"{module_name} of {name} cannot be imported ({type(error).__name__}: {error})"
        raise ImportError(f"{why}; is its folder on PYTHONPATH?") from error
    function: Callable[..., Any] | None = getattr(module, function_name, None)
    if not callable(function):
        names = [key for key, value in vars(module).items() if callable(value)]
        near = get_close_matches(function_name, names, n=1)
        hint = f"; {near[0]} is there" if near else ""
        is_double = len(places_of(module_name.partition(".")[0])) > 1
        where = f" ({module.__file__})" if is_double else ""
        raise ImportError(f"{module_name}{where} has no function {function_name}{hint}")

    @functools.wraps(function)
    def quiet(*args: Any, **kwargs: Any) -> Any:
        try:
            with own_output():
                return function(*args, **kwargs)
        except SystemExit as end:
            # The process is not the function's to end.
            raise RuntimeError(f"it called sys.exit({end.code})") from end

    return quiet
