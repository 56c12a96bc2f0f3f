"""Passes on a real Ray: the same rows as without it, and faults that are survived."""

import os
import signal
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import ray
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from orchestrator.errors import RunError
from orchestrator.ledger.history import COMPARED
from orchestrator.ledger.passes import Pass
from orchestrator.plan.plan import plan_study
from orchestrator.run.runner import Summary, run_study
from orchestrator.study.study import Study, study_from
from results.store.store import Store
from trainables.work.actor import Actor
from trainables.work.reports import Task

pytestmark = pytest.mark.ray

SIMULATED: dict[str, Any] = {
    "name": "engine",
    "trainable": "simulated",
    "factors": {"model": ["a", "b"], "weights": ["none", "big"], "fraction": ["1/4", 1]},
    "recipe": {"epochs": 3},
    "seeds": [0, 1],
}
FAULTY: dict[str, Any] = {
    "name": "faulty",
    "factors": {"model": ["a"], "fraction": [1]},
    "recipe": {"epochs": 4},
    "seeds": [0, 1, 2],
    "checkpoint_seconds": 0,
}


def study(**values: Any) -> Study:
    return study_from({**SIMULATED, **values})


def table(out: Path, name: str, columns: list[str]) -> pd.DataFrame:
    rows = Store(out).read(name).to_pandas()
    keys = [key for key in ("trial_id", "epoch") if key in rows]
    return rows.sort_values(keys)[[*keys, *columns]].reset_index(drop=True)


def faulty(trainable: str, **values: Any) -> Study:
    return study_from({**FAULTY, "trainable": f"faulty:{trainable}", **values})


def run_faulty(trainable: str, out: Path, **values: Any) -> tuple[Summary, pd.DataFrame]:
    summary = run_study(faulty(trainable, **values), out)
    return summary, Store(out).read("trials").to_pandas().set_index("seed")


def test_rows_are_those_of_a_run_without_ray_and_trained_once(
    ray_cluster: Any, tmp_path: Path
) -> None:
    run_study(study(), tmp_path / "ray")
    run_study(study(), tmp_path / "here", address="none")
    for name, columns in (("epochs", [*COMPARED]), ("trials", ["status", "final_test_accuracy"])):
        ray_rows, here_rows = (table(tmp_path / out, name, columns) for out in ("ray", "here"))
        assert len(ray_rows) == 16 * (3 if name == "epochs" else 1)
        pd.testing.assert_frame_equal(ray_rows, here_rows, check_exact=True)
    # A second run trains nothing.
    store = Store(tmp_path / "ray")
    before, environments = store.read("epochs").to_pandas(), len(store.parts("environments"))
    assert run_study(study(), store.root).exit_code == 0
    pd.testing.assert_frame_equal(store.read("epochs").to_pandas(), before)
    assert len(store.parts("environments")) == environments


def test_what_is_done_meanwhile_is_done_while_the_last_trial_runs(
    ray_cluster: Any, tmp_path: Path
) -> None:
    def fail() -> None:
        found.append(Store(tmp_path).read("trials").to_pandas().status.tolist())
        raise ValueError("training does not depend on it")

    found: list[list[str]] = []
    alone = study(factors={"model": ["a"]}, seeds=[0])
    assert run_study(alone, tmp_path, meanwhile=fail).exit_code == 0
    assert found == [["running"]]


def test_search_measures_every_cell_with_every_seed(ray_cluster: Any, tmp_path: Path) -> None:
    search = {"lr": ["1e-2", "1e-3", "1e-4"], "batch_size": [32, 256]}
    summary = run_study(study(search=search, recipe={"epochs": 9}), tmp_path)
    assert summary.exit_code == 0
    trials = Store(tmp_path).read("trials").to_pandas()
    measured = trials[trials.measured]
    assert (measured.groupby(["model", "weights", "fraction"]).seed.nunique() == 2).all()
    assert len(measured) == 8 * 2
    assert (measured.status == "completed").all()
    stopped = trials[trials.status == "stopped"]
    assert len(stopped) > 0
    assert (stopped.stage == "search").all()
    assert set(stopped.stopped_at_epoch) <= {1, 3}


def test_places_are_parts_of_a_gpu(ray_cluster: Any, tmp_path: Path) -> None:
    run_study(study(resources={"cpu": 1, "gpu": "1/2"}), tmp_path)
    trials = Store(tmp_path).read("trials").to_pandas()
    # The last four have a GPU each.
    assert set(trials.gpu) == {0.5, 1.0}
    assert set(trials.slot) <= {0, 1}  # two CPUs


