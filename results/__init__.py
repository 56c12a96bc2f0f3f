"""Results of a study: frames, figures and the report. Needs neither torch nor Ray."""

from results.errors import ResultsError
from results.report import write_report
from results.run import Run, open

__all__ = ["ResultsError", "Run", "open", "write_report"]
