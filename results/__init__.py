"""Results of a study: frames, figures and the report. Needs neither torch nor Ray."""

from results.errors import ResultsError
from results.pairs.comparison import compare, write_comparison
from results.report.report import write_report
from results.run import Run, open

__all__ = ["ResultsError", "Run", "compare", "open", "write_comparison", "write_report"]