def test_more_than_any_node_has_is_refused(ray_cluster: Any, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no node has that .*2 CPUs and 4 GPUs"):
        run_study(study(resources={"cpu": 3}), tmp_path)


def test_a_killed_worker_goes_on_from_its_checkpoint(
    ray_cluster: Any, faults: Path, tmp_path: Path
) -> None:
    summary, trials = run_faulty("DiesOnce", tmp_path / "killed")
    assert summary.exit_code == 0
    assert list(trials.attempts.sort_index()) == [1, 2, 1]
    # It has died: here as well it goes on.
    run_study(faulty("DiesOnce"), tmp_path / "whole", address="none")
    killed, whole = (table(tmp_path / out, "epochs", [*COMPARED]) for out in ("killed", "whole"))
    pd.testing.assert_frame_equal(killed, whole, check_exact=True)
    assert not list(Store(tmp_path / "killed").checkpoints.glob("*"))


def test_what_a_worker_trained_that_is_asked_to_end_is_not_trained_again(
    ray_cluster: Any, faults: Path, tmp_path: Path
) -> None:
    # No state would be due before the end. It is the machine's doing, whatever tries are left.
    summary, trials = run_faulty("ToldToGo", tmp_path, checkpoint_seconds=1000, max_failures=0)
    assert summary.exit_code == 0
    assert list(trials.attempts.sort_index()) == [1, 2, 1]
    assert (faults / "trained").read_text().split() == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("trainable", "error"),
    [
        ("Raises", "ZeroDivisionError: the user's own mistake"),
        pytest.param(
            "DiesAlways",
            "crashed: the worker process died, each time it was tried",
            marks=pytest.mark.long,
        ),
    ],
)
def test_what_keeps_failing_fails_alone(
    ray_cluster: Any, tmp_path: Path, trainable: str, error: str
) -> None:
    summary, trials = run_faulty(trainable, tmp_path)
    assert summary.exit_code == 3
    assert trials.status[1] == "failed"
    assert error in trials.error[1]
    assert trials.attempts[1] == 3
    assert list(trials.status[[0, 2]]) == ["completed"] * 2
    assert len(summary.failed) == 1
    assert "seed 1" in summary.failed[0]


MANY = {"seeds": [*range(9)], "resources": {"gpu": "1/2"}}
"""More trials than the four GPUs could have one of each."""


def test_a_full_part_of_a_gpu_is_tried_with_the_whole(
    ray_cluster: Any, faults: Path, tmp_path: Path
) -> None:
    summary, trials = run_faulty("ShortOfGpuMemory", tmp_path, **MANY)
    assert summary.exit_code == 0
    assert trials.attempts[1] == 2
    assert (trials.gpu[1], trials.gpu[0]) == (1.0, 0.5)


def test_looks_add_the_seeds_that_they_add_without_ray(ray_cluster: Any, tmp_path: Path) -> None:
    counted = study(seeds={"at_least": 2, "at_most": 4}, factors={"model": ["a", "b"]})
    for out, options in (("ray", {}), ("here", {"address": "none"})):
        run_study(counted, tmp_path / out, **options)
    ray_rows, here_rows = (
        table(tmp_path / out, "trials", ["seed", "status", "wanted", "final_test_accuracy"])
        for out in ("ray", "here")
    )
    assert len(here_rows) > 4
    pd.testing.assert_frame_equal(ray_rows, here_rows, check_exact=True)


PARALLEL: dict[str, Any] = {
    "name": "parallel",
    "factors": {"model": ["faulty:sound_net"], "fraction": ["1/8"]},
    "recipe": {"epochs": 2, "batch_size": 50, "precision": "fp32", "augmentation": "standard"},
    "checkpoint_seconds": 0,
    "resources": {"cpu": 2, "gpu": 2},
}


