"""The public names of the packages: other programs rely on them."""

import orchestrator
import results


def test_orchestrator() -> None:
    assert orchestrator.__all__ == [
        "OrchestratorError",
        "Plan",
        "RunError",
        "Study",
        "StudyError",
        "Summary",
        "load_study",
        "plan_study",
        "run_study",
    ]
    for name in orchestrator.__all__:
        assert getattr(orchestrator, name).__name__ == name


def test_results() -> None:
    for name in results.__all__:
        assert hasattr(results, name)
    assert {"Run", "ResultsError", "open", "write_report"} <= set(results.__all__)
