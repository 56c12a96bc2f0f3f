"""One pass: the order of trials, what becomes of them, and that a cut at any moment is mended."""

import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from harness import assert_same_tables
from studies import a_pass, epochs, recorder_of, run, searched, study, trials

from orchestrator.drivers.driver import train_here
from orchestrator.ledger.passes import Pass
from orchestrator.ledger.stages import Outcome, Wanted
from orchestrator.placement.shares import Share
from orchestrator.run import recorder
from orchestrator.run.runner import run_study
from orchestrator.study.study import Study
from results.records import Stage, Status
from results.store.store import Store
from results.store.tables import TrialTable
from trainables.trial import Trial
from trainables.work.job import Job
from trainables.work.reports import EpochDone, Failed, FailureKind


def by_images(trial: Trial) -> float:
    return float(trial.n_train)


def drain(work: Pass) -> list[Wanted]:
    """Take every trial that can start now."""
    taken = []
    while wanted := work.next():
        taken.append(wanted)
    return taken


def row(work: Pass, trial_id: str, epoch: int, accuracy: float = 0.5) -> EpochDone:
    """Return what a worker reports of an epoch."""
    budget = work.ledger.stages.wanted[trial_id].trial.recipe.intervals
    metrics = {
        "epoch": epoch,
        "val_accuracy": accuracy,
        "val_metric": accuracy,
        "seconds": 1.0,
        **{
            f"{split}_{kind}": 0.5
            for split in ("train", "val", "test")
            for kind in ("loss", "accuracy")
            if (split, kind) != ("val", "accuracy")
        },
    }
    return EpochDone(metrics, finished=epoch == budget, facts={"n_parameters": 1})


def begin(work: Pass) -> str:
    """Start the next trial; return its id."""
    wanted = work.next()
    assert wanted
    work.start(wanted.trial.trial_id)
    return wanted.trial.trial_id


# Order.


def test_fair_is_one_seed_of_every_cell_per_round_longest_first(tmp_path: Path) -> None:
    taken = drain(a_pass(study(), tmp_path, cost=by_images))
    order = [(wanted.trial.seed, wanted.trial.model, wanted.trial.n_train) for wanted in taken]
    assert order == [
        (seed, model, n_train)
        for seed in (0, 1)
        for n_train in (45_000, 2_813)
        for model in ("a", "b")
    ]


def test_longest_first_is_that_alone(tmp_path: Path) -> None:
    taken = drain(a_pass(study(order="longest-first"), tmp_path, cost=by_images))
    sizes = [wanted.trial.n_train for wanted in taken]
    assert sizes == sorted(sizes, reverse=True)
    assert [(wanted.trial.model, wanted.trial.seed) for wanted in taken[:4]] == [
        ("a", 0),
        ("a", 1),
        ("b", 0),
        ("b", 1),
    ]


def test_measuring_waits_its_turn_in_the_rounds(tmp_path: Path) -> None:
    work = a_pass(searched(early_stopping="none"), tmp_path)
    assert {wanted.stage for wanted in drain(work)} == {Stage.SEARCH}
    assert not work.is_finished
    cell = work.ledger.stages.cells[0]
    for number, wanted in enumerate(cell.search):
        work.start(wanted.trial.trial_id)
        for epoch in range(1, 10):
            work.result(wanted.trial.trial_id, row(work, wanted.trial.trial_id, epoch, number / 20))
    (measure,) = drain(work)
    assert (measure.stage, measure.cell, measure.trial.seed) == (Stage.MEASURE, 0, 1)


# What becomes of a trial.


def test_a_trial_is_trained_to_its_budget(tmp_path: Path) -> None:
    work = a_pass(study(), tmp_path, cost=by_images)
    trial_id = begin(work)
    assert work.result(trial_id, row(work, trial_id, 1))
    assert work.result(trial_id, row(work, trial_id, 2))
    assert not work.result(trial_id, row(work, trial_id, 3, 0.7))
    assert work.ledger.outcomes[trial_id] == Outcome(Status.COMPLETED, 0.7)
    assert trial_id not in work.running


