"""Small simulated studies for the tests of this package, run in this process."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from rich.console import Console

from orchestrator.ledger.history import History
from orchestrator.ledger.ledger import Ledger
from orchestrator.ledger.passes import Pass
from orchestrator.placement.shares import Share
from orchestrator.plan.durations import work_of
from orchestrator.run.recorder import Recorder
from orchestrator.run.runner import Summary, run_study
from orchestrator.study.inputs import find_inputs
from orchestrator.study.study import Study, study_from
from results.store.store import Store
from trainables.trial import Trial

PLAIN: dict[str, Any] = {
    "name": "small",
    "trainable": "simulated",
    "factors": {"model": ["a", "b"], "fraction": ["1/16", 1]},
    "recipe": {"epochs": 3},
    "seeds": [0, 1],
}
SEARCHED: dict[str, Any] = {
    **PLAIN,
    "recipe": {"epochs": 9},
    "search": {"lr": [1e-2, 1e-3, 1e-4], "batch_size": [32, 128, 256], "seed": 0},
}


def study(**values: Any) -> Study:
    """Return a study of two models and two fractions, two seeds each."""
    return study_from({**PLAIN, **values})


def searched(**values: Any) -> Study:
    """Return the same with nine recipes tried in every cell."""
    return study_from({**SEARCHED, **values})


def run(declared: Study, out: Path) -> Summary:
    """Train what is left, here, one trial after another."""
    return run_study(declared, out, address="none")


def trials(out: Path) -> pd.DataFrame:
    return Store(out).read("trials").to_pandas().set_index("trial_id", drop=False).rename_axis(None)


def epochs(out: Path) -> pd.DataFrame:
    return Store(out).read("epochs").to_pandas().sort_values("sequence").reset_index(drop=True)


def a_ledger(declared: Study, out: Path) -> Ledger:
    """Return a ledger that has taken stock of a run directory."""
    return Ledger(declared, find_inputs(declared), History(Store(out)))


def a_pass(declared: Study, out: Path, cost: Callable[[Trial], float] | None = None) -> Pass:
    """Return a pass that has taken stock of a run directory, and nothing more."""
    ledger = a_ledger(declared, out)
    work = work_of(ledger.inputs)

    def operations(trial: Trial) -> float:
        of = work(trial)
        return (3.0 * of.trained + of.evaluated) * (of.flops or 1.0) * trial.recipe.intervals

    return Pass(
        ledger,
        cost=cost or operations,
        share=lambda trial: Share(1.0, 0.0),
        enlarge=lambda trial, shortage: "it had the largest share",
    )


def recorder_of(work: Pass, pass_id: str = "pass") -> Recorder:
    """Return what writes the rows of a pass."""
    return Recorder(work.ledger.history.store, work.ledger.rows, pass_id)


def write(file: Path, values: Any) -> Path:
    """Write a study file; text as it is, values as YAML."""
    file.write_text(values if isinstance(values, str) else yaml.safe_dump(values, sort_keys=False))
    return file


def trial_row(model: str = "a", fraction: float = 1.0, **values: Any) -> dict[str, Any]:
    """Return a row of the trial table, completed unless said otherwise."""
    return {
        "trial_id": "t",
        "seed": 0,
        "slot": None,
        "seconds": None,
        "model": model,
        "weights": "none",
        "fraction": fraction,
        "n_train": round(45_000 * fraction),
        "wanted": True,
        "measured": True,
        "status": "completed",
        "epochs_done": 3,
        "epochs_budget": 3,
        "latest_val_accuracy": 0.5,
        "error": None,
        **values,
    }


def drawn(renderable: Any, width: int, height: int = 25) -> list[str]:
    """Return the lines that a terminal without colours shows."""
    console = Console(width=width, height=height, force_terminal=False, color_system=None)
    with console.capture() as capture:
        console.print(renderable)
    return [line.rstrip() for line in capture.get().splitlines()]
