"""Any value for any key of what a learner of a user's own answers: only that trial may fail."""

from pathlib import Path

import pandas as pd
import pytest
from harness import table

import results
from orchestrator.run.runner import run_study
from orchestrator.study.study import study_from
from results.store.store import Store


def study(seeds: int, first: int) -> dict[str, object]:
    return {
        "name": "contract",
        "trainable": "campaign.own:Fuzzed",
        "data": {"source": "digits"},
        "factors": {"model": ["sound", "fuzzed"], "fraction": [1]},
        "recipe": {"epochs": 2},
        "seeds": [first + number for number in range(seeds)],
    }


@pytest.mark.parametrize(
    ("seeds", "studies"),
    [(12, 1), pytest.param(100, 10, marks=[pytest.mark.long, pytest.mark.timeout(3600)])],
    ids=["few", "many"],
)
def test_only_the_trial_that_answers_wrongly_may_fail(
    seeds: int, studies: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = 0
    for number in range(studies):
        out = tmp_path / str(number)
        declared = study_from(study(seeds, number * seeds))
        summary = run_study(declared, out, address="none")
        trials = Store(out).read("trials").to_pandas().set_index("model")
        assert set(trials.loc["sound"].status) == {"completed"}
        assert set(trials.loc["fuzzed"].status) <= {"completed", "failed"}
        wrong = trials[trials.status == "failed"]
        assert wrong.error.str.contains("Fuzzed").all()
        assert summary.counts == trials.status.value_counts().to_dict()
        failed += len(wrong)
        assert Store(out).problems() == []
        # Whoever failed, the others' rows are those of a study that nobody disturbs.
        monkeypatch.setenv("FUZZED", "no")
        run_study(declared, tmp_path / f"{number}-whole", address="none")
        monkeypatch.delenv("FUZZED")
        ours, theirs = (
            table(place, "epochs").query("model == 'sound'").reset_index(drop=True)
            for place in (out, tmp_path / f"{number}-whole")
        )
        pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
        # What was recorded of any answer can be read, and said.
        run = results.open(out)
        assert len(run.summary()) == 2
        assert str(run.answer().headline)
    assert failed > seeds * studies // 4
    print(f"\n{studies * seeds} fuzzed trials, {failed} failed")