def test_a_trial_below_the_cutoff_is_stopped(tmp_path: Path) -> None:
    declared = study(factors={"model": list("abcd")}, early_stopping={"compare": []})
    work = a_pass(declared, tmp_path, cost=by_images)
    first, second, third, fourth = (begin(work) for _ in range(4))
    for trial_id, accuracy in ((first, 0.9), (second, 0.6), (third, 0.3)):
        # Each waits for its rivals, and leaves its place to others meanwhile.
        assert not work.result(trial_id, row(work, trial_id, 1, accuracy))
        assert work.ledger.rows[trial_id]["status"] == "planned"
        assert trial_id not in work.ledger.outcomes
    # Of four three go on.
    assert work.result(fourth, row(work, fourth, 1, 0.7))
    assert work.ledger.outcomes[third] == Outcome(Status.STOPPED, 0.3)
    assert work.ledger.rows[third]["stopped_cutoff"] == 0.6
    # Two that waited go on beside the last, from where they were.
    assert {begin(work), begin(work)} == {first, second}
    assert work.task(work.running[first], tmp_path).recorded == 1


def test_nobody_waits_for_a_rival_that_failed(tmp_path: Path) -> None:
    declared = study(factors={"model": list("abcde")}, early_stopping={"compare": []}, seeds=[0])
    work = a_pass(declared, tmp_path, cost=by_images)
    *others, last = (wanted.trial.trial_id for wanted in drain(work))
    for number, trial_id in enumerate(others):
        work.start(trial_id)
        assert not work.result(trial_id, row(work, trial_id, 1, number / 10))
    assert work.next() is None
    work.start(last)
    work.lose(last, FailureKind.REFUSED, "no such model")
    goes_on = {wanted.trial.trial_id for wanted in drain(work)}
    stopped = {name for name in others if work.ledger.rows[name]["status"] == "stopped"}
    assert goes_on == set(others) - stopped
    assert others[-1] in goes_on
    assert others[0] in stopped


def test_a_trial_that_diverges_is_not_tried_again(tmp_path: Path) -> None:
    work = a_pass(study(), tmp_path)
    trial_id = begin(work)
    assert not work.result(trial_id, Failed(FailureKind.DIVERGED, "epoch 2, step 7"))
    assert work.ledger.outcomes[trial_id] == Outcome(Status.FAILED)
    assert work.ledger.rows[trial_id]["error"] == "diverged: epoch 2, step 7"


def test_a_crash_is_tried_again_as_often_as_the_study_says(tmp_path: Path) -> None:
    work = a_pass(study(factors={"model": ["a"]}, seeds=[0], max_failures=2), tmp_path)
    for attempt in (1, 2, 3):
        trial_id = begin(work)
        assert work.ledger.rows[trial_id]["attempts"] == attempt
        work.lose(trial_id, FailureKind.CRASHED, "the worker died")
    assert work.ledger.outcomes[trial_id] == Outcome(Status.FAILED)
    assert work.is_finished
    # What is no longer running cannot be lost.
    work.lose(trial_id, FailureKind.CRASHED, "again")
    assert work.ledger.rows[trial_id]["attempts"] == 3


def test_a_worker_may_be_lost_before_its_trial_began(tmp_path: Path) -> None:
    work = a_pass(study(factors={"model": ["a"]}, seeds=[0], max_failures=1), tmp_path)
    for status in ("planned", "failed"):
        wanted = work.next()
        assert wanted
        work.lose(wanted.trial.trial_id, FailureKind.CRASHED, "it died as it started")
        assert work.ledger.rows[wanted.trial.trial_id]["status"] == status
    assert work.is_finished


def test_a_lost_machine_is_no_failure_of_its_trials_up_to_a_point(tmp_path: Path) -> None:
    work = a_pass(study(factors={"model": ["a"]}, seeds=[0], max_failures=0), tmp_path)
    for attempt in range(1, 22):
        trial_id = begin(work)
        assert work.ledger.rows[trial_id]["attempts"] == attempt
        work.lose(trial_id, FailureKind.NODE_LOST, "the machine was lost")
    assert work.ledger.outcomes[trial_id] == Outcome(Status.FAILED)


