"""Declare, plan and run studies: `load_study`, `plan_study`, `run_study`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.errors import OrchestratorError, RunError, StudyError
    from orchestrator.plan.plan import Plan, plan_study
    from orchestrator.run.runner import Summary, run_study
    from orchestrator.screen.picture import make_progress
    from orchestrator.study.file import load_study
    from orchestrator.study.study import Study

_HOMES = {
    "OrchestratorError": "errors",
    "Plan": "plan.plan",
    "RunError": "errors",
    "Study": "study.study",
    "StudyError": "errors",
    "Summary": "run.runner",
    "load_study": "study.file",
    "make_progress": "screen.picture",
    "plan_study": "plan.plan",
    "run_study": "run.runner",
}

__all__ = [
    "OrchestratorError",
    "Plan",
    "RunError",
    "Study",
    "StudyError",
    "Summary",
    "load_study",
    "make_progress",
    "plan_study",
    "run_study",
]


def __getattr__(name: str) -> Any:
    # Resolved when asked for, so that the command's help loads nothing.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"orchestrator.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'orchestrator' has no attribute {name!r}")
