"""Results of a study: frames, figures and the report. Needs neither torch nor Ray."""

from results.comparison import compare, write_comparison
from results.errors import ResultsError
from results.report import write_report
from results.run import Run, open

__all__ = ["ResultsError", "Run", "compare", "open", "write_comparison", "write_report"]