def test_out_of_memory_is_tried_with_more_while_there_is_more(tmp_path: Path) -> None:
    work = a_pass(study(factors={"model": ["a"]}, seeds=[0], max_failures=0), tmp_path)
    answers = iter([None, None, "it had a whole GPU"])
    shortages = []

    def enlarge(trial: Trial, shortage: FailureKind) -> str | None:
        shortages.append(shortage)
        return next(answers)

    work._enlarge = enlarge
    for kind in map(FailureKind, ("out of memory", "out of GPU memory", "out of GPU memory")):
        trial_id = begin(work)
        assert not work.result(trial_id, Failed(kind, "no room"))
    error = work.ledger.rows[trial_id]["error"]
    assert error == "out of GPU memory: no room; it had a whole GPU"
    assert shortages == ["out of memory", "out of GPU memory", "out of GPU memory"]
    assert work.ledger.outcomes[trial_id] == Outcome(Status.FAILED)


def test_problems_of_workers_are_kept(tmp_path: Path) -> None:
    work = a_pass(study(), tmp_path)
    trial_id = begin(work)
    work.result(trial_id, replace(row(work, trial_id, 1), problems=("a checkpoint was damaged",)))
    assert work.ledger.rows.problems == ["a checkpoint was damaged"]


def test_a_task_says_all_that_a_worker_needs(tmp_path: Path) -> None:
    declared = study(checkpoint_seconds=5, keep_checkpoints="best", resources={"cpu": 2})
    work = a_pass(declared, tmp_path)
    trial_id = begin(work)
    work.result(trial_id, row(work, trial_id, 1))
    task = work.task(work.ledger.stages.wanted[trial_id], tmp_path / "checkpoints")
    assert (task.recorded, task.cpus, task.checkpoint_seconds) == (1, 2, 5)
    assert (task.keep_checkpoints, task.checkpoint_folder) == (
        "best",
        str(tmp_path / "checkpoints"),
    )
    report = Job(task).step()
    assert isinstance(report, EpochDone)
    assert report.epoch == 1


def test_places_are_lent_to_classifiers_on_a_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lent = "folder", 2
    for trainable, cpu, gpu, expected in [
        ("classifier", 1, 0.0, lent),
        ("classifier", 2, 0.0, None),  # enlarged after a shortage of memory
        ("classifier", 1, 0.5, None),
        ("simulated", 1, 0.0, None),
    ]:
        work = a_pass(study(trainable=trainable, factors={"model": ["resnet18"]}), tmp_path)
        monkeypatch.setattr(work, "share", lambda _, cpu=cpu, gpu=gpu: Share(cpu, gpu))
        wanted = work.next()
        assert wanted
        assert work.task(wanted, tmp_path, lent).places == expected


def test_a_trial_that_needs_a_whole_gpu_goes_first_and_one_is_freed_for_it(tmp_path: Path) -> None:
    work = a_pass(study(), tmp_path, cost=by_images)
    work._enlarge = lambda trial, shortage: None
    ids = [begin(work) for _ in range(3)]
    work.lose(ids[0], FailureKind.OUT_OF_GPU_MEMORY, "CUDA out of memory")
    again = work.next()
    assert again
    assert again.trial.trial_id == ids[0]
    # It waits for its GPU, and nothing takes what becomes free.
    assert work.next() is None
    work.lose(ids[1], FailureKind.DIVERGED, "NaN")
    assert work.next() is None
    work.start(ids[0])
    other = work.next()
    assert other
    work.start(other.trial.trial_id)
    # Where nothing else runs, nothing can be freed: another may have its node.
    work.lose(ids[0], FailureKind.OUT_OF_GPU_MEMORY, "CUDA out of memory")
    assert work.next()
    for running in {*work.running} - {ids[0]}:
        work.lose(running, FailureKind.DIVERGED, "NaN")
    assert work.next()


def test_who_starts_is_spread_over_what_few_leave_idle(tmp_path: Path) -> None:
    told: list[int] = []
    work = a_pass(study(), tmp_path)
    work._spread = lambda trial, together: told.append(together)
    n = len(work.ledger.left())
    first, _ = begin(work), begin(work)
    work.lose(first, FailureKind.DIVERGED, "NaN")
    begin(work)
    assert told == [n, n, n - 1]


