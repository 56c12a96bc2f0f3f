"""Numbers of successive halving, worked out by hand; stops replayed from records."""

import math
from pathlib import Path
from typing import Any

import pytest

from orchestrator.runner import run_study
from orchestrator.stopping import Race, Stop, cutoff_of
from orchestrator.study import study_from
from results.store import Store


@pytest.mark.parametrize(
    ("values", "factor", "cutoff"),
    [
        ([0.1, 0.2], 3, -math.inf),  # fewer than the factor: nobody is stopped
        ([0.1, 0.2, 0.4], 3, 0.2 + (0.4 - 0.2) / 3),  # position 4/3
        ([0.4, 0.1, 0.2, 0.3], 2, 0.25),  # the median
        ([math.nan, 0.2, 0.4], 3, 0.2 + (0.4 - 0.2) / 3),  # NaN ranks worst
        ([math.nan, math.nan, 0.4], 3, -math.inf),
    ],
)
def test_cutoff(values: list[float], factor: int, cutoff: float) -> None:
    assert cutoff_of(values, factor) == pytest.approx(cutoff)


def test_rungs_and_the_last_epoch() -> None:
    race = Race(grace=1, reduction_factor=3)
    assert [epoch for epoch in range(1, 30) if race.is_rung(epoch)] == [1, 3, 9, 27]
    for value in (0.5, 0.6, 0.7):
        assert race.arrive(1, value, budget=9) is None
    assert race.arrive(1, 0.1, budget=9) == Stop(1, pytest.approx(0.6 + 0.1 / 3))
    assert race.arrive(1, math.nan, budget=9) is not None
    assert race.arrive(2, 0.0, budget=9) is None
    for value in (0.5, 0.6, 0.7, 0.1):
        assert race.arrive(9, value, budget=9) is None


SEARCH: dict[str, Any] = {
    "name": "stops",
    "trainable": "simulated",
    "factors": {"model": ["a", "b"], "fraction": ["1/4", 1]},
    "recipe": {"epochs": 9},
    "search": {"lr": ["1e-2", "1e-3", "1e-4"], "batch_size": [32, 64, 256]},
    "seeds": [0, 1],
}


@pytest.mark.parametrize("compare", ["cell", ["fraction"], []])
def test_every_stop_is_replayed_from_the_records(compare: Any, tmp_path: Path) -> None:
    stopping = {"compare": compare, "grace": 1, "reduction_factor": 3}
    run_study(study_from({**SEARCH, "early_stopping": stopping}), tmp_path, address="none")
    epochs = Store(tmp_path).read("epochs").to_pandas().sort_values("sequence")
    trials = Store(tmp_path).read("trials").to_pandas().set_index("trial_id")
    factors = ["model", "fraction"] if compare == "cell" else compare
    races: dict[Any, Race] = {}
    stops: dict[str, Stop] = {}
    for row in epochs[epochs.stage == "search"].itertuples():
        race = races.setdefault(tuple(getattr(row, f) for f in factors), Race(1, 3))
        stop = race.arrive(row.epoch, row.val_accuracy, budget=9)
        if stop:
            stops[row.trial_id] = stop
    stopped = trials[trials.status == "stopped"]
    assert set(stops) == set(stopped.index)
    assert len(stops) > 4
    for trial_id, row in stopped.iterrows():
        assert stops[str(trial_id)] == Stop(row.stopped_at_epoch, row.stopped_cutoff)


def test_a_race_measures_nothing(tmp_path: Path) -> None:
    race = {key: value for key, value in SEARCH.items() if key != "search"}
    summary = run_study(
        study_from({**race, "early_stopping": {"compare": []}, "seeds": [0, 1]}),
        tmp_path,
        address="none",
    )
    trials = Store(tmp_path).read("trials").to_pandas()
    assert summary.exit_code == 0
    assert set(trials.stage) == {"search"}
    assert not trials.measured.any()
