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
