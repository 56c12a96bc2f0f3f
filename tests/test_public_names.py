"""The public names of the packages: other programs rely on them."""

import pytest

import orchestrator
import results
import scalestudy
import trainables


def test_scalestudy() -> None:
    names = ["compare", "load_study", "make_progress", "open", "plan_study", "run_study"]
    assert scalestudy.__all__ == dir(scalestudy) == names
    for name in names:
        owner = results if name in results.__all__ else orchestrator
        assert getattr(scalestudy, name) is getattr(owner, name)


def test_orchestrator() -> None:
    assert orchestrator.__all__ == [
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
    for name in orchestrator.__all__:
        assert getattr(orchestrator, name).__name__ == name


def test_results() -> None:
    assert results.__all__ == [
        "ResultsError",
        "Run",
        "compare",
        "fit_power_law",
        "open",
        "predict_error",
        "write_comparison",
        "write_report",
    ]
    for name in results.__all__:
        assert getattr(results, name).__name__ == name


def test_trainables() -> None:
    assert trainables.__all__ == ["CheckpointError", "Learner", "carve", "draw", "open_dataset"]
    for name in trainables.__all__:
        assert getattr(trainables, name).__name__ == name


def test_nothing_else_can_be_had() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'train'"):
        scalestudy.train  # noqa: B018
    with pytest.raises(AttributeError, match="has no attribute 'train'"):
        orchestrator.train  # noqa: B018
    with pytest.raises(AttributeError, match="has no attribute 'train'"):
        trainables.train  # noqa: B018