def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let trials with a share of a GPU train on the CPU."""
    task = Pass.task
    monkeypatch.setattr(
        Pass, "task", lambda *given: task(*given).model_copy(update={"device": "cpu"})
    )


def test_a_trial_on_two_gpus_has_the_numbers_of_one(
    ray_cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The GPUs are Ray's in name only; the two processes train on the CPU, over gloo.
    on_cpu(monkeypatch)
    summary = run_study(study_from(PARALLEL), tmp_path / "two")
    assert summary.problems == []
    trials = Store(tmp_path / "two").read("trials").to_pandas()
    assert (list(trials.gpu), list(trials.cpu), list(trials.status)) == ([2], [2], ["completed"])
    run_study(study_from({**PARALLEL, "resources": {"gpu": 0}}), tmp_path / "one", address="none")
    two, one = (table(tmp_path / out, "epochs", [*COMPARED]) for out in ("two", "one"))
    assert len(two) == 2
    pd.testing.assert_frame_equal(two, one, rtol=1e-4)


def test_processes_of_a_trial_stay_for_the_next_and_a_killed_one_harms_none(
    ray_cluster: Any, faults: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_cpu(monkeypatch)
    declared = study_from(
        {
            **PARALLEL,
            "factors": {"model": ["faulty:noted_net"], "fraction": ["1/8"]},
            "seeds": [0, 1],
        }
    )
    noted, rows, attempts = {}, {}, {}
    for name in ("sound", "killed"):
        (faults / "processes").write_text("")
        if name == "killed":
            (faults / "kill").touch()
        run_study(declared, tmp_path / name)
        noted[name] = Counter(map(int, (faults / "processes").read_text().split()))
        rows[name] = table(tmp_path / name, "epochs", [*COMPARED])
        attempts[name] = sorted(
            Store(tmp_path / name).read("trials").column("attempts").to_pylist()
        )
    assert [*noted["sound"].values()] == [2, 2]
    assert sorted(noted["killed"].values()) == [1, 1, 2, 2]
    assert attempts == {"sound": [1, 1], "killed": [1, 2]}
    # The second trial is by processes that trained before, and by fresh ones.
    pd.testing.assert_frame_equal(rows["killed"], rows["sound"], check_exact=True)
    assert_end(noted["sound"] | noted["killed"])


def assert_end(numbers: Iterable[int]) -> None:
    """Assert that processes end, or have ended."""
    left = [psutil.Process(number) for number in numbers if psutil.pid_exists(number)]
    assert not psutil.wait_procs(left, timeout=20)[1]


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_processes_of_a_trial_do_not_outlive_its_worker(
    ray_cluster: Any, faults: Path, tmp_path: Path, number: signal.Signals
) -> None:
    declared = {**PARALLEL, "factors": {"model": ["faulty:noted_net"], "fraction": ["1/8"]}}
    (wanted,) = plan_study(study_from(declared), tmp_path).ledger.stages.wanted.values()
    task = Task(
        trial=wanted.trial,
        recorded=0,
        cpus=2,
        device="cpu",
        gpu=2,
        checkpoint_folder=str(tmp_path),
        checkpoint_seconds=1000,
        keep_checkpoints="none",
    )
    (faults / "processes").write_text("")
    places = ray.util.placement_group([{"CPU": 1, "GPU": 1}] * 2)
    worker = (
        ray.remote(Actor)
        .options(num_cpus=0, scheduling_strategy=PlacementGroupSchedulingStrategy(places, 0))
        .remote({"task": task.model_dump_json()})
    )
    os.kill(ray.get(worker.train.remote())["pid"], number)
    processes = [int(line) for line in (faults / "processes").read_text().split()]
    assert len(processes) == 2
    assert_end(processes)
    ray.util.remove_placement_group(places)


@pytest.mark.long
def test_a_process_of_a_trial_that_dies_fails_it_by_name(
    ray_cluster: Any, faults: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_cpu(monkeypatch)
    declared = {
        **PARALLEL,
        "factors": {"model": ["faulty:second_process_dies"], "fraction": ["1/8"]},
        "max_failures": 0,
    }
    run_study(study_from(declared), tmp_path)
    trials = Store(tmp_path).read("trials").to_pandas()
    assert list(trials.status) == ["failed"]
    assert "process 2 of 2 of the trial died" in trials.error[0]
    assert list(trials.attempts) == [1]


@pytest.mark.long
def test_a_trial_that_hangs_is_ended_after_its_time_and_goes_on(
    ray_cluster: Any, faults: Path, tmp_path: Path
) -> None:
    summary, trials = run_faulty("HangsOnce", tmp_path, trial_timeout=0.1)
    assert summary.exit_code == 0
    assert list(trials.attempts.sort_index()) == [1, 2, 1]
    assert set(trials.status) == {"completed"}
    assert len(Store(tmp_path).read("epochs")) == 12


@pytest.mark.long
def test_no_part_of_a_gpu_is_enough(ray_cluster: Any, tmp_path: Path) -> None:
    summary, trials = run_faulty("NeverEnoughMemory", tmp_path, **MANY)
    assert summary.exit_code == 3
    assert trials.status[1] == "failed"
    assert "out of GPU memory" in trials.error[1]
    assert "it had a whole GPU; a smaller recipe.batch_size" in trials.error[1]
    assert trials.attempts[1] == 2
    assert list(trials.status[[0, 2]]) == ["completed"] * 2


@pytest.mark.long
def test_a_reused_worker_gives_the_numbers_of_a_fresh_one(ray_cluster: Any, tmp_path: Path) -> None:
    trained: dict[str, Any] = {
        "name": "reuse",
        "factors": {"model": ["squeezenet1_1"], "fraction": ["1/8"]},
        "recipe": {"epochs": 1, "batch_size": 32, "augmentation": "standard"},
    }
    run_study(study_from({**trained, "seeds": [0, 1]}), tmp_path / "reused", max_parallel=1)
    run_study(study_from({**trained, "seeds": [1]}), tmp_path / "fresh")
    columns = [*COMPARED]
    reused, fresh = (table(tmp_path / out, "epochs", columns) for out in ("reused", "fresh"))
    assert len(reused) == 2
    same = reused[reused.trial_id == fresh.trial_id[0]].reset_index(drop=True)
    pd.testing.assert_frame_equal(same, fresh, check_exact=True)
