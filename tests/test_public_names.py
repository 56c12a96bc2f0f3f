"""The public names of the packages: other programs rely on them."""

import pytest

import orchestrator
import results
import scalestudy
import trainables


def test_scalestudy() -> None:
    names = ["compare", "load_model", "load_study", "make_progress", "open", "plan_study"]
    names += ["run_study"]
    assert scalestudy.__all__ == dir(scalestudy) == names
    for name in names:
        (owner,) = (each for each in (results, orchestrator, trainables) if name in each.__all__)
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
    names = ["CheckpointError", "Learner", "carve", "draw", "load_model", "open_dataset"]
    assert trainables.__all__ == names
    for name in trainables.__all__:
        assert getattr(trainables, name).__name__ == name


def test_nothing_else_can_be_had() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'train'"):
        scalestudy.train  # noqa: B018
    with pytest.raises(AttributeError, match="has no attribute 'train'"):
        orchestrator.train  # noqa: B018
    with pytest.raises(AttributeError, match="has no attribute 'train'"):
        trainables.train  # noqa: B018
