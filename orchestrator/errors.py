"""What can go wrong outside a trial.

OrchestratorError
├── StudyError        a study file, a key or a flag that cannot be meant; exit code 2
└── RunError          a sound study that cannot go on (lock, disk, cluster); exit code 1
"""


class OrchestratorError(Exception):
    """Base of all errors of this package; the message says what, where and what to do."""

    exit_code = 1


class StudyError(OrchestratorError):
    """A study file, a key or a flag that cannot be meant."""

    exit_code = 2


class RunError(OrchestratorError):
    """A sound study that cannot go on."""


def first_line(error: Exception) -> str:
    """Return the line that says it, of an error that may hold a page of traceback."""
    text = str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if "Traceback" in text else lines[0]) if lines else type(error).__name__