def test_places_are_left_once_all_that_is_left_runs_on_fewer(tmp_path: Path) -> None:
    work = a_pass(study(), tmp_path)
    work.slots = 2
    while len(work.ledger.left()) > 3:
        work.lose(begin(work), FailureKind.DIVERGED, "NaN")
    one = begin(work)
    assert not work.leaves_places  # others wait
    two = begin(work)
    work.lose(one, FailureKind.DIVERGED, "NaN")
    last = work.next()
    assert last
    work.lose(two, FailureKind.DIVERGED, "NaN")
    assert not work.leaves_places  # it has not begun
    work.start(last.trial.trial_id)
    assert work.leaves_places
    work.slots = 1
    assert not work.leaves_places


# Cuts.


class Cut(BaseException):
    """Stands in for SIGKILL: nothing between here and the test handles it."""


def train_until_cut(work: Pass, out: Path, pass_id: str, generator: random.Random) -> bool:
    """Train a few epochs, with a flush now and then; return whether a cut ended it."""
    left = generator.randint(0, 5)

    recorder = recorder_of(work, pass_id)

    def beat() -> None:
        nonlocal left
        recorder.flush()
        left -= 1
        if generator.random() < 0.4:
            recorder.flush(force=True)
        if left < 0:
            raise Cut

    try:
        train_here(work, Store(out).checkpoints, beat)
    except Cut:
        return True
    return False


@pytest.mark.parametrize(
    "declared",
    [
        study(checkpoint_seconds=0),
        study(recipe={"epochs": 5, "schedule": "cosine"}, checkpoint_seconds=0),
        searched(factors={"model": ["a", "b"]}, checkpoint_seconds=0),
        searched(factors={"model": ["a", "b"]}),
        searched(factors={"model": ["a", "b"]}, early_stopping={"compare": []}),
        searched(factors={"model": ["a", "b"]}, early_stopping="none", order="longest-first"),
        study(seeds={"at_least": 2, "at_most": 5}),
        study(recipe={"epochs": 12}, checkpoint_seconds=0, test="auto"),
        searched(test="final", search={"lr": [1e-2, 1e-3, 1e-4], "seed": 9}, checkpoint_seconds=0),
    ],
    ids=[
        *("plain", "cosine", "search", "no checkpoints", "search, all", "longest first", "looks"),
        *("tested at times", "search untested"),
    ],
)
def test_cut_at_any_moment_and_gone_on_the_tables_are_those_of_one_run(
    tmp_path: Path, declared: Study
) -> None:
    whole = run(declared, tmp_path / "whole")
    generator = random.Random(7)
    out = tmp_path / "cut"
    Store(out).write_study(declared.written())
    hits = sum(
        train_until_cut(a_pass(declared, out), out, f"pass-{number:02d}", generator)
        for number in range(25)
    )
    assert hits > 5
    summary = run(declared, out)
    # One race over all leaves a cell without a winner.
    assert (summary.exit_code, summary.problems) == (whole.exit_code, [])
    assert whole.exit_code == 0 or (declared.stopping and declared.stopping.compare == [])
    assert_same_tables(tmp_path / "whole", out)
    sequence = epochs(out).sequence
    assert sequence.is_unique


@pytest.mark.parametrize("places", [3, 40])
@pytest.mark.parametrize("compare", ["cell", ["fraction"], []])
def test_no_order_and_no_number_of_places_changes_what_is_stopped(
    tmp_path: Path, places: int, compare: Any
) -> None:
    declared = searched(early_stopping={"compare": compare})
    run(declared, tmp_path / "whole")
    out, generator = tmp_path / "mixed", random.Random(places)
    Store(out).write_study(declared.written())
    work = a_pass(declared, out)
    recorder = recorder_of(work)
    jobs: dict[str, Job] = {}
    while not work.is_finished:
        while len(jobs) < places and (wanted := work.next()):
            trial_id = wanted.trial.trial_id
            jobs[trial_id] = Job(work.task(wanted, Store(out).checkpoints))
            work.start(trial_id)
        trial_id = generator.choice(list(jobs))
        if not work.result(trial_id, jobs[trial_id].step()):
            del jobs[trial_id]
        recorder.flush()
    recorder.flush(force=True)
    assert "stopped" in set(trials(out).status)
    assert_same_tables(tmp_path / "whole", out)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("number", [1, 4, 7, 10, 13])
