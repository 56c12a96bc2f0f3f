"""Results of a study: frames, figures and the report. Needs neither torch nor Ray."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from results.errors import ResultsError as ResultsError
    from results.pairs.page import write_comparison as write_comparison
    from results.pairs.pair import compare as compare
    from results.report.page import write_report as write_report
    from results.run import Run as Run
    from results.run import open as open
    from results.statistics.curves import fit_power_law as fit_power_law
    from results.statistics.forecast import predict_error as predict_error

_HOMES = {
    "ResultsError": "errors",
    "Run": "run",
    "compare": "pairs.pair",
    "fit_power_law": "statistics.curves",
    "open": "run",
    "predict_error": "statistics.forecast",
    "write_comparison": "pairs.page",
    "write_report": "report.page",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    # Resolved when asked for: workers import a leaf of this package, and no frames with it.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"results.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'results' has no attribute {name!r}")
