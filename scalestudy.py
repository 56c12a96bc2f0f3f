"""Factor studies for vision models: declare and run them, and read what they found.

What is asked for alone is imported: reading results needs neither torch nor Ray.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator import load_study, make_progress, plan_study, run_study
    from results import compare, open
    from trainables import load_model

_HOMES = {
    "compare": "results",
    "load_model": "trainables",
    "load_study": "orchestrator",
    "make_progress": "orchestrator",
    "open": "results",
    "plan_study": "orchestrator",
    "run_study": "orchestrator",
}

__all__ = [
    "compare",
    "load_model",
    "load_study",
    "make_progress",
    "open",
    "plan_study",
    "run_study",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'scalestudy' has no attribute {name!r}")
