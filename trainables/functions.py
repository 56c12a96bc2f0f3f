"""Functions and classes of a user's own, named as package.module:function in a study."""

import contextlib
import functools
import importlib
import re
import sys
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any


def is_function(name: str) -> bool:
    """Return whether a name has the form package.module:function."""
    # timm's names, such as timm:vit_tiny_patch16_224.augreg_in21k, may hold dots.
    return re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*|timm:\w[\w.]*", name) is not None


def own_output() -> contextlib.AbstractContextManager[object]:
    """Return a context in which what a user's code prints goes to standard error.

    Standard output may be one document that a program reads.
    """
    return contextlib.redirect_stdout(sys.stderr)


def load_function(name: str) -> Callable[..., Any]:
    """Return the function that `package.module:function` names; what it prints is no output.

    Raises ImportError, which says whether the module or the function is missing.
    """
    module_name, _, function_name = name.partition(":")
    if not module_name or not function_name:
        raise ImportError(f"{name} is not of the form package.module:function")
    try:
        with own_output():
            module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # the user's code, which may raise anything
        raise ImportError(
            f"{module_name} of {name} cannot be imported ({type(error).__name__}: {error}); "
            "is its folder on PYTHONPATH?"
        ) from error
    function: Callable[..., Any] | None = getattr(module, function_name, None)
    if not callable(function):
        names = [key for key, value in vars(module).items() if callable(value)]
        near = get_close_matches(function_name, names, n=1)
        hint = f"; {near[0]} is there" if near else ""
        raise ImportError(f"{module_name} has no function {function_name}{hint}")

    @functools.wraps(function)
    def quiet(*args: Any, **kwargs: Any) -> Any:
        try:
            with own_output():
                return function(*args, **kwargs)
        except SystemExit as end:
            # The process is not the function's to end.
            raise RuntimeError(f"it called sys.exit({end.code})") from end

    return quiet
