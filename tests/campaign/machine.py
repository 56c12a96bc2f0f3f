"""A study that is changed, killed and damaged in any order, against one that nobody touched."""

import json
import os
import random
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from campaign.lives import settle
from harness import VARIES, flipped, table
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from studies import a_pass, recorder_of

from orchestrator.ledger import rows
from orchestrator.run.runner import run_study
from orchestrator.study.study import Study, study_from
from results.store.store import Store
from trainables.work.job import Job
from trainables.work.reports import FailureKind

STEPS = 0
"""Rules that have been applied in this process so far."""
_WHOLE = Path(tempfile.gettempdir()) / f"whole-{os.getpid()}"
_KEYS = ["trial_id", "epoch"]
_BUDGETS = {"epochs", "epochs_budget"}
"""Columns of the budget that a row was first recorded under, which stays with it."""


def whole(values: dict[str, Any]) -> Path:
    """Return the run directory of a study that nobody touched."""
    plain = {**values, "early_stopping": "none"} if "search" in values else values
    out = _WHOLE / f"{abs(hash(json.dumps(plain, sort_keys=True))):x}"
    if not out.exists():
        run_study(study_from(plain), out, address="none")
    return out


class Machine(RuleBasedStateMachine):
    """One study, in this process; what a run holds in memory is dropped where it is killed."""

    def __init__(self) -> None:
        super().__init__()
        settle()
        self.folder = Path(tempfile.mkdtemp(prefix="machine-"))
        self.out, self.store = self.folder / "run", Store(self.folder / "run")
        self.work: Any = None
        self.jobs: dict[str, Job] = {}
        self.safe: set[tuple[str, int]] = set()
        self.passes, self.damages = 0, 0
        self.shift, self.own_now = timedelta(), rows._now
        rows._now = lambda: datetime.now(UTC) + self.shift

    @initialize(search=st.booleans(), fickle=st.booleans(), keep=st.booleans())
    def declare(self, search: bool, fickle: bool, keep: bool) -> None:
        self.values: dict[str, Any] = {
            "name": "machine",
            "test": "every",
            "trainable": "campaign.own:Fickle" if fickle else "simulated",
            "factors": {"model": ["a", "b"], "fraction": ["1/16", 1]},
            "recipe": {"epochs": 4},
            "seeds": [0],
            "checkpoint_seconds": 0 if keep else 1000,
            "keep_checkpoints": "last" if keep else "none",
        }
        if search:
            self.values["factors"]["fraction"] = [1]
            self.values["search"] = {"lr": ["1e-2", "1e-3", "1e-4"], "seed": 7}
        else:
            self.values["factors"]["lr"] = ["1e-3", "1e-4"]

    @property
    def study(self) -> Study:
        return study_from(self.values)

    def found(self) -> set[tuple[str, int]]:
        held = self.store.read("epochs", _KEYS)
        return set(zip(*(held[key].to_pylist() for key in _KEYS), strict=True))

    @precondition(lambda self: self.work is None)
    @rule()
    def start(self) -> None:
        global STEPS
        STEPS += 1
        self.passes += 1
        self.store.repair()
        name = f"{datetime.now(UTC) + self.shift:%Y%m%dT%H%M%S%f}-{self.passes:04x}"
        self.store.merge(name)
        self.work = a_pass(self.study, self.out)
        self.recorder = recorder_of(self.work, name)
        self.store.write_study(self.study.written())
        self.recorder.flush(force=True)
        assert self.safe <= self.found()

    @precondition(lambda self: self.work is not None)
    @rule(choice=st.integers(0, 9))
    def row(self, choice: int) -> None:
        """One of up to three trials that run trains an epoch, or another begins."""
        global STEPS
        STEPS += 1
        if len(self.jobs) <= choice % 3 and (wanted := self.work.next()):
            trial_id = wanted.trial.trial_id
            self.jobs[trial_id] = Job(self.work.task(wanted, self.store.checkpoints.absolute()))
            self.work.start(trial_id)
        elif self.jobs:
            trial_id = sorted(self.jobs)[choice % len(self.jobs)]
            if not self.work.result(trial_id, self.jobs[trial_id].step()):
                del self.jobs[trial_id]

    @precondition(lambda self: self.work is not None)
    @rule()
    def flush(self) -> None:
        global STEPS
        STEPS += 1
        self.recorder.flush(force=True)
        self.safe = self.found()

    @precondition(lambda self: self.jobs)
    @rule(choice=st.integers(0, 9))
    def lose(self, choice: int) -> None:
        global STEPS
        STEPS += 1
        trial_id = sorted(self.jobs)[choice % len(self.jobs)]
        del self.jobs[trial_id]
        self.work.lose(trial_id, FailureKind.NODE_LOST, "lost")

    @precondition(lambda self: self.work is not None)
    @rule(moment=st.sampled_from(["before", "predictions", "epochs", "trials"]))
    def kill(self, moment: str) -> None:
        """Killed before a flush, or after a table of it."""
        global STEPS
        STEPS += 1
        if moment != "before":
            self.recorder._take()
            self.recorder._predictions.flush()
        if moment in ("epochs", "trials"):
            self.recorder._epochs.flush()
        if moment == "trials":
            self.recorder._trials.write(self.work.ledger.rows, self.work.ledger.rows.changed())
        self.work, self.jobs = None, {}

    @precondition(lambda self: self.work is None)
    @rule(
        models=st.permutations(["a", "b", "c"]),
        count=st.integers(1, 3),
        epochs=st.sampled_from([2, 4, 6]),
        seeds=st.sampled_from([[0], [1, 0], [0, 1], [1]]),
    )
    def change(self, models: list[str], count: int, epochs: int, seeds: list[int]) -> None:
        """Extend, shrink, reorder."""
        global STEPS
        STEPS += 1
        self.values["factors"]["model"] = models[:count]
        self.values["seeds"] = seeds
        # A search is chosen by its end: another budget is another search's stop.
        if "search" not in self.values:
            self.values["recipe"] = {"epochs": epochs}

    @precondition(lambda self: self.work is None)
    @rule(seed=st.integers(0, 2**20), how=st.sampled_from(["flip", "cut", "remove", "empty"]))
    def damage(self, seed: int, how: str) -> None:
        global STEPS
        STEPS += 1
        generator = random.Random(seed)
        tables = ("epochs", "trials", "predictions", "environments")
        files = [part for name in tables for part in self.store.parts(name)]
        files += sorted(self.store.checkpoints.glob("*/0*"))
        if not files:
            return
        file = generator.choice(files)
        self.damages += 1
        if file.parent.name == "epochs":
            held = pd.read_parquet(file, columns=_KEYS)
            self.safe -= set(zip(held["trial_id"], held["epoch"], strict=True))
        content = file.read_bytes()
        if how == "remove":
            file.unlink()
        elif how == "flip" and content:
            file.write_bytes(flipped(content, generator.randrange(8 * len(content))))
        else:
            file.write_bytes(content[: generator.randrange(len(content) + 1) * (how == "cut")])

    @precondition(lambda self: self.work is None)
    @rule(seed=st.integers(0, 2**20), name=st.sampled_from(["0", "zz", "copy"]))
    def copy(self, seed: int, name: str) -> None:
        global STEPS
        STEPS += 1
        parts = [part for table in ("epochs", "trials") for part in self.store.parts(table)]
        if parts:
            part = random.Random(seed).choice(parts)
            # What is there already may be another copy, and is not a part's name.
            while (target := part.with_name(f"{name}{seed}.parquet")).exists():
                seed += 1
            shutil.copy(part, target)
            # Of what is damaged nothing can be read before a run.
            assert self.damages or self.safe <= self.found()

    @rule(hours=st.integers(-50, 10))
    def set_clock(self, hours: int) -> None:
        global STEPS
        STEPS += 1
        self.shift = timedelta(hours=hours)

    def teardown(self) -> None:
        print(f"{STEPS} steps", end="\r", flush=True)
        try:
            if hasattr(self, "values"):
                self.compare()
        finally:
            # Other tests of this process have the machine's clock again.
            rows._now = self.own_now
            shutil.rmtree(self.folder, ignore_errors=True)

    def compare(self) -> None:
        """Finish the study, and compare with one that nobody touched."""
        run_study(self.study, self.out, address="none")
        assert self.store.problems() == []
        untouched = whole(self.values)
        ours = table(self.out, "epochs").set_index(_KEYS).drop(columns="epochs")
        theirs = table(untouched, "epochs").set_index(_KEYS).drop(columns="epochs")
        assert not ours.index.duplicated().any()
        trials = table(self.out, "trials").set_index("trial_id")
        asked = trials[trials.wanted]
        expected = table(untouched, "trials").set_index("trial_id")
        if "search" not in self.values:
            assert set(asked.index) == set(expected.index)
            assert set(theirs.index) <= set(ours.index)
            shared = theirs.index
            but = [*_BUDGETS & set(asked.columns)]
            # A trial that is not asked for any more makes numbers of what else are whole ones.
            pd.testing.assert_frame_equal(
                asked.sort_index().drop(columns=but),
                expected.sort_index().drop(columns=but),
                check_dtype=False,
                check_exact=True,
            )
        else:
            # Stops of an earlier study stand; whoever was stopped, the rows are the same.
            shared = ours.index.intersection(theirs.index)
            ours, theirs = (rows.drop(columns="stage") for rows in (ours, theirs))
            assert (asked[asked.measured].status == "completed").all()
            if not self.damages:
                self.explain_stops(trials)
        pd.testing.assert_frame_equal(
            ours.loc[shared], theirs.loc[shared], check_dtype=False, check_exact=True
        )

    def explain_stops(self, trials: pd.DataFrame) -> None:
        """Make sure that whoever was stopped was so at a rung, and below what it was told."""
        stopped = trials[(trials.status == "stopped") & trials.wanted]
        assert (stopped.epochs_done == stopped.stopped_at_epoch).all()
        assert (stopped.final_val_accuracy < stopped.stopped_cutoff).all()
        assert self.study.stopping or stopped.empty
        assert set(stopped.stopped_at_epoch) <= {*self.study.stopping.rungs(10**6)}


assert {"epochs", "trials"} == set(VARIES)