def test_facts_are_not_lost_where_epochs_are_recorded_and_trials_not(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = searched(factors={"model": ["a"]}, checkpoint_seconds=0)
    run(declared, tmp_path / "whole")
    written = TrialTable.write
    calls = []

    def cut(self: TrialTable, *rows: Any) -> None:
        calls.append(rows)
        if len(calls) > number:
            raise Killed
        written(self, *rows)

    with monkeypatch.context() as patch:
        patch.setattr(TrialTable, "write", cut)
        patch.setattr(recorder, "FLUSH_SECONDS", 0.0)
        patch.setattr(recorder, "_FLUSH_SHARE", 0)
        patch.setattr(recorder, "_SECONDS_PER_PART", 0.0)
        with pytest.raises(Killed):
            run(declared, tmp_path / "cut")
    summary = run(declared, tmp_path / "cut")
    assert (summary.exit_code, summary.problems) == (0, [])
    assert trials(tmp_path / "cut").n_parameters.notna().all()
    assert_same_tables(tmp_path / "whole", tmp_path / "cut")


def test_a_stop_that_a_cut_kept_unrecorded_is_made_up_for(tmp_path: Path) -> None:
    declared = searched(factors={"model": ["a"]})
    run(declared, tmp_path)
    before = trials(tmp_path)
    stopped = before[before.status == "stopped"].index
    # The epochs were flushed, the trials not.
    store = Store(tmp_path)
    for part in store.parts("trials"):
        rows = store.read("trials").to_pylist()
        for each in rows:
            if each["trial_id"] in stopped:
                each |= {"status": "running", "stopped_at_epoch": None, "stopped_cutoff": None}
        from results.store.tables import table_of

        store.write_part("trials", part.stem, [table_of("trials", rows)])
    work = a_pass(declared, tmp_path)
    assert work.is_finished
    recorder_of(work, "next").flush(force=True)
    after = trials(tmp_path)
    for column in ("status", "stopped_at_epoch", "stopped_cutoff", "final_val_accuracy"):
        assert after[column].equals(before[column]), column


# Studies that change between passes.


def test_a_finished_study_has_nothing_to_do_and_writes_nothing(tmp_path: Path) -> None:
    declared = searched()
    run(declared, tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.glob("[!.]*/*.parquet")}
    assert a_pass(declared, tmp_path).is_finished
    run(declared, tmp_path)
    assert {file: file.read_bytes() for file in tmp_path.glob("[!.]*/*.parquet")} == before


def test_a_search_opened_again_keeps_what_it_measured_until_its_winner_is_known(
    tmp_path: Path,
) -> None:
    run(searched(factors={"model": ["a"]}), tmp_path)
    before = trials(tmp_path)
    measured = before[before.stage == "measure"].index
    values = {"lr": [1e-2, 1e-3, 1e-4, 0.09], "batch_size": [32, 128, 256], "seed": 0}
    wider = searched(factors={"model": ["a"]}, search=values)
    recorder_of(a_pass(wider, tmp_path), "next").flush(force=True)
    during = trials(tmp_path)
    assert during.loc[measured, "wanted"].all()
    assert during.loc[measured, "measured"].all()
    run(wider, tmp_path)
    after = trials(tmp_path)
    # The new rate is far off: the winner is the same, and nothing is measured again.
    assert after[after.stage == "measure"].index.equals(measured)
    assert after.loc[measured, "measured"].all()
    assert len(epochs(tmp_path)) == after.epochs_done.sum()


def test_a_search_whose_winner_changes_disowns_what_it_measured(tmp_path: Path) -> None:
    worse = study(factors={"model": ["a"]}, search={"lr": [0.05, 0.09], "seed": 0})
    run(worse, tmp_path)
    old = trials(tmp_path)
    better = {"lr": [0.05, 0.09, 1e-3], "seed": 0}
    run(study(factors={"model": ["a"]}, search=better), tmp_path)
    new = trials(tmp_path)
    former = old[old.measured].index
    assert not new.loc[former, "measured"].any()
    # What was searched is still wanted; what was measured alone is not.
    assert new.loc[former].set_index("stage").wanted.to_dict() == {
        "search": True,
        "measure": False,
    }
    assert new[new.measured].lr.tolist() == [1e-3, 1e-3]
    run(worse, tmp_path)
    back = trials(tmp_path)
    assert back[back.measured].index.equals(former)
    assert len(epochs(tmp_path)) == new.epochs_done.sum()


def test_more_epochs_continue_where_the_schedule_is_constant(tmp_path: Path) -> None:
    run(study(keep_checkpoints="last"), tmp_path)
    before = epochs(tmp_path)
    run(study(recipe={"epochs": 5}), tmp_path)
    after = epochs(tmp_path)
    assert after[: len(before)].equals(before)
    assert set(after[len(before) :].epoch) == {4, 5}
    assert (trials(tmp_path).epochs_done == 5).all()
    run(study(recipe={"epochs": 5}), tmp_path / "at once")
    assert_same_metrics(tmp_path, tmp_path / "at once")


def assert_same_metrics(one: Path, other: Path) -> None:
    columns = ["trial_id", "epoch", "val_accuracy", "test_accuracy", "train_loss", "step"]
    keys = ["trial_id", "epoch"]
    ours, theirs = (
        epochs(out)[columns].sort_values(keys, ignore_index=True) for out in (one, other)
    )
    assert ours.equals(theirs)


@pytest.mark.parametrize("early_stopping", ["none", {"compare": "cell"}])
def test_stopped_trials_go_on_where_nothing_is_stopped_any_more(
    tmp_path: Path, early_stopping: Any
) -> None:
    run(searched(factors={"model": ["a"]}), tmp_path)
    before = trials(tmp_path)
    assert (before.status == "stopped").any()
    run(searched(factors={"model": ["a"]}, early_stopping=early_stopping), tmp_path)
    after = trials(tmp_path)
    if early_stopping == "none":
        assert (after.status == "completed").all()
        assert after.stopped_cutoff.isna().all()
        assert len(epochs(tmp_path)) == 9 * len(after)
    else:
        assert after.status.equals(before.status)


def test_failed_trials_are_tried_again_by_every_run(tmp_path: Path) -> None:
    declared = study(factors={"model": ["a"], "lr": [1e-3, 0.5]}, seeds=[0])
    for attempts in (1, 2):
        assert run(declared, tmp_path).exit_code == 3
        failed = trials(tmp_path).query("status == 'failed'")
        assert failed.attempts.tolist() == [attempts]
        assert failed.error.str.contains("epoch 2, step 1").all()
    assert len(epochs(tmp_path)) == 3 + 1


def test_predictions_that_do_not_fit_the_test_set_fail_the_trial(tmp_path: Path) -> None:
    declared = study(trainable="faulty:TooFew", data={"source": "digits"}, seeds=[0])
    summary = run_study(declared, tmp_path, address="none")
    assert summary.exit_code == 3
    assert "faulty:TooFew: predictions() returned shape (3,), the test set has" in summary.failed[0]


def test_a_trial_that_gives_no_row_is_called_silent_and_ended_after_its_time(
    tmp_path: Path,
) -> None:
    told: list[str] = []
    declared = study(trial_timeout=30)
    work = a_pass(declared, tmp_path, cost=lambda trial: 20.0 * trial.recipe.intervals)
    work._listener = lambda event, *_, **__: told.append(event)
    trial_id, other = begin(work), begin(work)
    now = time.monotonic()
    assert work.silent(now + 150) == []
    assert "silent" not in told
    work.result(other, row(work, other, 1))
    assert work.silent(now + 300) == []
    assert told.count("silent") == 2
    assert "silent for" in work.ledger.rows[trial_id]["error"]
    # A row ends it.
    work.result(other, row(work, other, 2))
    assert work.ledger.rows[other]["error"] is None
    assert work.silent(now + 31 * 60) == [trial_id, other]


def test_a_lost_trial_that_waits_for_a_place_again_is_not_silent(tmp_path: Path) -> None:
    work = a_pass(study(trial_timeout=30), tmp_path)
    trial_id = begin(work)
    work.lose(trial_id, FailureKind.CRASHED, "it died")
    drain(work)
    assert trial_id in work.running
    assert work.silent(time.monotonic() + 31 * 60) == []
    assert work.ledger.rows[trial_id]["error"] == "crashed: it died"


def test_an_error_of_several_lines_is_told_in_one(tmp_path: Path) -> None:
    work = a_pass(study(), tmp_path)
    trial_id = begin(work)
    work.lose(trial_id, FailureKind.REFUSED, "first\nsecond\r\nthird")
    assert work.ledger.rows[trial_id]["error"] == "refused: first second third"
