"""One precision for a study: settled by its weakest device, and kept by later passes."""

from pathlib import Path
from typing import Any

import pytest
from studies import a_ledger

from orchestrator.errors import RunError
from orchestrator.placement import precision
from orchestrator.placement.placer import Placer
from orchestrator.placement.precision import is_left_open, settled
from orchestrator.placement.shares import Node
from orchestrator.plan.plan import plan_study
from orchestrator.run.events import Progress
from orchestrator.run.runner import run_study
from orchestrator.study.study import study_from
from results.store.store import Store
from trainables.training import device

WHOLE = "in the whole study"


@pytest.mark.parametrize(
    ("recorded", "natives", "precision", "said"),
    [
        (None, {"A100": True, "H100": True}, "bf16", ""),
        (None, {"T4": False}, "fp32", ""),
        (None, {"A100": True, "T4": False}, "fp32", f"fp32 {WHOLE}; without bf16: T4"),
        (None, {}, "fp32", f"fp32 {WHOLE}; no device is there yet to tell"),
        ("fp32", {"T4": False}, "fp32", ""),
        ("fp32", {"A100": True}, "fp32", f"fp32 {WHOLE}, as so far; all devices here compute bf16"),
        ("bf16", {"A100": True}, "bf16", ""),
    ],
)
def test_the_weakest_gpu_decides_unless_trials_are_recorded(
    recorded: Any, natives: dict[str, bool], precision: str, said: str
) -> None:
    said = said and f"precision: auto is {said}"
    assert settled(recorded, natives, on_gpu=True) == (precision, said)


def test_a_gpu_that_cannot_go_on_is_refused_and_a_cpu_is_named() -> None:
    unable = dict.fromkeys("dcba", False)
    with pytest.raises(RunError, match=r"as so far; without bf16: a, b, c, …, .* another --out"):
        settled("bf16", unable, on_gpu=True)
    slow = f"precision: auto is bf16 {WHOLE}, as so far; without bf16: a, b, c, …"
    assert settled("bf16", unable, on_gpu=False) == ("bf16", slow)


def test_where_bf16_was_settled_no_other_kind_of_gpu_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    factors = {"model": ["trainables.demo:small"], "fraction": ["1/16"]}
    declared = study_from({"name": "kinds", "factors": factors, "resources": {"gpu": 1}})
    monkeypatch.setattr(device, "gpu_natives", lambda: {"A100": True})
    ledger = a_ledger(declared, tmp_path / "run")
    placer, trial = Placer(declared, ledger.inputs), ledger.left()[0].trial
    placer.meet([Node("one", 8.0, 1.0, "A100")])
    assert placer.share(trial).kind == ""
    placer.settle(None, print)
    assert placer.share(trial).kind == "A100"


@pytest.mark.parametrize("algorithm", ["grid", "optuna"])
def test_recipes_that_are_not_proposed_yet_count(algorithm: str) -> None:
    search = {"lr": [1e-2, 1e-3], "algorithm": algorithm}
    assert is_left_open(study_from({"name": "sought", "search": search}))
    stated = {"name": "sought", "search": search, "recipe": {"precision": "fp32"}}
    assert not is_left_open(study_from(stated))


class Notes(Progress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def test_a_later_pass_on_another_machine_keeps_the_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values: dict[str, Any] = {
        "name": "moved",
        "factors": {"model": ["trainables.demo:small"], "fraction": ["1/16"]},
        "recipe": {"epochs": 1, "batch_size": 16, "image_size": 16},
        "resources": {"gpu": 0},
        "early_stopping": "none",
    }
    out, first, both = tmp_path / "run", study_from(values), study_from({**values, "seeds": [0, 1]})
    before, notes = plan_study(both, out), Notes()
    for computes, study in ((True, first), (False, both)):
        monkeypatch.setattr(precision, "cpu_computes_bf16", lambda able=computes: able)
        run_study(study, out, address="none", progress=notes)
        (said,) = [one for one in notes.said if "precision" in one] or [""]
        assert ("is bf16 in the whole study, as so far; without bf16: the CPU" in said) != computes
        if computes:
            monkeypatch.setattr(precision, "cpu_computes_bf16", lambda: False)
            findings = {each.code: each.evidence for each in plan_study(both, out).findings}
            assert "auto is bf16 in" in findings["one-precision"]
    trials = Store(out).read("trials").to_pylist()
    assert {row["resolved_precision"] for row in trials} == {"bf16"}
    # Names do not tell the precision that `auto` comes to.
    assert {row["trial_id"] for row in trials} == before.ledger.stages.wanted.keys()
